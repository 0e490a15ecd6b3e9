"""Splits keep related clips on one side, hit their sizes, and depend on nothing but their inputs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotator.core.errors import Invalid
from annotator.snapshots.splits import Item, assign, parse_sizes


def item(name: str, label: str = "", source: str = "", speaker: str = "") -> Item:
    return Item(name, label, {"source": source, "speaker": speaker})


def test_counts_are_met_exactly_when_nothing_is_related() -> None:
    items = [item(f"样本_{i:03}", label=("happy", "sad", "angry")[i % 3]) for i in range(332)]
    result = assign(items, {"train": 266, "test": 66})
    assert {name: len(names) for name, names in result.items()} == {"train": 266, "test": 66}
    assert not set(result["train"]) & set(result["test"])


def test_labels_are_spread_like_the_whole() -> None:
    items = [item(f"c{i:03}", label="rare" if i % 10 == 0 else "common") for i in range(200)]
    result = assign(items, {"train": 0.8, "test": 0.2})
    rare = {f"c{i:03}" for i in range(0, 200, 10)}
    assert len(rare & set(result["test"])) == 4


def test_clips_linked_through_source_or_speaker_stand_on_one_side() -> None:
    # a-b share a source, b-c a speaker: the three are one group
    items = [item("a", source="v1"), item("b", source="v1", speaker="s1"), item("c", speaker="s1")]
    items += [item(f"x{i}", source=f"w{i}") for i in range(9)]
    result = assign(items, {"train": 0.75, "test": 0.25})
    for names in result.values():
        assert len({"a", "b", "c"} & set(names)) in (0, 3)


def test_grouping_can_be_turned_off() -> None:
    items = [item(f"c{i}", speaker="the only one") for i in range(10)]
    result = assign(items, {"train": 8, "test": 2}, group_by=[])
    assert [len(result["train"]), len(result["test"])] == [8, 2]


def test_one_group_that_holds_everything_is_refused_by_name() -> None:
    items = [item(f"c{i}", speaker="the only one") for i in range(10)]
    with pytest.raises(Invalid, match="test"):
        assign(items, {"train": 0.8, "test": 0.2})


def test_a_share_that_rounds_to_no_clip_is_refused_by_name() -> None:
    with pytest.raises(Invalid, match="test"):
        assign([item(f"c{i}") for i in range(3)], {"train": 0.9, "test": 0.1})


def test_more_than_there_is_is_refused() -> None:
    with pytest.raises(Invalid, match="12"):
        assign([item(f"c{i}") for i in range(10)], {"train": 10, "test": 2})


def test_what_is_beyond_the_sizes_stands_in_no_split() -> None:
    result = assign([item(f"c{i}") for i in range(10)], {"train": 5, "test": 2})
    assert sorted(len(names) for names in result.values()) == [2, 5]


@pytest.mark.parametrize(
    "text",
    [
        "train=0.8,test=5",
        "train",
        "train=0",
        "train=1.5",
        "a=0.9,b=0.9",
        "a=1,a=2",
        "训练=1",
        "x" * 41 + "=1",
        "-=1",
        "../x=1",
    ],
)
def test_a_wrong_split_is_a_named_error(text: str) -> None:
    with pytest.raises(Invalid):
        parse_sizes(text)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12), st.integers(0, 12)), min_size=4, max_size=60),
    st.integers(0, 5),
    st.randoms(),
)
def test_no_group_is_ever_cut_and_order_does_not_matter(rows: list, seed: int, random: object) -> None:
    items = [item(f"n{i}", label, f"v{v}" if v else "", f"s{s}" if s else "") for i, (label, v, s) in enumerate(rows)]
    shuffled = list(items)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    try:
        result = assign(items, {"train": 0.7, "test": 0.3}, seed=seed)
    except Invalid:
        with pytest.raises(Invalid):
            assign(shuffled, {"train": 0.7, "test": 0.3}, seed=seed)
        return
    assert assign(shuffled, {"train": 0.7, "test": 0.3}, seed=seed) == result
    side = {name: split for split, names in result.items() for name in names}
    assert set(side) == {i.name for i in items}
    for key in ("source", "speaker"):
        for value in {i.groups[key] for i in items} - {""}:
            assert len({side[i.name] for i in items if i.groups[key] == value}) == 1
