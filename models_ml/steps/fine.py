"""MERR's fine-grained generation: all clues to a text model that sifts, combines and infers, and names what does not
fit together.

Source: Emotion-LLaMA (arXiv 2406.11161), fine-grained generation; samples whose clues contradict are filtered there.
"""

from __future__ import annotations

import time
from typing import Any

from models_ml import prompts
from models_ml.llm import Endpoint, ModelFailure, complete, require
from models_ml.llm.errors import excerpt
from models_ml.steps.asking import LANGUAGES, clue_list, meant, person, receipt, skip, subtitle
from models_ml.steps.merge import MAX_TOKENS, any_object, description_and_labels, schema
from models_ml.steps.types import Evidence, StepResult

_CONTRADICTIONS = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"between": {"type": "array", "items": {"type": "string"}}, "what": {"type": "string"}},
        "required": ["between", "what"],
        "additionalProperties": False,
    },
}


def fine_generation(
    ev: Evidence,
    endpoint: Endpoint | None = None,
    *,
    languages: str = "both",
    filter_contradictory: bool = True,
    idempotency_key: str | None = None,
) -> StepResult:
    """All clues and the coarse description → an explained emotional state with OV labels, in ``languages``.

    The contradictions that the model names stay in the provenance. Where it finds that the clues cannot be brought
    together (``consistent`` false), the clip is filtered with that reason, unless ``filter_contradictory`` is off.
    Skipped where there is nothing to work on; raises NotConfigured, ModelFailure.
    """
    started = time.monotonic()
    wanted = LANGUAGES if languages == "both" else (languages,)
    asked_in = "en" if languages == "both" else languages
    given = {modality: clue_list(ev, modality, asked_in) for modality in ("visual", "audio", "text")}
    given["subtitle"] = subtitle(ev)
    given["coarse"] = _coarse(ev, asked_in)
    if not any(given.values()):
        return skip(ev, "fine-generation", "neither a clue, a description nor a subtitle to work on")
    server = require(endpoint, "LLM")
    prompt = prompts.load("fine_generation" if languages == "both" else "fine_generation_one", asked_in)
    answer = complete(
        server,
        prompt.render(**given, person=person(ev, asked_in)),
        json_schema=schema(wanted, contradictions=_CONTRADICTIONS, consistent={"type": "boolean"}),
        max_tokens=MAX_TOKENS,
        idempotency_key=idempotency_key,
    )
    data = any_object(answer.text, answer.calls)
    contradictions, consistent = read_consistency(data, answer.calls)
    parameters = {"contradictions": contradictions, "consistent": consistent} | meant(ev)
    source = receipt(ev, "fine-generation", prompt, [answer], parameters, time.monotonic() - started)
    if filter_contradictory and not consistent:
        named = "; ".join(_told(item) for item in contradictions) or "the model did not say which"
        reason = f"the clues contradict each other: {excerpt(named)}"
        return StepResult("skipped", reason, provenance=source, filtered=reason)
    description, labels = description_and_labels(data, wanted, answer.calls)
    return StepResult("done", description=description, ov_labels=labels, provenance=source)


def read_consistency(data: dict[str, Any], calls: int = 0) -> tuple[list[dict[str, Any]], bool]:
    """``contradictions`` and ``consistent`` of an answer. Raises ModelFailure ``bad_json``."""
    listed, consistent = data.get("contradictions"), data.get("consistent")
    if isinstance(consistent, str) and consistent.strip().lower() in ("true", "false"):
        consistent = consistent.strip().lower() == "true"
    if not isinstance(listed, list) or not isinstance(consistent, bool):
        raise ModelFailure(
            "bad_json", "the answer lacks contradictions as a list or consistent as true or false", calls
        )
    found = []
    for item in listed:
        what = item.get("what") if isinstance(item, dict) else None
        between = item.get("between") if isinstance(item, dict) else None
        if not isinstance(what, str) or not what.strip() or not isinstance(between, list):
            raise ModelFailure("bad_json", f"not a contradiction with between and what: {excerpt(repr(item))}", calls)
        found.append({"between": [str(name) for name in between], "what": what.strip()})
    return found, consistent


def _told(item: dict[str, Any]) -> str:
    return f"{' / '.join(item['between'])}: {item['what']}" if item["between"] else str(item["what"])


def _coarse(ev: Evidence, language: str) -> str:
    """The coarse description in this language, else in the other."""
    written = (ev.draft or {}).get("description") or {}
    return str(written.get(language) or next((text for text in written.values() if text), "") or "")
