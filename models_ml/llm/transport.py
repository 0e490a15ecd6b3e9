"""POST over kept connections, within one deadline: names, headers that drip byte by byte, and the body together.

One pool per process (and proxy) keeps connections open between calls, so that a call costs no handshake. httpcore2 is
used directly: its network backend is where every single read and write can be given no more than the time left.
Importing this module needs httpcore2; `models_ml.llm.wire` does so at the first call.
"""

from __future__ import annotations

import os
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpcore2

from models_ml.llm.endpoint import is_metadata_address

CONNECT_S = 10.0
KEPT = 100  # idle connections of a process
KEPT_S = 60.0
DRAIN_S = 0.05
STALE_S = 2.0  # a kept connection that the server has closed shows it at once, not after working on the request


class Timeout(Exception):
    """The deadline passed."""


class Broken(Exception):
    """No connection, or one that broke off."""


@dataclass(frozen=True)
class Response:
    """Status, headers (names in lower case) and the body as it arrives."""

    status: int
    headers: dict[str, str]
    chunks: Iterator[bytes]

    def drain(self) -> None:
        """Take the end of a stream of which everything was read that matters, so that the connection can be kept."""
        _call.deadline = min(_call.deadline, time.monotonic() + DRAIN_S)
        try:
            for _chunk in self.chunks:
                pass
        except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError):
            pass  # then it is closed


class _Call(threading.local):
    """The call that this thread is in: until when, whether it made a connection, whether a byte came back."""

    deadline = 0.0
    connected = False
    answered = False

    def left(self) -> float:
        seconds = self.deadline - time.monotonic()
        if seconds <= 0:
            raise httpcore2.ReadTimeout("the time for one call is over")
        return seconds


_call = _Call()
_pools: dict[str, httpcore2.ConnectionPool] = {}
_pools_lock = threading.Lock()


@contextmanager
def post(url: str, headers: dict[str, str], body: bytes, seconds: float) -> Iterator[Response]:
    """Send ``body`` and give the response while it comes in. Redirects are not followed: what may go to this server
    may not go to wherever it points.

    A kept connection that turns out to be closed by the server is replaced by a new one without a word. Raises
    Timeout when all of it together takes longer than ``seconds``, Broken where there is no connection.
    """
    began = time.monotonic()
    _call.deadline = began + seconds
    target = httpcore2.URL(url)
    fields = list({"Host": _host(target), "Content-Length": str(len(body)), **headers}.items())
    with _translated(seconds):
        while True:
            _call.connected = _call.answered = False
            request = httpcore2.Request("POST", target, headers=fields, content=body, extensions=_timeouts())
            try:
                response = _pool_for(url).handle_request(request)
                break
            except (httpcore2.NetworkError, httpcore2.RemoteProtocolError):
                stale = not (_call.connected or _call.answered) and time.monotonic() - began < STALE_S
                if not stale:
                    raise
        try:
            named = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
            assert isinstance(response.stream, Iterable)
            yield Response(response.status, named, iter(response.stream))
        finally:
            response.close()


@contextmanager
def _translated(seconds: float) -> Iterator[None]:
    try:
        yield
    except httpcore2.TimeoutException as error:
        early = isinstance(error, httpcore2.ConnectTimeout) and _call.deadline > time.monotonic()
        raise Timeout(
            f"no connection within {CONNECT_S:g} s" if early else f"no answer within {seconds:g} s"
        ) from error
    except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.ProxyError, OSError) as error:
        raise Broken(str(error) or type(error).__name__) from error


def _timeouts() -> dict[str, dict[str, float]]:
    return {"timeout": {"connect": min(CONNECT_S, _call.left()), "pool": _call.left()}}


def _host(url: httpcore2.URL) -> str:
    host = url.host.decode()
    host = f"[{host}]" if ":" in host else host
    return host if url.port is None else f"{host}:{url.port}"


class _Stream(httpcore2.NetworkStream):
    """A connection of which every read and write lasts at most as long as the call still may."""

    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        self.inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self.inner.read(max_bytes, _call.left())
        _call.answered = _call.answered or bool(data)
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        view, connection = memoryview(buffer), self.inner.get_extra_info("socket")
        try:
            while view:
                connection.settimeout(_call.left())
                view = view[connection.send(view) :]
        except TimeoutError as error:
            raise httpcore2.WriteTimeout(str(error)) from error
        except OSError as error:
            raise httpcore2.WriteError(str(error)) from error

    def close(self) -> None:
        self.inner.close()

    def start_tls(
        self, ssl_context: object, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _Stream(self.inner.start_tls(ssl_context, server_hostname, min(CONNECT_S, _call.left())))  # type: ignore[arg-type]

    def get_extra_info(self, info: str) -> object:
        return self.inner.get_extra_info(info)


class _Backend(httpcore2.NetworkBackend):
    """Connects, and refuses what a name may have led to: the address where a cloud hands out its keys."""

    def __init__(self) -> None:
        self.inner = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        _call.connected = True  # or tried to: what fails now is not the fault of a kept connection
        stream = self.inner.connect_tcp(host, port, min(CONNECT_S, _call.left()), local_address, socket_options or [])
        reached = stream.get_extra_info("server_addr")[0]
        if is_metadata_address(reached):
            stream.close()
            raise httpcore2.ConnectError(f"{host} leads to {reached}, which is never a model server")
        return _Stream(stream)

    def sleep(self, seconds: float) -> None:
        time.sleep(min(seconds, _call.left()))


def _pool_for(url: str) -> httpcore2.ConnectionPool:
    proxy = _proxy_of(url)
    with _pools_lock:
        pool = _pools.get(proxy)
        if pool is None:
            pool = _pools[proxy] = _made(proxy)
    return pool


def _proxy_of(url: str) -> str:
    """What HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY say of this address; "" without a proxy."""
    proxies = urllib.request.getproxies()
    if not proxies:
        return ""
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2], proxies):
        return ""
    return proxies.get(parts.scheme) or proxies.get("all") or ""


def _made(proxy: str) -> httpcore2.ConnectionPool:
    # Reading the list of certificate authorities takes some 40 ms: once a process, not once a call.
    shared = {"ssl_context": httpcore2.default_ssl_context(), "network_backend": _Backend()}
    limits = {"max_connections": None, "max_keepalive_connections": KEPT, "keepalive_expiry": KEPT_S}
    if not proxy:
        return httpcore2.ConnectionPool(**shared, **limits)  # type: ignore[arg-type]
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    login = (parts.username, parts.password or "") if parts.username else None
    if parts.scheme not in ("http", "https"):
        raise Broken(f"a proxy of the kind {parts.scheme} is not supported; use an HTTP proxy")
    address = f"{parts.scheme}://{parts.hostname}:{parts.port or 80}"
    return httpcore2.HTTPProxy(proxy_url=address, proxy_auth=login, **shared, **limits)  # type: ignore[arg-type]


def _forget() -> None:
    """After a fork the connections belong to the parent; the child makes its own."""
    global _pools_lock
    _pools_lock = threading.Lock()
    _pools.clear()


os.register_at_fork(after_in_child=_forget)
