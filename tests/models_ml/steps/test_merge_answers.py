"""A merged description is taken over only when all that was asked for is there."""

import json

import pytest

from models_ml.llm import ModelFailure, NotConfigured
from models_ml.steps import PIPELINES, STEPS, Evidence, base_name, run_step
from models_ml.steps.merge import read_merged

GOOD = {
    "description": {"en": "The person smiles, so they are happy.", "zh": "人物面带微笑，因此是高兴的。"},
    "ov_labels": {"en": ["Happy", "happy"], "zh": ["高兴"]},
}


def test_a_whole_answer_is_read():
    description, labels = read_merged("Sure!\n" + json.dumps(GOOD, ensure_ascii=False))
    assert description == GOOD["description"]
    assert labels == {"zh": ["高兴"], "en": ["happy"]}


def test_a_python_dict_and_a_bracketed_string_say_the_same():
    text = repr(GOOD | {"ov_labels": {"en": "[happy, content]", "zh": "[]"}})
    assert read_merged(text)[1] == {"zh": [], "en": ["happy", "content"]}


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (json.dumps(GOOD)[:60], "bad_json"),
        ("{}", "bad_json"),
        (json.dumps(GOOD | {"ov_labels": ["happy"]}), "bad_json"),
        (json.dumps(GOOD | {"description": {"en": "The person smiles."}}), "bad_json"),
        (json.dumps(GOOD | {"ov_labels": {"en": ["happy"]}}), "bad_json"),
        (json.dumps(GOOD | {"description": {"en": "The person smiles.", "zh": ""}}), "empty"),
        (json.dumps(GOOD | {"description": {"en": "The person smiles.", "zh": "still English"}}), "wrong_language"),
        (json.dumps(GOOD | {"description": {"en": "I'm sorry, but I can't.", "zh": "好的"}}), "refusal"),
        ("抱歉，我无法完成。", "refusal"),
        ("", "empty"),
    ],
)
def test_anything_less_is_a_named_failure_that_counts_its_calls(answer, code):
    with pytest.raises(ModelFailure) as caught:
        read_merged(answer, calls=2)
    assert (caught.value.code, caught.value.calls) == (code, 2)


@pytest.mark.parametrize("name", [name for name, spec in STEPS.items() if spec.endpoint])
def test_without_an_endpoint_a_model_step_says_how_to_configure_one(name, tmp_path):
    ev = Evidence("c", media_path=tmp_path / "c.mp4", subtitle={"zh": "我没事", "en": None})
    ev.draft = {"description": {"zh": "人物微笑。", "en": None}, "ov_labels": None}
    with pytest.raises(NotConfigured, match=f"{STEPS[name].endpoint}_BASE_URL"):
        run_step(name, ev)


@pytest.mark.parametrize("name", list(STEPS))
def test_a_clip_of_which_nothing_is_known_is_skipped_with_a_reason_by_every_step(name):
    result = run_step(name, Evidence("c"))
    assert result.state == "skipped"
    assert result.reason
    assert result.clues == []
    assert set(result.provenance) == {
        "prelabeller", "model", "prompt", "parameters", "media_sha256",
        "prompt_tokens", "completion_tokens", "calls", "seconds", "cached", "cost", "gpu_seconds",
    }  # fmt: skip


@pytest.mark.parametrize("name", list(PIPELINES))
def test_pipelines_run_in_an_order_that_meets_every_need_and_end_in_a_description(name):
    steps = [base_name(step) for step in PIPELINES[name]["steps"]]
    for index, step in enumerate(steps):
        assert set(STEPS[step].after(steps)) <= set(steps[:index])
    assert STEPS[steps[-1]].produces == "description"
    assert PIPELINES[name]["version"]
