"""What both languages share: the context words of a lexicon as expressions, and how a sentence speaks of a claim."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from weakref import WeakKeyDictionary

from models_ml.gate.lexicon import Lexicon

Anchors = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Context:
    """How a sentence speaks of a claim."""

    negated: bool
    hedged: bool
    who: str  # "target" or "other"


class Words:
    """Context words of one language of the lexicon, compiled when first needed."""

    def __init__(self, lexicon: Lexicon, language: str) -> None:
        self.lexicon, self.language = lexicon, language

    @cached_property
    def kinds(self) -> dict[str, dict[str, re.Pattern[str]]]:
        """negation, hedge and unreal, each with its lists."""
        return {
            kind: {part: self._any(items) for part, items in _lists(entry).items() if part != "source"}
            for kind, entry in self.lexicon.context[self.language].items()
        }

    @cached_property
    def people(self) -> dict[str, re.Pattern[str]]:
        """Names of people and things by list."""
        return {name: self._any(items) for name, items in self.lexicon.people[self.language].items()}

    def _any(self, items: list[str]) -> re.Pattern[str]:
        return re.compile(self.lexicon.words(self.language, items) if items else r"(?!)")


def _lists(entry: dict[str, list[str]] | list[str]) -> dict[str, list[str]]:
    return entry if isinstance(entry, dict) else {"words": entry}


_KNOWN: WeakKeyDictionary[Lexicon, dict[str, Words]] = WeakKeyDictionary()


def words(lexicon: Lexicon, language: str) -> Words:
    """The context words of a lexicon, compiled once."""
    known = _KNOWN.setdefault(lexicon, {})
    if language not in known:
        known[language] = Words(lexicon, language)
    return known[language]


@lru_cache(maxsize=64)
def blanked(text: str, pattern: re.Pattern[str], sign: str = "\x02") -> str:
    """`text` with what matches made unreadable, as long as before. Remembered while a sentence's claims are read."""
    return pattern.sub(lambda match: sign * len(match[0]), text)


def cover(text: str, anchors: Anchors, sign: str = "\x03") -> str:
    """`text` with the claim's own words made unreadable: "says nothing" is not negated by its "nothing"."""
    for start, end in anchors:
        text = text[:start] + sign * (end - start) + text[end:]
    return text
