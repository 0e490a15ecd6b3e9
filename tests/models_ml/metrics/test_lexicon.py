"""The bilingual lexicon groups synonyms and finds emotion words in a description."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_ml.metrics import MetricError, group_name, groups_file, lexicon_labels, openset
from models_ml.metrics.lexicon import FILE, coverage, group_of, groups


def test_every_word_stands_in_one_group_which_has_both_languages():
    words = [word for both in groups().values() for language in both.values() for word in language]
    assert len(words) == len(set(words)) == len(group_of())
    assert all(both["en"] and both["zh"] for both in groups().values())


def test_synonyms_match_across_forms_and_languages():
    assert openset({"c": ["Happiness", "惊讶"]}, {"c": ["开心", "surprised"]})["avg"] == 1.0
    assert openset({"c": ["happy"]}, {"c": ["sad"]})["avg"] == 0.0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The woman is happy and, later, worried; so happy!", ["happy", "worried"]),
        ("She is not happy but angry.", ["angry"]),
        ("He doesn't seem sad.", []),
        ("Without any real anger he sighs.", []),
        ("He looks unhappy.", ["unhappy"]),
        ("人物非常高兴，又有些担忧。", ["高兴", "担忧"]),
        ("人物并不高兴，而是愤怒。", ["不高兴", "愤怒"]),
        ("他没有生气。", []),
        ("人物感到不高兴。", ["不高兴"]),
        ("", []),
    ],
)
def test_words_are_found_in_order_and_not_behind_a_negation(text, found):
    assert lexicon_labels(text) == found


def test_a_language_can_be_asked_for():
    assert lexicon_labels("高兴 happy", "en") == ["happy"]
    assert lexicon_labels("高兴 happy", "zh") == ["高兴"]


@pytest.mark.parametrize("text", ["[]", "{", '{"a": [[]]}', '{"a": ["x"]}', '{"a": [["x", 1]]}', '{"a": {"x": ["y"]}}'])
def test_a_groups_file_of_another_shape_is_named(tmp_path, text):
    (tmp_path / "groups.json").write_text(text, "utf-8")
    with pytest.raises(MetricError, match=r"groups\.json"):
        groups_file(tmp_path / "groups.json")


@pytest.mark.parametrize(
    ("label", "group"),
    [
        ("happiness", "joy"), ("happily", "joy"), ("happier", "joy"), ("Happiest!", "joy"), ("very happy", "joy"),
        ("a sense of happiness", "joy"), ("slightly anxious", "worry"), ("positive emotions", "positive"),
        ("frustrating", "frustration"), ("complains", "blame"), ("worries", "worry"), ("hoping", "hope"),
        ("saddened", "sadness"), ("warm-hearted", "friendliness"), ("self-assured", "confidence"),
        ("don’t believe", "doubt"), ("angry/displeased", "anger"), ("calm or neutral", "calm"),
        ("blorft and sad", "sadness"),
        ("开心的", "joy"), ("很开心", "joy"), ("有一点开心", "joy"), ("非常开心的心情", "joy"), ("幸福感", "joy"),
        ("感到不高兴", "annoyance"), ("很", None), ("的", None),
        ("unhappily", "sadness"), ("unbelievably", "doubt"), ("not happy", None), ("hapless", None), ("live", None),
        ("complied", None), ("lovely", None), ("happening", None), ("", None), ("-", None), ("   ", None),
    ],
)  # fmt: skip
def test_a_label_is_found_in_its_forms_and_strangers_are_not(label, group):
    assert group_name(label) == group


def test_forms_count_as_their_word_in_the_metric_and_coverage_is_told():
    report = {}
    assert openset({"c": ["happiness", "很难过"]}, {"c": ["happily", "sadly"]}, report=report)["avg"] == 1.0
    openset({"c": ["happiness", "blorft"]}, {"c": []}, report=report)
    assert report["vocabulary"] == {"gold": {"known": 1, "all": 2}, "pred": {"known": 0, "all": 0}}
    assert coverage(["happy", "happy", "blorft"]) == {"known": 2, "all": 3}


def test_every_group_cites_sources_that_the_file_lists_and_every_word_is_found():
    data = json.loads(FILE.read_text("utf-8"))
    assert set(data["groups"]) == set(groups())
    for name, group in data["groups"].items():
        assert group["from"], name
        assert set(group["from"]) <= set(data["sources"]), name
    assert {source for group in data["groups"].values() for source in group["from"]} == set(data["sources"])
    assert all(group_name(word) == name for word, name in group_of().items())


def test_words_that_mean_other_things_in_a_text_count_as_labels_only():
    assert group_name("open") == "sincerity"
    assert group_name("positive") == "positive"
    assert lexicon_labels("He opens the heavy door and looks at the open book, thinking.") == []


@given(st.text(max_size=40))
def test_any_label_has_a_group_or_none(label):
    assert group_name(label) is None or group_name(label) in groups()
