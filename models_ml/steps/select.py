"""Which samples of many to keep: over-abundant labels thinned, near-duplicates removed, a share of neutral ones kept,
rare emotions found.

Source: MERR (Emotion-LLaMA, arXiv 2406.11161) removed samples of over-abundant labels and duplicates, drew some from
the neutral ones, and found only two clips of disgust. Every decision depends on a seed and on the samples alone, never
on their order.
"""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np

from models_ml.llm.answers import language_of
from models_ml.metrics.lexicon import group_of, lexicon_labels

GRAMS = {"zh": 3, "en": 5}  # characters of a shingle: a Chinese word has about two, an English one about five
HASHES = 96
# Threshold -> hashes in a band, so that texts as near as that share a band with at least 97 % (1 - (1 - J^r)^(96/r)),
# and texts that only share a template seldom do.
ROWS = ((0.9, 8), (0.8, 6), (0.0, 4))
SLACK = 0.1  # more than two standard errors of the Jaccard that 96 hashes estimate
MET = 500  # of those that share a band, at most so many are looked at: the ones that share most
COMPARED = 5  # of the likeliest, at most so many are compared
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


def chance(seed: int, name: str) -> float:
    """A number in [0, 1) that depends on seed and name only."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:7]) / 2**56


def grouped(labels: Iterable[str]) -> tuple[str, ...]:
    """Labels of either language as the lexicon's groups (happy, joyful and 高兴 are one), sorted; unknown ones stay."""
    known = group_of()
    return tuple(sorted({known.get(label.lower(), label.lower()) for label in labels}))


def cap_labels(samples: Iterable[tuple[str, Sequence[str]]], cap: int, *, seed: int = 0) -> dict[str, str]:
    """Samples to drop so that no label is left on more than ``cap``: their names, each with the label that is full.

    ``samples`` are (name, labels). Those with the rarest labels are kept first, so that a common label costs no rare
    one; of equals the seed decides. A sample without labels is kept. Raises ValueError for a cap below 1.
    """
    if cap < 1:
        raise ValueError("cap must be at least 1")
    labelled = {name: tuple(dict.fromkeys(labels)) for name, labels in samples}
    frequency = Counter(label for labels in labelled.values() for label in labels)
    order = sorted(
        (min(frequency[label] for label in labels), chance(seed, name), name)
        for name, labels in labelled.items()
        if labels
    )
    room = dict.fromkeys(frequency, cap)
    dropped: dict[str, str] = {}
    for _, _, name in order:
        full = [label for label in labelled[name] if not room[label]]
        if full:
            dropped[name] = max(full, key=lambda label: (frequency[label], label))
            continue
        for label in labelled[name]:
            room[label] -= 1
    return dropped


def shingles(text: str) -> np.ndarray:
    """Hashes (uint64, sorted, distinct) of the character n-grams of a text, case and spaces levelled."""
    level = " ".join(text.lower().split())
    size = GRAMS[language_of(level) or "en"]
    codes = np.frombuffer(level.encode("utf-32-le"), "<u4").astype(np.uint64)
    if len(codes) <= size:
        codes = np.pad(codes, (0, size - len(codes) + 1))
    total = np.zeros(len(codes) - size + 1, np.uint64)
    for offset in range(size):
        total = total * _FACTOR + codes[offset : offset + len(total)]
    return np.unique(total ^ (total >> np.uint64(29)))


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Shared shingles over all shingles."""
    shared = len(np.intersect1d(a, b, assume_unique=True))
    return shared / (len(a) + len(b) - shared)


def near_duplicates(
    samples: Iterable[tuple[str, str]],
    threshold: float = 0.8,
    *,
    rank: Mapping[str, tuple[float, ...]],
    texts: Callable[[Collection[str]], Mapping[str, str]],
) -> dict[str, tuple[str, float]]:
    """Samples whose text is nearly that of a better one: name -> (the one that is kept, Jaccard of their shingles).

    ``samples`` are (name, text), read once and not kept: a text leaves a MinHash signature of 384 bytes (Broder 1997);
    those that share a band of it and look alike by it are compared exactly, with ``texts`` read again. ``rank`` says
    which is better, the smaller first; equals go by name. Chains do not spread: a sample is dropped for one that is
    kept. Raises ValueError for a threshold outside 0.5..1.
    """
    if not 0.5 <= threshold <= 1:
        raise ValueError("threshold must be between 0.5 and 1")
    names, rows = [], []
    for name, text in samples:
        names.append(name)
        rows.append(_signature(shingles(text)))
    if not rows:
        return {}
    order = sorted(range(len(names)), key=lambda index: (rank[names[index]], names[index]))
    signatures, names = np.stack([rows[index] for index in order]), [names[index] for index in order]
    del rows, order
    earlier = _earlier(signatures, next(size for least, size in ROWS if threshold >= least))
    kept = np.zeros(len(names), dtype=bool)
    dropped: dict[str, tuple[str, float]] = {}
    for at, name in enumerate(names):
        met = _most_shared(earlier(at), kept)
        alike = (signatures[met] == signatures[at]).mean(axis=1) if len(met) else np.zeros(0)
        best = np.argsort(-alike, kind="stable")[:COMPARED]
        likely = [names[met[index]] for index in best if alike[index] >= threshold - SLACK]
        twin = _twin(name, likely, threshold, texts) if likely else None
        if twin is None:
            kept[at] = True
        else:
            dropped[name] = twin
    return dropped


def _earlier(signatures: np.ndarray, size: int) -> Callable[[int], np.ndarray]:
    """A function: for a row, the rows before it that share a band of ``size`` hashes with it, each once a band."""
    bands = HASHES // size
    buckets = np.empty((len(signatures), bands), dtype=np.int64)
    for band in range(bands):
        part = np.ascontiguousarray(signatures[:, band * size : (band + 1) * size])
        _, inverse = np.unique(part.view(f"V{4 * size}").ravel(), return_inverse=True)
        buckets[:, band] = inverse * bands + band
    flat = buckets.ravel()
    order = np.argsort(flat, kind="stable")  # by bucket, in it by row
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    starts = np.searchsorted(flat[order], flat)
    rows = order // bands

    def earlier(row: int) -> np.ndarray:
        own = range(row * bands, (row + 1) * bands)
        return np.concatenate([rows[starts[cell] : place[cell]] for cell in own])

    return earlier


def _most_shared(rows: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The kept ones among ``rows``, once each; of very many those that are named most often."""
    counts = np.bincount(rows[kept[rows]])
    met = np.flatnonzero(counts)
    return met if len(met) <= MET else met[np.argsort(-counts[met], kind="stable")[:MET]]


def _signature(hashes: np.ndarray) -> np.ndarray:
    factors, offsets = _permutations()
    return ((hashes[:, None] * factors + offsets) >> np.uint64(32)).min(axis=0).astype(np.uint32)


@functools.cache
def _permutations() -> tuple[np.ndarray, np.ndarray]:
    """Multiply-shift hashing (Dietzfelbinger et al. 1997), the same in every process."""
    random = np.random.default_rng(20240702)
    factors, offsets = random.integers(0, 2**63, (2, HASHES), dtype=np.uint64)
    return factors * np.uint64(2) + np.uint64(1), offsets


def _twin(
    name: str, others: Sequence[str], threshold: float, texts: Callable[[Collection[str]], Mapping[str, str]]
) -> tuple[str, float] | None:
    """The first of the others whose text is near enough, and how near."""
    found = texts([name, *others])
    mine = shingles(found[name])
    for other in others:
        if (near := jaccard(mine, shingles(found[other]))) >= threshold:
            return other, near
    return None


def rare_signs(
    label: str,
    *,
    labels: Iterable[str] = (),
    texts: Iterable[str] = (),
    units: Mapping[str, float | None] | None = None,
) -> list[str]:
    """What in a sample speaks of a seldom emotion: ``["AU09+AU10 (mean 1.5)", "label 厌恶", "text disgusted"]``; [] for
    nothing.

    ``label`` is a word of the lexicon in either language, and its synonyms in both count; in texts negated ones do not.
    ``units`` are the action units of the peak frame, held against the emotion's combinations (models_ml.face.labels).
    Raises ValueError for a word that the lexicon does not know.
    """
    from models_ml.face import labels as expressions

    known = group_of()
    group = known.get(label.lower())
    if group is None:
        raise ValueError(f"the lexicon does not know the emotion {label!r}")
    signs = [
        f"{'+'.join(found['core'])} (mean {found['mean']:g})"
        for found in expressions.label(units or {})["candidates"]
        if known.get(found["label"]) == group
    ]
    signs += [f"label {word}" for word in dict.fromkeys(labels) if known.get(word.lower()) == group]
    words = [word for text in texts for word in lexicon_labels(text) if known.get(word) == group]
    return signs + [f"text {word}" for word in dict.fromkeys(words)]
