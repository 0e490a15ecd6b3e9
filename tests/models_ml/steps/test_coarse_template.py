"""MERR's coarse synthesis lays out what is there and leaves out what is not."""

from models_ml.steps import Evidence, coarse_template

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
