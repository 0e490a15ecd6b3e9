"""Which clue a sentence of a description rests on.

A sentence is linked to a clue when it shares at least half of the shorter text's content (words in English, character
bigrams in Chinese: the overlap coefficient of Szymkiewicz and Simpson), or, for want of that, when it opens with the
clue's modality ("In the audio", 在音频中). A sentence that is linked to nothing is reasoning over all of them.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

THRESHOLD = 0.5
_END = {
    "zh": re.compile(r"(?<=[。！？；!?;])|\n+"),
    "en": re.compile(r"(?<=[.!?;])\s+|\n+"),
}
_OPENING = {
    "visual": re.compile(r"在视频|从视频|画面中|\bin the video\b|\bvisually\b", re.IGNORECASE),
    "audio": re.compile(r"在音频|从音频|\bin the audio\b|\btone of voice\b", re.IGNORECASE),
    "text": re.compile(r"在文本|字幕|\bin the text\b|\bsubtitle\b", re.IGNORECASE),
}
_COMMON = frozenset(
    ("the", "a", "an", "of", "in", "is", "are", "was", "and", "or", "to", "with", "that", "this", "it", "its")
    + ("on", "at", "for", "his", "her", "their", "he", "she")
)


def split(text: str, language: str) -> list[str]:
    """The sentences of a description, in order, without surrounding blanks."""
    return [part.strip() for part in _END[language].split(text) if part and part.strip()]


def features(text: str, language: str) -> set[str]:
    """What two texts are compared by."""
    if language == "en":
        return {word for word in re.findall(r"[a-z']+|\d+(?:\.\d+)?", text.lower()) if word not in _COMMON}
    letters = re.sub(r"\W+", "", text)
    return {letters[i : i + 2] for i in range(len(letters) - 1)}


def overlap(one: set[str], other: set[str]) -> float:
    """Shared content as a share of the smaller set; 0 where either is empty."""
    return len(one & other) / min(len(one), len(other)) if one and other else 0.0


def link(text: str, language: str, clues: Sequence[Mapping[str, Any]], subtitle: str | None) -> list[dict[str, Any]]:
    """Per sentence `{text, basis: clue|subtitle|reasoning, clues: [index, …]}`; rejected clues support nothing.

    A clue may bring `texts`, its renderings by language, beside `text` and `language`.
    """
    known = []
    for index, clue in enumerate(clues):
        if clue.get("verdict") == "rejected":
            continue
        own = clue["text"] if clue["language"] == language else (clue.get("texts") or {}).get(language, "")
        known.append((index, clue["modality"], features(own or "", language)))
    words = features(subtitle or "", language)
    linked = []
    for sentence in split(text, language):
        content = features(sentence, language)
        found = [index for index, _modality, own in known if overlap(content, own) >= THRESHOLD]
        if not found:
            opened = {modality for modality, opening in _OPENING.items() if opening.search(sentence)}
            found = [index for index, modality, _own in known if modality in opened]
        if found:
            basis = "clue"
        elif words and overlap(content, words) >= THRESHOLD:
            basis = "subtitle"
        else:
            basis = "reasoning"
        linked.append({"text": sentence, "basis": basis, "clues": found})
    return linked
