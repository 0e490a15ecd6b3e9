"""Candidates from a text LLM, where one is configured: claims that the lexicon has no words for.

Off unless asked for. The model finds words only; the verdict is always that of the measurements.
"""

from __future__ import annotations

import json
from typing import Any

from models_ml import prompts
from models_ml.gate.finder import MAX_TEXT, find
from models_ml.gate.measures import CODES
from models_ml.llm import Endpoint, ModelFailure, clean, complete, excerpt

MAX_TOKENS = 800


def propose(endpoint: Endpoint, text: str, language: str, modality: str = "") -> list[dict[str, Any]]:
    """Candidates for `judge(proposed=…)`: `[{claim, at [start, end], negated, who, by: "model"}]`.

    A candidate counts only when its code is known, its quote stands verbatim in `text`, and the lexicon did not find
    that code by itself. Raises ModelFailure (`bad_json` for anything but a list of objects with code and quote; and as
    `models_ml.llm.complete`), PromptError for a language other than en and zh.
    """
    text = text[:MAX_TEXT]
    prompt = prompts.load("gate_candidates", language)
    known = ", ".join(code for code in CODES if code != "quote")
    answer = complete(endpoint, prompt.render(clue=text, codes=known), max_tokens=MAX_TOKENS)
    try:
        listed = json.loads(clean(answer.text))
    except (ValueError, RecursionError):
        raise ModelFailure("bad_json", f"no list of candidates: {excerpt(answer.text)}", answer.calls) from None
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise ModelFailure("bad_json", f"no list of candidates: {excerpt(answer.text)}", answer.calls)
    found = {claim.claim for claim in find(text, modality)}
    candidates: dict[str, dict[str, Any]] = {}
    for one in listed:
        code, quote = one.get("code"), one.get("quote")
        if code not in CODES or code == "quote" or code in found or not isinstance(quote, str) or not quote.strip():
            continue
        start = text.find(quote)
        if start >= 0:
            who = "other" if one.get("who") == "other" else "target"
            at = [start, start + len(quote)]
            entry = {"claim": code, "at": at, "negated": one.get("negated") is True, "who": who, "by": "model"}
            candidates.setdefault(code, entry)
    return sorted(candidates.values(), key=lambda entry: entry["at"])
