"""Calls with `openai` over kept connections, within one deadline: names, headers that drip byte by byte, and the body.

`create` is openai's own method for a chat completion; its client sends through `Transport`. One pool per thread (and
proxy) keeps connections open between calls, so that a call costs no handshake; a pool of all threads would look at each
connection for each call. The pool is of httpcore2, which openai's httpx2 stands on: its network backend is where every
single read and write can be given no more than the time left.
Importing this module needs openai; `models_ml.llm.wire` does so at the first call.
"""

from __future__ import annotations

import ipaddress
import os
import queue
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import httpcore2
import httpx2
import openai

from models_ml.llm.endpoint import Endpoint, is_metadata_address
from models_ml.llm.watch import CalledOff, Watch

CONNECT_S = 10.0
KEPT = 8  # idle connections of a thread
KEPT_S = 60.0
DRAIN_S = 0.05
STALE_S = 2.0  # a kept connection that the server has closed shows it at once, not after working on the request
LOOK_S = 0.5  # how often a reader that may be called off looks whether it is
ERROR_BYTES = 1 << 16  # of the body of an HTTP error
CLIENTS = 256  # servers of which a process remembers the client
# What is read of a response's headers, without parameters. Others would take effect on the way: a cookie, a coding, a
# charset, a place to go to.
READ = (b"content-type", b"retry-after")
PROXIES = tuple(name for kind in ("http", "https", "all", "no") for name in (f"{kind}_proxy", f"{kind}_proxy".upper()))


class Timeout(httpx2.TimeoutException):
    """The deadline passed."""


class Broken(httpx2.RequestError):
    """No connection, or one that broke off."""


@contextmanager
def watched(watch: Watch | None) -> Iterator[None]:
    """Let this thread's calls within be watched; they raise CalledOff, and Timeout after too long a silence."""
    _call.watch = watch
    try:
        yield
    finally:
        _call.watch = None


class _Client(openai.OpenAI):
    """openai's client without what it reads from OPENAI_* for every server alike: keys, organisations, headers."""

    @property
    def default_headers(self) -> dict[str, str | openai.Omit]:
        return {
            "Accept": "application/json, text/event-stream",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "User-Agent": "emer-workbench",
        }


@lru_cache(CLIENTS)
def _create_at(base_url: str, api_key: str) -> Callable[..., Any]:
    try:
        client = _Client(
            base_url=base_url,
            api_key=api_key or "none",  # openai wants one; `create` sends none where there is none
            max_retries=0,
            http_client=httpx2.Client(transport=Transport(), trust_env=False, follow_redirects=False),
        )
    except httpx2.InvalidURL as error:
        raise Broken(str(error)) from error
    return client.chat.completions.with_streaming_response.create


def create(endpoint: Endpoint, request: dict[str, Any], headers: dict[str, str], sends: Callable[[], None]) -> Any:
    """openai's context manager of the response to a chat request, which is sent on entering; the body is still to come.
    ``sends`` is called when the request is ready to go, the time of the call begins after it.

    One client per server and key is kept, for all threads. Raises what openai raises; behind an APIConnectionError, and
    while the body is read, that is Timeout when all of it together takes longer than ``endpoint.timeout_s``, Broken
    where there is no connection.
    """
    key: object = f"Bearer {endpoint.api_key}" if endpoint.api_key else openai.omit
    ask = _create_at(endpoint.base_url.rstrip("/"), endpoint.api_key)
    # All goes as it is: openai would look through each part by its types.
    told = {"model": request["model"], "messages": [], "extra_body": request}
    _call.sends = sends
    return ask(**told, extra_headers={**headers, "Authorization": key}, timeout=endpoint.timeout_s)


def drain(chunks: Iterator[bytes]) -> None:
    """Take the end of a stream of which everything was read that matters, so that the connection can be kept."""
    _call.deadline = min(_call.deadline, time.monotonic() + DRAIN_S)
    with suppress(Timeout, Broken):  # then it is closed
        for _chunk in chunks:
            pass


class _Call(threading.local):
    """The call that this thread is in: what is to be called first, until when it lasts, whether it made a connection,
    whether a byte came back."""

    sends: Callable[[], None]
    deadline = 0.0
    connected = False
    answered = False
    watch: Watch | None = None

    def left(self) -> float:
        seconds = self.deadline - time.monotonic()
        if seconds <= 0:
            raise httpcore2.ReadTimeout("the time for one call is over")
        return seconds


_call = _Call()


class _Kept(dict[str, httpcore2.ConnectionPool]):
    """A thread's pools by proxy; they are closed when the thread ends."""

    def __del__(self) -> None:
        for pool in self.values():
            pool.close()


class _Pools(threading.local):
    def __init__(self) -> None:
        self.kept = _Kept()


_pools = _Pools()


class Transport(httpx2.BaseTransport):
    """How openai's client reaches a server: every request within the deadline that its read timeout gives for all."""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """The response while it comes in. A kept connection that turns out to be closed by the server is replaced by a
        new one without a word. Of an HTTP error's body no more than ERROR_BYTES are read, and what stops it is no
        failure: the status is the news. Raises Timeout, Broken."""
        _call.sends()
        began = time.monotonic()
        seconds = request.extensions["timeout"]["read"]
        _call.deadline = began + seconds
        url = request.url
        target = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        # What openai tells of this machine is nobody's business.
        told = ((name.title(), value) for name, value in request.headers.raw)
        fields = [(name, value) for name, value in told if not name.startswith(b"X-Stainless-")]
        with _translated(seconds):
            while True:
                _call.connected = _call.answered = False
                asked = httpcore2.Request(
                    request.method, target, headers=fields, content=request.read(), extensions=_timeouts()
                )
                try:
                    response = _pool_for(str(url)).handle_request(asked)
                    break
                except (httpcore2.NetworkError, httpcore2.RemoteProtocolError):
                    stale = not (_call.connected or _call.answered) and time.monotonic() - began < STALE_S
                    if not stale:
                        raise
        named = {name.lower(): value.partition(b";")[0] for name, value in response.headers}
        kept = [(name, named[name]) for name in READ if name in named]
        return httpx2.Response(response.status, headers=kept, stream=_Body(response, seconds))


class _Body(httpx2.SyncByteStream):
    """The bytes of a response as they arrive."""

    def __init__(self, response: httpcore2.Response, seconds: float) -> None:
        self.response, self.seconds = response, seconds

    def __iter__(self) -> Iterator[bytes]:
        return self._all() if self.response.status < 300 else self._beginning()

    def _all(self) -> Iterator[bytes]:
        assert isinstance(self.response.stream, Iterable)
        with _translated(self.seconds):
            yield from self.response.stream

    def _beginning(self) -> Iterator[bytes]:
        left = ERROR_BYTES
        with suppress(Timeout, Broken):
            for chunk in self._all():
                yield chunk[:left]
                left -= len(chunk)
                if left <= 0:
                    return

    def close(self) -> None:
        with suppress(httpcore2.NetworkError, httpcore2.TimeoutException, OSError):
            self.response.close()


@contextmanager
def _translated(seconds: float) -> Iterator[None]:
    try:
        yield
    except httpcore2.TimeoutException as error:
        early = _call.deadline > time.monotonic()
        if early and isinstance(error, httpcore2.ConnectTimeout):
            raise Timeout(f"no connection within {CONNECT_S:g} s") from error
        raise Timeout(
            str(error) if early and _call.watch and str(error) else f"no answer within {seconds:g} s"
        ) from error
    except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.ProxyError, OSError) as error:
        raise Broken(str(error) or type(error).__name__) from error


def _timeouts() -> dict[str, dict[str, float]]:
    return {"timeout": {"connect": min(CONNECT_S, _call.left()), "pool": _call.left()}}


class _Stream(httpcore2.NetworkStream):
    """A connection of which every read and write lasts at most as long as the call still may."""

    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        self.inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = (
            self.inner.read(max_bytes, _call.left()) if _call.watch is None else self._watched(max_bytes, _call.watch)
        )
        _call.answered = _call.answered or bool(data)
        return data

    def _watched(self, max_bytes: int, watch: Watch) -> bytes:
        began = time.monotonic()
        while True:
            if not watch.wanted():
                raise CalledOff
            seconds = min(LOOK_S, _call.left())
            try:
                return self.inner.read(max_bytes, seconds)
            except httpcore2.ReadTimeout:
                if _call.answered and time.monotonic() - began >= watch.silence_s:
                    raise httpcore2.ReadTimeout(f"nothing came for {watch.silence_s:g} s") from None

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
        until = time.monotonic() + min(CONNECT_S, _call.left())
        failed: Exception = httpcore2.ConnectError(f"{host} has no address")
        addresses = _addresses(host, port, until)
        for number, address in enumerate(addresses):
            if is_metadata_address(address):
                raise httpcore2.ConnectError(f"{host} leads to {address}, which is never a model server")
            try:
                # Each its share of the time: the first may be one from which nothing ever comes back.
                wait = max((until - time.monotonic()) / (len(addresses) - number), 0.001)
                return _Stream(self.inner.connect_tcp(address, port, wait, local_address, socket_options))
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failed = error
        raise failed

    def sleep(self, seconds: float) -> None:
        time.sleep(min(seconds, _call.left()))


def _addresses(host: str, port: int, until: float) -> list[str]:
    """The addresses of a name, looked up no longer than ``until``: a resolver knows no deadline of its own."""
    if _is_address(host):
        return [host]
    found: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            found.put([str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)])
        except (OSError, UnicodeError) as error:  # a label of a name may be too long
            found.put(error)

    threading.Thread(target=look_up, daemon=True).start()
    try:
        answer = found.get(timeout=max(until - time.monotonic(), 0.0))
    except queue.Empty:
        raise httpcore2.ConnectTimeout(f"the address of {host} was not found in time") from None
    if isinstance(answer, Exception):
        raise httpcore2.ConnectError(f"{host}: {answer}") from answer
    return list(dict.fromkeys(answer))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _pool_for(url: str) -> httpcore2.ConnectionPool:
    parts = urlsplit(url)
    proxy = _proxy_of(parts.scheme, parts.netloc, tuple(map(os.environ.get, PROXIES)))
    if proxy not in _pools.kept:
        _pools.kept[proxy] = _made(proxy)
    return _pools.kept[proxy]


@lru_cache(CLIENTS)
def _proxy_of(scheme: str, netloc: str, _environment: tuple[str | None, ...]) -> str:
    """What HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY say of this address; "" without a proxy. To look for them in
    the whole environment costs a twentieth of a call, so it is done anew only when one of them has changed."""
    proxies = urllib.request.getproxies()
    if not proxies or urllib.request.proxy_bypass(netloc.rpartition("@")[2], proxies):
        return ""
    return proxies.get(scheme) or proxies.get("all") or ""


@lru_cache(1)
def _authorities() -> ssl.SSLContext:
    """Reading the list of certificate authorities takes some 40 ms: once a process, not once a thread."""
    return httpcore2.default_ssl_context()


def _made(proxy: str) -> httpcore2.ConnectionPool:
    shared = {"ssl_context": _authorities(), "network_backend": _Backend()}
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
    """After a fork the connections belong to the parent; the child makes its own, and its own clients."""
    _create_at.cache_clear()
    _pools.kept.clear()


os.register_at_fork(after_in_child=_forget)
