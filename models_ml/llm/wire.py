"""One HTTP attempt: send a chat request with `openai`, read the answer (plain or streamed) within fixed bounds.

The bodies are read here and not by openai's types: servers of other make leave out what those want, and put in more.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any

from models_ml.llm.endpoint import Endpoint
from models_ml.llm.errors import Deferred, ModelFailure, excerpt

CHARS_PER_TOKEN = 16  # far above any real tokenizer's mean: only a server that ignores max_tokens gets there
BYTES_PER_TOKEN = 2048  # one streamed event of some servers
SPARE_BYTES = 1 << 20
MOST_RETRY_S = 3600.0  # then it is asked again, whatever it said
EXCHANGE_BYTES = 1 << 16  # of a body, for the record of a failure
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
    streamed: bool = False


def _nothing() -> None:
    pass


def canonical(request: dict[str, Any]) -> bytes:
    """The request as it is hashed. Not as it is sent: a server writes an answer in the order of the schema's keys."""
    return json.dumps(request, sort_keys=True, ensure_ascii=False).encode("utf-8", "replace")


def read_answer(
    endpoint: Endpoint,
    request: dict[str, Any],
    headers: dict[str, str],
    max_tokens: int,
    sends: Callable[[], None] = _nothing,
    came: Callable[[], None] = _nothing,
    heard: Callable[[str], None] | None = None,
) -> Answer:
    """Send one request. ``sends`` is called when it is ready to go, ``came`` when a whole answer is there, unread,
    ``heard`` with each piece of text of a streamed one.

    Raises the Deferred of ``sends``, else ModelFailure; for an HTTP error ``retry_after`` is what its header
    Retry-After asks for, and ``reply`` holds (status, the beginning of the body) as far as one came.
    """
    import httpx2
    import openai

    from models_ml.llm import transport

    received = bytearray()
    status: int | None = None
    try:
        with transport.create(endpoint, request, headers, sends) as response:
            status = response.status_code
            chunks = response.http_response.iter_raw()
            bounded = _bounded(chunks, max_tokens * BYTES_PER_TOKEN + SPARE_BYTES, received)
            if "text/event-stream" in response.headers.get("content-type", ""):
                answer = _from_events(bounded, max_tokens * CHARS_PER_TOKEN, heard)
                transport.drain(chunks)
                came()
                return answer
            body = b"".join(bounded)
            came()
            return _from_body(body)
    except openai.APIStatusError as error:
        status, received = error.status_code, bytearray(error.response.content)
        failure = _refused(endpoint, status, error.response)
    except (openai.APIConnectionError, httpx2.RequestError) as error:
        cause = error.__cause__ if isinstance(error, openai.APIConnectionError) else error
        if isinstance(cause, Deferred):
            raise cause from None
        if isinstance(cause, httpx2.TimeoutException):
            failure = ModelFailure("timeout", f"{cause} from {endpoint.base_url}")
        else:
            said = "broke off" if status else "cannot be reached"
            failure = ModelFailure("refused_connection", f"{endpoint.base_url} {said}: {excerpt(str(cause))}")
    except UnicodeEncodeError:
        if (sendable := _without_half_characters(request)) == request:
            raise
        return read_answer(endpoint, sendable, headers, max_tokens, sends, came, heard)
    except ModelFailure as error:
        failure = error
    failure.reply = (status, bytes(received))
    raise failure


def _without_half_characters(request: dict[str, Any]) -> dict[str, Any]:
    """With a question mark for each lone surrogate, which UTF-8 cannot hold and openai does not send."""
    return dict(json.loads(json.dumps(request, ensure_ascii=False).encode("utf-8", "replace")))


def _refused(endpoint: Endpoint, status: int, response: Any) -> ModelFailure:
    """The failure that an HTTP error is; what the server says of it is read as far as it went."""
    said = response.content.decode("utf-8", "replace")
    try:
        told = json.loads(said)
        told = told.get("error", told)
        said = str(told.get("message") or told) if isinstance(told, dict) else str(told)
    except _MALFORMED:
        pass
    failure = ModelFailure(f"http_{status}", f"{endpoint.base_url} answered: {excerpt(said)}")
    failure.retry_after = retry_seconds(response.headers.get("retry-after", ""))
    return failure


def retry_seconds(header: str) -> float | None:
    """Seconds that a Retry-After asks for, given as a number or an HTTP date; None where it says neither."""
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return None
    return min(max(0.0, seconds), MOST_RETRY_S) if isfinite(seconds) else None


def _bounded(chunks: Iterator[bytes], max_bytes: int, received: bytearray) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if len(received) < EXCHANGE_BYTES:
            received += chunk[: EXCHANGE_BYTES - len(received)]
        if size > max_bytes:
            raise ModelFailure("truncated", f"the answer was cut by the reader after {max_bytes} bytes")
        yield chunk


def _from_body(body: bytes) -> Answer:
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


def _from_events(chunks: Iterator[bytes], max_chars: int, heard: Callable[[str], None] | None = None) -> Answer:
    answer, parts, length, ended = Answer(streamed=True), [], 0, False
    for data in _event_data(chunks):
        if data == "[DONE]":
            ended = True
            break
        try:
            event = json.loads(data)
            if event.get("error") and not event.get("choices"):
                raise _error_in_stream(event["error"])
            _take_usage(answer, event)
            for choice in (event.get("choices") or [])[:1]:
                delta = choice.get("delta") or {}
                parts.append(_content(delta.get("content")))
                length += len(parts[-1])
                if heard and parts[-1]:
                    heard(parts[-1])
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


def _error_in_stream(error: Any) -> ModelFailure:
    """A server that fails after it has said 200 tells so in an event."""
    told = error if isinstance(error, dict) else {"message": str(error)}
    code = told.get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    return ModelFailure(
        f"http_{status}", f"the stream ended with an error: {excerpt(str(told.get('message') or told))}"
    )


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
