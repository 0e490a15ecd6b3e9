"""What can go wrong between a question to a model and an answer that may be kept."""

from __future__ import annotations

EXCERPT = 160


class NotConfigured(Exception):
    """No endpoint is configured for this step; the message says which variables to set."""


class ModelFailure(Exception):
    """A model was asked and no usable answer came.

    ``code``: ``timeout``, ``refused_connection``, ``http_<status>``, ``empty``, ``truncated``, ``refusal``,
    ``bad_json``, ``wrong_language`` or ``not_text``. ``detail`` is a sentence with a short excerpt of what
    came. ``calls`` counts the HTTP attempts made, for they may have been paid.
    """

    def __init__(self, code: str, detail: str, calls: int = 0) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.calls = calls
        self.retry_after: str | None = None  # the header of the same name, where the server sent one

    def __reduce__(self) -> tuple[type[ModelFailure], tuple[str, str, int]]:
        return type(self), (self.code, self.detail, self.calls)

    @property
    def transient(self) -> bool:
        """Whether the same question may succeed later without anybody changing anything."""
        return self.code in {"timeout", "refused_connection", "http_429"} or self.code.startswith("http_5")


def excerpt(text: str) -> str:
    """The beginning of a text on one line, for error messages."""
    line = " ".join(text.split())
    return line if len(line) <= EXCERPT else line[:EXCERPT] + "…"
