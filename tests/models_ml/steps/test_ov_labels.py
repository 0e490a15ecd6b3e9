"""Open-vocabulary labels are read from whatever form models write them in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_ml.llm import ModelFailure
from models_ml.steps import parse_ov_labels


@pytest.mark.parametrize(
    ("answer", "labels"),
    [
        ('["happy", "sad"]', ["happy", "sad"]),
        ("['happy', 'sad']", ["happy", "sad"]),
        ("""["don't believe", 'doubt']""", ["don't believe", "doubt"]),
        ("[happy, sad, angry]", ["happy", "sad", "angry"]),
        ("[happy, don't care]", ["happy", "don't care"]),
        ("[高兴，激动]", ["高兴", "激动"]),
        ("[“高兴”、“激动”]", ["高兴", "激动"]),
        ("[]", []),
        ("The labels are: [Happy, happy , SAD].", ["happy", "sad"]),
        ('{"labels": ["happy"]}', ["happy"]),
        ('```json\n["looking forward to"]\n```', ["looking forward to"]),
        ("Output: ['worried']", ["worried"]),
        ("[ ]", []),
        ("[[happy], [sad]]", ["happy", "sad"]),
        ('[["happy", "glad"], ["sad"]]', ["happy", "glad", "sad"]),
        ("1. happy\n2. don't care\n3) sad", ["happy", "don't care", "sad"]),
        ("The emotions are:\n- **Happy**\n- *sad*", ["happy", "sad"]),
        ("1、高兴\n2、激动", ["高兴", "激动"]),
        ("**Labels:** happy, looking forward to", ["happy", "looking forward to"]),
        ("Emotion labels: [“happy”, “sad”]", ["happy", "sad"]),
        ("情绪标签：高兴、激动。", ["高兴", "激动"]),
        ("['`happy`']", ["`happy`"]),
        ("[**happy**, sad]", ["happy", "sad"]),
        ("Input: the man shouts. Output: [angry]", ["angry"]),
        ('{"emotions": ["happy"], "reason": "smiles"}', ["happy"]),
        ("[none]", []),
        ('["无"]', []),
        ("<think>is he [sad]?</think>['happy']", ["happy"]),
    ],
)
def test_every_known_form_is_read(answer, labels):
    assert parse_ov_labels(answer) == labels


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("", "empty"),
        ("I'm sorry, but I can't help with that.", "refusal"),
        ("抱歉，我无法回答。", "refusal"),
        ("The person is happy.", "bad_json"),
        ("Face: [happy]; voice: [sad]", "bad_json"),
        ('["I cannot identify emotions"]', "refusal"),
        ("1. I'm sorry, but I can't do this.", "refusal"),
        ("happy", "bad_json"),
        ('["happy", 3]', "bad_json"),
        ("[" + "very long sentence that is no label " * 4 + "]", "bad_json"),
        ('["happy", "sa', "bad_json"),
    ],
)
def test_what_is_no_list_of_labels_is_a_named_failure(answer, code):
    with pytest.raises(ModelFailure) as caught:
        parse_ov_labels(answer)
    assert caught.value.code == code


@given(st.text(max_size=80))
def test_any_answer_gives_labels_or_a_model_failure(answer):
    try:
        labels = parse_ov_labels(answer)
    except ModelFailure:
        return
    assert all(label and label == label.strip() for label in labels)
    assert len(set(labels)) == len(labels)
