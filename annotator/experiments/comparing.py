"""Two evaluations of the same clips, held against each other clip by clip."""

from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from annotator.core.errors import Invalid
from models_ml import metrics

from . import folders
from .results import METRICS, Row

FEW = 2  # paired clips, below which nothing can be said


def compare(a: Row, b: Row) -> dict[str, Any]:
    """`{"n", "only_a", "only_b", "same_way", "metrics": [{"metric", "difference", "low", "high", "p"}]}`: how much
    better `b` is than `a` over the clips that both scored.

    The interval and p are `models_ml.metrics.compare`'s: paired bootstrap and permutations over clips. Raises Invalid
    where a report keeps no scores by clip (an older one), or too few clips are in both.
    """
    scores = [_scores(row) for row in (a, b)]
    for row, known in zip((a, b), scores, strict=True):
        if not known:
            raise Invalid(
                _("“%(run)s” on %(split)s keeps no scores by clip; evaluate it again.")
                % {"run": row.run.name, "split": row.text("split")}
            )
    first, second = scores
    both = first.keys() & second.keys()
    if len(both) < FEW:
        told = _("These two evaluations have %d clips in common; a comparison needs the same clips.")
        raise Invalid(told % len(both))
    found = metrics.compare(second, first)  # its difference is the first minus the second
    return {
        "n": found["n"],
        "only_a": found["only_b"],
        "only_b": found["only_a"],
        "same_way": all(a.text(key) == b.text(key) for key in ("grouping", "extraction", "route")),
        "metrics": [
            {
                "metric": metric,
                "difference": found["difference"][metric],
                "low": found["ci95"][metric][0],
                "high": found["ci95"][metric][1],
                "p": found["p"][metric],
            }
            for metric in METRICS
        ],
    }


def _scores(row: Row) -> dict[str, tuple[float, float]]:
    return folders.read_scores(Path(row.run.folder), row.report.get("predictions"))
