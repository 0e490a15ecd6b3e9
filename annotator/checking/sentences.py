"""Which clue a sentence of a description rests on.

A sentence is linked to a clue when it shares at least half of the shorter text's content (words in English, character
bigrams in Chinese: the overlap coefficient of Szymkiewicz and Simpson), or, for want of that, when it opens with the
clue's modality ("In the audio", 在音频中). What shares as much with the subtitle, or opens with it, rests on the
subtitle. A sentence that is linked to nothing is reasoning over all of them.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

THRESHOLD = 0.5
# Where a sentence may end: its marks, then the quotes and brackets that they close.
_END = {
    "zh": re.compile(r"""([。！？；!?;]+)([”’」』）)》】"]*)|(?<=[\u3400-\u9fff])(\.)(?=[\s\u3400-\u9fff]|$)"""),
    "en": re.compile(r"""([.!?;…]+)(["'”’)\]]*)(?=\s)"""),
}
_GOES_ON = ("，", "、", "：", ",", ":")  # behind a Chinese quotation
_TITLES = frozenset(("mr", "mrs", "ms", "dr", "prof", "st", "vs", "e.g", "i.e", "cf", "approx"))
_NUMBERED = frozenset(("no", "nos", "fig", "p", "pp"))  # with the number that follows
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
    found = []
    for line in text.split("\n"):
        start = 0
        for match in _END[language].finditer(line):
            end = _end_of(line, start, match, language)
            if end is not None:
                found.append(line[start:end])
                start = end
        found.append(line[start:])
    return [part.strip() for part in found if part.strip()]


def _end_of(line: str, start: int, match: re.Match[str], language: str) -> int | None:
    """Where the sentence from `start` ends by these marks; None where it goes on."""
    marks, closing = match[1] or match[match.re.groups] or "", match[2] or ""
    if language == "zh":
        end = match.start() + len(marks)
        for sign in closing:
            if sign == '"' and line[start:end].count('"') % 2 == 0:
                break  # it opens the next one
            end += 1
        goes_on = line.startswith(_GOES_ON, end) or _within_quotes(line[start:end], line[end:])
        return None if goes_on else end
    if _within_quotes(line[start : match.end()], line[match.end() :]):
        return None
    following = line[match.end() :].lstrip()[:1]
    lower = "a" <= following <= "z"
    if closing or "…" in marks or ".." in marks:
        return None if lower else match.end()
    if marks == "." and (found := re.search(r"[A-Za-z.]+$", line[start : match.start()])):
        word = found[0]
        short = word.lower()
        initial = re.fullmatch(r"[A-HJ-Z]", word)  # "I." is a word
        if short in _TITLES or initial or (short in _NUMBERED and "0" <= following <= "9"):
            return None
        if lower and (short == "etc" or re.fullmatch(r"(?:[A-Za-z]\.)+[A-Za-z]", word)):
            return None
    return match.end()


def _within_quotes(before: str, after: str) -> bool:
    """Whether a quotation was opened that is closed only later."""
    paired = any(before.count(a) > before.count(z) and z in after for a, z in ("“”", "「」", "『』"))
    return paired or (before.count('"') % 2 == 1 and '"' in after)


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
        elif words and (overlap(content, words) >= THRESHOLD or _OPENING["text"].search(sentence)):
            basis = "subtitle"
        else:
            basis = "reasoning"
        linked.append({"text": sentence, "basis": basis, "clues": found})
    return linked
