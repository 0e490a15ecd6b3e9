"""Reading open-vocabulary labels out of a model's answer."""

from __future__ import annotations

import ast
import json
import re

from models_ml.llm.answers import clean, is_refusal
from models_ml.llm.errors import ModelFailure, excerpt

MAX_LABEL = 60  # characters; what is longer is a sentence, not a label


def parse_ov_labels(text: str) -> list[str]:
    """The labels of an answer, lower-cased, without duplicates, in first-seen order; ``[]`` is a valid answer.

    Tried in turn on the answer and on the bracketed part inside surrounding chatter: JSON, a Python literal (mixed
    quotes, apostrophes kept), the unquoted form ``[happy, sad]`` that the published few-shot prompt teaches. A JSON
    object whose one value is the list is accepted.

    Raises ModelFailure ``empty``, ``refusal`` or ``bad_json`` (no list, an item that is no short text).
    """
    cleaned = clean(text)
    if not cleaned:
        raise ModelFailure("empty", "the model answered with nothing")
    value = literal(cleaned)
    if value is None:
        opening, closing = cleaned.find("["), cleaned.rfind("]")
        if opening < 0 or closing < opening:
            code = "refusal" if is_refusal(cleaned) else "bad_json"
            raise ModelFailure(code, f"no list of labels: {excerpt(cleaned)}")
        inside = cleaned[opening : closing + 1]
        value = literal(inside)
        if value is None:
            value = unquoted(inside)
    if isinstance(value, dict) and len(value) == 1:
        value = next(iter(value.values()))
    if not isinstance(value, list):
        raise ModelFailure("bad_json", f"a list of labels was asked for: {excerpt(cleaned)}")
    return tidy(value)


def literal(text: str) -> object | None:
    """The value of a JSON or Python literal, None where it is neither."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return None


def unquoted(text: str) -> list[str]:
    """``[happy, don't believe]`` → its parts; separators are the commas and 、 of both scripts."""
    body = text.strip()[1:-1]
    if "[" in body or "]" in body:
        raise ModelFailure("bad_json", f"more than one list: {excerpt(text)}")
    return [part.strip().strip("\"“”‘’'") for part in re.split(r"[,，、;；\n]", body)]


def tidy(values: list[object]) -> list[str]:
    """Stripped, lower-cased, blank and repeated labels dropped."""
    labels: list[str] = []
    for value in values:
        if not isinstance(value, str) or len(value) > MAX_LABEL:
            raise ModelFailure("bad_json", f"not a label: {excerpt(repr(value))}")
        label = " ".join(value.split()).lower()
        if label and label not in labels:
            labels.append(label)
    return labels
