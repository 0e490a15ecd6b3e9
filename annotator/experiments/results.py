"""The table of results: every run x split with its intervals, and how each figure was made; CSV and Markdown of it.

Figures are kept from 0 to 1 and shown in points of 100, as the paper does. Grouping, extraction and route stand beside
each number, because the grouping makes more than half of it.
"""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from . import paper
from .models import Evaluation, TrainingRun

METRICS = ("accuracy", "recall", "avg")
COLUMNS = (
    "source", "run", "config", "stage", "snapshot", "digest", "split", "n", "accuracy", "accuracy_low",
    "accuracy_high", "recall", "recall_low", "recall_high", "avg", "avg_low", "avg_high", "grouping", "extraction",
    "route", "checkpoint", "step", "epoch", "during_training", "leak", "finished",
)  # fmt: skip
HEAD = ("run", "config", "snapshot", "split", "n", "Accuracy_S", "Recall_S", "Avg", "grouping", "extraction", "route")
FILTERS = ("snapshot", "split", "config")


@dataclass(frozen=True)
class Row:
    """One evaluation as the table shows it. An interval is None where its report has none."""

    pk: int
    run: TrainingRun
    report: dict[str, Any]

    def figure(self, metric: str) -> float | None:
        return number(self.report.get(metric))

    def interval(self, metric: str) -> tuple[float, float] | None:
        found = (self.report.get("ci95") or {}) if isinstance(self.report.get("ci95"), dict) else {}
        pair = found.get(metric)
        if isinstance(pair, list | tuple) and len(pair) == 2 and all(number(value) is not None for value in pair):
            return float(pair[0]), float(pair[1])
        return None

    def text(self, key: str) -> str:
        value = self.report.get(key)
        return "" if value is None or isinstance(value, dict | list) else str(value)

    @property
    def digest(self) -> str:
        snapshot = self.report.get("snapshot")
        known = snapshot.get("digest") if isinstance(snapshot, dict) else None
        return str(known or self.run.snapshot_digest)

    @property
    def snapshot(self) -> str:
        """The snapshot that it was evaluated on, by name where it is known here."""
        if self.run.snapshot is not None and self.run.snapshot.digest == self.digest:
            return str(self.run.snapshot)
        snapshot = self.report.get("snapshot")
        name = snapshot.get("name") if isinstance(snapshot, dict) else None
        return str(name or self.digest[:12])

    @property
    def during(self) -> bool:
        return bool(self.report.get("during_training"))

    @property
    def way(self) -> tuple[Any, ...]:
        """Figures of different ways are no repetitions of each other."""
        return (
            self.run.pk, self.text("split"), self.digest, self.text("route"), self.text("grouping"),
            self.text("extraction"), self.report.get("n"),
        )  # fmt: skip


def number(value: Any) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable else None


def rows(evaluations: QuerySet[Evaluation], *, every: bool = False) -> list[Row]:
    """The newest figure of each run, split and way of scoring, newest runs first. Of what was evaluated while it
    trained, only the last one where nothing was evaluated afterwards; `every`: all of them."""
    if not every:  # a run that was evaluated every epoch has hundreds
        during = evaluations.filter(report__contains={"during_training": True})
        last = during.order_by("training_run_id", "split", "-id").distinct("training_run_id", "split").values("pk")
        evaluations = evaluations.exclude(report__contains={"during_training": True}) | evaluations.filter(pk__in=last)
    found = [
        Row(e.pk, e.training_run, e.report)
        for e in evaluations.order_by("-training_run_id", "-id")
        if number(e.report.get("avg")) is not None
    ]
    if every:
        return found
    kept: dict[tuple[Any, ...], Row] = {}
    for row in found:
        known = kept.get(row.way)
        if known is None or (known.during and not row.during) or (known.during == row.during and _later(row, known)):
            kept[row.way] = row
    return sorted(kept.values(), key=lambda row: (-row.run.pk, row.text("split"), -row.pk))


def _later(row: Row, known: Row) -> bool:
    return row.text("finished") > known.text("finished")


def choices(found: Sequence[Row]) -> dict[str, list[str]]:
    """What the table can be filtered by: names of snapshots, splits, configs."""
    return {
        "snapshot": sorted({row.snapshot for row in found}),
        "split": sorted({row.text("split") for row in found}),
        "config": sorted({row.run.config for row in found if row.run.config}),
    }


def filtered(found: Sequence[Row], chosen: dict[str, str]) -> list[Row]:
    """The rows that have all of what was chosen; an empty choice is none."""
    of = {
        "snapshot": lambda row: row.snapshot,
        "split": lambda row: row.text("split"),
        "config": lambda row: row.run.config,
    }
    return [row for row in found if all(not value or of[key](row) == value for key, value in chosen.items())]


def as_csv(found: Iterable[Row], *, with_paper: bool) -> str:
    """One line a figure, figures from 0 to 1; the paper's lines at the end, named in the first column."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in found:
        figures: list[Any] = []
        for metric in METRICS:
            value, pair = row.figure(metric), row.interval(metric) or (None, None)
            figures += [_cell(value), _cell(pair[0]), _cell(pair[1])]
        writer.writerow(
            [
                "workbench", row.run.name, row.run.config, row.report.get("stage") or "", row.snapshot, row.digest,
                row.text("split"), row.text("n"), *figures, row.text("grouping"), row.text("extraction"),
                row.text("route"), row.text("checkpoint"), row.text("step"), row.text("epoch"),
                "yes" if row.during else "no", row.text("leak"), row.text("finished"),
            ]
        )  # fmt: skip
    if with_paper:
        for one in paper.rows():
            writer.writerow(
                [
                    f"{paper.SOURCE} table {one.table}", one.name, "", "", "EMER-Fine", "", "test", paper.CLIPS,
                    _cell(one.accuracy), "", "", _cell(one.recall), "", "", _cell(one.avg), "", "",
                    "gpt-3.5-turbo-16k-0613", "llm", one.route, *[""] * 6,
                ]
            )  # fmt: skip
    return out.getvalue()


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def as_markdown(found: Iterable[Row], *, with_paper: bool) -> str:
    """Two tables in points of 100: ours with their 95 % intervals, then the paper's."""
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    for row in found:
        cells = [
            row.run.name, row.run.config, row.snapshot, row.text("split"), row.text("n"),
            *(points(row.figure(metric), row.interval(metric)) for metric in METRICS), row.text("grouping"),
            row.text("extraction"), row.text("route"),
        ]  # fmt: skip
        lines.append("| " + " | ".join(_plain(cell) for cell in cells) + " |")
    lines += ["", "Points of 100, 95 % intervals by percentile bootstrap over clips."]
    if with_paper:
        lines += [
            "",
            f"For reference, {paper.SOURCE} on EMER-Fine's {paper.CLIPS} test clips: other data, labels grouped by "
            "gpt-3.5-turbo-16k-0613, English, no intervals published.",
            "",
            "| table | model | route | Accuracy_S | Recall_S | Avg |",
            "|---|---|---|---|---|---|",
        ]
        for one in paper.rows():
            figures = " | ".join(points(value) for value in (one.accuracy, one.recall, one.avg))
            lines.append(f"| {one.table} | {_plain(one.name)} | {one.route} | {figures} |")
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """A cell of a Markdown table: no name can end it, begin a line or mark anything up."""
    flat = " ".join(text.split())
    return "".join(f"\\{sign}" if sign in "\\|`*_[]<>" else sign for sign in flat)


def points(value: float | None, interval: tuple[float, float] | None = None) -> str:
    """`58.2 [50.1, 66.0]`; a dash where there is no figure."""
    if value is None:
        return "–"
    text = f"{100 * value:.2f}"
    return text if interval is None else f"{text} [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"
