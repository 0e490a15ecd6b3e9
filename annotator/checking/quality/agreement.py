"""How far annotators agree with each other and with gold: alpha and the set-level metric over a sample of clips."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from django.utils import timezone

from annotator.clips.models import Corpus

from ..answers import label_scores
from .said import SAID, one_language, rounded, rows

SAMPLE = 1_000  # clips that several people answered; the intervals say how much that is
GOLD_SAMPLE = 2_000  # answers to gold clips, the latest
DAILY = 31  # days up to which agreement is shown by day; beyond, by week

# The clips are drawn by a hash of their id: the same ones until others come in, and no first or last hundred.
_SEVERAL = f"""
    WITH {SAID}, several AS (
      SELECT clip_id, mode, count(*) OVER () AS clips FROM said WHERE kind = 'annotate'
      GROUP BY clip_id, mode HAVING count(*) > 1
    ), sample AS (
      SELECT * FROM several ORDER BY md5(clip_id::text), mode LIMIT %(sample)s
    )
    SELECT said.clip_id, said.mode, said.user_id, said.label, said.ov_zh, said.ov_en, said.submitted_at, sample.clips
    FROM sample JOIN said USING (clip_id, mode) WHERE said.kind = 'annotate' ORDER BY said.clip_id, said.mode, said.id
"""  # noqa: S608 - no word of anybody else's is in it
_GOLD = f"""
    WITH {SAID}
    SELECT said.user_id, said.label, said.ov_zh, said.ov_en, revision.line, said.submitted_at
    FROM said JOIN checking_golditem gold ON gold.clip_id = said.clip_id
      JOIN checking_recordrevision revision ON revision.id = gold.revision_id
    WHERE said.kind = 'gold' AND said.mode = '' ORDER BY said.id DESC LIMIT %(sample)s
"""  # noqa: S608


def figures(corpus: Corpus, days: int, *, people: bool = False, sample: int = SAMPLE) -> dict[str, Any]:
    """Agreement over the clips that several people answered in the period, at most `sample` of them.

    `{clips, sampled, label, raw, grouped, pairs, gold, over_time}`: nominal alpha on the discrete label; alpha with
    MASI on the OV sets as written and after grouping by the lexicon; the set-level metric between annotators and
    against gold, after grouping; by day or week. `people` adds `by_annotator` and `by_pair` (user ids as keys) to
    pairs and gold. Answers to different modes of a clip are not compared. Two queries.
    """
    from models_ml.metrics.agreement import alpha, between, grouped
    from models_ml.metrics.grouping import lexicon_grouping, no_grouping

    found = rows(_SEVERAL, corpus, days, sample=sample)
    units: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for row in found:
        units.setdefault((row["clip_id"], row["mode"]), []).append(row)
    names = {key: f"{key[0]} {key[1]}" for key in units}
    lists = {names[key]: one_language(answers) for key, answers in units.items()}
    told = {
        names[key]: {str(row["user_id"]): labels for row, labels in zip(answers, lists[names[key]], strict=True)}
        for key, answers in units.items()
    }
    discrete = [[row["label"].strip().lower() or None for row in answers] for answers in units.values()]
    pairs = between(told, lexicon_grouping)
    return rounded(
        {
            "clips": found[0]["clips"] if found else 0,
            "sampled": len(units),
            "label": alpha(discrete, "nominal"),
            "raw": alpha(grouped(lists, no_grouping), "masi"),
            "grouped": alpha(grouped(lists, lexicon_grouping), "masi"),
            "pairs": _shown(pairs, people=people),
            "gold": _gold(rows(_GOLD, corpus, days, sample=GOLD_SAMPLE), people=people),
            "over_time": _over_time(units, told, names, days),
        }
    )


def _shown(pairs: dict[str, Any], *, people: bool) -> dict[str, Any]:
    return pairs if people else {key: value for key, value in pairs.items() if not key.startswith("by_")}


def _gold(answers: Sequence[Mapping[str, Any]], *, people: bool) -> dict[str, Any]:
    """The set-level metric of the answers to gold clips, and the share whose discrete label is the gold one's."""
    from models_ml.metrics.agreement import interval

    scores: dict[str, list[dict[str, float]]] = {}
    same: list[bool] = []
    for answer in answers:
        line = json.loads(answer["line"])
        said = {"zh": _labels(answer["ov_zh"]), "en": _labels(answer["ov_en"])}
        if found := label_scores(line["ov_labels"], said):
            scores.setdefault(str(answer["user_id"]), []).append(found)
        if line["label"] and answer["label"]:
            same.append(line["label"].strip().lower() == answer["label"].strip().lower())
    every = [one for by in scores.values() for one in by]
    figures: dict[str, Any] = {
        "n": len(every),
        **_means(every),
        "ci95": interval([one["avg"] for one in every]),
        "label_same": sum(same) / len(same) if same else None,
    }
    if people:
        figures["by_annotator"] = {user: {"n": len(by), **_means(by)} for user, by in sorted(scores.items())}
    return figures


def _labels(value: Any) -> list[str]:
    return json.loads(value) if isinstance(value, str) else value


def _means(scores: Sequence[Mapping[str, float]]) -> dict[str, float | None]:
    if not scores:
        return dict.fromkeys(("accuracy", "recall", "avg"))
    return {key: sum(one[key] for one in scores) / len(scores) for key in ("accuracy", "recall", "avg")}


def _over_time(units: Any, told: Any, names: Any, days: int) -> list[dict[str, Any]]:
    """`[{date, clips, avg, low, high}]` by the day on which a clip's last answer came, or by week (its Monday)."""
    from models_ml.metrics.agreement import between
    from models_ml.metrics.grouping import lexicon_grouping

    buckets: dict[date, dict[str, Any]] = {}
    for key, answers in units.items():
        day = timezone.localtime(max(row["submitted_at"] for row in answers)).date()
        if not 0 < days <= DAILY:
            day -= timedelta(days=day.weekday())
        buckets.setdefault(day, {})[names[key]] = told[names[key]]
    found = []
    for day, clips in sorted(buckets.items()):
        one = between(clips, lexicon_grouping, resamples=200)
        low, high = one["ci95"] or (None, None)
        found.append({"date": day.isoformat(), "clips": one["clips"], "avg": one["avg"], "low": low, "high": high})
    return found
