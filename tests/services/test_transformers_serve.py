"""The clients against ``transformers serve``: a real server nobody here wrote, with models loaded from safetensors."""

import json
import wave

import pytest

from models_ml.llm import Endpoint, ModelFailure, complete
from models_ml.mllm import describe_audio, describe_frames
from models_ml.steps import Evidence, run_step
from tests.annotator.clips.material import make_media
from tests.support import tiny_llm

ASK = [{"role": "system", "content": "You are brief."}, {"role": "user", "content": "人物的情绪如何？"}]
MERGED = {
    "contradictions": [],
    "consistent": True,
    "description": {"en": "The person smiles, so they feel happy.", "zh": "人物微笑，因此感到高兴。"},
    "ov_labels": {"en": ["happy"], "zh": ["高兴"]},
}


def served(tmp_path_factory, make, *arguments):
    folder = tmp_path_factory.mktemp("model")
    model = make(folder / "tiny", *arguments)
    assert list(model.glob("*.safetensors"))
    return tiny_llm.serving(model, folder / "cache"), str(model)


@pytest.fixture(scope="module")
def merging(tmp_path_factory):
    server, name = served(tmp_path_factory, tiny_llm.make_chat_model, json.dumps(MERGED, ensure_ascii=False))
    with server as url:
        yield Endpoint(url, name, timeout_s=120, max_retries=0)


@pytest.fixture(scope="module")
def babbling(tmp_path_factory):
    server, name = served(tmp_path_factory, tiny_llm.make_chat_model, None)
    with server as url:
        yield Endpoint(url, name, timeout_s=120, max_retries=0)


def streamed(endpoint):
    return Endpoint(endpoint.base_url, endpoint.model, timeout_s=120, max_retries=0, stream=True)


def test_plain_and_streamed_answers_are_the_same_text_with_usage(merging):
    plain, stream = complete(merging, ASK), complete(streamed(merging), ASK)
    assert plain.text == stream.text == json.dumps(MERGED, ensure_ascii=False)
    assert (plain.prompt_tokens, plain.completion_tokens) == (stream.prompt_tokens, stream.completion_tokens)
    assert plain.prompt_tokens > 10


def test_merge_reads_the_servers_json_although_it_ignores_response_format(merging):
    result = run_step("merge", Evidence("c", subtitle={"zh": "太好了", "en": None}), merging)
    assert result.description == MERGED["description"]
    assert result.ov_labels == MERGED["ov_labels"]
    assert result.provenance["completion_tokens"] >= 3


def test_fine_generation_reads_what_contradicts_from_the_same_answer(merging):
    clues = [{"modality": "visual", "aspect": "expression", "language": "en", "text": "The person smiles."}]
    result = run_step("fine_generation", Evidence("c", clues=clues), merging)
    assert result.description == MERGED["description"]
    assert result.ov_labels == MERGED["ov_labels"]
    assert result.provenance["parameters"]["consistent"] is True
    assert result.provenance["model"].startswith(merging.model)  # the server adds the revision


def test_an_object_where_a_list_of_labels_was_asked_for_is_a_failure(merging):
    draft = {"description": {"en": "The person smiles.", "zh": None}, "ov_labels": None}
    with pytest.raises(ModelFailure) as caught:
        run_step("ov_labels", Evidence("c", draft=draft), merging)
    assert caught.value.code == "bad_json"


def test_an_unknown_model_is_the_servers_error_with_its_status(merging):
    with pytest.raises(ModelFailure) as caught:
        complete(Endpoint(merging.base_url, "nobody/nothing", timeout_s=60, max_retries=0), ASK)
    assert caught.value.code.startswith("http_")


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_babbles_until_it_is_cut_off_gives_no_text(babbling, stream):
    with pytest.raises(ModelFailure) as caught:
        complete(streamed(babbling) if stream else babbling, ASK, max_tokens=24)
    assert caught.value.code == "truncated"


def test_frames_go_to_a_vision_model_as_images(tmp_path_factory, tmp_path):
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (96, 64), (180, 140, 120)).save(buffer, "JPEG")
    server, name = served(tmp_path_factory, tiny_llm.make_vision_model)
    with server as url:
        endpoint = Endpoint(url, name, timeout_s=120, max_retries=0)
        two = describe_frames(endpoint, [buffer.getvalue()] * 2, "What do you see?")
        one = describe_frames(endpoint, [buffer.getvalue()], "What do you see?")
        clip = Evidence("c", media_path=make_media(tmp_path / "c.mp4"))
        scene = run_step("visual_objective", clip, endpoint)
        seen = run_step("visual_clue", clip, endpoint, frames=4)
        draft = {"description": {"zh": "人物微笑。", "en": None}, "ov_labels": None}
        translated = run_step("translate", Evidence("c", draft=draft), endpoint)
    assert two.text == one.text == tiny_llm.SENTENCE
    assert scene.clues[0]["text"] == seen.clues[0]["text"] == tiny_llm.SENTENCE
    assert (scene.clues[0]["aspect"], seen.clues[0]["aspect"]) == ("scene", "expression")
    assert translated.description == {"zh": "人物微笑。", "en": tiny_llm.SENTENCE}
    assert two.prompt_tokens > one.prompt_tokens + 10  # the picture's patches are tokens of the prompt


def test_speech_goes_to_an_audio_model_as_wav(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    with wave.open(str(folder / "a.wav"), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16000)
        out.writeframes(b"\0\1\0\xff" * 8000)
    server, name = served(tmp_path_factory, tiny_llm.make_audio_model)
    with server as url:
        endpoint = Endpoint(url, name, timeout_s=120, max_retries=0)
        answer = run_step("audio_clue", Evidence("c", wav_path=folder / "a.wav"), endpoint)
        raw = describe_audio(endpoint, (folder / "a.wav").read_bytes(), "What do you hear?")
    assert answer.clues[0]["text"] == raw.text == tiny_llm.SENTENCE
    assert raw.prompt_tokens > 20
