"""One HTTP attempt: send a chat request, read the answer (plain or streamed) within fixed bounds."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any

from models_ml.llm.endpoint import Endpoint
from models_ml.llm.errors import ModelFailure, excerpt

CHARS_PER_TOKEN = 16  # far above any real tokenizer's mean: only a server that ignores max_tokens gets there
BYTES_PER_TOKEN = 2048  # one streamed event of some servers
SPARE_BYTES = 1 << 20
MOST_RETRY_S = 3600.0  # then it is asked again, whatever it said
ERROR_BYTES = 1 << 16  # of the body of an HTTP error
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


def canonical(request: dict[str, Any]) -> bytes:
    """The request as it is hashed. Not as it is sent: a server writes an answer in the order of the schema's keys."""
    return json.dumps(request, sort_keys=True, ensure_ascii=False).encode("utf-8", "replace")


def read_answer(endpoint: Endpoint, request: dict[str, Any], headers: dict[str, str], max_tokens: int) -> Answer:
    """Send one request.

    Raises ModelFailure; for an HTTP error ``retry_after`` is what its header Retry-After asks for, and ``reply`` holds
    (status, the beginning of the body) as far as one came.
    """
    from models_ml.llm import transport

    body = json.dumps(request, ensure_ascii=False).encode("utf-8", "replace")
    received = bytearray()
    status: int | None = None
    try:
        with transport.post(
            endpoint.base_url.rstrip("/") + "/chat/completions", _headers(endpoint, headers), body, endpoint.timeout_s
        ) as response:
            status = response.status
            if status >= 300:
                raise _refused(endpoint, response, received)
            chunks = _bounded(response.chunks, max_tokens * BYTES_PER_TOKEN + SPARE_BYTES, received)
            if "text/event-stream" in response.headers.get("content-type", ""):
                answer = _from_events(chunks, max_tokens * CHARS_PER_TOKEN)
                response.drain()
                return answer
            return _from_body(chunks)
    except transport.Timeout as error:
        failure = ModelFailure("timeout", f"{error} from {endpoint.base_url}")
    except transport.Broken as error:
        said = "broke off" if status else "cannot be reached"
        failure = ModelFailure("refused_connection", f"{endpoint.base_url} {said}: {excerpt(str(error))}")
    except ModelFailure as error:
        failure = error
    failure.reply = (status, bytes(received))
    raise failure


def _headers(endpoint: Endpoint, more: dict[str, str]) -> dict[str, str]:
    told = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream", **more}
    told |= {"Accept-Encoding": "identity", "User-Agent": "emer-workbench"}
    if endpoint.api_key:
        told["Authorization"] = f"Bearer {endpoint.api_key}"
    return told


def _refused(endpoint: Endpoint, response: Any, received: bytearray) -> ModelFailure:
    """The failure that an HTTP error is; what the server says of it is read as far as it goes."""
    from models_ml.llm import transport

    try:
        for _chunk in _bounded(response.chunks, ERROR_BYTES, received):
            pass
    except (ModelFailure, transport.Timeout, transport.Broken):
        pass  # the status is the news
    said = received.decode("utf-8", "replace")
    try:
        told = json.loads(said)
        told = told.get("error", told)
        said = str(told.get("message") or told) if isinstance(told, dict) else str(told)
    except _MALFORMED:
        pass
    failure = ModelFailure(f"http_{response.status}", f"{endpoint.base_url} answered: {excerpt(said)}")
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
        if len(received) < ERROR_BYTES:
            received += chunk[: ERROR_BYTES - len(received)]
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
            if event.get("error") and not event.get("choices"):
                raise _error_in_stream(event["error"])
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
