"""Claims in a clue: what is said to be seen or heard, of whom, and how surely."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from models_ml.gate import chinese, english
from models_ml.gate.lexicon import NO_CLAIM, Lexicon, Pattern, load
from models_ml.gate.measures import VOICE_CODES
from models_ml.gate.text import Quote, is_question, quotes, sentences

MAX_TEXT = 20_000  # characters; what is longer is no clue, and only its beginning is read
HAN = re.compile(r"[\u3400-\u9fff]")
#: Bare adjectives of an audio clue speak of the voice where the sentence names one, or begins with them.
_VOICED = re.compile(
    r"\b(?:voice|tone|spe[ae]k|spoke|speech|say|said|talk|utter|sound|pitch|word|sentence|phrase|deliver|intonation|vocal|answer|repl|"
    r"ask|read|recit|speaker|tempo|pace|rate|volume|whisper|register)|"
    r"[声音语说讲话嗓调念报]|^\s*(?:very |rather |quite )?\w+(?:,| and|\.)"
)
_TOKEN = re.compile(r"[\w']+")
LATIN = re.compile(r"[a-z]")
_SAYING = re.compile(
    r"\b(?:say|said|ask|repl|answer|shout|whisper|mutter|murmur|word|phrase|sentence|line|utter|yell|exclaim|call|tell|"
    r"told|speak|spoke|subtitle|remark|add|repeat|quot|cr(?:y|ies)|continu|mention|scream|state|begin|began)\w*|"
    r"[说道问喊叫答讲念曰称字词句话语:：]"
)
#: What is written on things or is a name was not said.
_WRITTEN = re.compile(
    r"\b(?:sign|poster|banner|t-shirt|shirt|titled?|label|book|film|movie|song|billboard|wall|door|plate|logo|called|named|"
    r"so-called|headline|newspaper|placard|mug|sticker)\b[^.;]*$|"
    r"(?:牌子|招牌|海报|标语|横幅|墙上|门上|T恤|t恤|衣服上|书名|歌曲|歌名|电影|标题|题为|名为|所谓|叫做|名叫|报纸|标志|贴纸|广告)[^。；]*$"
)


@dataclass(frozen=True)
class Claim:
    """One claim; `start` and `end` are places in the clue's text."""

    claim: str
    start: int
    end: int
    negated: bool = False
    hedged: bool = False
    who: str = "target"  # or "other"
    quote: str = ""  # the quoted words of a quote


@dataclass(frozen=True)
class _Match:
    pattern: Pattern
    start: int
    end: int
    anchors: tuple[tuple[int, int], ...]

    @property
    def signs(self) -> set[int]:
        return {place for start, end in self.anchors for place in range(start, end)}


def find(text: str, modality: str = "", lexicon: Lexicon | None = None) -> list[Claim]:
    """All claims in order of place; the same code of the same person with the same polarity once.

    `modality` audio lets bare adjectives ("loud and fast") speak of the voice.
    """
    lexicon = lexicon or load()
    text = text[:MAX_TEXT]
    quoted = quotes(text)
    found: list[Claim] = []
    en, zh = english.Reader(lexicon), chinese.Reader(lexicon)
    for sentence in sentences(text):
        body = sentence.text
        has_han, has_latin = bool(HAN.search(body)), bool(LATIN.search(body))
        if has_latin:
            en.begin(body)
        if has_han:
            zh.begin(body)
        if is_question(body):
            continue
        readers = [reader for reader, there in ((en, has_latin), (zh, has_han)) if there]
        matches = [
            match
            for language, there in (("en", has_latin), ("zh", has_han))
            if there
            for match in _matches(body, lexicon, language, modality)
        ]
        for match in _longest(matches):
            if match.pattern.claim == NO_CLAIM:
                continue
            is_voice = match.pattern.claim in VOICE_CODES
            read = [reader.read(match.anchors, is_voice) for reader in readers]
            if any(one is None for one in read):
                continue
            contexts = [one for one in read if one is not None]
            negated = sum(one.negated for one in contexts) % 2 == 1
            found.append(
                Claim(
                    match.pattern.claim,
                    sentence.start + match.start,
                    sentence.start + match.end,
                    negated != match.pattern.reverse,
                    any(one.hedged for one in contexts),
                    "other" if any(one.who == "other" for one in contexts) else "target",
                )
            )
        inside = [one for one in quoted if sentence.start <= one.start < sentence.start + len(body)]
        found += _quotes(inside, body, sentence.start, readers)
    found.sort(key=lambda claim: (claim.start, -claim.end))
    return _once(found)


def _matches(body: str, lexicon: Lexicon, language: str, modality: str) -> list[_Match]:
    found = []
    there = {*_TOKEN.findall(body), *body}
    for pattern in lexicon.candidates(language, there):
        if pattern.audio and (modality != "audio" or not _VOICED.search(body)):
            continue
        for match in pattern.regex.finditer(body):
            anchors = tuple(
                match.span(number) for number in range(1, pattern.regex.groups + 1) if match[number] is not None
            )
            found.append(_Match(pattern, match.start(), match.end(), anchors))
    return found


def _longest(matches: list[_Match]) -> list[_Match]:
    """Of matches whose words lie within another's the longer; of two with the same words the first of the lexicon."""
    kept: list[tuple[_Match, set[int]]] = []
    nothing = [span for match in matches if match.pattern.claim == NO_CLAIM for span in match.anchors]
    for match in sorted(matches, key=lambda one: (-len(one.signs), one.start)):
        if match.pattern.claim != NO_CLAIM and any(_spoils(one, two) for one in match.anchors for two in nothing):
            continue
        signs = match.signs
        if not any(signs <= other or _cuts(match, rival) for rival, other in kept):
            kept.append((match, signs))
    matches = [match for match, _ in kept]
    return sorted((one for one in matches if not any(_within(one, two) for two in matches)), key=lambda one: one.start)


def _spoils(anchor: tuple[int, int], nothing: tuple[int, int]) -> bool:
    """Whether words that claim nothing share signs with an anchor that does not hold them wholly: 快 in 快乐."""
    (a, b), (c, d) = anchor, nothing
    return a < d and c < b and (not (a <= c and d <= b) or anchor == nothing)


def _within(match: _Match, rival: _Match) -> bool:
    """Whether a word of one is only a part of a longer word of the other: 笑 of 露出坏笑 in 坏笑."""
    if match.pattern.claim == rival.pattern.claim:
        return False
    return any(c <= a and b <= d and (a, b) != (c, d) for a, b in match.anchors for c, d in rival.anchors)


def _cuts(match: _Match, rival: _Match) -> bool:
    """Whether a word of one ends within a word of the other: 冷笑 and 笑了 in 冷笑了."""
    return any(a < c < b < d or c < a < d < b for a, b in match.anchors for c, d in rival.anchors)


def _quotes(inside: list[Quote], body: str, start: int, readers: list[english.Reader | chinese.Reader]) -> list[Claim]:
    found = []
    for quote in inside:
        at = quote.start - start
        words = re.findall(r"[\u3400-\u9fff]|[A-Za-z']+", quote.text)
        if not words or (len(words) < 3 and not _SAYING.search(body)):
            continue  # one or two words in marks where nobody speaks are a turn of phrase
        if _WRITTEN.search(body[max(0, at - 30) : at]):
            continue
        read = [reader.read(((at, at + len(quote.text)),)) for reader in readers]
        if any(one is None for one in read):
            continue
        contexts = [one for one in read if one is not None]
        found.append(
            Claim(
                "quote", quote.start, quote.end,
                any(one.negated for one in contexts), any(one.hedged for one in contexts),
                "other" if any(one.who == "other" for one in contexts) else "target", quote.text,
            )
        )  # fmt: skip
    return found


def _once(found: list[Claim]) -> list[Claim]:
    kept: dict[tuple[str, bool, str, str], Claim] = {}
    for claim in found:
        key = (claim.claim, claim.negated, claim.who, claim.quote)
        first = kept.get(key)
        if first is None:
            kept[key] = claim
        elif first.hedged and not claim.hedged:
            kept[key] = replace(first, hedged=False)
    return list(kept.values())
