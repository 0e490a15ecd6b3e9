"""Curves of a run's scores by epoch, as training draws them, laid out for the browser; and durations in words."""

from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext as _

from training.curves import SCORES, formula, score_series
from training.errors import UsageError

LEAST_POINTS = 2  # of a curve; one evaluation is a figure


def weight_of(body: dict[str, Any]) -> float:
    """The smoothing that the run's config names."""
    config = body.get("config")
    part = config.get("evaluate") if isinstance(config, dict) else None
    weight = part.get("smoothing") if isinstance(part, dict) else None
    return float(weight) if isinstance(weight, int | float) and 0 <= weight < 1 else 0.6


def score_curves(reports: Iterable[dict[str, Any]], weight: float) -> dict[str, Any] | None:
    """`{"formula", "weight", "metrics": {avg | accuracy | recall: [{"name", "split", "n", "epochs", "raw", "low",
    "high", "smoothed", "how"}]}}`; None where no two evaluations of one kind say their epoch."""
    usable = [report for report in reports if all(_number(report.get(key)) for key in SCORES)]
    metrics: dict[str, list[dict[str, Any]]] = {}
    for metric in SCORES:
        try:
            series = score_series("run", [r for r in usable if _number(r.get("epoch"))], metric, weight)
        except (UsageError, TypeError, ValueError):
            return None  # a report of another hand
        metrics[metric] = [
            {
                "name": f"{one.clips} (n = {one.n})",
                "split": one.split,
                "n": one.n,
                "how": how(one.route, one.grouping, one.extraction),
                "epochs": [point.epoch for point in one.points],
                "raw": [point.value for point in one.points],
                "low": [point.low for point in one.points],
                "high": [point.high for point in one.points],
                "smoothed": one.smoothed,
            }
            for one in series
            if len(one.points) >= LEAST_POINTS
        ]
    if not metrics["avg"]:
        return None
    rows = [
        {"name": one["name"], "how": one["how"], "epoch": epoch, "raw": raw, "smoothed": smoothed}
        for one in metrics["avg"]
        for epoch, raw, smoothed in zip(one["epochs"], one["raw"], one["smoothed"], strict=True)
    ]
    return {"formula": formula(weight), "weight": weight, "metrics": metrics, "rows": rows}


def how(route: Any, grouping: Any, extraction: Any) -> str:
    """How a figure was made, in words; what its report does not say is left out."""
    parts = [
        str(route) if route else "",
        _("grouped by %s") % grouping if grouping else "",
        _("labels read by %s") % extraction if extraction else "",
    ]
    return " · ".join(part for part in parts if part)


def duration(seconds: Any) -> str:
    """`1 h 05 min`, `3 min 20 s`, `8 s`; "" where it is not known."""
    if not _number(seconds) or seconds < 0:
        return ""
    whole = int(seconds + 0.5)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value  # not NaN
