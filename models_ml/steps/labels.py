"""Open-vocabulary labels: the step that asks for them. What models answer is read by `models_ml.metrics.reading`."""

from __future__ import annotations

import functools
import time

from models_ml import prompts
from models_ml.llm import Completion, Endpoint, ModelFailure, complete, require
from models_ml.metrics.reading import parse_ov_labels, tidy
from models_ml.steps.asking import LANGUAGES, ask_each, meant, receipt, skip
from models_ml.steps.types import Evidence, StepResult

MAX_TOKENS = 256


def ov_labels(
    ev: Evidence,
    endpoint: Endpoint | None = None,
    *,
    languages: str = "both",
    idempotency_key: str | None = None,
) -> StepResult:
    """The run's description → the same description with OV labels of the main person.

    One call for each language asked for in which there is a description, for labels are taken from the words of that
    language. Skipped where there is none. Raises NotConfigured, ModelFailure.
    """
    started = time.monotonic()
    written = (ev.draft or {}).get("description") or {}
    wanted = LANGUAGES if languages == "both" else (languages,)
    there = [language for language in wanted if written.get(language)]
    if not there:
        return skip(ev, "ov-labels", "there is no description to take labels from")
    server = require(endpoint, "LLM")

    def ask(language: str) -> Completion:
        prompt = prompts.load("ov_labels", language)
        key = idempotency_key and (idempotency_key if len(there) == 1 else f"{idempotency_key}-{language}")
        messages = prompt.render(description=written[language])
        return complete(server, messages, max_tokens=MAX_TOKENS, idempotency_key=key)

    def read(number: int, answer: Completion) -> list[str]:
        try:
            return parse_ov_labels(answer.text, there[number])
        except ModelFailure as failure:
            failure.calls += answer.calls
            raise

    answers, lists = ask_each([functools.partial(ask, language) for language in there], read)
    found: dict[str, list[str]] = {"zh": [], "en": []}
    found |= (ev.draft or {}).get("ov_labels") or {}
    found |= dict(zip(there, lists, strict=True))
    references = [prompts.load("ov_labels", language).reference for language in there]
    source = receipt(
        ev,
        "ov-labels",
        prompts.load("ov_labels", there[0]),
        answers,
        {"languages": there, "prompts": references} | meant(ev),
        time.monotonic() - started,
    )
    return StepResult("done", description=dict(written), ov_labels=found, provenance=source)


__all__ = ["MAX_TOKENS", "ov_labels", "parse_ov_labels", "tidy"]
