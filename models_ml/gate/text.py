"""A clue's text made comparable, sign by sign, so that every place found in it is a place in the original."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

MASK = "\x00"  # stands for every sign inside quotation marks
_SAME = {
    "’": "'",
    "ʼ": "'",
    "＇": "'",
    "`": "'",
    "‐": "-",
    "‑": "-",
    "–": "-",
    "—": ";",
    "―": ";",
    "…": ",",
    "\u00a0": " ",
}
_QUOTED = re.compile(
    r"“([^“”]{1,400})[”\"]|\"([^\"“”]{1,400})[\"”]|「([^「」]{1,400})」|『([^『』]{1,400})』|‘([^‘’]{1,400}(?:’\w[^‘’]{0,400}){0,9})’(?!\w)"
    r"|(?<![\w'])'([^'\n]{1,200}(?:'(?:s|t|m|re|ve|ll|d)\b[^'\n]{0,200}){0,9})'(?!\w)"
)
_TITLE = re.compile(r"《[^《》]{1,100}》")
_END = re.compile(r"(?<=[。！？!?；])|(?<=\.)(?=\s+\S)|\n\s*(?=[-*•·\d\n])|\n\s*\n|(?<=[。.!?:：])\s*\n")
_ABBREVIATION = re.compile(r"\b(?:mr|mrs|ms|dr|prof|vs|e\.g|i\.e|approx|no)\.$")


@dataclass(frozen=True)
class Quote:
    """Quoted words and where they stand, without their marks."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Sentence:
    """`text` is folded and masked; `start` is its place in the clue."""

    text: str
    start: int


@lru_cache(maxsize=4096)
def _folded(sign: str) -> str:
    if sign in _SAME:
        return _SAME[sign]
    wide = unicodedata.normalize("NFKC", sign)
    low = (wide if len(wide) == 1 else sign).lower()
    return low if len(low) == 1 else sign


def fold(text: str) -> str:
    """Lower case, half width, plain apostrophes; as long as `text`."""
    return "".join(map(_folded, text))


def quotes(text: str) -> list[Quote]:
    """Everything between quotation marks, in order."""
    found = []
    for match in _QUOTED.finditer(text):
        group = next(number for number, words in enumerate(match.groups(), 1) if words is not None)
        start, end = match.span(group)
        found.append(Quote(text[start:end], start, end))
    return found


def sentences(text: str) -> list[Sentence]:
    """The clue's sentences, folded, with quoted words masked: what was said is no claim about a face."""
    folded = fold(text)
    for title in _TITLE.finditer(text):
        folded = folded[: title.start()] + MASK * len(title[0]) + folded[title.end() :]
    for quote in quotes(text):
        folded = folded[: quote.start] + MASK * (quote.end - quote.start) + folded[quote.end :]
    found: list[Sentence] = []
    start = 0
    for match in [*_END.finditer(folded), None]:
        end = match.start() if match else len(folded)
        if match and _ABBREVIATION.search(folded[start:end]):
            continue
        piece = folded[start:end]
        if piece.strip():
            found.append(Sentence(piece.replace("\n", " "), start))
        start = match.end() if match else end
    return found


def is_question(sentence: str) -> bool:
    """Whether it asks. A question mark inside a quotation is masked and does not count."""
    return sentence.rstrip(" \"'”’」』)）").endswith(("?", "？")) or bool(re.search(r"吗\s*[。.!！]?$", sentence))
