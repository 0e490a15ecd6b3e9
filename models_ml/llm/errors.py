"""What can go wrong between a question to a model and an answer that may be kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

EXCERPT = 160


@dataclass
class Spent:
    """What the calls of one piece of work have cost so far, whatever became of their answers. ``seconds`` is time in
    calls, ``cost`` money by the endpoint's prices, ``calls`` HTTP attempts."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    gpu_seconds: float = 0.0
    cost: float = 0.0

    def add(self, other: Spent) -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


class NotConfigured(Exception):
    """No endpoint is configured for this step; the message says which variables to set."""


class ModelFailure(Exception):
    """A model was asked and no usable answer came.

    ``code``: ``timeout``, ``refused_connection``, ``http_<status>``, ``empty``, ``truncated``, ``refusal``,
    ``bad_json``, ``wrong_language``, ``not_text`` or ``called_off``. ``detail`` is a sentence with a short excerpt of
    what came. ``calls`` counts the HTTP attempts made, for they may have been paid. ``exchange`` is ``{"request",
    "response", "status"}`` of the call, media as hashes, without key or headers. ``spent`` is set where a traffic is
    in use: all that the work has cost, this failure included.
    """

    def __init__(self, code: str, detail: str, calls: int = 0) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.calls = calls
        self.retry_after: float | None = None  # seconds until the server wants to be asked again, where it said so
        self.reply: tuple[int | None, bytes] | None = None  # status and the beginning of the body, as far as one came
        self.exchange: dict[str, Any] | None = None
        self.spent: Spent | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.code, self.detail, self.calls), self.__dict__

    @property
    def transient(self) -> bool:
        """Whether the same question may succeed later without anybody changing anything."""
        return self.code in {"timeout", "refused_connection", "http_429"} or self.code.startswith("http_5")


class Deferred(Exception):
    """Not now: the same work may be tried again after ``seconds``. Nothing failed for good, nothing is to be stored
    but what was ``spent`` on the way.

    The server is busy, paused, over its rate, or down; ``reason`` says which, in a sentence.
    """

    def __init__(self, seconds: float, reason: str, spent: Spent | None = None) -> None:
        super().__init__(f"not before {seconds:.1f} s: {reason}")
        self.seconds = seconds
        self.reason = reason
        self.spent = spent or Spent()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.seconds, self.reason, self.spent)


def excerpt(text: str) -> str:
    """The beginning of a text on one line, for error messages."""
    line = " ".join(text.split())
    return line if len(line) <= EXCERPT else line[:EXCERPT] + "…"
