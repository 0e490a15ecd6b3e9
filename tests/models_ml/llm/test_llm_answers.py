"""What becomes of a model's raw answer: cleaned text, or a named failure."""

import pytest

from models_ml.llm import ModelFailure, clean, is_refusal, json_object, language_of, usable_text
from models_ml.steps import parse_ov_labels


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("  The person smiles. \n", "The person smiles."),
        ("Output: The person smiles.", "The person smiles."),
        ("输出：人物在微笑。", "人物在微笑。"),
        ("<think>\nhm, let me see\n</think>\n\nThe person smiles.", "The person smiles."),
        ("```json\n[]\n```", "[]"),
        ("Outputs are loud voices.", "Outputs are loud voices."),
        ('Maybe {"a": 1}?\n</think>\n\nShe is sad.', "She is sad."),  # the server's template opened the block
        ("<think>I wonder", ""),
        ("<thinking>Hm.</thinking>She is sad.", "She is sad."),
    ],
)
def test_scaffolding_of_models_is_stripped_and_nothing_else(raw, cleaned):
    assert clean(raw) == cleaned


def test_signs_that_no_database_keeps_are_left_out_wherever_they_come_from():
    assert usable_text("The person\x00 smiles\x1b.\nShe\tlaughs.", "en") == "The person smiles.\nShe\tlaughs."
    written = '{"description": {"en": "a\\u0000b \\ud83d\\ude00 \\ud83d"}, "x\\u0000": ["\\u0007 ok"]}'
    assert json_object(written) == {"description": {"en": "ab 😀 "}, "x": [" ok"]}
    assert parse_ov_labels('["happy\\u0000", "sad"]') == ["happy", "sad"]


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I am sorry, I cannot identify people.",
        "Sorry, I can't do this.",
        "As an AI language model, I have no eyes.",
        "I cannot assist with this request.",
        "抱歉，我无法描述这个人。",
        "对不起，作为人工智能我不能判断。",
        "我无法协助完成这个请求。",
    ],
)
def test_refusals_are_recognised_in_both_languages(text):
    assert is_refusal(text)
    with pytest.raises(ModelFailure) as caught:
        usable_text(text, "zh" if "我" in text else "en")
    assert caught.value.code == "refusal"


@pytest.mark.parametrize(
    "text",
    [
        "The person says “I'm sorry, I can't” and looks down.",
        "人物低着头说“对不起，我不能去了”，显得很难过。",
        "Sorry and ashamed, the person avoids the gaze.",
        "I can see a woman who is smiling.",
    ],
)
def test_a_person_who_is_sorry_is_no_refusal(text):
    assert not is_refusal(text)


def test_the_language_is_that_of_the_larger_share():
    assert language_of("The subtitle 我没事，你放心吧 sounds calm but the trembling voice says otherwise.") == "en"
    assert language_of("人物说了 OK 和 bye，语气显得很无奈。") == "zh"
    assert language_of("123 … !!") is None


@pytest.mark.parametrize(
    ("text", "language", "code"),
    [
        ("   ", "en", "empty"),
        ("<think>only thoughts</think>", "en", "empty"),
        ("...!! 42", "en", "not_text"),
        ("<!DOCTYPE html><html><body>502</body></html>", "en", "not_text"),
        ("<!-- proxy --><p>Bad gateway</p>", "en", "not_text"),
        ('<div class="error">Bad gateway</div>', "en", "not_text"),
        ("人物在微笑。", "en", "wrong_language"),
        ("The person smiles.", "zh", "wrong_language"),
    ],
)
def test_what_is_no_text_in_the_asked_language_is_a_named_failure(text, language, code):
    with pytest.raises(ModelFailure) as caught:
        usable_text(text, language, calls=3)
    assert (caught.value.code, caught.value.calls) == (code, 3)


def test_what_a_model_only_thought_is_not_its_json():
    assert json_object('Perhaps {"a": 1}. No.</think>{"a": 2}') == {"a": 2}


def test_a_json_object_is_found_inside_chatter_and_fences():
    assert json_object('Here it is: {"a": {"b": "}"}} Hope it helps {') == {"a": {"b": "}"}}
    assert json_object('```json\n{"a": 1}\n```') == {"a": 1}


@pytest.mark.parametrize(
    ("text", "code"),
    [("", "empty"), ('{"a": "hal', "bad_json"), ("[1]", "bad_json"), ("I'm sorry, but I can't.", "refusal")],
)
def test_half_a_json_or_none_is_a_named_failure(text, code):
    with pytest.raises(ModelFailure) as caught:
        json_object(text)
    assert caught.value.code == code
