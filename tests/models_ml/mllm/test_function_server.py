"""A Python function behind an OpenAI-compatible server, asked through the project's own client."""

import ast
import base64
import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import wave
from contextlib import contextmanager
from pathlib import Path

import pytest

from models_ml.llm import Endpoint, ModelFailure, complete
from models_ml.mllm import describe_audio, describe_frames, with_media
from models_ml.serve import FunctionServer, load_callable, main

ROOT = Path(__file__).resolve().parents[3]


@contextmanager
def served(fn, **options):
    with FunctionServer(fn, "mine", **options) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield Endpoint(f"http://127.0.0.1:{server.server_address[1]}/v1", "mine", timeout_s=20, max_retries=0)
        finally:
            server.shutdown()
            thread.join(5)


def jpeg(width, height):
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(buffer, "JPEG")
    return buffer.getvalue()


def wav(tmp_path, frames=1600):
    with wave.open(str(tmp_path / "a.wav"), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16000)
        out.writeframes(b"\0\0" * frames)
    return (tmp_path / "a.wav").read_bytes()


@pytest.mark.parametrize("stream", [False, True])
def test_frames_arrive_as_pictures_in_their_order(stream):
    def look(frames, prompt):
        return f"{[frame.size for frame in frames]} {prompt} 微笑"

    with served(look) as endpoint:
        endpoint = Endpoint(endpoint.base_url, "mine", max_retries=0, stream=stream)
        answer = describe_frames(endpoint, [jpeg(8, 6), jpeg(4, 2)], "What is seen? 看到什么？")
    assert answer.text == "[(8, 6), (4, 2)] What is seen? 看到什么？ 微笑"
    assert answer.calls == 1


def test_audio_arrives_as_a_wav_file_that_is_gone_afterwards(tmp_path):
    seen = []

    def listen(audio_path, prompt):
        seen.append(audio_path)
        with wave.open(str(audio_path)) as file:
            return f"{file.getnframes()} samples"

    with served(listen) as endpoint:
        assert describe_audio(endpoint, wav(tmp_path), "What is heard?").text == "1600 samples"
    assert not seen[0].exists()


def test_a_video_arrives_as_a_file():
    def watch(video_path, prompt):
        return video_path.read_bytes().decode()

    url = "data:video/mp4;base64," + base64.b64encode(b"not really a film").decode()
    with served(watch) as endpoint:
        messages = with_media("?", [{"type": "video_url", "video_url": {"url": url}}])
        assert complete(endpoint, messages).text == "not really a film"


def test_the_functions_error_is_the_answer_and_the_server_lives_on():
    def moody(prompt):
        if "now" in prompt:
            raise RuntimeError("out of memory")
        return "fine again"

    with served(moody) as endpoint:
        with pytest.raises(ModelFailure) as caught:
            complete(endpoint, [{"role": "user", "content": "now"}])
        assert caught.value.code == "http_500"
        assert "out of memory" in caught.value.detail
        assert complete(endpoint, [{"role": "user", "content": "later"}]).text == "fine again"


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"type": "image_url", "image_url": {"url": "http://example.org/a.jpg"}}, "fetches no addresses"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}, "image cannot be read"),
        ({"type": "input_audio", "input_audio": {"data": "%%%"}}, "not base64"),
        ({"type": "smell", "smell": 1}, "unknown content part"),
        ({"type": "image_url"}, "malformed content part"),
    ],
)
def test_a_part_that_cannot_be_used_is_a_bad_request_that_says_why(part, message):
    with served(lambda frames, prompt: "never") as endpoint:
        with pytest.raises(ModelFailure) as caught:
            complete(endpoint, with_media("?", [part]))
        assert caught.value.code == "http_400"
        assert message in caught.value.detail


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'{"messages": []}', 400),
        (b'{"messages": [{"content": 5}]}', 400),
        (b'{"model": "x"}', 404),
    ],
)
def test_a_malformed_request_is_answered_with_json(body, status):
    with served(lambda prompt: "never") as endpoint:
        request = urllib.request.Request(endpoint.base_url + "/chat/completions", body)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=5)
        assert caught.value.code == status
        assert json.load(caught.value)["error"]["message"]


def test_one_call_of_the_function_runs_at_a_time():
    running, most = [], []

    def slow(prompt):
        running.append(1)
        most.append(len(running))
        time.sleep(0.05)
        running.pop()
        return "done"

    with served(slow) as endpoint:
        ask = [{"role": "user", "content": "?"}]
        threads = [threading.Thread(target=complete, args=(endpoint, ask)) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (len(most), max(most)) == (5, 1)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nothing", "path.to.module:function"),
        ("models_ml.nowhere:f", "nowhere"),
        ("models_ml.llm:nothing", "nothing"),
        ("models_ml.serve:MAX_BODY", "not callable"),
        ("models_ml.mllm:with_media", "parts"),
    ],
)
def test_a_callable_that_cannot_be_served_is_named(path, message, capsys):
    with pytest.raises(ValueError, match=message):
        load_callable(path)
    assert main([path, "--port", "0"]) == 2
    assert message in capsys.readouterr().err


def test_a_module_that_cannot_be_imported_and_a_port_that_cannot_be_are_said_in_one_line(tmp_path, capsys, monkeypatch):
    (tmp_path / "halfwritten.py").write_text("def describe(prompt:\n", "utf-8")
    (tmp_path / "needsgpu.py").write_text("raise RuntimeError('no GPU here')\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for path, message in (("halfwritten:f", "SyntaxError"), ("needsgpu:f", "no GPU here"), ("..up:f", "relative")):
        assert main([path, "--port", "0"]) == 2
        assert message in capsys.readouterr().err
    assert main(["os:getcwd", "--port", "70000"]) == 2
    assert "65535" in capsys.readouterr().err


def test_media_that_the_function_does_not_take_is_refused_not_left_out(tmp_path):
    """Else the model would speak of what it has not heard."""
    with served(lambda frames, prompt: "a bright voice") as endpoint, pytest.raises(ModelFailure) as caught:
        describe_audio(endpoint, wav(tmp_path), "What is heard?")
    assert caught.value.code == "http_400"
    assert "the function takes frames, prompt; the request has audio_path" in caught.value.detail


def test_health_says_which_model_is_up():
    with served(lambda prompt: "x") as endpoint:
        answer = json.load(urllib.request.urlopen(endpoint.base_url.replace("/v1", "/health"), timeout=5))
    assert answer == {"status": "ok", "model": "mine"}


def test_a_factory_is_called_once_and_gives_the_function(tmp_path, monkeypatch, capsys):
    (tmp_path / "loading.py").write_text(
        "import os\n"
        "def load():\n    print('loaded', flush=True)\n    return lambda prompt: f'{prompt} by {os.getpid()}'\n"
        "def broken():\n    raise RuntimeError('no weights')\n"
        "def wrong():\n    return 5\n",
        "utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name, message in (("broken", "no weights"), ("wrong", "gave int, which is not callable")):
        assert main(["--factory", f"loading:{name}", "--port", "0"]) == 2
        assert message in capsys.readouterr().err
    command = [sys.executable, str(ROOT / "models_ml/serve.py"), "--factory", "loading:load", "--port", "0"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            # What it prints while it loads goes to stderr: the first line is the address.
            endpoint = Endpoint(process.stdout.readline().strip(), "load", timeout_s=10, max_retries=0)
            texts = {complete(endpoint, [{"role": "user", "content": "asked"}]).text for _ in range(2)}
            assert texts == {f"asked by {process.pid}"}
        finally:
            process.terminate()


def test_the_file_is_written_for_old_pythons_and_needs_nothing_of_this_project():
    source = (ROOT / "models_ml/serve.py").read_text("utf-8")
    tree = ast.parse(source, feature_version=(3, 8))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names])
    }
    assert imported - sys.stdlib_module_names == {"PIL"}


def test_the_command_serves_a_function_from_the_working_directory(tmp_path):
    (tmp_path / "mymodel.py").write_text(
        "def describe(frames, audio_path, prompt):\n    return prompt[::-1]\n", "utf-8"
    )
    command = [sys.executable, "-m", "models_ml.serve", "mymodel:describe", "--port", "0"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            endpoint = Endpoint(process.stdout.readline().strip(), "describe", timeout_s=10, max_retries=0)
            assert complete(endpoint, [{"role": "user", "content": "abc"}]).text == "cba"
        finally:
            process.terminate()


def test_media_without_a_user_turn_or_without_content_is_refused():
    with pytest.raises(ValueError, match="no user turn"):
        with_media([{"role": "system", "content": "x"}], [])
    with pytest.raises(ValueError, match="at least one frame"):
        describe_frames(Endpoint("http://localhost/v1", "m"), [], "?")
    with pytest.raises(ValueError, match="WAV"):
        describe_audio(Endpoint("http://localhost/v1", "m"), b"ID3", "?")


def test_the_prompt_itself_is_not_changed():
    prompt = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    assert with_media(prompt, [{"type": "x"}])[1]["content"] == [{"type": "x"}, {"type": "text", "text": "u"}]
    assert prompt[1]["content"] == "u"
