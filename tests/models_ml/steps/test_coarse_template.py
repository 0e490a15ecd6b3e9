"""MERR's coarse synthesis lays out what is there and leaves out what is not."""

import pytest

from models_ml.face import AU_WORDS
from models_ml.steps import Evidence, coarse_template
from models_ml.steps.merr import AU_NOUNS

SMILE = {
    "modality": "visual",
    "aspect": "expression",
    "language": "en",
    "text": "The person raises the cheeks.",
    "texts": {"en": "The person raises the cheeks.", "zh": "人物脸颊上提。"},
}
VOICE = {"modality": "audio", "aspect": "tone", "language": "en", "text": "The voice is bright"}
IMPLIED = {"modality": "text", "aspect": "content", "language": "zh", "text": "字幕表达了喜悦"}


def test_all_slots_filled_give_all_sentences_in_order():
    ev = Evidence("c", subtitle={"zh": "太好了！", "en": "Great!"}, clues=[IMPLIED, VOICE, SMILE])
    found = coarse_template(ev).description
    assert found["en"] == (
        "In the video: The person raises the cheeks. In the audio: The voice is bright. "
        "In the text, the subtitle reads: “Great!”"
    )
    assert found["zh"] == "在视频中，人物脸颊上提；在文本中，字幕内容：“太好了！”，字幕表达了喜悦；"


def test_an_empty_slot_leaves_its_sentence_out():
    found = coarse_template(Evidence("c", subtitle={"zh": "", "en": None}, clues=[VOICE])).description
    assert found == {"zh": None, "en": "In the audio: The voice is bright."}


def test_a_subtitle_alone_is_laid_out_in_its_own_language_only():
    found = coarse_template(Evidence("c", subtitle={"zh": "我没事", "en": None})).description
    assert found == {"zh": "在文本中，字幕内容：“我没事”；", "en": None}


def test_nothing_known_is_skipped_with_the_reason():
    result = coarse_template(Evidence("c"))
    assert result.state == "skipped"
    assert result.reason == "neither a clue nor a subtitle to lay out"
    assert result.description is None


def test_the_template_concludes_nothing():
    result = coarse_template(Evidence("c", clues=[SMILE], media_sha256="ab" * 32))
    assert result.ov_labels is None
    assert result.provenance["prelabeller"] == "coarse-template"
    assert result.provenance["model"] is None
    assert result.provenance["media_sha256"] == "ab" * 32


def test_clues_of_one_modality_join_expression_before_scene_without_repetition():
    scene = {"modality": "visual", "aspect": "scene", "language": "en", "text": "It is dark."}
    found = coarse_template(Evidence("c", clues=[scene, SMILE, SMILE])).description
    assert found["en"] == "In the video: The person raises the cheeks; It is dark."


def test_a_measured_clue_does_not_say_twice_where_it_comes_from():
    clues = [
        {"modality": "visual", "aspect": "expression", "language": "zh", "text": "画面中的人物嘴角上扬。"},
        {"modality": "audio", "aspect": "prosody", "language": "zh", "text": "从声音看，语调平直。"},
    ]
    found = coarse_template(Evidence("c", clues=clues)).description
    assert found["zh"] == "在视频中，人物嘴角上扬；在音频中，语调平直；"


SCENE = {"modality": "visual", "aspect": "scene", "language": "en", "text": "The person is standing at a table."}
TONE = {"modality": "audio", "aspect": "tone", "language": "en", "text": "The speaker's voice is bright and quick."}
UNITS = {
    **SMILE,
    "text": "The person raises the cheeks and pulls the lip corners up.",
    "codes": {"kind": "au", "aus": {"AU06": 1.0, "AU12": 2.0}},
}


def merr(*clues, zh=None, en=None):
    result = coarse_template(Evidence("c", subtitle={"zh": zh, "en": en}, clues=list(clues)), form="merr")
    assert result.provenance["parameters"]["form"] == "merr"
    return result.description


def test_merrs_template_is_the_published_sentence():
    assert merr(TONE, UNITS, SCENE, en="Great!")["en"] == (
        "This person in the video is standing at a table. The person's expression and actions include raised cheeks "
        "and lip corners pulled up, and the person's tone is bright and quick. Saying: Great!"
    )


@pytest.mark.parametrize(
    ("clues", "text"),
    [
        ([UNITS, TONE], "The person's expression and actions include raised cheeks and lip corners pulled up, and the "
                        "person's tone is bright and quick."),
        ([SCENE, TONE], "This person in the video is standing at a table. The person's tone is bright and quick."),
        ([SCENE], "This person in the video is standing at a table."),
        ([], "Saying: Great!"),
        ([TONE], "The person's tone is bright and quick. Saying: Great!"),
    ],
)  # fmt: skip
def test_an_empty_slot_of_merrs_template_leaves_a_whole_sentence(clues, text):
    assert merr(*clues, en="Great!" if "Saying" in text else None)["en"] == text


def test_clues_that_do_not_fit_behind_the_templates_words_stand_on_their_own():
    clues = [
        {**SCENE, "text": "A woman sits in a café."},
        {**SMILE, "texts": None, "text": "She smiles at first, then looks away."},
        {**TONE, "text": "Sounds cheerful."},
    ]
    assert merr(*clues)["en"] == (
        "This person in the video is seen as follows: A woman sits in a café. The person's expression and actions "
        "include the following: She smiles at first, then looks away, and the person's tone is as follows: "
        "Sounds cheerful."
    )


def test_merrs_template_in_chinese():
    clues = [
        {**SCENE, "language": "zh", "text": "人物站在厨房的桌边。"},
        UNITS,
        {**TONE, "language": "zh", "text": "声音明亮。"},
    ]
    assert merr(*clues, zh="太好了")["zh"] == (
        "视频中的人物：站在厨房的桌边。人物的表情和动作包括：脸颊上提，说话的语气：声音明亮。所说的话：“太好了”"
    )
    assert merr() is None


def test_every_action_unit_that_has_words_has_a_noun_for_merrs_template():
    assert set(AU_NOUNS) == set(AU_WORDS)
