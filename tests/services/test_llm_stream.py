"""An answer read along while it comes: pieces, silence, half an answer, somebody who goes away; asked for once."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models_ml.llm import Completion, Endpoint, ModelFailure, complete, stream
from models_ml.steps import Evidence, merge
from tests.support.raw_server import answer, read_request
from tests.support.raw_server import server as raw_server
from tests.support.scripted_server import Running, running
from tests.support.workbench import eventually

ASK = [{"role": "user", "content": "How does the person feel?"}]
CLUE = {"modality": "visual", "aspect": "expression", "language": "en", "text": "The person frowns and glares."}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("scripted") / "calls.jsonl") as found:
        yield found


def ask(server: Any, model: str = "scripted", **more: Any) -> tuple[list[str], Completion]:
    pieces: list[str] = []
    endpoint = Endpoint(server if isinstance(server, str) else server.base_url, model, timeout_s=5, max_retries=2)
    how: dict[str, Any] = {"heard": pieces.append, "wanted": lambda: True} | more
    return pieces, stream(endpoint, ASK, **how)


def failure(server: Any, model: str, **more: Any) -> tuple[ModelFailure, float]:
    started = time.monotonic()
    with pytest.raises(ModelFailure) as caught:
        ask(server, model, **more)
    return caught.value, time.monotonic() - started


def test_the_pieces_make_the_answer_that_complete_gives(server: Running) -> None:
    pieces, streamed = ask(server)
    plain = complete(Endpoint(server.base_url, "scripted"), ASK)
    assert len(pieces) > 2
    assert "".join(pieces) == streamed.text == plain.text
    assert (streamed.prompt_tokens, streamed.completion_tokens) == (plain.prompt_tokens, plain.completion_tokens)
    assert streamed.calls == 1


def test_a_merge_is_read_along_and_judged_by_the_same_parser(server: Running) -> None:
    heard: list[str] = []

    def along(endpoint: Endpoint, messages: Any, **how: Any) -> Completion:
        return stream(endpoint, messages, heard=heard.append, wanted=lambda: True, **how)

    endpoint = Endpoint(server.base_url, "scripted")
    result = merge(Evidence(name="c", clues=[CLUE]), endpoint, ask=along)
    assert result.description == merge(Evidence(name="c", clues=[CLUE]), endpoint).description
    assert json.loads("".join(heard))["ov_labels"]["en"] == ["angry"]


@pytest.mark.parametrize(
    ("model", "code"),
    [("drop", "refused_connection"), ("truncated", "truncated"), ("empty", "empty"), ("http-500-once", "http_500")],
)
def test_what_fails_is_not_asked_again(server: Running, model: str, code: str) -> None:
    before = len(server.calls())
    failed, _seconds = failure(server, model)
    assert (failed.code, failed.calls, len(server.calls()) - before) == (code, 1, 1)


def test_what_falls_silent_is_a_timeout_that_says_so(server: Running) -> None:
    failed, seconds = failure(server, "stall", silence_s=1.0)
    assert failed.code == "timeout"
    assert "nothing came for 1 s" in failed.detail
    assert 0.9 < seconds < 5
    assert eventually(lambda: server.calls()[-1].get("gone"), 5)


def test_the_whole_call_has_its_deadline_however_slowly_it_drips(server: Running) -> None:
    slow = Endpoint(server.base_url, "slow", timeout_s=0.5)
    started = time.monotonic()
    with pytest.raises(ModelFailure, match="timeout"):
        stream(slow, ASK, heard=lambda _piece: None, wanted=lambda: True)
    assert time.monotonic() - started < 1.8  # the whole stream takes 2 s


@pytest.mark.parametrize("model", ["stall", "hang", "endless"])
def test_nobody_listening_closes_the_connection_whatever_the_server_does(server: Running, model: str) -> None:
    leave = threading.Event()
    threading.Timer(0.7, leave.set).start()
    failed, seconds = failure(server, model, wanted=lambda: not leave.is_set())
    assert failed.code in (("called_off", "truncated") if model == "endless" else ("called_off",))
    assert seconds < 5
    if model == "stall":
        assert eventually(lambda: server.calls()[-1].get("gone"), 5)
    pieces, answered = ask(server)  # the next call of this thread is watched anew
    assert "".join(pieces) == answered.text


def test_a_server_that_does_not_stream_says_it_all_at_once() -> None:
    def plain(connection: socket.socket, _number: int) -> None:
        read_request(connection)
        connection.sendall(answer())

    with raw_server(plain) as (address, came):
        pieces, answered = ask(address)
    assert (pieces, answered.text, came) == (["Sad."], "Sad.", [1])


def test_a_killed_server_is_half_an_answer_and_no_whole_one(tmp_path: Path) -> None:
    with running(tmp_path / "calls.jsonl") as dying:
        threading.Timer(0.8, dying.process.kill).start()
        failed, _seconds = failure(dying, "slow")
    assert failed.code == "refused_connection"
