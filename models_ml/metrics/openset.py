"""The set-level metric of open-vocabulary emotion recognition (arXiv 2407.07653, equations 1 to 3; MER2024)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models_ml.llm import ModelFailure
from models_ml.metrics.grouping import NAMED, Grouping, from_groups
from models_ml.metrics.labels import MetricError

RESAMPLES = 2000
SHOWN = 10  # names listed in a message
#: failures of one answer; any other failure concerns the endpoint and would repeat for every clip
ANSWER_FAILURES = {"empty", "truncated", "refusal", "bad_json", "wrong_language", "not_text"}


def openset(
    gold: Mapping[str, Sequence[str]],
    pred: Mapping[str, Sequence[str]],
    grouping: str | Grouping | Mapping[str, Any] = "lexicon",
    *,
    name: str | None = None,
    compat: str | None = None,
    seed: int = 0,
    warnings: list[str] | None = None,
) -> dict[str, Any]:
    """``{n, accuracy, recall, avg, ci95, grouping}`` over clips.

    Per clip Y and Ŷ are the gold and the predicted labels mapped by ``grouping`` (``lexicon``, ``none``,
    groups by clip, or a function) to representatives; accuracy = |Y∩Ŷ|/|Ŷ| (0 for an empty prediction),
    recall = |Y∩Ŷ|/|Y|; the figures are means over clips and avg their mean. ``ci95`` = ``{accuracy, recall,
    avg: [low, high]}``, percentile bootstrap over clips (Efron 1979), seeded. ``name`` is what ``grouping``
    is called in the result.

    What does not stop the count is appended to ``warnings``: predictions for clips without gold, clips whose
    gold is empty (recall is undefined, they are left out), clips for which the LLM gave no grouping (left
    out). Raises MetricError when a gold clip has no prediction, or nothing is left to score.
    """
    notes: list[str] = [] if warnings is None else warnings
    missing = [clip for clip in gold if clip not in pred]
    if missing:
        raise MetricError(f"no prediction for {_named(missing)}")
    unknown = [clip for clip in pred if clip not in gold]
    if unknown:
        notes.append(f"predictions without gold, left out: {_named(unknown)}")
    label, group = _resolve(grouping, compat)
    rows, empty, failed = [], [], []
    for clip in gold:
        if not gold[clip]:
            empty.append(clip)
            continue
        try:
            rows.append(score(clip, gold[clip], pred[clip], group, compat))
        except ModelFailure as failure:
            if failure.code not in ANSWER_FAILURES:
                raise
            failed.append(f"{clip} ({failure.code})")
    if empty:
        notes.append(f"gold without labels, left out: {_named(empty)}")
    if failed:
        notes.append(f"not grouped by the model, left out: {_named(failed)}")
    if not rows:
        raise MetricError("nothing to score: no clip with gold labels is left")
    scores = np.array(rows, dtype=np.float64)
    accuracy, recall = (float(np.mean(scores[:, column])) for column in (0, 1))
    return {
        "n": len(rows),
        "accuracy": accuracy,
        "recall": recall,
        "avg": (accuracy + recall) / 2,
        "ci95": bootstrap(scores, seed),
        "grouping": name or label,
    }


def score(
    clip: str, gold: Sequence[str], pred: Sequence[str], grouping: Grouping, compat: str | None = None
) -> tuple[float, float]:
    """(accuracy, recall) of one clip. Labels are lower-cased, and stripped but for ``compat="mer2024"``."""
    truth, guess = ({_norm(label, compat) for label in labels} for labels in (gold, pred))
    mapping = grouping(clip, sorted(truth | guess))
    y, y_hat = ({mapping.get(label, label) for label in labels} for labels in (truth, guess))
    both = len(y & y_hat)
    return (both / len(y_hat) if y_hat else 0.0), both / len(y)


def bootstrap(scores: np.ndarray, seed: int = 0, resamples: int = RESAMPLES) -> dict[str, list[float]]:
    """Percentile 95 % intervals of mean accuracy, recall and avg; ``scores`` is (clips, 2)."""
    draws = np.random.default_rng(seed).integers(0, len(scores), size=(resamples, len(scores)))
    means = scores[draws].mean(axis=1)
    columns = {"accuracy": means[:, 0], "recall": means[:, 1], "avg": means.mean(axis=1)}
    return {key: [float(edge) for edge in np.percentile(value, [2.5, 97.5])] for key, value in columns.items()}


def _norm(label: str, compat: str | None) -> str:
    return label.lower() if compat == "mer2024" else label.strip().lower()


def _resolve(grouping: str | Grouping | Mapping[str, Any], compat: str | None) -> tuple[str, Grouping]:
    if isinstance(grouping, str):
        if grouping not in NAMED:
            raise MetricError(f"unknown grouping {grouping!r}; known: {', '.join(NAMED)}")
        return grouping, NAMED[grouping]
    if isinstance(grouping, Mapping):
        return "groups", from_groups(grouping, compat)
    return getattr(grouping, "__name__", "function"), grouping


def _named(clips: Sequence[str]) -> str:
    more = f" and {len(clips) - SHOWN} more" if len(clips) > SHOWN else ""
    return f"{len(clips)} ({', '.join(clips[:SHOWN])}{more})"
