"""The bilingual lexicon groups synonyms and finds emotion words in a description."""

import pytest

from models_ml.metrics import MetricError, groups_file, lexicon_labels, openset
from models_ml.metrics.lexicon import group_of, groups


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
