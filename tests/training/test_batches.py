"""Every sample once per pass, batches of like length, and each batch a function of its number alone."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from training.batches import Order
from training.config import Config, from_dict, load_config


def config(batch: int = 3, **data: object) -> Config:
    values = load_config("tiny").to_dict()
    values["data"].update(data)
    values["train"]["batch_size"] = batch
    return from_dict(values)


def passed(order: Order, first: int, count: int) -> list[int]:
    return [index for number in range(first, first + count) for index in order.batch(number)]


LENGTHS = np.random.default_rng(0).integers(20, 400, 266).tolist()


@pytest.mark.parametrize("bucket", [0, 1, 16])
def test_a_pass_has_every_sample_once_whatever_fills_the_last_batch(bucket: int) -> None:
    order = Order(LENGTHS, [0] * 266, config(bucket=bucket), 42)
    assert order.block == 89  # 88 of three and one of two
    for turn in range(3):
        assert sorted(passed(order, turn * 89, 89)) == list(range(266))
    sizes = Counter(len(order.batch(number)) for number in range(89))
    assert sizes == {3: 88, 2: 1}


def test_drop_last_leaves_two_samples_out_of_each_pass_as_the_published_code_does() -> None:
    order = Order(LENGTHS, [0] * 266, config(drop_last=True), 42)
    assert order.block == 88
    left_out = [set(range(266)) - set(passed(order, turn * 88, 88)) for turn in range(4)]
    assert [len(clips) for clips in left_out] == [2] * 4
    assert len(set.union(*left_out)) > 2


def test_a_batch_depends_on_seed_and_number_alone() -> None:
    first, again = (Order(LENGTHS, [0] * 266, config(), 42) for _ in range(2))
    straight = [first.batch(number) for number in range(300)]
    assert [again.batch(number) for number in reversed(range(300))][::-1] == straight
    assert straight[:89] != straight[89:178]
    assert Order(LENGTHS, [0] * 266, config(), 43).batch(0) != straight[0]


def test_buckets_spare_padding_and_keep_the_lengths_of_successive_batches_random() -> None:
    def padding(order: Order) -> float:
        longest = [max(LENGTHS[index] for index in order.batch(number)) for number in range(89)]
        return sum(length * len(order.batch(number)) for number, length in enumerate(longest)) / sum(LENGTHS)

    plain, bucketed = (Order(LENGTHS, [0] * 266, config(bucket=bucket), 42) for bucket in (0, 16))
    assert padding(plain) > 1.3
    assert padding(bucketed) < 1.1
    means = [np.mean([LENGTHS[index] for index in bucketed.batch(number)]) for number in range(88)]
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.3
    # Who shares a batch with whom changes from pass to pass.
    pairs = [{tuple(sorted(bucketed.batch(turn * 89 + number))) for number in range(89)} for turn in (0, 1)]
    assert len(pairs[0] & pairs[1]) < 5


def test_fewer_samples_than_a_batch_are_one_batch() -> None:
    assert sorted(Order([5, 9], [0, 0], config(batch=3), 1).batch(7)) == [0, 1]
    assert sorted(Order([5, 9], [0, 0], config(batch=3, drop_last=True), 1).batch(7)) == [0, 1]


def mixture(**data: object) -> tuple[Order, np.ndarray]:
    of = np.array([0] * 60 + [1] * 400 + [2] * 40)
    sources = [{"path": "llava:a.json", "weight": 3.0}, {"path": "cc_sbu:b.json", "weight": 1.0}]
    made = config(batch=4, weight=4.0, sources=sources, **data)
    return Order(np.random.default_rng(1).integers(20, 400, 500).tolist(), of.tolist(), made, 7), of


@pytest.mark.parametrize("whole", [False, True])
def test_sources_are_drawn_by_weight_whatever_their_size(whole: bool) -> None:
    order, of = mixture(one_source_per_batch=whole)
    drawn = Counter(of[passed(order, 0, 2000)].tolist())
    total = sum(drawn.values())
    assert [drawn[source] / total for source in range(3)] == pytest.approx([0.5, 0.375, 0.125], abs=0.02)
    # Passes of a source are whole: no sample of it comes twice before all came once.
    for source, size in enumerate((60, 400, 40)):
        seen = [index for index in passed(order, 0, 4000) if of[index] == source]
        counts = Counter(seen)
        assert max(counts.values()) - min(counts.get(index, 0) for index in np.flatnonzero(of == source)) <= 1 + (
            size % 4 != 0
        )


def test_one_source_per_batch_never_mixes_them_and_the_other_way_does() -> None:
    for whole in (True, False):
        order, of = mixture(one_source_per_batch=whole)
        kinds = [len(set(of[order.batch(number)].tolist())) for number in range(300)]
        assert (max(kinds) == 1) is whole


def test_in_a_mixture_too_a_batch_depends_on_its_number_alone() -> None:
    for whole in (True, False):
        straight = [mixture(one_source_per_batch=whole)[0].batch(number) for number in (0, 130, 999)]
        order, _ = mixture(one_source_per_batch=whole)
        order.batch(5)
        assert [order.batch(number) for number in (0, 130, 999)] == straight


def test_many_sources_of_tiny_weight_never_run_backwards() -> None:
    sources = [{"path": "llava:a.json", "weight": 0.001} for _ in range(9)]
    order = Order([10] * 20, [*range(10), *range(10)], config(batch=2, weight=1.0, sources=sources), 3)
    drawn = [index for number in range(4000) for index in order.batch(number)]
    assert len(drawn) == 8000
    assert set(drawn) == set(range(20))
