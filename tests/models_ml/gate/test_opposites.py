"""One claim of a sentence is turned into its opposite, in both languages, and nothing else changes."""

import pytest

from models_ml.gate import find
from models_ml.gate.opposites import OPPOSITES, RULES, swaps

CASES = [
    ("She smiles warmly at him.", "en", "visual", "smile>brows_lowered", "She frowns warmly at him."),
    ("Smiling, he turns round.", "en", "visual", "smile>brows_lowered", "Frowning, he turns round."),
    ("The brows are drawn together.", "en", "visual", "brows_lowered>brows_raised", "The brows are raised."),
    ("His eyes are wide open.", "en", "visual", "eyes_wide>eyes_narrowed", "His eyes are narrowed."),
    ("He speaks quickly in a loud voice.", "en", "audio", "fast>slow", "He speaks slowly in a loud voice."),
    ("Her voice is trembling.", "en", "audio", "trembling>calm", "Her voice is calm."),
    ("He does not smile.", "en", "visual", "smile>brows_lowered", "He does not frown."),
    ("他微笑着看着对方。", "zh", "visual", "smile>brows_lowered", "他皱着眉看着对方。"),
    ("她眉头紧锁，嘴角下垂。", "zh", "visual", "lip_corners_down>smile", "她眉头紧锁，嘴角上扬。"),
    ("她说话声音很小，语速缓慢。", "zh", "audio", "soft>loud", "她说话声音很大，语速缓慢。"),
    ("语速较快，音调较高。", "zh", "audio", "high_pitch>low_pitch", "语速较快，音调较低。"),
    ("画面中的人物嘴角上扬，双唇张开。", "zh", "visual", "smile>lip_corners_down", "画面中的人物嘴角下垂，双唇张开。"),
]


@pytest.mark.parametrize(("text", "language", "modality", "rule", "wanted"), CASES)
def test_it_reads_as_a_person_would_write_it(text: str, language: str, modality: str, rule: str, wanted: str) -> None:
    assert (rule, wanted) in [(swap.rule, swap.text) for swap in swaps(text, language, modality)]


@pytest.mark.parametrize(("text", "language", "modality"), [case[:3] for case in CASES])
def test_only_the_one_claim_turns_over(text: str, language: str, modality: str) -> None:
    before = {(claim.claim, claim.negated) for claim in find(text, modality)}
    for swap in swaps(text, language, modality):
        after = {(claim.claim, claim.negated) for claim in find(swap.text, modality)}
        [gone] = before - after
        [come] = after - before
        assert (gone[0], come[0]) == (swap.claim, swap.opposite)
        assert gone[1] == come[1]
        assert swap.opposite in OPPOSITES[swap.claim]


def test_the_number_of_a_measured_clue_turns_with_its_word() -> None:
    text = "the voice is louder than usual (+4.2 dB), the speech is faster than usual (+20 %)"
    assert [swap.text for swap in swaps(text, "en", "audio")] == [
        "the voice is softer than usual (\N{MINUS SIGN}4.2 dB), the speech is faster than usual (+20 %)",
        "the voice is louder than usual (+4.2 dB), the speech is slower than usual (\N{MINUS SIGN}20 %)",
    ]


@pytest.mark.parametrize(
    ("text", "language", "modality"),
    [
        ("A man in a grey coat.", "en", "visual"),
        ("Her colleague smiles.", "en", "visual"),  # about somebody else
        ("他们在讨论天气。", "zh", "text"),
        ("", "en", "visual"),
        ("音高变化不大。", "zh", "audio"),
    ],
)
def test_what_makes_no_such_claim_is_left_alone(text: str, language: str, modality: str) -> None:
    assert swaps(text, language, modality) == []


def test_it_is_the_same_every_time() -> None:
    for text, language, modality, *_rest in CASES:
        assert swaps(text, language, modality) == swaps(text, language, modality)


def test_every_claim_with_an_opposite_has_rules_in_both_languages() -> None:
    assert set(RULES) == set(OPPOSITES)
    assert all(RULES[claim][language] for claim in RULES for language in ("en", "zh"))
