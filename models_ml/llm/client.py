"""One bounded, retried chat completion from any OpenAI-compatible server."""

from __future__ import annotations

import hashlib
import json
import random
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from models_ml.llm.endpoint import Endpoint
from models_ml.llm.errors import ModelFailure, excerpt
from models_ml.llm.traffic import current, last
from models_ml.llm.wire import Answer, read_answer

if TYPE_CHECKING:
    from models_ml.mllm.local import LocalModel

MAX_WAIT_S = 60.0  # a server that asks for a longer pause is treated as down; the job is retried later
FIRST_WAIT_S = 0.5


@dataclass
class Completion:
    """An answer with its receipt. Token counts are the server's (0 where it sends none); ``calls`` counts
    HTTP attempts; ``request_sha256`` is the hash of the canonical request, images and audio included."""

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

    Raises ModelFailure: ``timeout``, ``refused_connection``, ``http_<n>``, ``empty``, ``truncated`` (the
    server stopped at max_tokens, or the reader at its bound), ``refusal`` (the server's own refusal or
    content filter), ``not_text``.
    """
    if not isinstance(endpoint, Endpoint):  # a model inside this process
        from models_ml.mllm.local import complete_local

        return complete_local(endpoint, messages, temperature=temperature, max_tokens=max_tokens, seed=seed)
    request: dict[str, Any] = {
        "model": endpoint.model,
        "messages": messages,
        "temperature": temperature,
        "max_tokens": max_tokens,
        "seed": seed,
    }
    if json_schema is not None:
        request["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": json_schema, "strict": True},
        }
    if endpoint.stream:
        request |= {"stream": True, "stream_options": {"include_usage": True}}
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
    traffic = current.get()
    started = time.monotonic()
    with traffic.admit(endpoint) if traffic else nullcontext():
        answer, calls = _ask_with_retries(endpoint, request, headers, max_tokens)
    last.set((endpoint, request, answer.text))
    _reject_unfinished(answer, calls)
    return Completion(
        text=answer.text,
        model=answer.model or endpoint.model,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        seconds=round(time.monotonic() - started, 3),
        calls=calls,
        parameters={key: value for key, value in request.items() if key not in ("messages", "model")},
        request_sha256=request_hash(request),
    )


def request_hash(request: dict[str, Any]) -> str:
    """sha256 of the canonical JSON of a request."""
    return hashlib.sha256(json.dumps(request, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _ask_with_retries(
    endpoint: Endpoint, request: dict[str, Any], headers: dict[str, str], max_tokens: int
) -> tuple[Answer, int]:
    calls, wait = 0, FIRST_WAIT_S
    while True:
        calls += 1
        try:
            return read_answer(endpoint, request, headers, max_tokens), calls
        except ModelFailure as error:
            failure, retry_after = error, error.retry_after
        if (
            failure.code in ("http_400", "http_422")
            and "response_format" in request
            and "response_format" in failure.detail
        ):
            request.pop("response_format")
            continue
        pause = _pause(retry_after, wait)
        if not failure.transient or calls > endpoint.max_retries or pause > MAX_WAIT_S:
            raise ModelFailure(failure.code, failure.detail, calls) from failure
        time.sleep(pause)
        wait = min(wait * 2, MAX_WAIT_S)


def _pause(retry_after: str | None, wait: float) -> float:
    """Seconds to wait: the server's Retry-After (seconds or an HTTP date), else ``wait`` less up to a quarter."""
    if retry_after:
        try:
            return max(0.0, float(retry_after))
        except ValueError:
            try:
                return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
            except (TypeError, ValueError):
                return wait
    return wait * (1 - 0.25 * random.random())


def _reject_unfinished(answer: Answer, calls: int) -> None:
    if answer.refusal or answer.finish_reason == "content_filter":
        raise ModelFailure("refusal", f"the model refused: {excerpt(answer.refusal or 'content filter')}", calls)
    if answer.cut_by_reader or answer.finish_reason == "length":
        who = "the reader's bound" if answer.cut_by_reader else "max_tokens"
        raise ModelFailure("truncated", f"the answer was cut at {who}: {excerpt(answer.text)}", calls)
    if not answer.text.strip():
        raise ModelFailure("empty", "the model answered with nothing", calls)
