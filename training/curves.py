"""Curves of a run: score by epoch for each split, loss by epoch, raw and smoothed (Figures 1 to 5 of the paper).

    python -m training curves --run RUN [RUN …] --out curves.svg

Reads only what stands in a run folder (``evaluations/*.json``, ``metrics.jsonl``); needs neither torch nor the model.
The paper does not say how it smoothed its curves; here it is TensorBoard's way, named with every curve.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import UsageError
from .runlog import read_metrics, read_run

log = logging.getLogger("training")
SPLITS = ("train", "test", "whole", "val")  # in this order, others behind them
SCORES = ("avg", "accuracy", "recall")
COLUMNS = ("run", "what", "split", "route", "grouping", "extraction", "n", "epoch", "raw", "low", "high",
           "smoothed", "smoothing", "snapshot")  # fmt: skip


@dataclass(frozen=True)
class Point:
    """One evaluation (or one epoch's loss). ``low`` and ``high``: its 95 % interval, None for a loss."""

    epoch: float
    value: float
    low: float | None = None
    high: float | None = None
    checkpoint: str | None = None


@dataclass(frozen=True)
class Series:
    """A curve: points of one run that were made in one way, by epoch, and the smoothed values beside them.

    ``snapshot``: its name, where the run was evaluated on the split of several.
    """

    run: str
    what: str  # avg | accuracy | recall | loss
    split: str
    points: list[Point]
    smoothed: list[float]
    n: int | None = None
    route: str | None = None
    grouping: str | None = None
    extraction: str | None = None
    snapshot: str | None = None

    @property
    def clips(self) -> str:
        """Which clips: the split, and of which snapshot where that must be said."""
        return f"{self.split} of {self.snapshot}" if self.snapshot else self.split

    def best(self) -> int:
        """Index of the first highest smoothed score (of a loss: the lowest)."""
        values = [-value for value in self.smoothed] if self.what == "loss" else self.smoothed
        return values.index(max(values))


def smooth(values: Sequence[float], weight: float) -> list[float]:
    """Exponential moving average, debiased as TensorBoard's: ``s_i = sum_j w^(i-j) x_j / sum_j w^(i-j)``, j = 1 … i.

    So the first value is kept as it is instead of being pulled to 0. It looks only back: a point never changes when
    later ones come. ``weight`` 0 leaves the values as they are.

    Raises:
        UsageError: the weight is not from 0 to below 1.
    """
    if not 0 <= weight < 1:
        raise UsageError(f"smoothing weight {weight} is not from 0 to below 1")
    smoothed: list[float] = []
    total = weights = 0.0
    for value in values:
        total = total * weight + value
        weights = weights * weight + 1
        smoothed.append(total / weights)
    return smoothed


def formula(weight: float) -> str:
    """The smoothing in a line, to stand beside a curve."""
    return f"exponential moving average with weight {weight:g}, debiased as in TensorBoard"


def read_evaluations(run: str | Path) -> list[dict[str, Any]]:
    """The finished evaluations of a run folder, oldest first; what is no evaluation is left out with a warning."""
    found = []
    for path in sorted((Path(run) / "evaluations").glob("*.json")):
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            log.warning("%s is left out: %s", path, error)
            continue
        if isinstance(value, dict) and "split" in value and all(_is_number(value.get(key)) for key in SCORES):
            found.append(value)
        else:
            log.warning("%s is left out: not an evaluation", path)
    return sorted(found, key=lambda value: str(value.get("finished")))


def way(evaluation: dict[str, Any]) -> tuple[str, str, str, str, int]:
    """How an evaluation was made: (route, grouping, extraction, snapshot digest, n). Figures of different ways are
    never joined to one curve."""
    snapshot = evaluation.get("snapshot")
    digest = snapshot.get("digest") if isinstance(snapshot, dict) else None
    return (
        str(evaluation.get("route") or "one-step"), str(evaluation.get("grouping")), str(evaluation.get("extraction")),
        str(digest), int(evaluation.get("n") or 0),
    )  # fmt: skip


def score_series(
    name: str, evaluations: Iterable[dict[str, Any]], what: str = "avg", weight: float = 0.6
) -> list[Series]:
    """One series per split and way; of several evaluations of one epoch the latest counts. An evaluation without an
    epoch (of a run that did not write it) has no place on a curve and is left out."""
    kept: dict[tuple[str, tuple[str, str, str, str, int]], dict[float, Point]] = {}
    names: dict[str, dict[str, str]] = {}  # of the snapshots, by split and digest
    without = 0
    for evaluation in evaluations:
        if not _is_number(evaluation.get("epoch")):
            without += 1
            continue
        low, high = _interval(evaluation, what)
        point = Point(float(evaluation["epoch"]), float(evaluation[what]), low, high, evaluation.get("checkpoint"))
        split, how = str(evaluation["split"]), way(evaluation)
        kept.setdefault((split, how), {})[point.epoch] = point
        names.setdefault(split, {})[how[3]] = _snapshot_name(evaluation)
    if without:
        log.warning("%s: %d evaluations do not say their epoch and are left out", name, without)
    made = []
    for (split, how), by_epoch in kept.items():
        points = [by_epoch[epoch] for epoch in sorted(by_epoch)]
        route, grouping, extraction, digest, n = how
        values = smooth([point.value for point in points], weight)
        snapshot = names[split][digest] if len(names[split]) > 1 else None
        made.append(Series(name, what, split, points, values, n, route, grouping, extraction, snapshot))
    return sorted(made, key=_order)


def _snapshot_name(evaluation: dict[str, Any]) -> str:
    snapshot = evaluation.get("snapshot")
    found = snapshot if isinstance(snapshot, dict) else {}
    return str(found.get("name") or str(found.get("digest"))[:12])


def loss_series(name: str, lines: Iterable[dict[str, Any]], weight: float = 0.6) -> list[Series]:
    """The training loss by epoch: the mean per target token over the logged steps of each epoch. At most one series;
    none where no line says its epoch."""
    sums: dict[int, tuple[float, float]] = {}
    for line in lines:
        if not _is_number(line.get("epoch")) or not _is_number(line.get("loss")):
            continue
        epoch = max(1, math.ceil(round(float(line["epoch"]), 3)))
        tokens = float(line.get("tokens") or 1)
        loss, count = sums.get(epoch, (0.0, 0.0))
        sums[epoch] = (loss + line["loss"] * tokens, count + tokens)
    if not sums:
        return []
    points = [Point(float(epoch), loss / count) for epoch, (loss, count) in sorted(sums.items())]
    return [Series(name, "loss", "train", points, smooth([point.value for point in points], weight))]


def read_series(
    runs: Sequence[str | Path], what: Sequence[str] = ("avg", "loss"), splits: Sequence[str] | None = None,
    weight: float = 0.6,
) -> list[Series]:  # fmt: skip
    """The curves of run folders. Raises UsageError when one of them holds no run, or nothing to draw is there."""
    made: list[Series] = []
    for run, name in zip(runs, names_of(runs), strict=True):
        read_run(run)
        evaluations = read_evaluations(run)
        for one in what:
            if one == "loss":
                made += loss_series(name, read_metrics(Path(run) / "metrics.jsonl"), weight)
            else:
                made += score_series(name, evaluations, one, weight)
    if splits is not None:
        made = [series for series in made if series.what == "loss" or series.split in splits]
    if not made:
        raise UsageError(
            "no curve to draw: the runs hold no evaluation with an epoch and no logged loss; train with "
            "--set evaluate.every=N, or evaluate the kept checkpoints with evaluate --every N"
        )
    return made


def names_of(runs: Sequence[str | Path]) -> list[str]:
    """A short name per run: its folder's, with as many parents as tell the runs apart."""
    paths = [Path(run).absolute() for run in runs]
    if len(set(paths)) < len(paths):
        raise UsageError("--run names the same folder twice")
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def as_csv(series: Sequence[Series], weight: float) -> str:
    """One line per point, columns COLUMNS; scores from 0 to 1, ``smoothing`` the weight of ``smooth``."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(COLUMNS)
    for one in series:
        for point, value in zip(one.points, one.smoothed, strict=True):
            rows.writerow([
                one.run, one.what, one.split, one.route or "", one.grouping or "", one.extraction or "",
                "" if one.n is None else one.n, f"{point.epoch:g}", f"{point.value:.6f}", _or_blank(point.low),
                _or_blank(point.high), f"{value:.6f}", f"{weight:g}", one.snapshot or "",
            ])  # fmt: skip
    return out.getvalue()


def as_markdown(series: Sequence[Series], weight: float) -> str:
    """A table with a line per curve: last, best raw and best smoothed point. Scores are in points of 100."""
    lines = [
        f"Smoothed: {formula(weight)}. Scores in points of 100, ± half of the 95 % interval.", "",
        "| run | what | split | n | route, grouping, extraction | points | last | best | best smoothed |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for one in series:
        raw = [point.value for point in one.points]
        best = raw.index(min(raw) if one.what == "loss" else max(raw))
        how = ", ".join(part for part in (one.route, one.grouping, one.extraction) if part)
        lines.append(
            f"| {one.run} | {one.what} | {one.clips} | {'' if one.n is None else one.n} | {how} | {len(one.points)} "
            f"| {_shown(one, -1)} | {_shown(one, best)} | {_shown(one, one.best(), smoothed=True)} |"
        )
    if any(one.what != "loss" and one.split == "test" for one in series):
        lines += ["", "The best point of a test curve is chosen on the test clips: it is too high by as much as the "
                  "points scatter."]  # fmt: skip
    return "\n".join(lines) + "\n"


def curves(
    runs: Sequence[str], out: str | None = None, what: Sequence[str] = ("avg", "loss"),
    splits: Sequence[str] | None = None, weight: float = 0.6,
) -> dict[str, Any]:  # fmt: skip
    """``{runs, smoothing, series, out}``; draws ``out`` as SVG, CSV or Markdown, by its suffix.

    Raises:
        UsageError: a folder holds no run, nothing is there to draw, the suffix is none of the three.
    """
    series = read_series(runs, what, splits, weight)
    if out is not None:
        from .svg import chart

        writers = {".svg": chart, ".csv": as_csv, ".md": as_markdown}
        writer = writers.get(Path(out).suffix.lower())
        if writer is None:
            raise UsageError(f"--out {out}: wanted a name that ends in {', '.join(writers)}")
        Path(out).write_text(writer(series, weight), encoding="utf-8")
    return {
        "runs": [str(run) for run in runs], "smoothing": {"weight": weight, "formula": formula(weight)}, "out": out,
        "series": [
            {"run": one.run, "what": one.what, "split": one.split, "n": one.n, "route": one.route,
             "grouping": one.grouping, "extraction": one.extraction, "snapshot": one.snapshot,
             "epochs": [point.epoch for point in one.points], "raw": [point.value for point in one.points],
             "ci95": [[point.low, point.high] for point in one.points], "smoothed": one.smoothed,
             "best": {"epoch": one.points[one.best()].epoch, "smoothed": one.smoothed[one.best()]}}
            for one in series
        ],
    }  # fmt: skip


def _order(series: Series) -> tuple[int, str, str, str]:
    place = SPLITS.index(series.split) if series.split in SPLITS else len(SPLITS)
    return place, series.split, str(series.route), f"{series.grouping} {series.extraction} {series.snapshot}"


def _interval(evaluation: dict[str, Any], what: str) -> tuple[float | None, float | None]:
    value = (evaluation.get("ci95") or {}).get(what)
    if isinstance(value, list) and len(value) == 2 and all(map(_is_number, value)):
        return float(value[0]), float(value[1])
    return None, None


def _shown(one: Series, index: int, smoothed: bool = False) -> str:
    point, value = one.points[index], one.smoothed[index] if smoothed else one.points[index].value
    if one.what == "loss":
        return f"{value:.4f} (epoch {point.epoch:g})"
    half = None if point.low is None or point.high is None or smoothed else 50 * (point.high - point.low)
    return f"{100 * value:.2f}{'' if half is None else f' ± {half:.1f}'} (epoch {point.epoch:g})"


def _or_blank(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
