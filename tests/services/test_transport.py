"""One call over a real socket: its one deadline, its kept connections, and servers that keep to nothing."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable

import pytest

from models_ml.llm import Endpoint, ModelFailure, complete
from models_ml.llm.wire import retry_seconds
from tests.support.raw_server import GOOD, answer, keep_answering, read_request, server

ASK = [{"role": "user", "content": "How does the person feel?"}]


def drip(text: bytes, pause: float = 0.05) -> Callable[[socket.socket, int], None]:
    def serve(connection: socket.socket, number: int) -> None:
        read_request(connection)
        for byte in text:
            connection.sendall(bytes([byte]))
            time.sleep(pause)

    return serve


def failure(url: str, **more: object) -> tuple[ModelFailure, float]:
    began = time.monotonic()
    with pytest.raises(ModelFailure) as caught:
        complete(Endpoint(url, "m", **({"timeout_s": 1.0, "max_retries": 0} | more)), ASK)
    return caught.value, time.monotonic() - began


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X-Slow: 1\r\n" * 200,  # headers without end
        b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n" + b"x" * 400,  # a body
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + b": still here\n\n" * 40,
        b"HTTP/1.1 500 Oh\r\nContent-Length: 400\r\n\r\n" + b"x" * 400,  # what an error says of itself
        b"HTTP/1.1 100 Continue\r\n\r\n" * 40,
    ],
    ids=["headers", "body", "stream", "error", "continue"],
)
def test_bytes_that_drip_do_not_stretch_the_time_for_one_call(text: bytes) -> None:
    with server(drip(text)) as (url, _):
        found, seconds = failure(url)
    assert found.code in ("timeout", "http_500")
    assert 0.9 < seconds < 1.6


def test_a_server_that_takes_no_bytes_is_left_in_time() -> None:
    """Megabytes of media to a server that does not read: the sending has the same deadline."""
    with server(lambda connection, number: time.sleep(5)) as (url, _):
        began = time.monotonic()
        with pytest.raises(ModelFailure) as caught:
            complete(Endpoint(url, "m", timeout_s=1, max_retries=0), [{"role": "user", "content": "x" * 30_000_000}])
    assert caught.value.code == "timeout"
    assert time.monotonic() - began < 2.5


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 20\r\n\r\n<html>Busy</html>...", "not_text"),
        (answer(GOOD[: len(GOOD) // 2]), "not_text"),
        (b"garbage without end\r\n\r\n", "refused_connection"),
        (b"", "refused_connection"),
        (b"HTTP/1.1 200 OK\r\nX-Long: " + b"y" * 200_000 + b"\r\n\r\n", "refused_connection"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + GOOD, "refused_connection"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nnot so long", "refused_connection"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 90000000\r\n\r\n" + b"{" * 9_000_000, "truncated"),
    ],
    ids=["html", "half json", "no http", "nothing", "huge header", "cut body", "cut chunk", "huge body"],
)
def test_what_is_no_answer_has_its_name_and_the_exchange_shows_it(reply: bytes, code: str) -> None:
    def serve(connection: socket.socket, number: int) -> None:
        read_request(connection)
        connection.sendall(reply)

    with server(serve) as (url, _):
        found, _seconds = failure(url, timeout_s=10.0)
    assert (found.code, found.calls) == (code, 1)
    assert found.exchange is not None
    assert found.exchange["request"]["messages"] == ASK
    if code == "not_text":
        assert found.exchange["status"] == 200
        assert found.exchange["response"][:6] in ("<html>", '{"mode')
    assert len(found.exchange["response"]) < 10_000


def test_an_error_after_the_stream_has_begun_is_named_by_its_code() -> None:
    events = b'data: {"choices": [{"delta": {"content": "I"}}]}\n\n'
    events += b'data: {"error": {"message": "out of memory", "code": 503}}'

    def serve(connection: socket.socket, number: int) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + events + b"\n\n")

    with server(serve) as (url, _):
        found, _seconds = failure(url, stream=True)
    assert (found.code, "out of memory" in found.detail) == ("http_503", True)


def test_calls_that_follow_each_other_share_a_connection() -> None:
    with server(keep_answering) as (url, came):
        for _ in range(20):
            complete(Endpoint(url, "m"), ASK)
        assert came == [1]


def test_a_stream_leaves_its_connection_to_the_next_call() -> None:
    event = b'data: {"choices": [{"delta": {"content": "Sad."}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'

    def serve(connection: socket.socket, number: int) -> None:
        while read_request(connection):
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            connection.sendall(b"%x\r\n%s\r\n" % (len(event), event))
            time.sleep(0.01)
            connection.sendall(b"0\r\n\r\n")

    with server(serve) as (url, came):
        for _ in range(5):
            assert complete(Endpoint(url, "m", stream=True), ASK).text == "Sad."
        assert came == [1]


def test_many_threads_use_as_many_connections_and_no_more() -> None:
    def serve(connection: socket.socket, number: int) -> None:
        while read_request(connection):
            time.sleep(0.02)
            connection.sendall(answer())

    with server(serve) as (url, came):

        def ask() -> None:
            for _ in range(10):
                complete(Endpoint(url, "m"), ASK)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(came) <= 8


def test_a_kept_connection_that_the_server_closes_under_the_request_is_no_failure() -> None:
    """As a server does whose time for idle connections is over at that moment: it reads the request and hangs up."""

    def serve(connection: socket.socket, number: int) -> None:
        read_request(connection)
        connection.sendall(answer())
        if number < 3:
            connection.recv(1)  # the next request begins to arrive, and is dropped
            return
        keep_answering(connection, number)

    with server(serve) as (url, came):
        for _ in range(4):
            assert complete(Endpoint(url, "m", max_retries=0), ASK).calls == 1
        assert len(came) == 3


def test_a_server_that_always_hangs_up_is_a_failure_after_its_retries() -> None:
    with server(lambda connection, number: read_request(connection) and None) as (url, came):
        found, _ = failure(url, max_retries=1)
    assert (found.code, found.calls, len(came)) == ("refused_connection", 2, 2)


def test_after_a_fork_the_child_has_connections_of_its_own() -> None:
    with server(keep_answering) as (url, came):
        complete(Endpoint(url, "m"), ASK)
        child = os.fork()
        if not child:
            try:
                complete(Endpoint(url, "m"), ASK)
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        complete(Endpoint(url, "m"), ASK)
        assert came == [1, 2], "the parent's connection still serves the parent"


def test_the_key_goes_to_the_server_and_into_no_failure() -> None:
    seen: list[bytes] = []

    def serve(connection: socket.socket, number: int) -> None:
        seen.append(read_request(connection))
        connection.sendall(answer(b'{"error": {"message": "no"}}', "403 Forbidden"))

    with server(serve) as (url, _):
        found, _seconds = failure(url, api_key="sk-secret-1")
    assert b"Authorization: Bearer sk-secret-1" in seen[0]
    assert (found.code, found.exchange["status"]) == ("http_403", 403)
    assert "secret" not in json.dumps(found.exchange) + found.detail


def test_media_stand_in_the_exchange_as_hashes() -> None:
    import base64
    import hashlib

    picture, sound = b"\xff\xd8picture", b"RIFFsound"
    parts = [
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + base64.b64encode(picture).decode()}},
        {"type": "input_audio", "input_audio": {"data": base64.b64encode(sound).decode(), "format": "wav"}},
        {"type": "text", "text": "What is it?"},
    ]

    def serve(connection: socket.socket, number: int) -> None:
        read_request(connection)
        connection.sendall(answer(b"no such model", "404 Not Found"))

    with server(serve) as (url, _), pytest.raises(ModelFailure) as caught:
        complete(Endpoint(url, "m"), [{"role": "user", "content": parts}])
    kept = caught.value.exchange["request"]["messages"][0]["content"]
    told = {"sha256": hashlib.sha256(picture).hexdigest(), "bytes": len(picture), "type": "image/jpeg"}
    assert kept[0]["image_url"]["url"] == told
    assert kept[1]["input_audio"] == {"sha256": hashlib.sha256(sound).hexdigest(), "bytes": 9, "type": "audio/wav"}
    assert kept[2]["text"] == "What is it?"
    assert caught.value.exchange["response"] == "no such model"


def test_a_server_of_newer_or_older_parameters_is_asked_once_more_as_it_wants() -> None:
    refusals = [
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "Unsupported value: 'temperature' does not support 0 with this model.",
    ]
    bodies: list[dict[str, object]] = []

    def serve(connection: socket.socket, number: int) -> None:
        while request := read_request(connection):
            bodies.append(json.loads(request.partition(b"\r\n\r\n")[2]))
            if len(bodies) <= len(refusals):
                said = json.dumps({"error": {"message": refusals[len(bodies) - 1]}}).encode()
                connection.sendall(answer(said, "400 Bad Request"))
            else:
                connection.sendall(answer())

    with server(serve) as (url, _):
        found = complete(Endpoint(url, "m", max_retries=0), ASK, max_tokens=77)
    assert (found.calls, bodies[-1]["max_completion_tokens"]) == (3, 77)
    assert not {"max_tokens", "temperature"} & set(bodies[-1])
    assert found.parameters["max_completion_tokens"] == 77


def test_an_http_proxy_of_the_environment_is_used_but_for_what_no_proxy_names(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    def serve(connection: socket.socket, number: int) -> None:
        while request := read_request(connection):
            seen.append(request.split(b"\r\n")[0])
            connection.sendall(answer())

    with server(serve) as (proxy, _), server(keep_answering) as (url, direct):
        monkeypatch.setenv("http_proxy", proxy.removesuffix("/v1"))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        complete(Endpoint("http://models.example/v1", "m"), ASK)
        complete(Endpoint(url, "m"), ASK)
        assert (seen, direct) == ([b"POST http://models.example/v1/chat/completions HTTP/1.1"], [1])


def test_a_name_that_leads_to_a_clouds_metadata_gets_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    from models_ml.llm import transport

    with server(keep_answering) as (url, _):
        monkeypatch.setattr(transport, "is_metadata_address", lambda host: host == "127.0.0.1")
        transport._forget()
        found, _seconds = failure(url)
        monkeypatch.undo()
        transport._forget()
        assert (found.code, "never a model server" in found.detail) == ("refused_connection", True)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3", 3.0), ("0", 0.0), ("-5", 0.0), ("99999", 3600.0), ("", None), ("soon", None), ("nan", None), ("inf", None)],
)
def test_retry_after_is_seconds(header: str, seconds: float | None) -> None:
    assert retry_seconds(header) == seconds


def test_retry_after_is_a_date() -> None:
    from email.utils import formatdate

    assert retry_seconds(formatdate(time.time() + 30, usegmt=True)) == pytest.approx(30, abs=1.5)
    assert retry_seconds(formatdate(time.time() - 30, usegmt=True)) == 0.0


def test_a_date_to_wait_for_is_waited_for() -> None:
    from email.utils import formatdate

    def serve(connection: socket.socket, number: int) -> None:
        first = True
        while read_request(connection):
            when = formatdate(time.time() + 2, usegmt=True)
            connection.sendall(answer(b"busy", "503 Busy", f"Retry-After: {when}\r\n") if first else answer())
            first = False

    began = time.monotonic()
    with server(serve) as (url, _):
        assert complete(Endpoint(url, "m", max_retries=1), ASK).calls == 2
    assert 0.9 < time.monotonic() - began < 3.5
