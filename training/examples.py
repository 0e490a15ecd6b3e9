"""The token sequences of a run's samples, and its batches by number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .affectgpt.model import Batch
from .batches import Order
from .collate import collate, pinned
from .config import Config
from .data import Featurizer, Sample, example_of, label_example
from .prompt import IGNORED, Example


class Examples:
    """The token sequences of all samples, kept small (4 bytes a token); made once, before the first step."""

    def __init__(self, config: Config, tokenizer: Any, samples: Sequence[Sample]) -> None:
        hybrid = config.data.target == "hybrid"
        self._first = [_Packed(example_of(config, tokenizer, sample)) for sample in samples]
        self._other = {
            index: _Packed(label_example(config, tokenizer, sample))
            for index, sample in enumerate(samples)
            if hybrid and sample.target and sample.labels
        }

    def __len__(self) -> int:
        return len(self._first)

    def __getitem__(self, index: int) -> Example:
        return self._first[index].example()

    def visited(self, index: int, visit: tuple[int, ...]) -> Example:
        """The example of this visit: with data.target hybrid one of the two answers, even chances."""
        return self._choose(index, visit).example()

    def targets(self, index: int, visit: tuple[int, ...]) -> int:
        """Tokens that this visit's loss counts."""
        return self._choose(index, visit).targets

    @property
    def lengths(self) -> list[int]:
        """Tokens of each sample, of the longer answer where there are two."""
        longest = [len(packed.ids) for packed in self._first]
        for index, packed in self._other.items():
            longest[index] = max(longest[index], len(packed.ids))
        return longest

    def cut(self) -> dict[str, dict[int, int]]:
        """What was too long: subtitle and clues (characters), target (tokens), turns: index -> how much is left out."""
        names = ("subtitle", "clues", "target", "turns")
        found: dict[str, dict[int, int]] = {name: {} for name in names}
        for index, packed in enumerate(self._first):
            for name, amount in zip(names, packed.cuts, strict=True):
                if amount:
                    found[name][index] = amount
        return found

    def _choose(self, index: int, visit: tuple[int, ...]) -> _Packed:
        if index in self._other and np.random.default_rng((*visit, 1)).random() < 0.5:
            return self._other[index]
        return self._first[index]


class _Packed:
    """An example in arrays."""

    __slots__ = ("cuts", "ids", "learned", "slots", "targets")

    def __init__(self, example: Example) -> None:
        self.ids = np.array(example.ids, dtype=np.int32)
        self.learned = np.packbits(np.array(example.labels) != IGNORED)
        self.targets = sum(label != IGNORED for label in example.labels[1:])
        self.slots = example.slots
        self.cuts = (example.subtitle_cut, example.clues_cut, example.target_cut, example.turns_cut)

    def example(self) -> Example:
        learned = np.unpackbits(self.learned, count=len(self.ids)).astype(bool)
        subtitle, clues, target, turns = self.cuts
        labels = np.where(learned, self.ids, IGNORED).tolist()
        return Example(self.ids.tolist(), labels, self.slots, subtitle, target, clues, turns)


class Batches:
    """The batches of a run by number: made by any thread, from numbers alone."""

    def __init__(
        self, config: Config, samples: Sequence[Sample], examples: Examples, featurizer: Featurizer, seed: int
    ) -> None:
        self.config, self.samples, self.examples, self.featurizer = config, samples, examples, featurizer
        self.seed = seed
        self.order = Order(examples.lengths, [sample.source for sample in samples], config, seed)

    def make(self, number: int) -> Batch:
        """Batch ``number``, pinned where it goes to a GPU. Raises TrainingError for media that does not decode."""
        chosen = self.order.batch(number)
        visits = [(self.seed, number, row) for row in range(len(chosen))]
        pairs = list(zip(chosen, visits, strict=True))
        batch = collate(
            [self.examples.visited(index, visit) for index, visit in pairs],
            [self.featurizer.features(self.samples[index], visit) for index, visit in pairs],
            [self.samples[index].clip for index in chosen],
        )
        return pinned(batch) if self.featurizer.model.device.type == "cuda" else batch

    def size(self, number: int) -> tuple[int, int]:
        """Target tokens and samples of a batch, without making it."""
        chosen = self.order.batch(number)
        tokens = [self.examples.targets(index, (self.seed, number, row)) for row, index in enumerate(chosen)]
        return sum(tokens), len(chosen)
