"""Clues and subtitle → the description that reasons from them to the emotional state."""

from __future__ import annotations

import ast
import time
from collections.abc import Callable, Iterable
from typing import Any

from models_ml import prompts
from models_ml.llm import Completion, Endpoint, ModelFailure, complete, json_object, require, usable_text
from models_ml.llm.answers import clean, storable
from models_ml.steps.asking import LANGUAGES, clue_list, meant, person, receipt, skip, subtitle
from models_ml.steps.labels import parse_ov_labels, tidy
from models_ml.steps.types import Evidence, StepResult

MAX_TOKENS = 1200
_LIST = {"type": "array", "items": {"type": "string"}}
# One call for both languages and the labels; or the two prompts of the 2023 paper's readers, in one language.
FORMS = {"json": "merge", "subtitle": "merge_subtitle", "clues": "merge_clues"}


def schema(languages: Iterable[str] = LANGUAGES, **more: Any) -> dict[str, Any]:
    """The JSON schema of a description and OV labels in these languages, with further required properties."""
    names = list(languages)

    def each(kind: dict[str, Any]) -> dict[str, Any]:
        properties = dict.fromkeys(names, kind)
        return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}

    properties = {"description": each({"type": "string"}), "ov_labels": each(_LIST), **more}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def merge(
    ev: Evidence,
    endpoint: Endpoint | None = None,
    *,
    form: str = "json",
    language: str = "en",
    idempotency_key: str | None = None,
    ask: Callable[..., Completion] = complete,
) -> StepResult:
    """Clues (of one or of several annotators) and subtitle → a description.

    ``form``: ``json`` asks for zh and en and the OV labels of both in one call; ``subtitle`` and ``clues`` ask for
    plain text in ``language`` (``translate`` and ``ov_labels`` complete it): the EMER paper's subtitle prompt with its
    maximum of 100 words, and the prompt that names visual clues, audio clues and subtitle.
    ``ask`` is how the model is asked: ``complete``, or ``stream`` for somebody who reads along.
    Skipped where there is neither clue nor subtitle. Raises NotConfigured, and ModelFailure also where the answer is
    well-formed but lacks a language, or one of its texts is in another language than it says.
    """
    started = time.monotonic()
    asked_in = "en" if form == "json" else language
    given = {modality: clue_list(ev, modality, asked_in) for modality in ("visual", "audio", "text")}
    given["subtitle"] = subtitle(ev, None if form == "json" else language)
    if not any(given.values()):
        return skip(ev, "merge", "neither a clue nor a subtitle to merge")
    server = require(endpoint, "LLM")
    prompt = prompts.load(FORMS[form], asked_in)
    answer = ask(
        server,
        prompt.render(**given, person=person(ev, asked_in)),
        json_schema=schema() if form == "json" else None,
        max_tokens=MAX_TOKENS,
        idempotency_key=idempotency_key,
    )
    description: dict[str, str | None] = {"zh": None, "en": None}
    labels = None
    if form == "json":
        description, labels = read_merged(answer.text, answer.calls)
    else:
        description[language] = usable_text(answer.text, language, answer.calls)
    parameters = {"form": form, "people": _people(ev)} | meant(ev)
    return StepResult(
        "done",
        description=description,
        ov_labels=labels,
        provenance=receipt(ev, "merge", prompt, [answer], parameters, time.monotonic() - started),
    )


def _people(ev: Evidence) -> int:
    return len({item["annotator"] for item in ev.clues if item.get("annotator")})


def read_merged(text: str, calls: int = 0) -> tuple[dict[str, str | None], dict[str, list[str]]]:
    """Description and OV labels of an answer in both languages; JSON, or a Python dict as some models write it.

    Raises ModelFailure ``empty, refusal, bad_json, wrong_language, not_text``.
    """
    return description_and_labels(any_object(text, calls), LANGUAGES, calls)


def description_and_labels(
    data: dict[str, Any], languages: Iterable[str], calls: int = 0
) -> tuple[dict[str, str | None], dict[str, list[str]]]:
    """``description`` and ``ov_labels`` of a model's object, both checked in each of ``languages``; in others nothing.

    Raises ModelFailure ``empty, refusal, bad_json, wrong_language, not_text``.
    """
    written, labels = data.get("description"), data.get("ov_labels")
    if not isinstance(written, dict) or not isinstance(labels, dict):
        names = " and ".join(sorted(languages))
        raise ModelFailure("bad_json", f"the answer lacks description or ov_labels as objects with {names}", calls)
    description: dict[str, str | None] = {"zh": None, "en": None}
    found: dict[str, list[str]] = {"zh": [], "en": []}
    try:
        for language in languages:
            if not isinstance(written.get(language), str):
                raise ModelFailure("bad_json", f"description.{language} is missing or not text")
            description[language] = usable_text(written[language], language)
            found[language] = _labels(labels.get(language), language)
    except ModelFailure as failure:
        failure.calls += calls
        raise
    return description, found


def any_object(text: str, calls: int = 0) -> dict[str, Any]:
    """The one object of an answer: JSON, or the same in Python's spelling. Raises ModelFailure as ``json_object``."""
    try:
        return json_object(text, calls)
    except ModelFailure as failure:
        if failure.code != "bad_json":
            raise
        return _python_dict(text, failure)


def _labels(value: Any, language: str) -> list[str]:
    if isinstance(value, list):
        return tidy(value, language)
    if isinstance(value, str):
        return parse_ov_labels(value, language)
    raise ModelFailure("bad_json", f"ov_labels.{language} is missing or not a list")


def _python_dict(text: str, failure: ModelFailure) -> dict[str, Any]:
    """Single quotes and trailing commas are not JSON, but they say the same; anything else stays the failure it was."""
    cleaned = clean(text)
    try:
        value = storable(ast.literal_eval(cleaned[cleaned.index("{") : cleaned.rindex("}") + 1]))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise failure from None
    if not isinstance(value, dict):
        raise failure
    return value
