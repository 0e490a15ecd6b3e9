"""What openai's client would do of itself and does not do here, over a real socket."""

import gzip
import json
import socket
import threading
import time

import pytest

from models_ml.llm import Endpoint, ModelFailure, complete
from models_ml.llm.endpoint import check_url
from models_ml.llm.wire import read_answer
from tests.support.raw_server import GOOD, answer, keep_answering, read_request, server

ASK = [{"role": "user", "content": "How does the person feel?"}]


class Recorder:
    """Answers each request and keeps it."""

    def __init__(self, *replies: bytes) -> None:
        self.replies, self.came = list(replies), []

    def __call__(self, connection: socket.socket, number: int) -> None:
        while request := read_request(connection):
            self.came.append(request)
            connection.sendall(self.replies.pop(0) if self.replies else answer())

    def headers(self, number: int = 0) -> dict[str, str]:
        lines = self.came[number].partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        return {name: value for name, _, value in (line.partition(": ") for line in lines)}

    def body(self, number: int = 0) -> bytes:
        return self.came[number].partition(b"\r\n\r\n")[2]


def failed(reply: bytes, **more: object) -> ModelFailure:
    def serve(connection: socket.socket, number: int) -> None:
        read_request(connection)
        connection.sendall(reply)

    with server(serve) as (url, _), pytest.raises(ModelFailure) as caught:
        complete(Endpoint(url, "m", **({"timeout_s": 5.0, "max_retries": 0} | more)), ASK)
    return caught.value


def test_a_server_is_told_nothing_of_openais_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys, organisations and headers that the environment holds for OpenAI go to no other server."""
    from models_ml.llm import transport

    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID", "BASE_URL"):
        monkeypatch.setenv(f"OPENAI_{name}", "secret-of-openai")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer secret-of-openai\nX-Team: secret-of-openai")
    transport._forget()
    recorder = Recorder()
    with server(recorder) as (url, _):
        complete(Endpoint(url, "m"), ASK, idempotency_key="once")
        complete(Endpoint(url, "m", api_key="ours"), ASK)
    assert b"secret-of-openai" not in b"".join(recorder.came)
    without, with_key = recorder.headers(0), recorder.headers(1)
    assert set(without) == {
        *("Host", "Connection", "Accept", "Accept-Encoding", "Content-Type", "Content-Length", "User-Agent"),
        "Idempotency-Key",
    }
    assert (without["Accept-Encoding"], without["Idempotency-Key"]) == ("identity", "once")
    assert with_key["Authorization"] == "Bearer ours"


def test_a_server_sets_no_cookie() -> None:
    recorder = Recorder(answer(more="Set-Cookie: who=you; Path=/\r\n"))
    with server(recorder) as (url, _):
        for _ in range(2):
            complete(Endpoint(url, "m"), ASK)
    assert "Cookie" not in recorder.headers(1)


def test_the_request_is_sent_as_it_was_put() -> None:
    """Also what openai's types do not know; the keys of a schema in their order, for the answer follows it."""
    schema = {
        "type": "object",
        "properties": {"z": {"type": "string"}, "a": {"type": "string"}},
        "required": ["z", "a"],
    }
    content = [
        {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}, "fps": 2},
        {"type": "text", "text": "难过吗？"},
    ]
    recorder = Recorder()
    with server(recorder) as (url, _):
        done = complete(Endpoint(url, "m"), [{"role": "user", "content": content}], json_schema=schema)
    sent = json.loads(recorder.body())
    assert sent == {"model": "m", "messages": [{"role": "user", "content": content}], **done.parameters}
    assert json.dumps(sent["response_format"]["json_schema"]["schema"]) == json.dumps(schema)
    assert "难过吗" in recorder.body().decode()


def test_half_a_character_is_sent_as_a_question_mark() -> None:
    recorder = Recorder()
    with server(recorder) as (url, _):
        complete(Endpoint(url, "m"), [{"role": "user", "content": "sad \ud83d"}])
    assert json.loads(recorder.body())["messages"][0]["content"] == "sad ?"


@pytest.mark.parametrize("status", ["400 Bad", "401 Who", "404 Gone", "409 Taken", "500 Oh"])
@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"null", b"[1]", b'"no"', b"1e999", b"[" * 50_000, b"\xff\xfe\x00", b'{"error": null}'),
        *(b'{"error": [1]}', b'{"error": {"message": {"a": 1}, "code": [1], "param": 7, "type": {}}}'),
        b'{"error": "invalid_grant", "error_description": 5}',
    ],
)
def test_what_a_server_says_with_an_error_may_have_any_shape(status: str, body: bytes) -> None:
    found = failed(answer(body, status))
    assert found.code == f"http_{status[:3]}"
    assert found.exchange["status"] == int(status[:3])


@pytest.mark.parametrize(
    ("kind", "coding"), [("text/html; charset=hex", ""), ("text/html; charset=none-such", ""), ("text/plain", "gzip")]
)
def test_an_error_is_shown_whatever_its_headers_say_of_it(kind: str, coding: str) -> None:
    head = f"HTTP/1.1 503 Busy\r\nContent-Type: {kind}\r\nContent-Length: 9\r\n"
    head += f"Content-Encoding: {coding}\r\n" if coding else ""
    found = failed(head.encode() + b"\r\nall busy.")
    assert (found.code, found.exchange["response"]) == ("http_503", "all busy.")


def test_headers_of_any_bytes_are_no_failure() -> None:
    more = "Content-Type: caf\xe9/\xff\r\nX-Odd: \xe9\xff\r\nRetry-After: \xb2\r\n".encode("latin-1")
    assert failed(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n" + more + b"\r\n").code == "http_503"


def test_an_answer_that_is_packed_against_our_wish_is_no_text() -> None:
    packed = gzip.compress(GOOD)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
    assert failed(head.encode() + packed).code == "not_text"


def test_an_error_without_end_is_read_to_its_bound() -> None:
    sent = [0]

    def serve(connection: socket.socket, number: int) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 500 Oh\r\nContent-Type: text/plain\r\n\r\n")
        while True:
            connection.sendall(b"x" * 4096)
            sent[0] += 4096

    began = time.monotonic()
    with server(serve) as (url, _), pytest.raises(ModelFailure) as caught:
        read_answer(Endpoint(url, "m", timeout_s=5), {"model": "m", "messages": ASK}, {}, 10)
    assert (caught.value.code, time.monotonic() - began < 2) == ("http_500", True)
    assert caught.value.reply == (500, b"x" * 65536)
    assert sent[0] < 20_000_000  # what the socket's own buffers hold


def test_a_place_to_go_to_that_is_no_address_is_only_a_redirect() -> None:
    for where in ("http://[::1", "mailto:x", "//", "http://a b/"):
        found = failed(f"HTTP/1.1 302 Found\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n".encode())
        assert found.code == "http_302"


def test_a_name_that_is_looked_up_too_long_has_the_same_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Event()

    def slow(*_args: object, **_more: object) -> list[object]:
        asked.set()
        time.sleep(4)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    began = time.monotonic()
    with pytest.raises(ModelFailure) as caught:
        complete(Endpoint("http://models.example/v1", "m", timeout_s=1, max_retries=0), ASK)
    assert (caught.value.code, asked.is_set()) == ("timeout", True)
    assert time.monotonic() - began < 1.6


def test_the_next_address_of_a_name_is_tried_when_nothing_comes_back_from_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with server(keep_answering) as (url, came), socket.socket() as deaf:
        port = int(url.split(":")[2].removesuffix("/v1"))
        deaf.bind(("127.0.0.2", port))
        deaf.listen(0)
        waiting = [socket.socket() for _ in range(4)]  # its queue is full: it takes up no more
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.2", port))
        both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("127.0.0.2", "127.0.0.1")]
        with monkeypatch.context() as names:
            known = socket.getaddrinfo
            names.setattr(
                socket, "getaddrinfo", lambda host, *a, **k: both if host == "two.example" else known(host, *a, **k)
            )
            answered = complete(Endpoint(f"http://two.example:{port}/v1", "m", timeout_s=2, max_retries=0), ASK)
        assert (answered.text, came) == ("Sad.", [1])
        for one in waiting:
            one.close()


@pytest.mark.parametrize("host", ["none-such.invalid", f"{'a' * 70}.example", "a..example", "xn--\x7a\x7a\x7a.example"])
def test_a_name_that_leads_nowhere_is_a_refused_connection(host: str) -> None:
    check_url(f"http://{host}/v1")
    with pytest.raises(ModelFailure) as caught:
        complete(Endpoint(f"http://{host}/v1", "m", timeout_s=8, max_retries=0), ASK)
    assert caught.value.code in ("refused_connection", "timeout")


def test_an_address_of_the_sixth_version_is_reached() -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 on this machine")

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            keep_answering(connection, 1)

    with listener:
        threading.Thread(target=serve, daemon=True).start()
        url = f"http://[::1]:{listener.getsockname()[1]}/v1/"
        assert complete(Endpoint(url, "m", timeout_s=5), ASK).text == "Sad."


def test_threads_share_one_client_of_a_server() -> None:
    from models_ml.llm import transport

    with server(keep_answering) as (url, _):
        complete(Endpoint(url, "m"), ASK)
        before = transport._create_at.cache_info().misses

        def ask(n: int) -> None:
            complete(Endpoint(url, f"m{n}", timeout_s=n + 5), ASK)

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert transport._create_at.cache_info().misses == before
