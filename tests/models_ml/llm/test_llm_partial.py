"""Reading a JSON answer that is still coming."""

import json

from models_ml.llm.partial import texts

WHOLE = json.dumps(
    {
        "contradictions": [{"what": "x"}],
        "description": {"zh": "他说：“好\n的”", "en": 'He says "OK" \\ 😀.'},
        "ov_labels": {},
    }
)


def test_every_beginning_of_an_answer_gives_a_beginning_of_its_texts() -> None:
    whole = json.loads(WHOLE)["description"]
    for answer in (WHOLE, json.dumps(json.loads(WHOLE), ensure_ascii=False)):
        longest = {"zh": 0, "en": 0}
        for end in range(len(answer) + 1):
            for name, text in texts(answer[:end], "description", whole).items():
                assert whole[name].startswith(text), answer[:end]
                assert len(text) >= longest[name], answer[:end]
                longest[name] = len(text)
        assert texts(answer, "description", whole) == whole


def test_only_the_names_asked_for_and_only_in_that_object() -> None:
    assert texts('{"zh": "no", "description": {"en": "He smi', "description", ("zh", "en")) == {"en": "He smi"}
    assert texts('```json\n{"description": {"fr": "non", "en": "yes"', "description", ("en",)) == {"en": "yes"}


def test_what_is_no_json_gives_nothing() -> None:
    for answer in (
        "",
        "I think that",
        "{'description': {'en': 'x'}}",
        '{"description": ["a"]}',
        '{"description": {"en": 3}}',
    ):
        assert texts(answer, "description", ("en",)) == {}
