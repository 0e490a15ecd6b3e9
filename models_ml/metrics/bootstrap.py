"""Means over clips, the figures made of them, and their intervals by drawing clips again (Efron 1979).

Scores are arrays (clips, parts, 2): accuracy and recall of each clip, in one part (the set-level metric) or in several
(an emotion wheel is a part); NaN where a clip is not scored in a part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

RESAMPLES = 2000
CELLS = 4_000_000  # of a table of draws held at a time
KEYS = ("accuracy", "recall", "avg")


def means(values: np.ndarray, counts: np.ndarray | None = None) -> np.ndarray:
    """(…, parts, 2): means over clips; ``counts`` (draws, clips) says how often each draw took each clip."""
    if counts is None:
        counts = np.ones((1, len(values)))
        return means(values, counts)[0]
    flat = values.reshape(len(values), -1)
    there = ~np.isnan(flat)
    totals = counts @ np.where(there, flat, 0.0)
    taken = counts @ there.astype(np.float64)
    found = np.divide(totals, taken, out=np.full(totals.shape, np.nan), where=taken > 0)
    return found.reshape(len(counts), *values.shape[1:])


def figures(found: np.ndarray) -> dict[str, np.ndarray]:
    """accuracy, recall, avg and f of means (…, parts, 2), each (…): means over parts; avg is the mean of accuracy and
    recall, f that of the parts' harmonic means of the two (0 where both are 0)."""
    accuracy, recall = found[..., 0], found[..., 1]
    total = accuracy + recall
    f = np.divide(2 * accuracy * recall, total, out=np.where(np.isnan(total), np.nan, 0.0), where=total > 0)
    mean = {name: np.nanmean(value, axis=-1) for name, value in (("accuracy", accuracy), ("recall", recall), ("f", f))}
    return {**mean, "avg": (mean["accuracy"] + mean["recall"]) / 2}


def draws(clips: int, seed: int, resamples: int = RESAMPLES) -> Iterator[np.ndarray]:
    """How often each of ``resamples`` draws with replacement takes each clip: tables (some draws, clips)."""
    random = np.random.default_rng(seed)
    rows = max(1, CELLS // clips)
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        taken = random.integers(0, clips, size=(size, clips)) + np.arange(size)[:, None] * clips
        yield np.bincount(taken.ravel(), minlength=size * clips).reshape(size, clips).astype(np.float64)


def interval(values: np.ndarray) -> list[float]:
    """The 95 % percentile interval."""
    return [float(edge) for edge in np.nanpercentile(values, [2.5, 97.5])]


def intervals(
    values: np.ndarray, seed: int = 0, resamples: int = RESAMPLES, keys: tuple[str, ...] = KEYS
) -> dict[str, list[float]]:
    """95 % intervals of the figures in ``keys``; ``values`` is (clips, parts, 2)."""
    found = collect(figures(means(values, counts)) for counts in draws(len(values), seed, resamples))
    return {key: interval(found[key]) for key in keys}


def bootstrap(scores: np.ndarray, seed: int = 0, resamples: int = RESAMPLES) -> dict[str, list[float]]:
    """Percentile 95 % intervals of mean accuracy, recall and avg; ``scores`` is (clips, 2)."""
    return intervals(scores[:, None, :], seed, resamples)


def collect(tables: Iterator[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Figures of several tables of draws, one after the other."""
    every = list(tables)
    return {key: np.concatenate([table[key] for table in every]) for key in every[0]}
