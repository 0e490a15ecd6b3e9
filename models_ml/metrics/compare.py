"""Whether two runs differ, clip by clip: an interval of the difference and a p value, from the same clips.

- The interval: paired percentile bootstrap, clips drawn with replacement, both runs' scores of a clip together
  (B. Efron, R. J. Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 and 13).
- The p value: two-sided permutation test. Were the runs alike, each clip's two scores could be exchanged, so the sign
  of its difference is a coin (R. A. Fisher, The Design of Experiments, 1935, section 21; E. J. G. Pitman, Significance
  tests which may be applied to samples from any populations, 1937). With up to EXACT differing clips all exchanges are
  tried; with more, PERMUTATIONS random ones, p = (1 + as large ones) / (1 + tried), which is never 0 (Phipson and
  Smyth 2010).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from models_ml.metrics.bootstrap import CELLS, KEYS, RESAMPLES, collect, draws, figures, interval, means
from models_ml.metrics.labels import MetricError
from models_ml.metrics.openset import How, Scored, main_values
from models_ml.metrics.wheel import Wheels

EXACT = 12  # differing clips: 4096 exchanges
PERMUTATIONS = 10_000
SLACK = 1e-12  # two sums of the same numbers in another order are equal


def compare(
    scores_a: Mapping[str, Sequence[float]], scores_b: Mapping[str, Sequence[float]], seed: int = 0
) -> dict[str, Any]:
    """Two runs by their clips' (accuracy, recall), as `score_clips` gives them, on the clips that both have.

    ``{n, only_a, only_b, a, b, difference, ci95, p}``: ``n`` clips compared, the two counts of clips left out because
    one run lacks them; each of the others holds accuracy, recall and avg. ``difference`` is a − b. Raises MetricError
    for fewer than two clips in common.
    """
    common = [clip for clip in scores_a if clip in scores_b]
    if len(common) < 2:
        raise MetricError(f"{len(common)} clips in common: nothing to compare")
    a, b = (np.array([scores[clip] for clip in common], dtype=np.float64) for scores in (scores_a, scores_b))
    return {
        "n": len(common),
        "only_a": len(scores_a) - len(common),
        "only_b": len(scores_b) - len(common),
        **paired(a[:, None, :], b[:, None, :], seed),
    }


def compare_scored(a: Scored, b: Scored, grouping: How, seed: int = 0) -> dict[str, Any]:
    """As `compare`, of two runs' scores under one grouping; with emotion wheels also of ``f``."""
    place_a, place_b = ({clip: row for row, clip in enumerate(one.clips)} for one in (a, b))
    common = [clip for clip in a.clips if clip in place_b]
    ours = main_values(a, grouping)[[place_a[clip] for clip in common]]
    theirs = main_values(b, grouping)[[place_b[clip] for clip in common]]
    scored = ~np.isnan(ours).all(axis=(1, 2))
    n = int(scored.sum())
    if n < 2:
        raise MetricError(f"{n} clips in common: nothing to compare")
    keys = (*KEYS, "f") if isinstance(grouping, Wheels) else KEYS
    left = {"only_a": len(a.clips) - len(common), "only_b": len(b.clips) - len(common)}
    return {"n": n, **left, **paired(ours[scored], theirs[scored], seed, keys)}


def paired(a: np.ndarray, b: np.ndarray, seed: int = 0, keys: tuple[str, ...] = KEYS) -> dict[str, Any]:
    """``{a, b, difference, ci95, p}`` of two arrays (clips, parts, 2), NaN in the same places, for the gold is one."""
    first, second = figures(means(a)), figures(means(b))
    observed = {key: float(first[key] - second[key]) for key in keys}
    drawn = collect(
        {key: figures(means(a, counts))[key] - figures(means(b, counts))[key] for key in keys}
        for counts in draws(len(a), seed, RESAMPLES)
    )
    exchanged = collect(_exchanged(a, b, seed, keys))
    return {
        "a": {key: float(first[key]) for key in keys},
        "b": {key: float(second[key]) for key in keys},
        "difference": observed,
        "ci95": {key: interval(drawn[key]) for key in keys},
        "p": {key: _p(exchanged[key], observed[key], _exact(a, b)) for key in keys},
    }


def _p(exchanged: np.ndarray, observed: float, exact: bool) -> float:
    large = int((np.abs(exchanged) >= abs(observed) - SLACK).sum())
    return large / len(exchanged) if exact else (1 + large) / (1 + len(exchanged))


def _differing(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.flatnonzero((np.nan_to_num(a) != np.nan_to_num(b)).any(axis=(1, 2)))


def _exact(a: np.ndarray, b: np.ndarray) -> bool:
    return len(_differing(a, b)) <= EXACT


def _exchanged(a: np.ndarray, b: np.ndarray, seed: int, keys: tuple[str, ...]) -> Iterator[dict[str, np.ndarray]]:
    """The differences after exchanging some clips' scores. With d = a − b the means move by the sum of the exchanged
    clips' d, so only these sums are needed."""
    rows = _differing(a, b)
    n = (~np.isnan(a)).sum(axis=0)  # (parts, 2)
    moved = np.divide(np.nan_to_num(a - b)[rows], n, out=np.zeros((len(rows), *n.shape)), where=n > 0)
    first, second, flat = means(a), means(b), moved.reshape(len(rows), n.size)
    for swaps in _swaps(len(rows), seed):
        shift = (swaps @ flat).reshape(len(swaps), *n.shape)
        one, other = figures(first - shift), figures(second + shift)
        yield {key: one[key] - other[key] for key in keys}


def _swaps(clips: int, seed: int) -> Iterator[np.ndarray]:
    """Tables (some exchanges, clips) of 0 and 1: all of them for few clips, else random ones."""
    if clips <= EXACT:
        yield ((np.arange(2**clips)[:, None] >> np.arange(clips)) & 1).astype(np.float64)
        return
    random = np.random.default_rng(seed)
    rows = max(1, CELLS // clips)
    for start in range(0, PERMUTATIONS, rows):
        yield random.integers(0, 2, size=(min(rows, PERMUTATIONS - start), clips)).astype(np.float64)
