"""What is a claim, whose it is and how it is said; and what is none."""

import pytest

from models_ml.gate import find


def found(text, modality="visual"):
    """ "smile", "smile!" where it is denied, "smile@" where it is another person's."""
    return {c.claim + "!" * c.negated + "@" * (c.who == "other") for c in find(text, modality)}


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("The corners of her mouth are turned up.", {"smile"}),
        ("嘴角上扬，眉头紧锁。", {"smile", "brows_lowered"}),
        ("She is smiling and raising her brows.", {"smile", "brows_raised"}),
        ("Her brows and cheeks are raised.", {"brows_raised", "cheeks_raised"}),
        ("Her inner brows are raised.", {"inner_brows_raised"}),
        ("他提高了嗓门。", {"loud"}),
        ("Her voice is soft, slow and slightly hoarse.", {"soft", "slow", "breathy"}),
        ("说话人沉默不语。", {"silent"}),
        ("她 smile 了一下，没有 frown。", {"smile", "brows_lowered!"}),
        ("她没有微笑；the brows are lowered.", {"smile!", "brows_lowered"}),
    ],
)
def test_claims_in_both_languages(text, claims):
    assert found(text) == claims


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("He neither smiles nor frowns.", {"smile!", "brows_lowered!"}),
        ("He does not smile and raises his brows.", {"smile!", "brows_raised"}),
        ("Without raising her brows, she smiles.", {"brows_raised!", "smile"}),
        ("Her voice is not loud but trembling.", {"loud!", "trembling"}),
        ("He can't help smiling.", {"smile"}),
        ("He doesn’t smile.", {"smile!"}),
        ("No trace of a smile can be seen.", {"smile!"}),
        ("他没有皱眉，而是微笑。", {"brows_lowered!", "smile"}),
        ("他忍不住笑了。", {"smile"}),
        ("她的声音不大，但有些颤抖。", {"loud!", "trembling"}),
        ("没有皱眉或微笑。", {"brows_lowered!", "smile!"}),
    ],
)
def test_negation_reaches_as_far_as_its_clause(text, claims):
    assert found(text) == claims


@pytest.mark.parametrize(
    "text",
    [
        "As if about to smile, she looks down.",
        "She would shout if he came closer.",
        "Is she smiling?",
        "She had been smiling before the clip begins.",
        "仿佛要笑出来。",
        "她在笑吗？",
        "如果他同意，她会微笑。",
        "The crescent moon curves like a smile.",
        "墙上的海报里有人在微笑。",
        "He is angry and rolls his eyes.",
        "他哈哈大笑。",
        "",
        " \n\t",
        "🙂🙂🙂",
    ],
)
def test_what_is_imagined_asked_past_or_a_thing_is_no_claim(text):
    assert found(text) == set()


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("The woman beside him smiles.", {"smile@"}),
        ("The woman beside him smiles, and he frowns.", {"smile@", "brows_lowered"}),
        ("She smiles at her colleague.", {"smile"}),
        ("She watches her colleague smile.", {"smile@"}),
        ("His colleague's voice is loud.", {"loud@"}),
        ("对方皱着眉，他却面带微笑。", {"brows_lowered@", "smile"}),
        ("她对同事微笑。", {"smile"}),
        ("The woman behind the counter smiles.", {"smile"}),
    ],
)
def test_whose_face_is_spoken_of(text, claims):
    assert found(text) == claims


def test_a_hedge_is_noted_and_changes_nothing_else():
    (plain,), (hedged,) = find("She smiles."), find("She seems to smile.")
    assert (plain.hedged, hedged.hedged) == (False, True)
    assert (hedged.claim, hedged.negated) == ("smile", False)
    assert [c.hedged for c in find("她似乎在微笑。")] == [True]


def test_quoted_words_are_a_claim_about_the_subtitle_and_none_about_the_face():
    for text in ("She says “smile for me”.", 'She says "smile for me".', "她说“给我笑一个”。", "她说「给我笑一个」。"):
        assert [c.claim for c in find(text, "text")] == ["quote"], text


def test_a_sign_is_not_what_somebody_said():
    assert found('A sign reads "No smoking in this area".', "text") == set()
    assert found("墙上写着“禁止吸烟”四个字。", "text") == set()


@pytest.mark.parametrize("text", ["SHE SMILES.", "Ｓｈｅ ｓｍｉｌｅｓ．", "She\nsmiles.", "- She smiles\n- no"])
def test_case_width_and_lines_do_not_matter(text):
    (claim,) = find(text)
    assert claim.claim == "smile"
    assert "ｓmｉ"[0] in text[claim.start : claim.end].lower() or "smiles" in text[claim.start : claim.end].lower()


def test_one_mention_counts_once_and_stands_where_it_says():
    text = "She smiles. Her smile is broad. She does not smile at the end."
    claims = find(text)
    assert [(c.claim, c.negated) for c in claims] == [("smile", False), ("smile", True)]
    assert [text[c.start : c.end] for c in claims] == ["smiles", "smile"]


def test_bare_adjectives_speak_of_a_voice_in_audio_clues_only():
    text = "Soft and slow, the words come."
    assert found(text, "audio") >= {"soft"}
    assert "soft" not in found(text, "visual")


def test_a_long_clue_is_read_whole():
    text = "The room is bright and nothing happens here. " * 110 + "At last she smiles."
    assert len(text) > 4900
    (claim,) = find(text)
    assert text[claim.start : claim.end] == "smiles"
