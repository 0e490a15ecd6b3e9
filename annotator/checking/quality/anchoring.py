"""How far suggestions pull: what people say who see the pre-labels, see them blind, or see none, drawn at random."""

import json
from typing import Any

from annotator.clips.models import Corpus

from ..answers import label_scores
from ..models import ARMS
from .said import SAID, rounded, rows

SAMPLE = 2_000  # annotations of an arm
FEW = 20  # of an arm, below which nothing is said
CONTRASTS = (("shown", "none"), ("shown", "blind"), ("blind", "none"))
COLUMNS = (
    *("arm", "annotations", "compared", "similarity", "low", "high"),
    *("kept", "corrected", "rejected", "added", "kept_share", "active_median_s"),
)

_COUNTS = f"""
    WITH {SAID}, one AS (
      SELECT said.id, said.arm, said.active_seconds,
        count(*) FILTER (WHERE "check".verdict = 'kept') AS kept,
        count(*) FILTER (WHERE "check".verdict = 'corrected') AS corrected,
        count(*) FILTER (WHERE "check".verdict = 'rejected') AS rejected,
        count(*) FILTER (WHERE "check".verdict = 'added') AS added
      FROM said LEFT JOIN checking_check "check" ON "check".annotation_id = said.id
      WHERE said.kind = 'annotate' AND said.mode = '' GROUP BY said.id, said.arm, said.active_seconds
    )
    SELECT arm, count(*) AS annotations, sum(kept)::int AS kept, sum(corrected)::int AS corrected,
      sum(rejected)::int AS rejected, sum(added)::int AS added,
      percentile_cont(0.5) WITHIN GROUP (ORDER BY active_seconds) AS active_median_s
    FROM one GROUP BY arm
"""  # noqa: S608 - no word of anybody else's is in it
_LABELS = f"""
    WITH {SAID}, drawn AS (
      SELECT said.*, row_number() OVER (PARTITION BY said.arm ORDER BY md5(said.id::text)) AS place
      FROM said WHERE said.kind = 'annotate' AND said.mode = ''
    )
    SELECT drawn.arm, drawn.ov_zh, drawn.ov_en, revision.line::jsonb -> 'ov_labels' AS drafted
    FROM drawn JOIN checking_record coarse ON coarse.clip_id = drawn.clip_id AND coarse.grade = 'coarse'
      JOIN checking_recordrevision revision ON revision.id = coarse.current_id
    WHERE drawn.place <= %(sample)s
"""  # noqa: S608


def figures(corpus: Corpus, days: int) -> dict[str, Any]:
    """`{"arms": [row an arm, keys as in COLUMNS], "pull": [{"of", "against", "difference", "low", "high", "few"}]}`.

    `similarity`: the mean set-level Avg (arXiv 2407.07653, after grouping by the lexicon) of what people said against
    the OV labels that the clip's coarse record suggests, with a percentile bootstrap interval. Which arm a clip and
    person fall into is drawn by a hash, so what an arm without pre-labels reaches is what the suggestion deserves, and
    the difference is the pull. Two queries.
    """
    from models_ml.metrics.agreement import difference, interval

    near: dict[str, list[float]] = {}
    for row in rows(_LABELS, corpus, days, sample=SAMPLE):
        drafted = json.loads(row["drafted"]) if isinstance(row["drafted"], str) else row["drafted"]
        said = {key: json.loads(row[f"ov_{key}"]) for key in ("zh", "en")}
        if (found := label_scores(drafted, said)) is not None and any(said.values()):
            near.setdefault(row["arm"], []).append(found["avg"])
    counted = {row["arm"]: row for row in rows(_COUNTS, corpus, days)}
    arms = []
    for arm in ARMS:
        if arm not in counted:
            continue
        row, values = counted[arm], near.get(arm, [])
        low, high = interval(values) or (None, None)
        judged = row["kept"] + row["corrected"] + row["rejected"]
        mean = sum(values) / len(values) if values else None
        arms.append(
            {**row, "compared": len(values), "similarity": mean, "low": low, "high": high}
            | {"kept_share": row["kept"] / judged if judged else None}
        )
    pull = []
    for one, other in CONTRASTS:
        apart = difference(near.get(one, []), near.get(other, []))
        if apart is not None:
            low, high = apart["ci95"]
            few = min(len(near[one]), len(near[other])) < FEW
            pull.append(
                {"of": one, "against": other, "difference": apart["difference"], "low": low, "high": high, "few": few}
            )
    return rounded({"arms": arms, "pull": pull})
