"""The small bilingual lexicon of emotion words (``lexicon.json``, which cites its sources):

synonyms and finding words.
"""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path

FILE = Path(__file__).with_name("lexicon.json")
_NEGATED_EN = re.compile(
    r"(?:\b(?:not|no|never|without|nor|neither)|n[’']t)(?:\s+(?!but\b|yet\b|only\b|just\b|rather\b)\w+){0,2}\s*$",
    re.IGNORECASE,
)
_NEGATED_ZH = re.compile(r"(?:不|没有|没|并非|毫无|并无|未|缺乏)(?:感到|显得|觉得|那么|特别|太|很|是)?$")


@functools.cache
def groups() -> dict[str, dict[str, list[str]]]:
    """Group name -> ``{"en": [...], "zh": [...]}``."""
    loaded: dict[str, dict[str, list[str]]] = json.loads(FILE.read_text("utf-8"))["groups"]
    return loaded


@functools.cache
def group_of() -> dict[str, str]:
    """Word in either language -> the name of its group."""
    return {word: name for name, words in groups().items() for language in words for word in words[language]}


@functools.cache
def _pattern() -> re.Pattern[str]:
    known = sorted(group_of(), key=len, reverse=True)  # the longest word wins: 不高兴 before 高兴
    english = "|".join(re.escape(word) for word in known if word.isascii())
    chinese = "|".join(word for word in known if not word.isascii())
    return re.compile(rf"(?<![\w-])(?:{english})(?![\w-])|(?:{chinese})", re.IGNORECASE)


def lexicon_labels(text: str, language: str | None = None) -> list[str]:
    """The lexicon's emotion words in a text, lower case, in order of first appearance, without repetition.

    Words that stand right behind a negation (not, without, n't; 不, 没有, 毫无) are left out. ``language`` limits the
    search to ``en`` or ``zh`` words.
    """
    found: list[str] = []
    for match in _pattern().finditer(text.replace("’", "'")):
        word = match[0].lower()
        if language is not None and word.isascii() != (language == "en"):
            continue
        before = text[max(0, match.start() - 40) : match.start()]
        if (_NEGATED_EN if word.isascii() else _NEGATED_ZH).search(before):
            continue
        if word not in found:
            found.append(word)
    return found
