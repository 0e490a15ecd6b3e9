"""Which samples stand in which batch: a function of (config, seed, number of the batch) alone.

So a run that was killed goes on exactly where it stopped, and every process of a distributed run knows its own
batches without asking. Samples of like length share a batch, which spares padding, and the order stays random: a
pass is shuffled, cut into windows of ``data.bucket`` batches, each window sorted by length and cut into batches, and
the batches of the pass are shuffled. Only the plan of the pass at hand is held.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from .schema import Config


class Order:
    """``batch(number)`` for the batches 0, 1, 2 … of an endless stream.

    One source: every sample comes once per pass, so the last batch of a pass may be smaller; with
    ``data.drop_last`` it is left out, as the published code does. Several sources: samples (or, with
    ``data.one_source_per_batch``, whole batches) are drawn in proportion to the sources' weights; each source is
    passed over again and again by itself.
    """

    def __init__(self, lengths: Sequence[int], sources: Sequence[int], config: Config, seed: int) -> None:
        """lengths: tokens of each sample; sources: which source each is of (0 is --snapshot, 1 … data.sources).

        Raises ValueError without samples.
        """
        if not lengths or len(lengths) != len(sources):
            raise ValueError(f"an order needs samples, each with its source: {len(lengths)}, {len(sources)}")
        data = config.data
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.seed, self.size, self.bucket = seed, config.train.batch_size, data.bucket
        of = np.asarray(sources, dtype=np.int64)
        weights = [data.weight, *(source.weight for source in data.sources)]
        present = sorted(set(of.tolist()))
        self.shares = np.array([weights[source] for source in present], dtype=np.float64)
        self.shares /= self.shares.sum()
        self.whole_batches = data.one_source_per_batch or len(present) == 1
        self.streams = [
            Stream(np.flatnonzero(of == source), self.lengths, self.size, self.bucket, data.drop_last, (seed, source))
            for source in present
        ]
        batches = sum(stream.batches for stream in self.streams)
        #: Batches after which the plan begins anew: of a single source, its pass. Of several, at least the square of
        #: their number: then the largest share outweighs all that rounding takes from it.
        self.block = batches if self.whole_batches else math.ceil(len(self.lengths) / self.size)
        if len(present) > 1:
            self.block = max(self.block, len(present) ** 2)
        self._mixed_plan = lru_cache(maxsize=2)(self._mixed)
        self._turns_plan = lru_cache(maxsize=2)(self._turns)

    def batch(self, number: int) -> list[int]:
        """Indices of the samples of batch ``number`` (from 0)."""
        block, place = divmod(number, self.block)
        if not self.whole_batches:
            return self._mixed_plan(block)[place].tolist()
        if len(self.streams) == 1:
            return self.streams[0].batch(number).tolist()
        source, turn = self._turns_plan(block)[place]
        return self.streams[source].batch(turn).tolist()

    def _turns(self, block: int) -> list[tuple[int, int]]:
        """For each batch of a block: the source, and the number of the batch in that source's own stream."""
        first, counts = self._drawn(block, self.block)
        turns = np.repeat(np.arange(len(counts)), counts)
        np.random.default_rng((self.seed, 1, block)).shuffle(turns)
        ahead = [itertools.count(int(start)) for start in first]
        return [(int(source), next(ahead[source])) for source in turns]

    def _mixed(self, block: int) -> list[np.ndarray]:
        """The batches of a block, sources mixed inside each."""
        first, counts = self._drawn(block, self.block * self.size)
        chosen = np.concatenate(
            [
                stream.samples(int(start), int(count))
                for stream, start, count in zip(self.streams, first, counts, strict=True)
            ]
        )
        rng = np.random.default_rng((self.seed, 2, block))
        return bucketed(chosen[rng.permutation(len(chosen))], self.lengths, self.size, self.bucket, rng)

    def _drawn(self, block: int, per_block: int) -> tuple[np.ndarray, np.ndarray]:
        """How much each source gave before a block, and gives in it: cumulative shares, rounded, so that no count
        depends on the blocks before."""
        before, after = (self._shared_out(per_block * number) for number in (block, block + 1))
        return before, after - before

    def _shared_out(self, total: int) -> np.ndarray:
        """Whole numbers next to ``shares * total`` that add up to ``total``; the largest share takes the rest."""
        counts = np.floor(self.shares * total + 1e-9).astype(np.int64)
        counts[int(np.argmax(self.shares))] += total - counts.sum()
        return counts


class Stream:
    """Endless passes over the samples ``members`` of one source."""

    def __init__(
        self, members: np.ndarray, lengths: np.ndarray, size: int, bucket: int, drop_last: bool, key: tuple[int, int]
    ) -> None:
        self.members, self.lengths, self.size, self.bucket, self.key = members, lengths, size, bucket, key
        whole = max(1, len(members) // size)
        #: Batches per pass.
        self.batches = whole if drop_last else math.ceil(len(members) / size)
        self.kept = self.batches * size
        self._plan = lru_cache(maxsize=2)(self._cut)

    def batch(self, number: int) -> np.ndarray:
        turn, place = divmod(number, self.batches)
        return self._plan(turn)[place]

    def samples(self, start: int, count: int) -> np.ndarray:
        """``count`` samples from place ``start`` of the passes on."""
        parts = [np.zeros(0, dtype=np.int64)]
        while count > 0:
            turn, place = divmod(start, len(self.members))
            parts.append(self._shuffled(turn)[place : place + count])
            start, count = start + len(parts[-1]), count - len(parts[-1])
        return np.concatenate(parts)

    def _shuffled(self, turn: int) -> np.ndarray:
        return self.members[np.random.default_rng((*self.key, 0, turn)).permutation(len(self.members))]

    def _cut(self, turn: int) -> list[np.ndarray]:
        rng = np.random.default_rng((*self.key, 1, turn))
        return bucketed(self._shuffled(turn)[: self.kept], self.lengths, self.size, self.bucket, rng)


def bucketed(
    chosen: np.ndarray, lengths: np.ndarray, size: int, bucket: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Batches of ``size`` out of the shuffled samples ``chosen``: windows of ``bucket`` batches sorted by length, the
    batches shuffled. ``bucket`` 0: cut as they come."""
    if bucket == 0:
        return [chosen[start : start + size] for start in range(0, len(chosen), size)]
    batches = []
    for start in range(0, len(chosen), size * bucket):
        window = chosen[start : start + size * bucket]
        window = window[np.argsort(lengths[window], kind="stable")]
        batches += [window[at : at + size] for at in range(0, len(window), size)]
    return [batches[place] for place in rng.permutation(len(batches))]
