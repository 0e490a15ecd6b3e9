"""The small bilingual lexicon of emotion words (``lexicon.json``, which cites its sources):

synonyms, the forms of a word, and finding words in a text.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("lexicon.json")
STEM = 4  # letters that a stem has at least, so that few strangers share it
_NEGATED_EN = re.compile(
    r"(?:\b(?:not|no|never|without|nor|neither)|n[’']t)(?:\s+(?!but\b|yet\b|only\b|just\b|rather\b)\w+){0,2}\s*$",
    re.IGNORECASE,
)
_NEGATED_ZH = re.compile(r"(?:不|没有|没|并非|毫无|并无|未|缺乏)(?:感到|显得|觉得|那么|特别|太|很|是)?$")
_ALTERNATIVES = re.compile(r"[/&]|\b(?:and|or)\b", re.IGNORECASE)


@functools.cache
def _data() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    return loaded


@functools.cache
def groups() -> dict[str, dict[str, list[str]]]:
    """Group name -> ``{"en": [...], "zh": [...]}``, the plainest words first."""
    found: dict[str, dict[str, list[str]]] = {}
    for name, group in _data()["groups"].items():
        labels = group.get("labels", [])
        found[name] = {
            "en": group.get("en", []) + [word for word in labels if word.isascii()],
            "zh": group.get("zh", []) + [word for word in labels if not word.isascii()],
        }
    return found


@functools.cache
def group_of() -> dict[str, str]:
    """Word in either language -> the name of its group."""
    return {word: name for name, words in groups().items() for language in words for word in words[language]}


@functools.lru_cache(maxsize=20_000)
def group_of_form(label: str) -> str | None:
    """The group of a word in any form (``very happy``, ``happily``, ``happier``, 很开心, 开心的); None if unknown.

    Tried in turn: the word as it stands; without the words of degree and of feeling around it; by its endings.
    """
    known = group_of()
    for form in _forms(" ".join(label.lower().replace("’", "'").split()).strip(" .,;:!?。，；：！？")):
        if form in known:
            return known[form]
        if form.isascii() and (found := _by_ending(form)):
            return found
    return None


def group_name(label: str) -> str | None:
    """The group of a label: ``group_of_form``; of ``calm or neutral`` and ``angry/displeased`` that of the first part
    that is known."""
    found = group_of_form(label)
    parts = [] if found else _ALTERNATIVES.split(" ".join(label.split()))
    return found or next((name for part in parts if (name := group_of_form(part))), None)


def coverage(labels: Iterable[str]) -> dict[str, int]:
    """``{known, all}``: how many of these labels, each as often as it stands there, the lexicon has a group for."""
    every = list(labels)
    return {"known": sum(group_name(label) is not None for label in every), "all": len(every)}


def _forms(label: str) -> Iterator[str]:
    """The label, then what is left of it when words of degree or of feeling are taken off, one at a time."""
    yield label
    affixes = _data()["affixes"]["en" if label.isascii() else "zh"]
    gap = " " if label.isascii() else ""
    while True:
        before = (label[len(word) :] for word in affixes["before"] if label.startswith(word + gap))
        after = (label[: -len(word)] for word in affixes["after"] if label.endswith(gap + word))
        # The longest is taken: 有一点 before 有.
        shorter = min((rest.strip() for rest in (*before, *after)), key=len, default="")
        if not shorter:
            return
        label = shorter
        yield label


def _by_ending(label: str) -> str | None:
    """The group of a known word that differs from this English one, or from its hyphens, by an ending only."""
    known = group_of()
    spaced = label.replace("-", " ")
    if spaced in known:
        return known[spaced]
    if " " in label or "-" in label or label in _data()["affixes"]["en"]["kept"]:
        return None
    bases = list(_bases(label))
    for base in bases:
        for whole in (base, base + "e", base + "y"):
            if whole in known:
                return known[whole]
    stems = _stems()
    return next((found for base in (label, *bases) if (found := stems.get(_stem(base)))), None)


def _bases(word: str) -> Iterator[str]:
    """The word without an ending, for each ending that it has; a doubled consonant is undone (sobbing, sob)."""
    for ending in _data()["affixes"]["en"]["endings"]:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            base = word[: -len(ending)]
            yield base
            if base[-1] == base[-2] and base[-1] not in "aeiosl":
                yield base[:-1]


@functools.cache
def _stems() -> dict[str, str]:
    """Stem -> group, of stems on which all known words agree."""
    found: dict[str, set[str]] = {}
    for word, name in group_of().items():
        if word.isascii() and word.isalpha():
            for base in (word, *_bases(word)):
                found.setdefault(_stem(base), set()).add(name)
    return {stem: names.pop() for stem, names in found.items() if len(names) == 1 and len(stem) >= STEM}


def _stem(word: str) -> str:
    return word.rstrip("eyi") if len(word) > STEM else word


@functools.cache
def _pattern() -> re.Pattern[str]:
    words = {word for group in _data()["groups"].values() for word in (*group.get("en", []), *group.get("zh", []))}
    known = sorted(words, key=len, reverse=True)  # the longest word wins: 不高兴 before 高兴
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
