"""How frames, sound and whole files stand in a message, for each manner of server."""

import base64
import json
import socket

import pytest

from models_ml import mllm
from models_ml.llm import Endpoint
from tests.support.raw_server import answer, read_request, server

JPEG, WAV, MP4 = b"\xff\xd8\xff\xe0frame", b"RIFF\x00\x00\x00\x00WAVEsound", b"\x00\x00\x00\x18ftypmp42video"


def sent(ask):
    """The content of the last user turn that the server got."""
    bodies = []

    def serve(connection: socket.socket, number: int) -> None:
        while request := read_request(connection):
            bodies.append(json.loads(request.partition(b"\r\n\r\n")[2]))
            connection.sendall(answer())

    with server(serve) as (url, _):
        assert ask(url).text == "Sad."
    return bodies[0]["messages"][-1]["content"]


def test_a_clip_goes_to_an_omni_model_as_frames_then_sound_then_the_question():
    parts = sent(lambda url: mllm.describe_clip(Endpoint(url, "m"), [JPEG, JPEG], WAV, "How does she feel?"))
    assert [part["type"] for part in parts] == ["image_url", "image_url", "input_audio", "text"]
    assert base64.b64decode(parts[0]["image_url"]["url"].removeprefix("data:image/jpeg;base64,")) == JPEG
    assert base64.b64decode(parts[2]["input_audio"]["data"], validate=True) == WAV
    assert parts[2]["input_audio"]["format"] == "wav"


def test_sound_goes_as_a_data_url_where_the_server_wants_that():
    parts = sent(lambda url: mllm.describe_audio(Endpoint(url, "m", audio="data_url"), WAV, "How does it sound?"))
    head, _, data = parts[0]["input_audio"]["data"].partition(",")
    assert (head, base64.b64decode(data)) == ("data:;base64", WAV)


@pytest.mark.parametrize("as_path", [False, True])
def test_a_whole_video_goes_as_it_is(tmp_path, as_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(MP4)
    endpoint = {"video": "video_url"}
    parts = sent(lambda url: mllm.describe_video(Endpoint(url, "m", **endpoint), path if as_path else MP4, "What?"))
    assert [part["type"] for part in parts] == ["video_url", "text"]
    assert base64.b64decode(parts[0]["video_url"]["url"].removeprefix("data:video/mp4;base64,")) == MP4


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda endpoint: mllm.describe_frames(endpoint, [], "?"), "at least one frame"),
        (lambda endpoint: mllm.describe_clip(endpoint, [], WAV, "?"), "at least one frame"),
        (lambda endpoint: mllm.describe_audio(endpoint, MP4, "?"), "WAV"),
        (lambda endpoint: mllm.describe_clip(endpoint, [JPEG], MP4, "?"), "WAV"),
        (lambda endpoint: mllm.describe_video(endpoint, WAV, "?"), "MP4"),
        (lambda endpoint: mllm.describe_frames(endpoint, [JPEG], [{"role": "system", "content": "x"}]), "user turn"),
    ],
)
def test_what_is_not_what_it_should_be_is_refused_before_any_call(ask, said):
    with pytest.raises(ValueError, match=said):
        ask(Endpoint("http://127.0.0.1:9/v1", "m"))
