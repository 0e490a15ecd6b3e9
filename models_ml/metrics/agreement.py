"""Agreement between annotators: Krippendorff's alpha with any distance, MASI for sets, the set-level metric in pairs.

Sources: Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011); Passonneau, "Measuring Agreement on
Set-valued Items (MASI) for Semantic and Pragmatic Annotation" (LREC 2006); Hayes and Krippendorff, "Answering the
Call for a Standard Reliability Measure for Coding Data" (2007) for the expected disagreement held fixed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from models_ml.metrics.grouping import NAMED, Grouping
from models_ml.metrics.labels import MetricError, parse_strict
from models_ml.metrics.openset import score

RESAMPLES = 1000
CHUNK = 1000  # rows of distances made at a time: their memory, not their number, is what would run out

Labels = frozenset[str]
#: distances of some values to all: (those, all) -> (len(those), len(all)), each 0 (the same) to 1
Distances = Callable[[Sequence[Any], Sequence[Any]], np.ndarray]


def nominal(those: Sequence[Hashable], every: Sequence[Hashable]) -> np.ndarray:
    """0 for the same value, 1 for another."""
    place = {value: index for index, value in enumerate(every)}
    found = np.ones((len(those), len(every)))
    found[np.arange(len(those)), [place[value] for value in those]] = 0.0
    return found


def masi(those: Sequence[Labels], every: Sequence[Labels]) -> np.ndarray:
    """1 − J·M (Passonneau 2006): J Jaccard's |A∩B|/|A∪B|; M 1 for equal sets, 2/3 where one holds the other,
    1/3 where they overlap, 0 where they do not. Two empty sets are equal."""
    words = {word: index for index, word in enumerate(sorted(frozenset().union(*every)))}

    def rows(sets: Sequence[Labels]) -> np.ndarray:
        found = np.zeros((len(sets), max(len(words), 1)), dtype=np.float32)
        for index, one in enumerate(sets):
            found[index, [words[word] for word in one]] = 1.0
        return found

    ours, theirs = rows(those), rows(every)
    common = (ours @ theirs.T).astype(np.float64)
    size, sizes = ours.sum(axis=1)[:, None], theirs.sum(axis=1)[None, :]
    union = size + sizes - common
    same, inside = (common == size) & (common == sizes), (common == size) | (common == sizes)
    monotone = np.where(same, 1.0, np.where(common == 0, 0.0, np.where(inside, 2 / 3, 1 / 3)))
    jaccard = np.where(union > 0, common / np.maximum(union, 1.0), 1.0)
    return 1.0 - jaccard * monotone


def masi_distance(one: Iterable[str], other: Iterable[str]) -> float:
    """The MASI distance of two sets, 0 to 1."""
    a, b = frozenset(one), frozenset(other)
    return float(masi([a], [a, b])[0, 1])


DISTANCES: dict[str, Distances] = {"nominal": nominal, "masi": masi}


def alpha(
    units: Iterable[Sequence[Any]],
    distance: str | Distances = "nominal",
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Krippendorff's alpha = 1 − D_o/D_e: ``{alpha, ci95, units, values, observed, expected}``.

    ``units`` are the values that each unit got, None where one is missing; their order says nothing. A unit with
    fewer than two values pairs with nothing and is left out, as are its values (so the matrix may have any holes).
    D_o = 1/n Σ_u Σ_{c≠k} δ(c,k)/(m_u−1) and D_e = 1/(n(n−1)) Σ δ over all n values. ``alpha`` is None where nothing is
    pairable or all values are the same: without variation reliability is not defined. ``ci95`` is a percentile
    bootstrap: units are drawn with replacement, D_e stays as it was found (Hayes and Krippendorff 2007).
    """
    measure = DISTANCES[distance] if isinstance(distance, str) else distance
    pairable = [kept for unit in units if len(kept := [value for value in unit if value is not None]) > 1]
    every = list(dict.fromkeys(value for unit in pairable for value in unit))
    place = {value: index for index, value in enumerate(every)}
    indexed = [[place[value] for value in unit] for unit in pairable]
    n = sum(map(len, indexed))
    found: dict[str, Any] = {"alpha": None, "ci95": None, "units": len(indexed), "values": n}
    if not indexed:
        return {**found, "observed": None, "expected": None}
    expected = _expected(indexed, every, measure) / (n * (n - 1))
    apart = _within(indexed, every, measure)
    observed = float(apart.sum()) / n
    found |= {"observed": observed, "expected": expected}
    if expected <= 0:
        return found
    sizes = np.array([len(unit) for unit in indexed], dtype=np.float64)
    draws = np.random.default_rng(seed)
    drawn = []
    for _draw in range(resamples if len(indexed) > 1 else 0):
        chosen = draws.integers(0, len(indexed), len(indexed))
        drawn.append(1.0 - apart[chosen].sum() / sizes[chosen].sum() / expected)
    interval = [float(edge) for edge in np.percentile(drawn, [2.5, 97.5])] if drawn else None
    return found | {"alpha": 1.0 - observed / expected, "ci95": interval}


def _expected(units: Sequence[Sequence[int]], every: Sequence[Any], measure: Distances) -> float:
    """Σ δ over all ordered pairs of values, whatever their units."""
    counts = np.bincount([value for unit in units for value in unit], minlength=len(every)).astype(np.float64)
    total = 0.0
    for start in range(0, len(every), CHUNK):
        distances = measure(every[start : start + CHUNK], every)
        total += float(counts[start : start + CHUNK] @ distances @ counts)
    return total


def _within(units: Sequence[Sequence[int]], every: Sequence[Any], measure: Distances) -> np.ndarray:
    """Per unit Σ_{c≠k} δ(c,k)/(m−1) over the ordered pairs of its values."""
    found = np.zeros(len(units))
    for index, unit in enumerate(units):
        if len(set(unit)) > 1:
            values = [every[place] for place in dict.fromkeys(unit)]
            where = {place: row for row, place in enumerate(dict.fromkeys(unit))}
            rows = [where[place] for place in unit]
            found[index] = measure(values, values)[np.ix_(rows, rows)].sum() / (len(unit) - 1)
    return found


def grouped(units: Mapping[str, Sequence[Iterable[str] | None]], grouping: Grouping) -> list[list[Labels | None]]:
    """Label sets by unit, lower-cased and mapped to the representatives of their groups; an empty set is missing."""
    found: list[list[Labels | None]] = []
    for name, sets in units.items():
        clean = [frozenset(label.strip().lower() for label in one or () if label.strip()) for one in sets]
        mapping = grouping(name, sorted(frozenset().union(*clean)))
        found.append([frozenset(mapping.get(label, label) for label in one) or None for one in clean])
    return found


def between(
    units: Mapping[str, Mapping[str, Sequence[str]]],
    grouping: Grouping,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """The set-level metric between annotators: ``units`` are label lists by clip and annotator.

    ``{clips, pairs, accuracy, recall, avg, ci95, by_annotator, by_pair}``. Each annotator is held against each other
    one of the clip in both directions, so over all of them accuracy equals recall; the figures are means over clips
    of the mean over a clip's pairs, ``ci95`` (of avg) a percentile bootstrap over clips. ``by_annotator``: they as the
    prediction, the others as the truth; ``by_pair``: mean over the two's common clips, both directions. An empty list
    is no answer and is left out. Figures are None where no two people answered one clip.
    """
    clips: list[float] = []
    people: dict[str, list[tuple[float, float]]] = {}
    pairs: dict[tuple[str, str], list[float]] = {}
    for clip, answers in units.items():
        told = {name: labels for name, labels in answers.items() if any(label.strip() for label in labels)}
        scores = []
        for truth, guess in permutations(sorted(told), 2):
            accuracy, recall = score(clip, told[truth], told[guess], grouping)
            scores.append((accuracy + recall) / 2)
            people.setdefault(guess, []).append((accuracy, recall))
            pairs.setdefault((min(truth, guess), max(truth, guess)), []).append((accuracy + recall) / 2)
        if scores:
            clips.append(float(np.mean(scores)))
    mean = float(np.mean(clips)) if clips else None
    return {
        "clips": len(clips),
        "pairs": sum(map(len, pairs.values())) // 2,
        "accuracy": mean,
        "recall": mean,
        "avg": mean,
        "ci95": interval(clips, seed=seed, resamples=resamples),
        "by_annotator": {name: _mean_of(rows) for name, rows in sorted(people.items())},
        "by_pair": [
            {"annotators": list(pair), "clips": len(values) // 2, "avg": float(np.mean(values))}
            for pair, values in sorted(pairs.items())
        ],
    }


def _mean_of(rows: Sequence[tuple[float, float]]) -> dict[str, Any]:
    accuracy, recall = (float(column) for column in np.mean(rows, axis=0))
    return {"n": len(rows), "accuracy": accuracy, "recall": recall, "avg": (accuracy + recall) / 2}


def interval(values: Sequence[float], *, seed: int = 0, resamples: int = RESAMPLES) -> list[float] | None:
    """The 95 % percentile bootstrap interval of a mean (Efron 1979); None for fewer than two values."""
    if len(values) < 2:
        return None
    return [float(edge) for edge in np.percentile(_means(np.asarray(values), seed, resamples), [2.5, 97.5])]


def difference(
    ones: Sequence[float], others: Sequence[float], *, seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, Any] | None:
    """mean(ones) − mean(others) with a 95 % percentile bootstrap interval, the two drawn independently.

    ``{difference, ci95}``; None where one of them has fewer than two values.
    """
    if min(len(ones), len(others)) < 2:
        return None
    drawn = _means(np.asarray(ones), seed, resamples) - _means(np.asarray(others), seed + 1, resamples)
    edges = [float(edge) for edge in np.percentile(drawn, [2.5, 97.5])]
    return {"difference": float(np.mean(ones) - np.mean(others)), "ci95": edges}


def _means(values: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    draws = np.random.default_rng(seed)
    return np.array([values[draws.integers(0, len(values), len(values))].mean() for _draw in range(resamples)])


def agreement(rows: Sequence[Mapping[str, Any]], grouping: str = "lexicon", *, seed: int = 0) -> dict[str, Any]:
    """What the command line answers over rows of ``{name, annotator, label, labels}`` (a missing one is None).

    ``{clips, annotators, grouping, label, openset}``: ``label`` is nominal alpha over the discrete labels; ``openset``
    holds alpha with MASI, ``raw`` and ``grouped``, and the set-level metric between annotators under ``pairs``.
    """
    discrete: dict[str, list[str | None]] = {}
    sets: dict[str, dict[str, Sequence[str]]] = {}
    for row in rows:
        discrete.setdefault(row["name"], []).append((row["label"] or "").strip().lower() or None)
        if row["labels"] is not None:
            sets.setdefault(row["name"], {})[row["annotator"]] = row["labels"]
    lists = {name: list(by.values()) for name, by in sets.items()}
    return {
        "clips": len(discrete),
        "annotators": len({row["annotator"] for row in rows}),
        "grouping": grouping,
        "label": alpha(discrete.values(), "nominal", seed=seed),
        "openset": {
            "raw": alpha(grouped(lists, NAMED["none"]), "masi", seed=seed),
            "grouped": alpha(grouped(lists, NAMED[grouping]), "masi", seed=seed),
            "pairs": between(sets, NAMED[grouping], seed=seed),
        },
    }


def read_annotations(path: Path | str) -> list[dict[str, Any]]:
    """A CSV (UTF-8, BOM allowed) with ``name,annotator`` and ``openset`` and/or ``label`` as rows for ``agreement``.

    Raises MetricError naming file and line: unreadable, missing columns, an empty name, one person twice on a clip, a
    bad list.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
        table = csv.DictReader(io.StringIO(text, newline=""))
        columns = set(table.fieldnames or [])
        if not {"name", "annotator"} <= columns or not columns & {"openset", "label"}:
            raise MetricError(f"{path.name}: wanted the columns name,annotator and openset or label")
        rows: dict[tuple[str, str], dict[str, Any]] = {}
        for line in table:
            where = f"{path.name} line {table.line_num}"
            name, annotator = ((line[key] or "").strip() for key in ("name", "annotator"))
            if not name or not annotator:
                raise MetricError(f"{where}: the name or the annotator is empty")
            if (name, annotator) in rows:
                raise MetricError(f"{where}: {annotator} stands twice on {name}")
            try:
                labels = parse_strict(line["openset"] or "") if "openset" in columns else None
            except MetricError as error:
                raise MetricError(f"{where}, {name}: {error}") from error
            rows[name, annotator] = {
                "name": name,
                "annotator": annotator,
                "label": line.get("label") or None,
                "labels": labels,
            }
    except OSError as error:
        raise MetricError(f"{path.name}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise MetricError(f"{path.name}: not UTF-8 (byte {error.start})") from error
    except csv.Error as error:
        raise MetricError(f"{path.name}: {error}") from error
    if not rows:
        raise MetricError(f"{path.name}: no rows")
    return list(rows.values())
