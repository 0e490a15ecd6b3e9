"""Figures of quality as pages and files show them: tables with their words, charts, sentences."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _

from .. import reasons
from . import anchoring, prelabellers

NOTHING = "–"
MINUS = "\N{MINUS SIGN}"
AGREEMENT = ("measure", "value", "low", "high", "units")
OVER_TIME = ("date", "clips", "avg", "low", "high")
PRELABELLERS = prelabellers.COLUMNS
ANCHORING = anchoring.COLUMNS

Row = Mapping[str, Any]
#: name of the column, whether it is a number, the cell's text
Column = tuple[str, bool, Callable[[Row], str]]


def number(value: float | None, digits: int = 2) -> str:
    return NOTHING if value is None else f"{value:.{digits}f}".replace("-", MINUS)


def percent(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0%}"


def with_interval(value: float | None, low: float | None, high: float | None, form: Any = number) -> str:
    """0.74 (0.47 … 1.00), without the brackets where there is no interval."""
    return form(value) if low is None or high is None else f"{form(value)} ({form(low)} … {form(high)})"


def table(columns: Sequence[Column], rows: Iterable[Row]) -> dict[str, Any]:
    """`{head: [{name, num}], rows: [[{text, name, num}]]}` for templates/checking/_quality_table.html."""
    return {
        "head": [{"name": name, "num": num} for name, num, _cell in columns],
        "rows": [[{"text": cell(row), "name": name, "num": num} for name, num, cell in columns] for row in rows],
    }


def as_csv(columns: Sequence[str], rows: Iterable[Row]) -> str:
    """The figures as they were counted: columns named as in REST, no words of a language."""
    text = io.StringIO(newline="")
    out = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    out.writeheader()
    for row in rows:
        out.writerow({key: _flat(row.get(key)) for key in columns})
    return text.getvalue()


def _flat(value: Any) -> Any:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {n}" for key, n in value.items())
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return value


def agreement_rows(found: Row) -> list[dict[str, Any]]:
    """A row a measure: `{measure, value, low, high, units}`."""
    rows = []
    for key in ("label", "raw", "grouped"):
        low, high = found[key]["ci95"] or (None, None)
        rows.append(
            {"measure": key, "value": found[key]["alpha"], "low": low, "high": high, "units": found[key]["units"]}
        )
    for key, n in (("pairs", "clips"), ("gold", "n")):
        low, high = found[key]["ci95"] or (None, None)
        rows.append({"measure": key, "value": found[key]["avg"], "low": low, "high": high, "units": found[key][n]})
    gold = found["gold"]
    rows += [
        {"measure": f"gold_{key}", "value": gold[key], "low": None, "high": None, "units": gold["n"]}
        for key in ("accuracy", "recall")
    ]
    return rows


def measures() -> dict[str, str]:
    return {
        "label": _("Krippendorff's α, discrete label"),
        "raw": _("Krippendorff's α, OV labels as written (MASI)"),
        "grouped": _("Krippendorff's α, OV labels grouped (MASI)"),
        "pairs": _("Set-level Avg between annotators"),
        "gold": _("Set-level Avg against gold"),
        "gold_accuracy": _("Accuracy_S against gold"),
        "gold_recall": _("Recall_S against gold"),
    }


def agreement_table(found: Row) -> dict[str, Any]:
    names = measures()
    columns: list[Column] = [
        (_("Measure"), False, lambda row: names[row["measure"]]),
        (_("Value (95 % interval)"), True, lambda row: with_interval(row["value"], row["low"], row["high"])),
        (_("Clips"), True, lambda row: str(row["units"])),
    ]
    return table(columns, agreement_rows(found))


def over_time_table(rows: Iterable[Row]) -> dict[str, Any]:
    columns: list[Column] = [
        (_("Date"), False, lambda row: row["date"]),
        (_("Clips"), True, lambda row: str(row["clips"])),
        (_("Avg (95 % interval)"), True, lambda row: with_interval(row["avg"], row["low"], row["high"])),
    ]
    return table(columns, rows)


def over_time_chart(rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "kind": "line",
        "x": _("Date"),
        "range": [0, 1],
        "digits": 2,
        "dates": [row["date"] for row in rows],
        "series": [
            {
                "name": _("Avg"),
                "values": [row["avg"] for row in rows],
                "low": [row["low"] for row in rows],
                "high": [row["high"] for row in rows],
            }
        ],
    }


def aspects() -> dict[str, str]:
    return {
        "visual": _("visual"), "audio": _("audio"), "text": _("text"), "expression": _("expression"),
        "gesture": _("gesture"), "scene": _("scene"), "tone": _("tone"), "prosody": _("prosody"),
        "content": _("content"),
    }  # fmt: skip


def prelabellers_table(rows: Iterable[Row]) -> dict[str, Any]:
    words, why = aspects(), reasons.names()

    def rejections(row: Row) -> str:
        most = sorted(row["reasons"].items(), key=lambda item: -item[1])
        return " · ".join(f"{why.get(code) or code} {n}" for code, n in most) or NOTHING

    def edit(row: Row, what: str) -> str:
        return f"{number(row[what], 1)} ({percent(row[f'{what}_share'])})" if row["edits"] else NOTHING

    columns: list[Column] = [
        (_("Pre-labeller"), False, lambda row: row["prelabeller"]),
        (
            _("Clue"),
            False,
            lambda row: " · ".join(words.get(row[key]) or str(row[key]) for key in ("modality", "aspect") if row[key]),
        ),
        (_("Judged"), True, lambda row: str(row["judged"])),
        (_("kept"), True, lambda row: with_interval(row["kept_share"], row["kept_low"], row["kept_high"], percent)),
        (_("corrected"), True, lambda row: percent(row["corrected_share"])),
        (_("rejected"), True, lambda row: percent(row["rejected_share"])),
        (_("kept without a look"), True, lambda row: str(row["unseen"])),
        (
            _("Edit: characters"),
            True,
            lambda row: (
                f"{number(row['characters'], 1)} ({percent(row['characters_share'])})" if row["edits"] else NOTHING
            ),
        ),
        (
            _("Edit: words"),
            True,
            lambda row: edit(row, "words"),
        ),
        (_("Why rejected"), False, rejections),
    ]
    return table(columns, rows)


def arms() -> dict[str, str]:
    return {"shown": _("shown"), "blind": _("without names"), "none": _("no pre-label")}


def anchoring_table(rows: Iterable[Row]) -> dict[str, Any]:
    names = arms()
    columns: list[Column] = [
        (_("Pre-labels"), False, lambda row: names[row["arm"]]),
        (_("Annotations"), True, lambda row: str(row["annotations"])),
        (_("Similarity to the pre-label"), True, lambda row: with_interval(row["similarity"], row["low"], row["high"])),
        (_("kept"), True, lambda row: percent(row["kept_share"])),
        (_("added"), True, lambda row: str(row["added"])),
        (_("Active time (median)"), True, lambda row: seconds(row["active_median_s"])),
    ]
    return table(columns, rows)


def pull_sentences(rows: Iterable[Row]) -> list[str]:
    """How far suggestions pull, in words, one sentence a contrast."""
    found = []
    for row in rows:
        values = {"difference": number(abs(row["difference"])), "low": number(row["low"]), "high": number(row["high"])}
        if (row["of"], row["against"]) == ("shown", "none"):
            nearer = _("Who saw the pre-labels answered %(difference)s nearer to them than who saw none")
            farther = _("Who saw the pre-labels answered %(difference)s farther from them than who saw none")
        elif (row["of"], row["against"]) == ("shown", "blind"):
            nearer = _("Names and a drafted description pulled answers %(difference)s nearer to the pre-label")
            farther = _("With names and a drafted description answers were %(difference)s farther from the pre-label")
        else:
            nearer = _("Clues without names alone pulled answers %(difference)s nearer to the pre-label")
            farther = _("With clues without names answers were %(difference)s farther from the pre-label")
        interval = _("95 %% interval of the difference: %(low)s to %(high)s.") % values
        sure = ""
        if row["few"]:
            sure = " " + _("Too few to say.")
        elif row["low"] <= 0 <= row["high"]:
            sure = " " + _("No pull is shown: the interval holds 0.")
        found.append(f"{(nearer if row['difference'] >= 0 else farther) % values}. {interval}{sure}")
    return found


def seconds(value: float | None) -> str:
    return NOTHING if value is None else _("%(n)s s") % {"n": f"{value:.0f}"}
