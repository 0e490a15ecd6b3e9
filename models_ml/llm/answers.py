"""From a model's raw answer to a text that may become a clue: clean it, or name what is wrong with it."""

from __future__ import annotations

import json
import re
from typing import Any

from models_ml.llm.errors import ModelFailure, excerpt

# Chat templates of reasoning models often open the block themselves: then only its end is in the answer. A block that
# never ends holds no answer.
_THINKING = re.compile(r"^(?:.*</think(?:ing)?>|\s*<think(?:ing)?>.*)", re.DOTALL)
_LEAD = re.compile(r"^(?:输入|输出|翻译|output|input)\s*[:：]\s*", re.IGNORECASE)
_FENCE = re.compile(r"^```[\w-]*\s*\n(.*?)\n?```\s*$", re.DOTALL)
# Only openings count: a speaker in the clip may well be "sorry" further on.
_REFUSAL = re.compile(
    r"^(?:(?:i[’']?m|i am) (?:very |really |so )?sorry\b[,.]?\s*(?:but )?(?:i|as an|this|that)\b"
    r"|sorry[,.]?\s*(?:but )?i (?:can|am|won|do)"
    r"|i (?:cannot|can[’']t|can not|am unable to|[’']?m unable to|won[’']t|am not able to) "
    r"(?:assist|help|comply|provide|describe|analy[sz]e|identify|fulfil|answer|process|do that|infer)"
    r"|i[’']m (?:unable|not able) to "
    r"|as an ai\b|as a (?:large )?language model"
    r"|(?:很|非常)?(?:抱歉|对不起)[,，。!！]?\s*(?:但是?)?(?:我|作为|无法|不能|这)"
    r"|我(?:无法|不能|没有办法)(?:协助|帮助|提供|回答|描述|分析|完成|满足|识别|处理)"
    r"|作为(?:一个|一名)?(?:ai|人工智能|语言模型))",
    re.IGNORECASE,
)
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_LATIN_WORD = re.compile(r"[A-Za-zÀ-ɏ]+(?:['’-][A-Za-zÀ-ɏ]+)*")
# Control signs and halves of characters say nothing, and no database keeps them.
_UNSTORABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_MARKUP = re.compile(r"^\s*<(?:!doctype\b|!--|\?xml\b|[a-z][a-z0-9]*(?:\s[^<>]*)?/?>)", re.IGNORECASE)


def bare(text: str) -> str:
    """Strip reasoning blocks, a code fence around the whole answer, and signs that nothing can be written with."""
    text = _THINKING.sub("", _UNSTORABLE.sub("", text)).strip()
    fenced = _FENCE.match(text)
    return fenced.group(1).strip() if fenced else text


def storable(value: Any) -> Any:
    """A value out of JSON, whose escapes may have brought such signs in again, without them in any text or key."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("", value)
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    return value


def clean(text: str) -> str:
    """``bare``, without the few-shot marker (``Output:``, ``输出：``) some models repeat."""
    return _LEAD.sub("", bare(text), count=1).strip()


def is_refusal(text: str) -> bool:
    """Whether the answer opens as a refusal, in English or Chinese."""
    return bool(_REFUSAL.match(text.strip()))


def language_of(text: str) -> str | None:
    """``zh`` or ``en``, whichever carries more: Chinese characters against Latin words; None without either.

    An English sentence may quote a Chinese subtitle and a Chinese one an English name, so the larger share decides.
    """
    han, latin = len(_HAN.findall(text)), len(_LATIN_WORD.findall(text))
    if not han and not latin:
        return None
    # A Chinese word is about one and a half characters long.
    return "zh" if han / 1.5 > latin else "en"


def usable_text(text: str, language: str, calls: int = 0) -> str:
    """The cleaned text in the asked language.

    Raises ModelFailure ``empty``, ``not_text`` (markup, or nothing but signs and digits), ``refusal`` or
    ``wrong_language``.
    """
    cleaned = clean(text)
    if not cleaned:
        raise ModelFailure("empty", "the model answered with nothing", calls)
    if _MARKUP.match(cleaned):
        raise ModelFailure("not_text", f"the model answered with markup: {excerpt(cleaned)}", calls)
    if is_refusal(cleaned):
        raise ModelFailure("refusal", f"the model refused: {excerpt(cleaned)}", calls)
    found = language_of(cleaned)
    if found is None:
        raise ModelFailure("not_text", f"the answer holds no words: {excerpt(cleaned)}", calls)
    if found != language:
        raise ModelFailure("wrong_language", f"asked for {language}, got {found}: {excerpt(cleaned)}", calls)
    return cleaned


def json_object(text: str, calls: int = 0) -> dict[str, Any]:
    """The JSON object in an answer: the whole answer, or the one object inside surrounding chatter.

    Raises ModelFailure ``empty``, ``refusal`` or ``bad_json`` (none, half of one, or not an object).
    """
    cleaned = clean(text)
    if not cleaned:
        raise ModelFailure("empty", "the model answered with nothing", calls)
    start = cleaned.find("{")
    if start < 0 and is_refusal(cleaned):
        raise ModelFailure("refusal", f"the model refused: {excerpt(cleaned)}", calls)
    try:
        value = storable(json.JSONDecoder(strict=False).raw_decode(cleaned, max(start, 0))[0])
    except (json.JSONDecodeError, RecursionError) as error:
        raise ModelFailure("bad_json", f"not a JSON object ({error}): {excerpt(cleaned)}", calls) from error
    if not isinstance(value, dict):
        raise ModelFailure("bad_json", f"a JSON object was asked for: {excerpt(cleaned)}", calls)
    return value
