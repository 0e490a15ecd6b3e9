"""Open-vocabulary labels: the step that asks for them, and the reading of what models answer."""

from __future__ import annotations

import ast
import functools
import json
import re
import time
from typing import Any

from models_ml import prompts
from models_ml.llm import Completion, Endpoint, ModelFailure, complete, language_of, require
from models_ml.llm.answers import clean, is_refusal, storable
from models_ml.llm.errors import excerpt
from models_ml.steps.asking import LANGUAGES, ask_each, meant, receipt, skip
from models_ml.steps.types import Evidence, StepResult

MAX_LABEL = 60  # characters; what is longer is a sentence, not a label
MAX_LABELS = 100  # of one description; more is a model that does not end
MAX_TOKENS = 256
_QUOTES = "\"“”‘’'`*_ "
_INNER_OUTPUT = re.compile(r"^.*(?:\boutput|输出)\s*[:：]", re.IGNORECASE | re.DOTALL)
_NAMED = re.compile(
    r"^\W*(?:(?:the )?(?:ov |open[- ]vocabulary |emotion(?:al)? )?(?:labels?|emotions?|states?|words?)(?: are| is)?"
    r"|(?:情绪|情感)?(?:标签|状态|类别|词)(?:是|为|包括)?)\W*[:：]\W*",
    re.IGNORECASE,
)
# Every pattern here takes time in proportion to an answer, also one of a hundred thousand blanks.
_ITEM = re.compile(r"^(?:[-*•·](?=\s)|\(?\d{1,2}[.)、．:：]|[①-⑳])\s*(\S.*)$")
_NESTED = re.compile(r"\[\s*(?:\[[^\[\]]*\]\s*(?:[,，、;；]\s*)?)+\]")
# What models write instead of an empty list.
_NOTHING = {"none", "n/a", "null", "nothing", "no emotion identified", "无", "没有", "无法判断"}


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


def parse_ov_labels(text: str, language: str | None = None) -> list[str]:
    """The labels of an answer, lower-cased, without duplicates, in first-seen order; ``[]`` is a valid answer.

    Tried in turn, on the answer and on the bracketed part inside surrounding chatter: JSON, a Python literal (mixed
    quotes, apostrophes kept), the unquoted form ``[happy, sad]`` that the published few-shot prompt teaches, lists of
    such lists; then, without brackets, numbered or bulleted lines, and words behind ``Labels:``. A JSON object is
    accepted that holds one list, and beside it nothing but words. A label that says "none" is no label.

    Raises ModelFailure ``empty``, ``refusal``, ``bad_json`` (no list, an item that is no short text), and
    ``wrong_language`` where ``language`` is given and a label is in the other.
    """
    cleaned = _INNER_OUTPUT.sub("", clean(text)).strip()
    if not cleaned:
        raise ModelFailure("empty", "the model answered with nothing")
    value = literal(cleaned)
    if value is None:
        value = _bracketed(cleaned)
    if value is None:
        value = _listed(cleaned)
    if isinstance(value, dict):
        lists = [item for item in value.values() if not isinstance(item, str)]  # words beside it may give a reason
        value = lists[0] if len(lists) == 1 else value
    if not isinstance(value, list):
        code = "refusal" if is_refusal(cleaned) else "bad_json"
        raise ModelFailure(code, f"no list of labels: {excerpt(cleaned)}")
    return tidy(value, language)


def literal(text: str) -> object | None:
    """The value of a JSON or Python literal, None where it is neither."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return None


def _bracketed(text: str) -> object | None:
    opening, closing = text.find("["), text.rfind("]")
    if opening < 0 or closing < opening:
        return None
    inside = text[opening : closing + 1]
    value = literal(inside)
    return unquoted(inside) if value is None else value


def unquoted(text: str) -> list[str]:
    """``[happy, don't believe]`` → its parts; separators are the commas and 、 of both scripts. ``[[happy], [sad]]`` is
    one list."""
    body = text.strip()[1:-1]
    if _NESTED.fullmatch(text.strip()):
        body = re.sub(r"[\[\]]", " ", body)
    if "[" in body or "]" in body:
        raise ModelFailure("bad_json", f"more than one list: {excerpt(text)}")
    return [part.strip(_QUOTES) for part in re.split(r"[,，、;；\n]", body)]


def _listed(text: str) -> list[str] | None:
    """Numbered or bulleted lines, or one line of words behind ``Labels:``; None where it is neither."""
    lines = [line for line in text.splitlines() if line.strip()]
    items = [match[1].strip(_QUOTES) for line in lines if (match := _ITEM.match(line.strip()))]
    if items and len(items) >= len(lines) - 1 and not is_refusal(text):  # a line of introduction may stand before
        return items
    named = _NAMED.match(text)
    if named and len(lines) == 1:
        return [part.strip(_QUOTES) for part in re.split(r"[,，、;；]", text[named.end() :].rstrip(" .。"))]
    return None


def tidy(values: list[Any], language: str | None = None) -> list[str]:
    """Stripped, lower-cased, blank and repeated labels dropped; lists inside the list are opened.

    Raises ModelFailure ``bad_json``, ``refusal`` and, where ``language`` is given, ``wrong_language``.
    """
    if len(values) > MAX_LABELS:
        raise ModelFailure("bad_json", f"{len(values)} labels, at most {MAX_LABELS} are believed")
    labels: list[str] = []
    for value in values:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            labels += [label for label in tidy(value, language) if label not in labels]
            continue
        if not isinstance(value, str) or len(value) > MAX_LABEL:
            raise ModelFailure("bad_json", f"not a label: {excerpt(repr(value))}")
        label = " ".join(storable(value).split()).strip("*_ ").lower()
        if is_refusal(label):
            raise ModelFailure("refusal", f"the model refused: {excerpt(label)}")
        if language is not None and (language_of(label) or language) != language:
            raise ModelFailure("wrong_language", f"asked for labels in {language}: {excerpt(label)}")
        if label and label not in _NOTHING and label not in labels:
            labels.append(label)
    return labels
