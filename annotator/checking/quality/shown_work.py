"""The dashboard's and an annotator's own figures as pages and files show them."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from . import costs, people
from .shown import NOTHING, Column, Row, number, percent, seconds, table

THROUGHPUT = ("date", "annotations", "reviews", "records")
QUEUE = ("what", "value")
WEEK = ("date", "clips", "minutes")
PEOPLE = (*people.COLUMNS, "agreement", "gold_avg")
COSTS = costs.COLUMNS


def throughput_table(rows: Sequence[Row]) -> dict[str, Any]:
    columns: list[Column] = [
        (_("Date"), False, lambda row: row["date"]),
        (_("Annotations"), True, lambda row: str(row["annotations"])),
        (_("Reviews"), True, lambda row: str(row["reviews"])),
        (_("Fine records"), True, lambda row: str(row["records"])),
    ]
    return table(columns, list(reversed(rows)))


def throughput_chart(rows: Sequence[Row]) -> dict[str, Any]:
    names = {"annotations": _("Annotations"), "reviews": _("Reviews"), "records": _("Fine records")}
    return {
        "kind": "bars",
        "x": _("Date"),
        "digits": 0,
        "dates": [row["date"] for row in rows],
        "series": [{"name": name, "values": [row[key] for row in rows]} for key, name in names.items()],
    }


def eta_sentence(what: str, found: Row) -> str:
    """When the annotations or the reviews will be done, and what that stands on."""
    if found["left"] == 0:
        return _("All annotations are done.") if what == "annotations" else _("No review is waiting.")
    values = {"left": found["left"], "rate": number(found["per_day"], 1), "days": found["basis_days"]}
    left = (
        ngettext("%(left)d annotation is left", "%(left)d annotations are left", found["left"])
        if what == "annotations"
        else ngettext("%(left)d review is left", "%(left)d reviews are left", found["left"])
    ) % values
    if found["date"] is None:
        return left + _("; too little was done in the last %(days)d days to say until when.") % values
    when = date_format(date.fromisoformat(found["date"]), "DATE_FORMAT")
    return left + _("; at %(rate)s a day (mean of the last %(days)d days) done by %(when)s.") % {**values, "when": when}


def queue_rows(found: Row) -> list[dict[str, Any]]:
    """A row a figure: `{what, value}`, times in ISO 8601."""
    queue, slots = found["queue"], found["progress"]["slots"]
    rows = [
        {"what": f"{kind}_{state}", "value": slots.get(kind, {}).get(state, 0)}
        for kind in ("annotate", "review")
        for state in ("open", "claimed", "done")
    ]
    names = ("live", "overdue", "oldest_live", "returned", "oldest_returned", "oldest_review")
    rows += [{"what": name, "value": queue[name]} for name in (*names, "expired", "skipped", "lost")]
    rows += [{"what": f"flag_{reason}", "value": n} for reason, n in sorted(queue["flags"].items())]
    return rows + [{"what": f"skipped: {row['reason'] or '-'}", "value": row["n"]} for row in queue["skip_reasons"]]


def queue_names() -> dict[str, str]:
    return {
        "annotate_open": _("Annotations: waiting"),
        "annotate_claimed": _("Annotations: in work"),
        "annotate_done": _("Annotations: done"),
        "review_open": _("Reviews: waiting"),
        "review_claimed": _("Reviews: in work"),
        "review_done": _("Reviews: done"),
        "live": _("Leases held now"),
        "overdue": _("of these, overdue"),
        "oldest_live": _("oldest lease taken"),
        "returned": _("Returned, waiting for their authors"),
        "oldest_returned": _("longest waiting since"),
        "oldest_review": _("Oldest annotation that waits for review"),
        "expired": _("Leases that ran out in the period"),
        "skipped": _("Skipped in the period"),
        "lost": _("Lost to somebody else in the period"),
        "flag_no-face": _("Flag: no face"),
        "flag_wrong-subtitle": _("Flag: wrong subtitle"),
        "flag_not-consenting": _("Flag: not consenting"),
        "flag_unclear-speaker": _("Flag: unclear speaker"),
        "flag_bad-media": _("Flag: bad media"),
        "flag_other": _("Flag: other"),
    }


def queue_table(found: Row) -> dict[str, Any]:
    names = queue_names()

    def name(row: Row) -> str:
        kind, colon, reason = row["what"].partition(": ")
        return f"{_('Skipped')}: {reason}" if colon else names.get(kind, kind)

    def value(row: Row) -> str:
        if isinstance(row["value"], str):
            return date_format(timezone.localtime(datetime.fromisoformat(row["value"])), "SHORT_DATETIME_FORMAT")
        return NOTHING if row["value"] is None else str(row["value"])

    rows = [row for row in queue_rows(found) if row["value"] is not None]
    return table([(_("What"), False, name), (_("Value"), True, value)], rows)


def people_rows(found: Row) -> list[dict[str, Any]]:
    """Annotators with their agreement with colleagues and gold beside what `people.figures` says."""
    pairs, gold = found["agreement"]["pairs"]["by_annotator"], found["agreement"]["gold"]["by_annotator"]
    return [
        {
            **row,
            "agreement": pairs.get(str(row["user_id"]), {}).get("avg"),
            "gold_avg": gold.get(str(row["user_id"]), {}).get("avg"),
        }
        for row in found["people"]
    ]


def flags_in_words(row: Row) -> str:
    """Why somebody is pointed out: the factors of the product, or the errors that were missed."""
    found = []
    if "stamp" in row["flags"]:
        found.append(
            _("Rubber stamp? %(untouched)s of clips untouched, %(unplayed)s of them not played, %(speed)s too fast")
            % {
                "untouched": percent(row["untouched_share"]),
                "unplayed": percent(row["unplayed"]),
                "speed": percent(row["speed"]),
            }
        )
    if "catch" in row["flags"]:
        found.append(
            _("Missed %(missed)d of %(planted)d planted errors")
            % {"missed": row["planted"] - row["caught"], "planted": row["planted"]}
        )
    return " · ".join(found) or NOTHING


def people_table(found: Row) -> dict[str, Any]:
    def did(row: Row, what: str) -> str:
        judged = row["kept"] + row["corrected"] + row["rejected"]
        return percent(row[what] / judged if judged else None)

    def catch(row: Row) -> str:
        if not row["planted"]:
            return NOTHING
        return f"{row['caught']}/{row['planted']} ({percent(row['catch_low'])} … {percent(row['catch_high'])})"

    columns: list[Column] = [
        (_("Annotator"), False, lambda row: row["annotator"]),
        (_("Clips"), True, lambda row: str(row["annotations"])),
        (_("kept"), True, lambda row: did(row, "kept")),
        (_("corrected"), True, lambda row: did(row, "corrected")),
        (_("rejected"), True, lambda row: did(row, "rejected")),
        (_("untouched clips"), True, lambda row: percent(row["untouched_share"])),
        (_("played"), True, lambda row: percent(row["played_share"])),
        (_("Active time (median)"), True, lambda row: seconds(row["active_median_s"])),
        (_("Returned"), True, lambda row: str(row["returned"])),
        (_("Agreement"), True, lambda row: number(row["agreement"])),
        (_("Gold"), True, lambda row: number(row["gold_avg"])),
        (_("Planted errors caught"), True, catch),
        (_("Stamp"), True, lambda row: number(row["stamp"])),
        (_("Look at"), False, flags_in_words),
    ]
    return table(columns, people_rows(found))


def costs_table(found: Row) -> dict[str, Any]:
    def money(row: Row, key: str) -> str:
        return NOTHING if row[key] is None else f"{row[key]:.3f} {row['currency']}"

    def name(row: Row) -> str:
        if row["prelabeller"] == "":
            return _("all records")
        return _("no pre-label") if row["prelabeller"] == "-" else row["prelabeller"]

    columns: list[Column] = [
        (_("Pre-labeller used"), False, name),
        (_("Accepted records"), True, lambda row: str(row["records"])),
        (_("of these, timed"), True, lambda row: str(row["told"])),
        (_("Active minutes a record"), True, lambda row: number(row["minutes"])),
        (_("People"), True, lambda row: money(row, "people_money")),
        (_("Pre-labels"), True, lambda row: money(row, "prelabel_money")),
        (_("Together"), True, lambda row: money(row, "money")),
    ]
    return table(columns, [found["all"], *found["prelabellers"]])


def week_table(rows: Sequence[Row]) -> dict[str, Any]:
    columns: list[Column] = [
        (_("Date"), False, lambda row: row["date"]),
        (_("Clips"), True, lambda row: str(row["clips"])),
        (_("Active minutes"), True, lambda row: number(row["minutes"], 1)),
    ]
    return table(columns, list(reversed(rows)))


def week_chart(rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "kind": "bars",
        "x": _("Date"),
        "digits": 1,
        "dates": [row["date"] for row in rows],
        "series": [
            {"name": _("Clips"), "values": [row["clips"] for row in rows]},
            {"name": _("Active minutes"), "values": [row["minutes"] for row in rows]},
        ],
    }
