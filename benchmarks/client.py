"""A REST client with one kept-alive connection: what a script of an annotator's would be."""

import http.client
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
        self._connection: http.client.HTTPConnection | None = None
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
        connection = self._connected()
        connection.request(method, url, data, sent)
        response = connection.getresponse()
        answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        self._used = time.monotonic()
        if answer.status not in expect:
            start = answer.data[:300].decode("utf-8", "replace")
            raise Refused(f"{method} {url}: {answer.status} {start}")
        return answer

    def _connected(self) -> http.client.HTTPConnection:
        if time.monotonic() - self._used > IDLE_SECONDS:
            self.close()  # the server closes what was idle for long
        if self._connection is None or self._connection.sock is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
            self._connection.connect()
            self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def list_page_at(client: Client, slug: str, depth: int) -> str:
    """The address of the page of 50 clips that begins `depth` rows in: pages of 500 are walked, as a client would."""
    url = f"/corpora/{slug}/clips/?page_size=500"
    for _page in range(depth // 500):
        url = client("GET", url).json()["next"].partition("/api/v1")[2]
    return url.replace("page_size=500", "page_size=50")
