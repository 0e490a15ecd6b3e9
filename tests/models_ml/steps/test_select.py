"""Thinning keeps what it says, drops what it says, and never depends on the order of the samples."""

import random
import time
import tracemalloc
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_ml.steps import select

STORY = (
    "The woman lowers her brows and presses her lips together while her voice trembles. She looks away from the man, "
    "then back at him, and her shoulders drop; from these clues one can infer that she is disappointed and hurt. "
)
STORY_ZH = (
    "人物眉头紧锁，嘴唇紧闭，说话的声音发颤，目光从对方脸上移开，随后又看回去，肩膀垂了下来。可以推断她既失望又难过。"
)


def dropped(samples, threshold=0.8, rank=None):
    texts = dict(samples)
    rank = rank or dict.fromkeys(texts, (0.0,))
    return select.near_duplicates(samples, threshold, rank=rank, texts=lambda names: {n: texts[n] for n in names})


labelled = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=4),
    st.lists(st.sampled_from(["joy", "anger", "fear", "sadness"]), max_size=3),
    max_size=40,
)


@given(labelled, st.integers(1, 5), st.integers(0, 3))
def test_no_label_is_left_above_the_cap_and_the_order_does_not_matter(samples, cap, seed):
    found = select.cap_labels(samples.items(), cap, seed=seed)
    kept = Counter(label for name, labels in samples.items() if name not in found for label in set(labels))
    assert all(count <= cap for count in kept.values())
    shuffled = random.Random(seed).sample(sorted(samples.items()), len(samples))
    assert select.cap_labels(shuffled, cap, seed=seed) == found
    # What is dropped had to be: its label is full without it.
    assert all(kept[label] == cap and label in samples[name] for name, label in found.items())


def test_a_common_label_costs_no_rare_one():
    samples = [(f"happy{n}", ["joy"]) for n in range(50)] + [(f"rare{n}", ["joy", "disgust"]) for n in range(3)]
    found = select.cap_labels(samples, 5)
    assert len(found) == 48
    assert not [name for name in found if name.startswith("rare")]
    assert set(found.values()) == {"joy"}


def test_another_seed_keeps_others_and_a_sample_without_labels_stays():
    samples = [(f"c{n}", ["joy"]) for n in range(40)] + [("bare", [])]
    assert select.cap_labels(samples, 10, seed=1) != select.cap_labels(samples, 10, seed=2)
    assert "bare" not in select.cap_labels(samples, 1)
    with pytest.raises(ValueError, match="at least 1"):
        select.cap_labels(samples, 0)


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        (STORY * 2, (STORY * 2).replace("shoulders", "arms")),
        (STORY_ZH * 3, (STORY_ZH * 3).replace("肩膀", "手臂", 1)),
        (STORY, "  " + STORY.upper()),
    ],
    ids=["english", "chinese", "case and spaces"],
)
def test_a_text_with_few_words_changed_is_a_near_duplicate(text, changed):
    found = dropped([("b", changed), ("a", text)])
    assert list(found) == ["b"]
    kept, near = found["b"]
    assert kept == "a"
    assert 0.8 <= near <= 1


def test_other_texts_are_none_and_the_best_of_several_is_kept():
    other = "A man laughs loudly at the table, claps his hands and calls for more wine; he is delighted."
    samples = [("a", STORY), ("b", STORY), ("c", STORY), ("x", other), ("z", STORY_ZH)]
    found = dropped(samples, rank={"a": (2.0,), "b": (1.0,), "c": (2.0,), "x": (0.0,), "z": (0.0,)})
    assert found == {"a": ("b", 1.0), "c": ("b", 1.0)}


def test_near_duplicates_are_the_same_in_any_order_and_chains_do_not_spread():
    words = (STORY * 2).split()
    samples = []
    for n in range(30):  # each differs a little more from the first
        samples.append((f"s{n:02}", " ".join(words[n:] + [f"end{k}" for k in range(n)])))
    found = dropped(samples)
    assert dropped(random.Random(5).sample(samples, len(samples))) == found
    kept = [name for name, _ in samples if name not in found]
    assert len(kept) > 1
    assert {twin for twin, _ in found.values()} <= set(kept)
    texts = dict(samples)
    for name in kept:
        earlier = [other for other in kept if other < name]
        near = [select.jaccard(select.shingles(texts[name]), select.shingles(texts[other])) for other in earlier]
        assert all(value < 0.8 for value in near)


def test_jaccard_is_that_of_the_character_n_grams():
    one, other = "abcdefgh", "abcdefgx"  # 5-grams: 4 each, 3 shared
    assert select.jaccard(select.shingles(one), select.shingles(other)) == 3 / 5
    assert len(select.shingles("")) == 1  # nothing is a text of its own


@pytest.mark.parametrize("threshold", [0.4, 1.1])
def test_a_threshold_that_means_nothing_is_refused(threshold):
    with pytest.raises(ValueError, match="threshold"):
        dropped([("a", STORY)], threshold)


def test_ten_thousand_descriptions_are_compared_in_bounded_memory_and_time():
    chooser = random.Random(7)
    vocabulary = [f"{chooser.randrange(36**5):x}" for _ in range(3000)]
    base = [" ".join(chooser.choices(vocabulary, k=60)) for _ in range(9000)]
    texts = {f"{n:05}": text for n, text in enumerate(base + [f"{text} again" for text in base[:1000]])}
    rank = dict.fromkeys(texts, (0.0,))
    started = time.monotonic()
    tracemalloc.start()
    found = select.near_duplicates(
        iter(texts.items()), 0.8, rank=rank, texts=lambda names: {name: texts[name] for name in names}
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert {name: twin for name, (twin, _) in found.items()} == {f"{9000 + n:05}": f"{n:05}" for n in range(1000)}
    assert peak < 40 << 20  # some 300 MB would be ten times as many samples' bound
    assert time.monotonic() - started < 60


def test_rare_emotions_are_found_by_action_units_labels_and_words_in_both_languages():
    signs = select.rare_signs(
        "disgust",
        labels=["厌恶", "angry"],
        texts=["She looks repulsed.", "他感到恶心，但并不反感。"],
        units={"AU09": 1.0, "AU10": 2.0, "AU25": 1.0},
    )
    assert signs == ["AU09+AU10 (mean 1.5)", "label 厌恶", "text repulsed", "text 恶心"]
    assert select.rare_signs("厌恶", labels=["Disgusted"]) == ["label Disgusted"]


def test_what_is_not_that_emotion_is_not_found():
    assert select.rare_signs("disgust", labels=["happy"], texts=["She is not disgusted."], units={"AU12": 3.0}) == []
    with pytest.raises(ValueError, match="smelly"):
        select.rare_signs("smelly")


def test_labels_of_both_languages_fall_into_one_group():
    assert select.grouped(["Joyful", "高兴", "sehnsucht"]) == ("joy", "sehnsucht")


def test_a_share_is_kept_by_name_and_seed_alone():
    kept = [n for n in range(10_000) if select.chance(3, f"clip{n}") < 0.2]
    assert 1900 < len(kept) < 2100
    assert select.chance(3, "clip1") != select.chance(4, "clip1")
