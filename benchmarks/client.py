"""A REST client with one kept-alive connection, made to cost little: it shares the cores with what it measures, and
http.client's reading of headers costs more than the server's work on them."""

import json
import socket
import time
from typing import Any, NamedTuple

IDLE_SECONDS = 5.0


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    data: bytes

    def json(self) -> Any:
        return json.loads(self.data) if self.data else None


class Refused(Exception):
    """An answer that was not expected; the message names the call and shows its beginning."""


class Client:
    """Calls `/api/v1<path>` with a bearer token. Not for use by two threads."""

    def __init__(self, port: int, token: str) -> None:
        self.port, self.token = port, token
        self._link: socket.socket | None = None
        self._used = 0.0

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        expect: tuple[int, ...] = (200, 201, 204),
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request; `body` is JSON, or bytes sent as they are. Raises Refused for another status."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        kind = "application/x-ndjson" if isinstance(body, bytes) else "application/json"
        sent = {"Authorization": f"Bearer {self.token}", "Content-Type": kind, **(headers or {})}
        url = path if path.startswith(("/api/", "/media/")) else f"/api/v1{path}"
        fields = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        start = f"{method} {url} HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}Content-Length: {len(data or b'')}\r\n\r\n"
        link = self._connected()
        link.sendall(start.encode() + (data or b""))
        answer = self._read(link)
        self._used = time.monotonic()
        if answer.status not in expect:
            start = answer.data[:300].decode("utf-8", "replace")
            raise Refused(f"{method} {url}: {answer.status} {start}")
        return answer

    @staticmethod
    def _read(link: socket.socket) -> Answer:
        got = b""
        while (end := got.find(b"\r\n\r\n")) < 0:
            got += _some(link)
        first, *lines = got[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _colon, value in (line.partition(":") for line in lines)}
        status = int(first.split(" ", 2)[1])
        if "transfer-encoding" in headers:
            raise Refused(f"an answer in pieces, which nothing measured here gives: {first}")
        length = 0 if status in (204, 304) else int(headers["content-length"])
        parts = [got[end + 4 :]]
        missing = length - len(parts[0])
        while missing > 0:
            parts.append(_some(link))
            missing -= len(parts[-1])
        return Answer(status, headers, b"".join(parts))

    def _connected(self) -> socket.socket:
        if time.monotonic() - self._used > IDLE_SECONDS:
            self.close()  # the server closes what was idle for long
        if self._link is None:
            self._link = socket.create_connection(("127.0.0.1", self.port), timeout=600)
            self._link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._link

    def close(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None


def _some(link: socket.socket) -> bytes:
    data = link.recv(65536)
    if not data:
        raise Refused("the server closed the connection")
    return data


def list_page_at(client: Client, slug: str, depth: int) -> str:
    """The address of the page of 50 clips that begins `depth` rows in: pages of 500 are walked, as a client would."""
    url = f"/corpora/{slug}/clips/?page_size=500"
    for _page in range(depth // 500):
        url = client("GET", url).json()["next"].partition("/api/v1")[2]
    return url.replace("page_size=500", "page_size=50")
