"""Steps that reason over clues with the text LLM: what the subtitle implies, and the merged description."""

from __future__ import annotations

import ast
import time
from typing import Any

from models_ml import prompts
from models_ml.llm import Completion, Endpoint, ModelFailure, complete, json_object, require, usable_text
from models_ml.llm.answers import clean
from models_ml.steps.labels import parse_ov_labels, tidy
from models_ml.steps.models import draft_clue, receipt
from models_ml.steps.types import Evidence, StepResult, clue_text, provenance

LANGUAGES = ("zh", "en")
MERGE_TOKENS = 1200
_LIST = {"type": "array", "items": {"type": "string"}}


def _pair(kind: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"en": kind, "zh": kind},
        "required": ["en", "zh"],
        "additionalProperties": False,
    }


MERGE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"description": _pair({"type": "string"}), "ov_labels": _pair(_LIST)},
    "required": ["description", "ov_labels"],
    "additionalProperties": False,
}


def disambiguate(
    ev: Evidence,
    endpoint: Endpoint | None = None,
    *,
    language: str = "en",
    idempotency_key: str | None = None,
) -> StepResult:
    """What the subtitle says emotionally in the light of the visual and audio clues: one text/content clue.

    Skipped without a subtitle; raises NotConfigured, ModelFailure.
    """
    subtitle = _subtitle(ev)
    if not subtitle:
        reason = "the clip has no subtitle"
        return StepResult("skipped", reason, provenance=provenance(ev, "disambiguate", 0.0))
    server = require(endpoint, "LLM")
    prompt = prompts.load("disambiguate", language)
    messages = prompt.render(
        visual=_clues(ev, "visual", language), audio=_clues(ev, "audio", language), subtitle=subtitle
    )

    def ask() -> Completion:
        return complete(server, messages, max_tokens=300, idempotency_key=idempotency_key)

    return draft_clue(ev, "disambiguate", ("text", "content", language), prompt, ask, {})


def merge(ev: Evidence, endpoint: Endpoint | None = None, *, idempotency_key: str | None = None) -> StepResult:
    """Clues and subtitle → a description in zh and en and OV labels in both, in one call.

    Skipped where there is neither clue nor subtitle. Raises NotConfigured, and ModelFailure also where the answer is
    well-formed but lacks a language, or one of its texts is in another language than it says.
    """
    started = time.monotonic()
    clues = {modality: _clues(ev, modality, "en") for modality in ("visual", "audio", "text")}
    subtitle = _subtitle(ev)
    if not subtitle and not any(clues.values()):
        reason = "neither a clue nor a subtitle to merge"
        return StepResult("skipped", reason, provenance=provenance(ev, "merge", 0.0))
    server = require(endpoint, "LLM")
    prompt = prompts.load("merge", "en")
    answer = complete(
        server,
        prompt.render(**clues, subtitle=subtitle),
        json_schema=MERGE_SCHEMA,
        max_tokens=MERGE_TOKENS,
        idempotency_key=idempotency_key,
    )
    description, labels = read_merged(answer.text, answer.calls)
    return StepResult(
        "done",
        description=description,
        ov_labels=labels,
        provenance=receipt(ev, "merge", prompt, answer, {}, time.monotonic() - started),
    )


def read_merged(text: str, calls: int = 0) -> tuple[dict[str, str | None], dict[str, list[str]]]:
    """Description and OV labels of a merge answer; JSON, or a Python dict as some models write it.

    Raises ModelFailure ``empty, refusal, bad_json, wrong_language, not_text``.
    """
    try:
        data = json_object(text, calls)
    except ModelFailure as failure:
        if failure.code != "bad_json":
            raise
        data = _python_dict(text, failure)
    written, labels = data.get("description"), data.get("ov_labels")
    if not isinstance(written, dict) or not isinstance(labels, dict):
        raise ModelFailure("bad_json", "the answer lacks description or ov_labels as objects with en and zh", calls)
    description: dict[str, str | None] = {}
    for language in LANGUAGES:
        if not isinstance(written.get(language), str):
            raise ModelFailure("bad_json", f"description.{language} is missing or not text", calls)
        description[language] = usable_text(written[language], language, calls)
    try:
        return description, {language: _labels(labels.get(language), language) for language in LANGUAGES}
    except ModelFailure as failure:
        raise ModelFailure(failure.code, failure.detail, calls) from failure


def _labels(value: Any, language: str) -> list[str]:
    if isinstance(value, list):
        return tidy(value)
    if isinstance(value, str):
        return parse_ov_labels(value)
    raise ModelFailure("bad_json", f"ov_labels.{language} is missing or not a list")


def _python_dict(text: str, failure: ModelFailure) -> dict[str, Any]:
    """Single quotes and trailing commas are not JSON, but they say the same; anything else stays the failure it was."""
    cleaned = clean(text)
    try:
        value = ast.literal_eval(cleaned[cleaned.index("{") : cleaned.rindex("}") + 1])
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise failure from None
    if not isinstance(value, dict):
        raise failure
    return value


def _clues(ev: Evidence, modality: str, language: str) -> str:
    """The clues of a modality as a list, each in ``language`` where known, else as it was written."""
    chosen = [item for item in ev.clues if item.get("modality") == modality]
    texts = [clue_text(item, language) or str(item.get("text") or "").strip() for item in chosen]
    return "\n".join(f"- {text}" for text in texts if text)


def _subtitle(ev: Evidence) -> str:
    """The words in every language they are known in, the original Chinese first."""
    words = [(ev.subtitle.get(language) or "").strip() for language in LANGUAGES]
    return "\n".join(dict.fromkeys(text for text in words if text))
