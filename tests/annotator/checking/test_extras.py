"""Scores, felt versus shown, conflict, translation states and replies: what is kept, and what is refused by field."""

from typing import Any

import pytest

from annotator.checking import bodies, extras
from annotator.core.errors import Invalid
from tests.support import factories as make


def final(**more: Any) -> dict[str, Any]:
    return bodies.final(make.make_body(**more), [])


def refused(**more: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as error:
        final(**more)
    errors: dict[str, str] = error.value.extra["errors"]
    return errors


def test_a_body_that_says_none_of_it_is_regular() -> None:
    clean = final()
    assert {key: clean[key] for key in extras.KEYS} == {
        "ov_scores": {},
        "display": None,
        "conflict": None,
        "translation": {},
        "reply": "",
    }
    empty = dict.fromkeys(extras.KEYS)
    assert final(**empty) == clean
    assert final(ov_scores={"zh": {}, "en": {"angry": {"intensity": None}}}, display={}, conflict={}) == clean


def test_what_is_said_is_kept_and_regular_again() -> None:
    said: dict[str, Any] = {
        "ov_scores": {"zh": {"生气": {"intensity": 4, "confidence": 2}}, "en": {"angry": {"intensity": 5}}},
        "display": {"relation": "masked", "felt": ["sad", " sad ", ""], "shown": ["平静"]},
        "conflict": {"modalities": ["text", "visual"], "note": "笑着说难过的话"},
        "translation": {"zh": "own", "en": "confirmed"},
        "reply": "I looked again: he does frown.",
    }
    clean = final(**said)
    assert clean["ov_scores"]["en"] == {"angry": {"intensity": 5, "confidence": None}}
    assert clean["display"] == {"relation": "masked", "felt": ["sad"], "shown": ["平静"]}
    assert clean["conflict"]["modalities"] == ["visual", "text"]
    assert (clean["translation"], clean["reply"]) == (said["translation"], said["reply"])
    assert bodies.final(clean, []) == clean


def test_work_is_no_part_of_what_is_said() -> None:
    assert final(work={"active_s": 3}) == final()


@pytest.mark.parametrize(
    ("said", "where"),
    [
        ({"ov_scores": []}, "ov_scores"),
        ({"ov_scores": {"fr": {}}}, "ov_scores.fr"),
        ({"ov_scores": {"en": ["angry"]}}, "ov_scores.en"),
        ({"ov_scores": {"en": {"angry": 4}}}, "ov_scores.en.angry"),
        ({"ov_scores": {"en": {"calm": {"intensity": 1}}}}, "ov_scores.en.calm"),
        ({"ov_scores": {"en": {"angry": {"intensity": 6}}}}, "ov_scores.en.angry.intensity"),
        ({"ov_scores": {"en": {"angry": {"confidence": 2.5}}}}, "ov_scores.en.angry.confidence"),
        ({"ov_scores": {"en": {"angry": {"confidence": True}}}}, "ov_scores.en.angry.confidence"),
        ({"ov_scores": {"en": {"angry": {"certainty": 2}}}}, "ov_scores.en.angry.certainty"),
        ({"display": "masked"}, "display"),
        ({"display": {"felt": ["sad"]}}, "display.relation"),
        ({"display": {"relation": "hidden"}}, "display.relation"),
        ({"display": {"relation": "masked", "felt": "sad"}}, "display.felt"),
        ({"display": {"relation": "masked", "shown": [3]}}, "display.shown[0]"),
        ({"display": {"relation": "masked", "shown": ["x" * 81]}}, "display.shown[0]"),
        ({"display": {"relation": "masked", "felt": ["a"] * 21}}, "display.felt"),
        ({"conflict": {"modalities": "visual"}}, "conflict.modalities"),
        ({"conflict": {"modalities": ["visual"]}}, "conflict.modalities"),
        ({"conflict": {"modalities": ["visual", "smell"]}}, "conflict.modalities"),
        ({"conflict": {"note": "they disagree"}}, "conflict.modalities"),
        ({"conflict": {"modalities": ["visual", "audio"], "note": "x" * 1001}}, "conflict.note"),
        ({"translation": {"en": "fresh"}}, "translation.en"),
        ({"translation": {"fr": "own"}}, "translation.fr"),
        ({"translation": []}, "translation"),
        ({"reply": ["no"]}, "reply"),
        ({"reply": "x" * 4001}, "reply"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(said: dict[str, Any], where: str) -> None:
    assert list(refused(**said)) == [where]


def test_a_draft_keeps_them_however_unfinished() -> None:
    raw = {"ov_scores": {"en": {"calm": {"intensity": 9}}}, "display": 3, "reply": "so far"}
    assert bodies.draft(raw) == raw
