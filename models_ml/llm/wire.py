"""One HTTP attempt: send a chat request, read the answer (plain or streamed) within fixed bounds."""

from __future__ import annotations

import functools
import json
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from models_ml.llm.endpoint import Endpoint
from models_ml.llm.errors import ModelFailure, excerpt

CONNECT_S = 10.0
CHARS_PER_TOKEN = 16  # far above any real tokenizer's mean: only a server that ignores max_tokens gets there
BYTES_PER_TOKEN = 2048  # one streamed event of some servers
SPARE_BYTES = 1 << 20
# What a body of another shape raises; a nesting without end and a number such as 1e999 among them.
_MALFORMED = (ValueError, TypeError, AttributeError, RecursionError, OverflowError)


@dataclass
class Answer:
    """What came back, before anybody judged it."""

    text: str = ""
    model: str = ""
    finish_reason: str | None = None
    refusal: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cut_by_reader: bool = False


@functools.cache
def _trusted() -> ssl.SSLContext:
    """Reading the list of certificate authorities takes some 40 ms: once a process, not once a call."""
    import httpx2  # what the openai client sends by; its own default, made once

    return httpx2.create_ssl_context()


def read_answer(endpoint: Endpoint, request: dict[str, Any], headers: dict[str, str], max_tokens: int) -> Answer:
    """Send one request.

    Raises ModelFailure; for an HTTP error it carries the header Retry-After as ``retry_after``.
    """
    import openai

    deadline = time.monotonic() + endpoint.timeout_s
    timeout = openai.Timeout(endpoint.timeout_s, connect=min(CONNECT_S, endpoint.timeout_s))
    client = openai.OpenAI(
        base_url=endpoint.base_url,
        api_key=endpoint.api_key or "none",  # the client wants one; open servers ignore it
        max_retries=0,
        timeout=timeout,
        # Never followed: what may go to this server may not go to wherever it points.
        http_client=openai.DefaultHttpxClient(verify=_trusted(), timeout=timeout, follow_redirects=False),
    )
    try:
        with (
            client,
            client.chat.completions.with_streaming_response.create(**request, extra_headers=headers) as response,
        ):
            chunks = _bounded(response.iter_bytes(), deadline, max_tokens * BYTES_PER_TOKEN + SPARE_BYTES)
            if "text/event-stream" in response.headers.get("content-type", ""):
                return _from_events(chunks, max_tokens * CHARS_PER_TOKEN)
            return _from_body(chunks)
    except openai.APITimeoutError as error:
        raise ModelFailure("timeout", f"no answer within {endpoint.timeout_s:g} s from {endpoint.base_url}") from error
    except openai.APIConnectionError as error:
        cause = error.__cause__ or error
        raise ModelFailure(
            "refused_connection", f"{endpoint.base_url} cannot be reached: {excerpt(str(cause))}"
        ) from error
    except openai.APIStatusError as error:
        failure = ModelFailure(
            f"http_{error.status_code}", f"{endpoint.base_url} answered: {excerpt(str(error.message))}"
        )
        failure.retry_after = error.response.headers.get("retry-after")
        raise failure from error
    except ModelFailure:
        raise
    except Exception as error:  # judged by kind: what is not the transport's goes on as it is
        failed = _transport_failure(error, endpoint)
        if failed is error:
            raise
        raise failed from error


def _transport_failure(error: Exception, endpoint: Endpoint) -> Exception:
    """The connection broke while the body was read: the client passes such errors of its HTTP library through."""
    family = {cls.__name__ for cls in type(error).__mro__}
    if "TimeoutException" in family:
        return ModelFailure("timeout", f"the answer of {endpoint.base_url} stalled for {endpoint.timeout_s:g} s")
    if family & {"TransportError", "DecodingError", "StreamError"}:
        return ModelFailure("refused_connection", f"{endpoint.base_url} broke off: {excerpt(str(error))}")
    return error


def _bounded(chunks: Iterator[bytes], deadline: float, max_bytes: int) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if time.monotonic() > deadline:
            raise ModelFailure("timeout", "the answer was still coming when the time for one attempt was over")
        if size > max_bytes:
            raise ModelFailure("truncated", f"the answer was cut by the reader after {max_bytes} bytes")
        yield chunk


def _from_body(chunks: Iterator[bytes]) -> Answer:
    body = b"".join(chunks)
    try:
        data = json.loads(body)
        choice = data["choices"][0]
        message = choice["message"]
        answer = Answer(finish_reason=choice.get("finish_reason"), refusal=message.get("refusal"))
        answer.text = _content(message.get("content"))
        _take_usage(answer, data)
    except (*_MALFORMED, KeyError, IndexError) as error:
        shown = excerpt(body.decode("utf-8", "replace"))
        raise ModelFailure("not_text", f"the body is not a chat completion: {shown}") from error
    return answer


def _from_events(chunks: Iterator[bytes], max_chars: int) -> Answer:
    answer, parts, length, ended = Answer(), [], 0, False
    for data in _event_data(chunks):
        if data == "[DONE]":
            ended = True
            break
        try:
            event = json.loads(data)
            _take_usage(answer, event)
            for choice in (event.get("choices") or [])[:1]:
                delta = choice.get("delta") or {}
                parts.append(_content(delta.get("content")))
                length += len(parts[-1])
                answer.finish_reason = choice.get("finish_reason") or answer.finish_reason
                if delta.get("refusal"):
                    answer.refusal = (answer.refusal or "") + delta["refusal"]
        except _MALFORMED as error:
            raise ModelFailure(
                "not_text", f"an event of the stream is not a completion chunk: {excerpt(data)}"
            ) from error
        if length > max_chars:
            answer.cut_by_reader = True
            break
    answer.text = "".join(parts)
    if not (ended or answer.finish_reason or answer.cut_by_reader):
        # Half a sentence must not pass for a whole one.
        raise ModelFailure("refused_connection", f"the stream broke off: {excerpt(answer.text)}")
    return answer


def _event_data(chunks: Iterator[bytes]) -> Iterator[str]:
    """The data of server-sent events (WHATWG HTML, 9.2): ``data:`` lines joined, an empty line ends the event."""
    buffer, lines = b"", []
    for chunk in chunks:
        buffer += chunk
        *whole, buffer = buffer.replace(b"\r\n", b"\n").split(b"\n")
        for raw in whole:
            line = raw.decode("utf-8", "replace")
            if line.startswith("data:"):
                lines.append(line[5:].lstrip(" "))
            elif not line and lines:
                yield "\n".join(lines)
                lines = []
    if lines:
        yield "\n".join(lines)


def _content(content: Any) -> str:
    """Text of a message: a string, nothing, or a list of typed parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if part.get("type") in ("text", "output_text"))
    raise TypeError(f"message content is {type(content).__name__}")


def _take_usage(answer: Answer, data: dict[str, Any]) -> None:
    answer.model = str(data.get("model") or answer.model)
    usage = data.get("usage") or {}
    answer.prompt_tokens = _count(usage.get("prompt_tokens") or answer.prompt_tokens)
    answer.completion_tokens = _count(usage.get("completion_tokens") or answer.completion_tokens)


def _count(value: Any) -> int:
    """Tokens as a server counts them, within what can be: a wrong bill must not cost the answer."""
    return min(max(int(value), 0), 2**31 - 1)
