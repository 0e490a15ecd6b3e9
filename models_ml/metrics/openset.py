"""The set-level metric of open-vocabulary emotion recognition (arXiv 2407.07653, equations 1 to 3; MER2024)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models_ml.llm import ModelFailure
from models_ml.metrics.bootstrap import bootstrap, figures, intervals, means
from models_ml.metrics.grouping import NAMED, Grouping, from_groups
from models_ml.metrics.labels import MetricError
from models_ml.metrics.wheel import LEVELS, STEPS, WHEELS, Wheels, vocabulary, wheel_scores

SHOWN = 10  # names listed in a message
#: failures of one answer; any other failure concerns the endpoint and would repeat for every clip
ANSWER_FAILURES = {"empty", "truncated", "refusal", "bad_json", "wrong_language", "not_text"}

How = str | Grouping | Mapping[str, Any] | Wheels


@dataclass
class Scored:
    """Scores of clips: ``values`` is (clips, parts, 2), see `models_ml.metrics.bootstrap`; ``grouping`` the name of
    the grouping; ``report`` what was counted on the way and ``notes`` what a reader must know of it."""

    clips: list[str]
    values: np.ndarray
    grouping: str
    report: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def openset(
    gold: Mapping[str, Sequence[str]],
    pred: Mapping[str, Sequence[str]],
    grouping: How = "lexicon",
    *,
    name: str | None = None,
    compat: str | None = None,
    seed: int = 0,
    warnings: list[str] | None = None,
    missing: str = "error",
    report: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """``{n, accuracy, recall, avg, ci95, grouping}`` over clips.

    Per clip Y and Ŷ are the gold and the predicted labels mapped by ``grouping`` (``lexicon``, ``none``,
    groups by clip, or a function) to representatives; accuracy = |Y∩Ŷ|/|Ŷ| (0 for an empty prediction),
    recall = |Y∩Ŷ|/|Y|; the figures are means over clips and avg their mean. ``ci95`` = ``{accuracy, recall,
    avg: [low, high]}``, percentile bootstrap over clips (Efron 1979), seeded. ``name`` is what ``grouping``
    is called in the result. With `Wheels` as grouping see `wheel_figures` for what is beside them.

    What does not stop the count is appended to ``warnings``: predictions for clips without gold, clips whose
    gold is empty (recall is undefined, they are left out), predictions without labels, clips for which the LLM gave
    no grouping (left out). ``report`` is filled with counts: of clips ``{gold, pred, scored, missing, unknown,
    duplicates, unreadable, empty_gold, empty_pred, ungrouped, off_wheel}``, of labels ``vocabulary`` (how many of all
    the grouping knows), and under ``llm`` what was asked of one. Raises MetricError when a gold clip has no prediction
    (with ``missing="empty"`` it counts as a prediction without labels), or nothing is left to score.
    """
    scored = score_table(gold, pred, grouping, compat=compat, missing=missing)
    if warnings is not None:
        warnings += scored.notes
    if report is not None:
        report.update(scored.report)
    result = result_of(scored, grouping, seed)
    return {**result, "grouping": name or scored.grouping}


def result_of(scored: Scored, grouping: How, seed: int = 0) -> dict[str, Any]:
    """What `openset` answers for scores that are there already."""
    return wheel_figures(scored, grouping, seed) if isinstance(grouping, Wheels) else plain_figures(scored, seed)


def plain_figures(scored: Scored, seed: int = 0) -> dict[str, Any]:
    """What `openset` answers for scores in one part."""
    values = scored.values[:, 0]
    accuracy, recall = (float(np.mean(values[:, column])) for column in (0, 1))
    return {
        "n": len(values),
        "accuracy": accuracy,
        "recall": recall,
        "avg": (accuracy + recall) / 2,
        "ci95": bootstrap(values, seed),
        "grouping": scored.grouping,
    }


def wheel_figures(scored: Scored, wheels: Wheels, seed: int = 0) -> dict[str, Any]:
    """What `openset` answers for emotion wheels: beside the six keys ``f`` (the challenges' score: the mean over
    wheels, and in 2025 over both levels, of the harmonic mean of accuracy and recall), ``levels`` (the mean of the
    five wheels), ``wheels`` (each with n) and ``cases`` (before any wheel: forms of a word made one, then synonyms)."""

    def told(columns: Sequence[int]) -> dict[str, float]:
        found = figures(means(scored.values[:, columns]))
        return {key: float(found[key]) for key in ("f", "accuracy", "recall")}

    every = every_part()
    place = {part: index for index, part in enumerate(every)}
    n = (~np.isnan(scored.values[:, :, 0])).sum(axis=0)
    one = [{"n": int(n[index]), **told([index])} for index in range(len(every))]
    main = main_values(scored, wheels)
    main = main[~np.isnan(main[:, :, 0]).all(axis=1)]
    found = {key: float(value) for key, value in figures(means(main)).items()}
    return {
        "n": len(main),
        **{key: found[key] for key in ("accuracy", "recall", "avg", "f")},
        "ci95": intervals(main, seed, keys=("accuracy", "recall", "avg", "f")),
        "grouping": scored.grouping,
        "levels": {level: told([place[wheel, level] for wheel in WHEELS]) for level in LEVELS},
        "wheels": {wheel: {level: one[place[wheel, level]] for level in LEVELS} for wheel in WHEELS},
        "cases": {step: one[place[step, ""]] for step in STEPS},
    }


def every_part() -> list[tuple[str, str]]:
    """The parts in which `score_table` scores emotion wheels."""
    return [(wheel, level) for level in LEVELS for wheel in WHEELS] + [(step, "") for step in STEPS]


def score_clips(
    gold: Mapping[str, Sequence[str]],
    pred: Mapping[str, Sequence[str]],
    grouping: How = "lexicon",
    *,
    compat: str | None = None,
    missing: str = "error",
) -> dict[str, tuple[float, float]]:
    """Clip -> (accuracy, recall), what an evaluation keeps so that runs can be compared clip by clip.

    For emotion wheels they are the means over the wheels in which the clip is scored. Clips are left out, and
    MetricError raised, as in `openset`.
    """
    return by_clip(score_table(gold, pred, grouping, compat=compat, missing=missing), grouping)


def by_clip(scored: Scored, grouping: How) -> dict[str, tuple[float, float]]:
    """`score_clips` of what is scored already."""
    return {
        clip: (float(np.nanmean(row[:, 0])), float(np.nanmean(row[:, 1])))
        for clip, row in zip(scored.clips, main_values(scored, grouping), strict=True)
        if not np.isnan(row).all()
    }


def main_values(scored: Scored, grouping: How) -> np.ndarray:
    """(clips, parts, 2) of the parts that make the score: of emotion wheels those of the year."""
    if not isinstance(grouping, Wheels):
        return scored.values
    return scored.values[:, [every_part().index(part) for part in grouping.parts]]


def score_table(
    gold: Mapping[str, Sequence[str]],
    pred: Mapping[str, Sequence[str]],
    grouping: How = "lexicon",
    *,
    compat: str | None = None,
    missing: str = "error",
) -> Scored:
    """Every clip's scores, with what was counted and what must be said; see `openset`."""
    absent = [clip for clip in gold if clip not in pred]
    if absent and missing != "empty":
        raise MetricError(f"no prediction for {_named(absent)}")
    guessed = {clip: pred.get(clip, []) for clip in gold if gold[clip]}
    label, group = _resolve(grouping, compat)
    failed: list[str] = []
    off: list[str] = []
    if isinstance(grouping, Wheels):
        clips = list(guessed)
        values = wheel_scores(gold, guessed, clips, grouping, every_part())
        sides = (gold[clip] for clip in clips), guessed.values()
        known = {side: vocabulary(grouping, _all(sets)) for side, sets in zip(("gold", "pred"), sides, strict=True)}
        main = values[:, [every_part().index(part) for part in grouping.parts], 0]
        off = [clip for clip, row in zip(clips, main, strict=True) if np.isnan(row).all()]
        if len(off) == len(clips):
            raise MetricError("nothing to score: no gold label has a place in any wheel")
    else:
        clips, rows = [], []
        known = {side: {"known": 0, "all": 0} for side in ("gold", "pred")}
        for clip, guess in guessed.items():
            try:
                rows.append(_score(clip, gold[clip], guess, group, compat, known))
            except ModelFailure as failure:
                if failure.code not in ANSWER_FAILURES:
                    raise
                failed.append(f"{clip} ({failure.code})")
            else:
                clips.append(clip)
        if not rows:
            raise MetricError("nothing to score: no clip with gold labels is left")
        values = np.array(rows, dtype=np.float64)[:, None, :]
    counted = {
        "missing": (absent, "gold without prediction, counted as a prediction without labels"),
        "unknown": ([clip for clip in pred if clip not in gold], "predictions without gold, left out"),
        "empty_gold": ([clip for clip in gold if not gold[clip]], "gold without labels, left out"),
        "empty_pred": (
            [clip for clip, labels in guessed.items() if not labels and clip in pred],
            "predictions without labels, counted as 0",
        ),
        "ungrouped": (failed, "not grouped by the model, left out"),
        "off_wheel": (off, "no gold label has a place in any wheel, left out"),
    }
    report: dict[str, Any] = {"gold": len(gold), "pred": len(pred), "scored": len(clips) - len(off)}
    report |= {"duplicates": 0, "unreadable": 0} | {what: len(names) for what, (names, _) in counted.items()}
    if isinstance(grouping, Wheels) or group is not NAMED["none"]:
        report["vocabulary"] = known
    if hasattr(group, "report"):
        report["llm"] = group.report()
    notes = [f"{said}: {_named(names)}" for names, said in counted.values() if names]
    return Scored(clips, values, label, report, notes)


def score(
    clip: str, gold: Sequence[str], pred: Sequence[str], grouping: Grouping, compat: str | None = None
) -> tuple[float, float]:
    """(accuracy, recall) of one clip. Labels are lower-cased, and stripped but for ``compat="mer2024"``."""
    return _score(clip, gold, pred, grouping, compat, None)


def _score(
    clip: str, gold: Sequence[str], pred: Sequence[str], grouping: Grouping, compat: str | None,
    known: dict[str, dict[str, int]] | None,
) -> tuple[float, float]:  # fmt: skip
    truth, guess = ({_norm(label, compat) for label in labels} for labels in (gold, pred))
    mapping = grouping(clip, sorted(truth | guess))
    for side, labels in (("gold", truth), ("pred", guess)) if known is not None else ():
        known[side]["all"] += len(labels)  # type: ignore[index]
        known[side]["known"] += sum(label in mapping for label in labels)  # type: ignore[index]
    y, y_hat = ({mapping.get(label, label) for label in labels} for labels in (truth, guess))
    both = len(y & y_hat)
    return (both / len(y_hat) if y_hat else 0.0), both / len(y)


def _norm(label: str, compat: str | None) -> str:
    return label.lower() if compat == "mer2024" else label.strip().lower()


def _all(lists: Iterable[Sequence[str]]) -> list[str]:
    return [label for labels in lists for label in {label.strip().lower() for label in labels}]


def _resolve(grouping: How, compat: str | None) -> tuple[str, Grouping]:
    if isinstance(grouping, Wheels):
        return f"wheel:{grouping.year}", NAMED["none"]
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
