"""One bounded, retried chat completion from any OpenAI-compatible server."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from models_ml.llm.endpoint import Endpoint
from models_ml.llm.errors import Deferred, ModelFailure, Spent, excerpt
from models_ml.llm.exchange import exchange_of
from models_ml.llm.traffic import PATIENCE_S, Traffic, current, last
from models_ml.llm.watch import CalledOff, Watch
from models_ml.llm.wire import Answer, canonical, read_answer

if TYPE_CHECKING:
    from models_ml.mllm.local import LocalModel

FIRST_WAIT_S = 0.5
SILENCE_S = 30.0  # of a stream in which nothing comes any more
MAX_WAIT_S = 60.0  # without a traffic, a server that asks for a longer pause is treated as down


@dataclass
class Completion:
    """An answer with its receipt. Token counts are the server's (0 where it sends none); ``calls`` counts HTTP
    attempts; ``seconds`` is the time in them, without waiting; ``request_sha256`` is the hash of the canonical
    request, images and audio included. ``cost`` is tokens × the endpoint's prices, ``gpu_seconds`` seconds × its GPUs.
    Of an answer that was ``cached`` nothing was paid: calls, tokens, cost and seconds are 0."""

    text: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    calls: int
    parameters: dict[str, Any] = field(default_factory=dict)
    request_sha256: str = ""
    cached: bool = False
    cost: float = 0.0
    gpu_seconds: float = 0.0


def complete(
    endpoint: Endpoint | LocalModel,
    messages: list[dict[str, Any]],
    *,
    json_schema: dict[str, Any] | None = None,
    temperature: float = 0.0,
    max_tokens: int = 512,
    seed: int = 0,
    idempotency_key: str | None = None,
) -> Completion:
    """Ask a model and return its text.

    Waits and asks again after 429, 5xx, timeouts and lost connections, at most ``endpoint.max_retries`` times, with
    doubling, jittered pauses, or the server's ``Retry-After``. Other 4xx are final. Reading is bounded in
    bytes, characters and seconds, so a server that never stops cannot hold a worker. ``json_schema`` is
    passed as ``response_format``; servers may ignore it (one that rejects it is asked once more without), so
    callers validate the answer.

    Where a traffic is in use (`models_ml.llm.traffic`), the same request is answered from its cache, calls wait for
    their place, and a pause of more than a few seconds raises Deferred instead of holding the thread; the retries of
    all attempts at the same work are counted together.

    Raises ModelFailure: ``timeout``, ``refused_connection``, ``http_<n>``, ``empty``, ``truncated`` (the
    server stopped at max_tokens, or the reader at its bound), ``refusal`` (the server's own refusal or
    content filter), ``not_text``.
    """
    how: dict[str, Any] = {"temperature": temperature, "max_tokens": max_tokens, "seed": seed}
    return _complete(endpoint, messages, how, json_schema, idempotency_key)


def stream(
    endpoint: Endpoint,
    messages: list[dict[str, Any]],
    *,
    heard: Callable[[str], None],
    wanted: Callable[[], bool],
    silence_s: float = SILENCE_S,
    **how: Any,
) -> Completion:
    """As ``complete``, with the same arguments, for somebody who reads along: ``heard`` gets each piece of text as it
    comes (all of it at once from a server that does not stream).

    The answer is asked for once: what breaks off half-way is not begun again, for its first half was read and paid.
    ``wanted`` is asked at least twice a second; where it says no, the connection is closed. Raises ModelFailure as
    ``complete``, also ``timeout`` when nothing came for ``silence_s`` seconds and ``called_off`` when it is not wanted
    any more.
    """
    once = replace(endpoint, stream=True, max_retries=0)
    asked = {"temperature": 0.0, "max_tokens": 512, "seed": 0} | how
    schema, key = asked.pop("json_schema", None), asked.pop("idempotency_key", None)
    return _complete(once, messages, asked, schema, key, Watch(heard, wanted, silence_s))


def _complete(
    endpoint: Endpoint | LocalModel,
    messages: list[dict[str, Any]],
    how: dict[str, Any],
    json_schema: dict[str, Any] | None,
    idempotency_key: str | None,
    reader: Watch | None = None,
) -> Completion:
    traffic = current.get()
    request = _request(endpoint, messages, how, json_schema)
    key = hashlib.sha256(canonical({"at": _address(endpoint), "request": request})).hexdigest() if traffic else ""
    if traffic and (known := traffic.recall(key)) is not None:
        last.set((endpoint, request, known["text"]))
        if reader:
            reader.heard(known["text"])
        return Completion(**known, prompt_tokens=0, completion_tokens=0, seconds=0.0, calls=0, cached=True)
    if isinstance(endpoint, Endpoint):
        answer = _Asking(endpoint, request, idempotency_key, traffic, reader).answer()
    else:
        answer = _ask_local(endpoint, messages, how, traffic)
    last.set((endpoint, request, answer.text))
    if traffic:
        kept = ("text", "model", "parameters", "request_sha256")
        traffic.keep(key, {name: getattr(answer, name) for name in kept})
    return answer


def request_hash(request: dict[str, Any]) -> str:
    """sha256 of the canonical JSON of a request."""
    return hashlib.sha256(canonical(request)).hexdigest()


def _request(
    endpoint: Endpoint | LocalModel, messages: list[dict[str, Any]], how: dict[str, Any], schema: dict[str, Any] | None
) -> dict[str, Any]:
    request: dict[str, Any] = {"model": endpoint.model, "messages": messages, **how}
    if schema is not None:
        request["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": schema, "strict": True},
        }
    if isinstance(endpoint, Endpoint) and endpoint.stream:
        request |= {"stream": True, "stream_options": {"include_usage": True}}
    return request


def _address(endpoint: Endpoint | LocalModel) -> str:
    return endpoint.base_url.rstrip("/") if isinstance(endpoint, Endpoint) else endpoint.address


def _ask_local(
    model: LocalModel, messages: list[dict[str, Any]], how: dict[str, Any], traffic: Traffic | None
) -> Completion:
    from models_ml.mllm.local import complete_local

    answer = complete_local(model, messages, **how)
    if traffic:
        traffic.spent.add(
            Spent(
                answer.calls,
                answer.prompt_tokens,
                answer.completion_tokens,
                answer.seconds,
                answer.gpu_seconds,
                answer.cost,
            )  # fmt: skip
        )
    return answer


class _Asking:
    """One question on its way: asked, adapted to what the server does not know, and asked again."""

    def __init__(
        self,
        endpoint: Endpoint,
        request: dict[str, Any],
        idempotency_key: str | None,
        traffic: Traffic | None,
        reader: Watch | None = None,
    ) -> None:
        self.endpoint, self.request, self.traffic, self.reader = endpoint, dict(request), traffic, reader
        self.headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        self.max_tokens = int(request["max_tokens"])
        self.spent = traffic.spent if traffic else Spent()
        self.calls = self.failures = 0

    def answer(self) -> Completion:
        while True:
            try:
                return self._ask_once()
            except ModelFailure as failure:
                if not self._adapted(failure):
                    self._pause_after(failure)

    def _ask_once(self) -> Completion:
        """One attempt. The place at the server is held from the first byte sent to the last that came."""
        answer, started = Answer(), 0.0
        with ExitStack() as place:

            def enter() -> None:
                nonlocal started
                if self.traffic:
                    place.enter_context(self.traffic.admit(self.endpoint))
                started = time.monotonic()
                self.calls += 1

            try:
                answer = self._read(enter, place.close)
                _reject_unfinished(answer)
            except ModelFailure as failure:
                failure.calls = self.calls
                status, body = failure.reply or (200, answer.text.encode())
                failure.reply = (status, body)
                raise
            finally:
                paid = self._paid(answer, time.monotonic() - started) if started else Spent()
                self.spent.add(paid)
        return Completion(
            text=answer.text,
            model=answer.model or self.endpoint.model,
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
            seconds=round(paid.seconds, 3),
            calls=self.calls,
            parameters={name: value for name, value in self.request.items() if name not in ("messages", "model")},
            request_sha256=request_hash(self.request),
            cost=paid.cost,
            gpu_seconds=paid.gpu_seconds,
        )

    def _read(self, enter: Callable[[], None], leave: Callable[[], None]) -> Answer:
        asked = (self.endpoint, self.request, self.headers, self.max_tokens, enter, leave)
        if self.reader is None:
            return read_answer(*asked)
        from models_ml.llm.transport import watched

        try:
            with watched(self.reader):
                answer = read_answer(*asked, self.reader.heard)
        except CalledOff:
            raise ModelFailure("called_off", "nobody waits for the answer any longer") from None
        if not answer.streamed:
            self.reader.heard(answer.text)
        return answer

    def _paid(self, answer: Answer, seconds: float) -> Spent:
        cost = self.endpoint.cost(answer.prompt_tokens, answer.completion_tokens)
        gpu_seconds = round(seconds * self.endpoint.gpus, 3)
        return Spent(1, answer.prompt_tokens, answer.completion_tokens, seconds, gpu_seconds, cost)

    def _adapted(self, failure: ModelFailure) -> bool:
        """Whether the request was changed to what the server understands; each change is made once."""
        if failure.code not in ("http_400", "http_422"):
            return False
        said = failure.detail
        unsupported = "unsupported" in said.lower() or "not support" in said.lower()
        if "response_format" in said and self.request.pop("response_format", None) is not None:
            return True
        if unsupported and "max_completion_tokens" in said and "max_tokens" in self.request:
            self.request["max_completion_tokens"] = self.request.pop("max_tokens")
            return True
        for name in ("temperature", "seed", "stream_options"):
            if unsupported and f"'{name}'" in said and self.request.pop(name, None) is not None:
                return True
        return False

    def _pause_after(self, failure: ModelFailure) -> None:
        """Wait before the next attempt. Raises the failure where there is none, Deferred where the pause is long."""
        self.failures += 1
        if failure.transient and self.traffic:
            self.failures = self.traffic.strike()
        wait = min(FIRST_WAIT_S * 2 ** (self.failures - 1), MAX_WAIT_S)
        pause = wait * (1 - 0.25 * random.random()) if failure.retry_after is None else failure.retry_after
        final = not failure.transient or self.failures > self.endpoint.max_retries
        if final or (pause > MAX_WAIT_S and not self.traffic):
            status, body = failure.reply or (None, b"")
            failure.exchange = exchange_of(self.endpoint, self.request, body.decode("utf-8", "replace"), status)
            raise failure
        if self.traffic and pause > PATIENCE_S:
            raise Deferred(pause, f"{failure.code}: {failure.detail}", self.spent) from failure
        time.sleep(pause)


def _reject_unfinished(answer: Answer) -> None:
    if answer.refusal or answer.finish_reason == "content_filter":
        raise ModelFailure("refusal", f"the model refused: {excerpt(answer.refusal or 'content filter')}")
    if answer.cut_by_reader or answer.finish_reason == "length":
        who = "the reader's bound" if answer.cut_by_reader else "max_tokens"
        raise ModelFailure("truncated", f"the answer was cut at {who}: {excerpt(answer.text)}")
    if not answer.text.strip():
        raise ModelFailure("empty", "the model answered with nothing")
