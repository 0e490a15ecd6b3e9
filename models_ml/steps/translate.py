"""A description into the other language, paragraph by paragraph, and what such answers leak.

The pitfalls are those that EMER's published descriptions show: 88 of its 332 English texts begin with the ``Input: ``
of a few-shot prompt, three hold a draft and after an inner ``Output:`` the final text, ten keep Chinese words.
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable

from models_ml import prompts
from models_ml.llm import Completion, Endpoint, ModelFailure, complete, require, usable_text
from models_ml.llm.answers import bare
from models_ml.steps.asking import LANGUAGES, ask_each, meant, receipt, skip, subtitle
from models_ml.steps.types import Evidence, StepResult

MAX_PARAGRAPHS = 12  # calls for one description; further paragraphs go with the last
MAX_TOKENS = 1200
_MARK = r"(?:input|output|translation|translated text|输入|输出|译文|翻译(?:结果)?)"
_LEADING = re.compile(rf"^[\s*#>]*{_MARK}\**\s*(?:[:：]\**|\n)\s*", re.IGNORECASE)
_TRAILING = re.compile(rf"\b{_MARK}\**\s*[:：]\**\s*$", re.IGNORECASE)
_TRAILING_ZH = re.compile(r"(?:输入|输出|译文|翻译(?:结果)?)\s*[:：]\s*$")
MARK_CHARS = 60  # at the end of a text in which a mark is looked for
_BEFORE_MARK = " \t\r\n\u3000*#;"
_INNER = re.compile(r"(?:\boutput|输出)\**\s*[:：]\**\s*(?=\S)", re.IGNORECASE)
_QUOTED = re.compile(r"“[^“”]*”|\"[^\"]*\"|‘[^‘’]*’|「[^「」]*」|『[^『』]*』|《[^《》]*》")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")
_WORD = re.compile(r"[A-Za-z]+(?:['’-][A-Za-z]+)*")
_UNITS = {"Hz", "kHz", "dB", "ms", "s"}


def translate(
    ev: Evidence,
    endpoint: Endpoint | None = None,
    *,
    target: str = "auto",
    idempotency_key: str | None = None,
) -> StepResult:
    """The description of the run's draft in both languages; OV labels are carried through as they are.

    ``target``: the language to write, or ``auto``, the one that is missing. One call a paragraph, at most 12.
    Scaffolding that leaked into the answer is stripped, and provenance names the rules that did (``repaired``).
    Skipped without a draft, without the other language to translate from, and where ``auto`` finds both there.
    Raises NotConfigured, and ModelFailure also where words of the source language are left over.
    """
    written = {language: ((ev.draft or {}).get("description") or {}).get(language) for language in LANGUAGES}
    if not any(written.values()):
        return skip(ev, "translate", "there is no description to translate")
    if target == "auto":
        if all(written.values()):
            return skip(ev, "translate", "the description is there in both languages already")
        target = "zh" if written["en"] else "en"
    source_language = "en" if target == "zh" else "zh"
    source = written[source_language]
    if not source:
        return skip(ev, "translate", f"there is no description in {source_language} to translate from")
    started = time.monotonic()
    server = require(endpoint, "LLM")
    prompt = prompts.load("translate", target)
    pieces = paragraphs(source)
    keys = [idempotency_key and (idempotency_key if len(pieces) == 1 else f"{idempotency_key}-p{n}") for n in
            range(1, len(pieces) + 1)]  # fmt: skip

    def ask(text: str, key: str | None) -> Completion:
        return complete(server, prompt.render(text=text), max_tokens=MAX_TOKENS, idempotency_key=key)

    asks: list[Callable[[], Completion]] = [
        functools.partial(ask, text, key) for text, key in zip(pieces, keys, strict=True)
    ]
    repaired: set[str] = set()

    def read(number: int, answer: Completion) -> str:
        text, rules = strip_scaffolding(bare(answer.text))
        repaired.update(rules)
        text = usable_text(text, target, answer.calls)
        if left := left_over(text, target, source=pieces[number], spoken=subtitle(ev)):
            names = ", ".join(left[:10])
            raise ModelFailure("wrong_language", f"words left in the source language: {names}", answer.calls)
        return text

    answers, texts = ask_each(asks, read)
    parameters = {"target": target, "paragraphs": len(pieces), "repaired": sorted(repaired)} | meant(ev)
    return StepResult(
        "done",
        description={source_language: source, target: "\n\n".join(texts)},
        ov_labels=(ev.draft or {}).get("ov_labels"),
        provenance=receipt(ev, "translate", prompt, answers, parameters, time.monotonic() - started),
    )


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a text, at most ``MAX_PARAGRAPHS``; what is above stays with the last."""
    found = [line.strip() for line in text.splitlines() if line.strip()]
    head, rest = found[: MAX_PARAGRAPHS - 1], found[MAX_PARAGRAPHS - 1 :]
    return head + (["\n".join(rest)] if rest else [])


def strip_scaffolding(text: str) -> tuple[str, list[str]]:
    """The text without the marks of a few-shot prompt, and the rules that took something away.

    ``inner_output``: of ``Input: draft Output: final`` only what follows stays; ``leading_marker`` and
    ``trailing_marker``: a mark at either end; ``leading_colon``.
    """
    rules = []
    text = text.strip()
    while found := _TRAILING_ZH.search(text, len(text) - MARK_CHARS) or _TRAILING.search(text, len(text) - MARK_CHARS):
        text = text[: found.start()].rstrip(_BEFORE_MARK)
        rules.append("trailing_marker")
    inner = [match for match in _INNER.finditer(text) if match.start() > 0]
    if inner:
        text = text[inner[-1].end() :]
        rules.append("inner_output")
    while found := _LEADING.match(text):
        text = text[found.end() :]
        rules.append("leading_marker")
    if text[:1] in (":", "："):
        text = text[1:].lstrip()
        rules.append("leading_colon")
    return text.strip(), list(dict.fromkeys(rules))


def left_over(text: str, language: str, *, source: str = "", spoken: str = "") -> list[str]:
    """Words of the other language in a translation into ``language``; [] is what one wants.

    In English: Chinese characters outside quotation marks. In Chinese: English words outside them that are neither
    units nor abbreviations nor names, that is, capitalised words that stand so in the ``source``. The words ``spoken``
    may stay as they are, quoted or not.
    """
    for line in spoken.splitlines():
        if line.strip():
            text = text.replace(line.strip(), " ")
    text = _QUOTED.sub(" ", text)
    if language == "en":
        return list(dict.fromkeys(_HAN.findall(text)))
    names = set(_WORD.findall(source))
    return list(dict.fromkeys(word for word in _WORD.findall(text) if not _may_stay(word, names)))


def _may_stay(word: str, names: set[str]) -> bool:
    return len(word) == 1 or word.isupper() or word in _UNITS or (word[0].isupper() and word in names)
