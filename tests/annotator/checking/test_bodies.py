"""What a person may send, and what is refused by field and clue."""

from typing import Any

import pytest

from annotator.checking import bodies, extras
from annotator.core.errors import Invalid
from annotator.prelabels.models import Clue
from tests.support import factories as make

OFFERED = [
    Clue(pk=7, modality="visual", aspect="expression", language="en", text="A frown.", span_start=0.5, span_end=1.5),
    Clue(
        pk=9,
        modality="audio",
        aspect="prosody",
        language="en",
        text="The voice is high.",
        texts={"en": "The voice is high.", "zh": "声音很高。"},
    ),
]


def body(**changes: Any) -> dict[str, Any]:
    return {**make.make_body(OFFERED), **changes}


def clue(index: int, **changes: Any) -> dict[str, Any]:
    sent = body()
    sent["clues"][index] |= changes
    return sent


def refused(sent: Any, offered: list[Clue] = OFFERED, **more: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as error:
        bodies.final(sent, offered, **more)
    assert error.value.status == 422
    return error.value.extra["errors"]


def test_a_regular_body_passes_and_has_every_key() -> None:
    clean = bodies.final(body(), OFFERED, duration=3.5)
    assert [c["id"] for c in clean["clues"]] == [7, 9]
    assert set(clean) == {"clues", "description", "ov_labels", "label", *extras.KEYS}
    assert bodies.final(clean, OFFERED) == clean


def test_every_offered_clue_needs_a_verdict_and_the_error_names_it() -> None:
    sent = body()
    del sent["clues"][1]
    errors = refused(sent)
    assert list(errors) == ["clues[id=9].verdict"]
    assert "audio prosody" in errors["clues[id=9].verdict"]
    assert list(refused(clue(0, verdict=None))) == ["clues[0].verdict"]
    assert set(refused(body(clues=[]))) == {"clues[id=7].verdict", "clues[id=9].verdict"}


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"text": "A smile."}, "clues[0].text"),
        ({"span": [0.5, 1.4]}, "clues[0].span"),
        ({"span": None}, "clues[0].span"),
        ({"aspect": "gesture"}, "clues[0].aspect"),
        ({"modality": "audio"}, "clues[0].modality"),
        ({"id": 8}, "clues[0].id"),
        ({"id": "7"}, "clues[0].id"),
        ({"id": True}, "clues[0].id"),
        ({"id": None}, "clues[0].id"),
        ({"id": [7]}, "clues[0].id"),
        ({"verdict": "added"}, "clues[0].verdict"),
        ({"verdict": "fine"}, "clues[0].verdict"),
        ({"verdict": ["kept"]}, "clues[0].verdict"),
        ({"language": "fr"}, "clues[0].language"),
        ({"verdict": "corrected", "text": " \n"}, "clues[0].text"),
        ({"verdict": "corrected", "text": None}, "clues[0].text"),
        ({"verdict": "corrected", "text": "x" * 4001}, "clues[0].text"),
        ({"verdict": "corrected", "span": [2, 1]}, "clues[0].span"),
        ({"verdict": "corrected", "span": [-1, 1]}, "clues[0].span"),
        ({"verdict": "corrected", "span": [0, 99]}, "clues[0].span"),
        ({"verdict": "corrected", "span": [0, True]}, "clues[0].span"),
        ({"verdict": "corrected", "span": [0, 10**400]}, "clues[0].span"),
        ({"verdict": "corrected", "span": "0-1"}, "clues[0].span"),
        ({"reason": "x" * 301}, "clues[0].reason"),
    ],
)
def test_a_wrong_clue_is_refused_by_its_field(changes: dict[str, Any], where: str) -> None:
    assert where in refused(clue(0, **changes), duration=3.5)


def test_a_kept_catalogue_clue_may_be_shown_in_the_other_language() -> None:
    clean = bodies.final(clue(1, language="zh", text="声音很高。"), OFFERED)
    assert clean["clues"][1]["text"] == "声音很高。"
    assert "clues[1].text" in refused(clue(1, language="zh", text="声音很低。"))
    assert "clues[0].text" in refused(clue(0, language="zh", text="A frown."))


def test_a_rejected_clue_is_stored_as_it_was_offered() -> None:
    clean = bodies.final(clue(0, verdict="rejected", text="whatever", reason="错"), OFFERED)
    assert (clean["clues"][0]["text"], clean["clues"][0]["reason"]) == ("A frown.", "错")


def test_a_clue_judged_twice_is_refused() -> None:
    sent = body()
    sent["clues"].append(sent["clues"][0])
    assert list(refused(sent)) == ["clues[2].id"]


def test_what_a_claim_shows_of_a_clue_may_be_sent_back_with_it() -> None:
    sent = clue(0, source={"prelabeller": "x"}, gate=[], texts=None, codes=None)
    assert bodies.final(sent, OFFERED)["clues"][0]["verdict"] == "kept"


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"description": {"zh": "", "en": " \n "}}, "description"),
        ({"description": None}, "description"),
        ({"description": {"zh": 5}}, "description.zh"),
        ({"description": {"zh": "好", "fr": "bien"}}, "description.fr"),
        ({"description": {"en": "x" * 20_001}}, "description.en"),
        ({"ov_labels": []}, "ov_labels"),
        ({"ov_labels": {"en": "angry"}}, "ov_labels.en"),
        ({"ov_labels": {"en": [1]}}, "ov_labels.en[0]"),
        ({"ov_labels": {"en": [f"word {n}" for n in range(51)]}}, "ov_labels.en"),
        ({"label": ["angry"]}, "label"),
        ({"clues": {}}, "clues"),
        ({"clues": [1]}, "clues[0]"),
        ({"notes": "?"}, "notes"),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, Any], where: str) -> None:
    assert where in refused(body(**changes))


@pytest.mark.parametrize("text", ["nul \x00 byte", "half \ud800 pair"])
def test_what_cannot_be_stored_is_refused_in_drafts_too(text: str) -> None:
    for sent in (body(description={"zh": text, "en": ""}), body(label=text), clue(0, verdict="corrected", text=text)):
        with pytest.raises(Invalid):
            bodies.draft(sent)
        refused(sent)


def test_one_description_language_may_be_empty() -> None:
    clean = bodies.final(body(description={"zh": "他生气。"}), OFFERED)
    assert clean["description"] == {"zh": "他生气。", "en": ""}


def test_labels_are_stripped_and_each_stands_once_in_first_seen_order() -> None:
    sent = body(ov_labels={"en": [" angry", "sad", "angry ", ""], "zh": ["生气"]})
    assert bodies.final(sent, OFFERED)["ov_labels"] == {"en": ["angry", "sad"], "zh": ["生气"]}


@pytest.mark.parametrize("sent", [None, [], "text", 3])
def test_a_body_is_an_object(sent: Any) -> None:
    refused(sent)


def test_an_unfinished_draft_is_fine() -> None:
    assert bodies.draft({"clues": [{"id": 7}]}) == {"clues": [{"id": 7}]}


def test_a_text_about_nul_is_not_a_nul() -> None:
    assert bodies.draft({"label": r"\u0000"}) == {"label": r"\u0000"}


def test_an_offered_clue_of_any_length_may_be_kept_or_shortened() -> None:
    long = Clue(pk=3, modality="text", aspect="content", language="en", text="word " * 3_000)
    for verdict, text in (("kept", long.text), ("rejected", long.text), ("corrected", long.text[:-1])):
        sent = make.make_body([long])
        sent["clues"][0] |= {"verdict": verdict, "text": text}
        assert bodies.final(sent, [long])["clues"][0]["text"] == text
    sent["clues"][0]["text"] = long.text + "and more"
    assert list(refused(sent, [long])) == ["clues[0].text"]


def test_however_many_were_offered_each_gets_its_verdict() -> None:
    many = [Clue(pk=n, modality="visual", aspect="", language="en", text=f"Clue {n}.") for n in range(1, 252)]
    assert len(bodies.final(make.make_body(many), many)["clues"]) == 251
    added = {"modality": "visual", "aspect": "", "language": "en", "text": "New.", "verdict": "added"}
    too_many = make.make_body(many)
    too_many["clues"] += [added] * 201
    assert list(refused(too_many, many)) == ["clues"]
