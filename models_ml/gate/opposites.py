"""A true sentence made wrong on purpose: one claim of it swapped for its opposite, by rules.

What the rules may touch and whether the meaning turned over is decided by the gate's own reading (`find`): a swap
counts only where the claim is gone, one of its opposites stands in its place with the same polarity and about the same
person, and every other claim is as it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from models_ml.gate.finder import Claim, find

MAX_REPEATS = 6  # places of one claim in a text that are swapped
_SIGNED = re.compile(r"^([^。.;；,，]{0,40}?[（(][^）)]{0,30}?)([+\N{MINUS SIGN}-])(?=\d)")
REACH = 24  # characters around a claim's words in which its rule may match
#: What a claim may be turned into. Pairs after FACS (Ekman, Friesen & Hager 2002): AU12 against AU4 or AU15, AU1+2
#: against AU4, AU5 against AU7; of the voice each pair of words stands on one measure (docs/gate.md).
OPPOSITES: dict[str, tuple[str, ...]] = {
    "smile": ("brows_lowered", "lip_corners_down"),
    "brows_lowered": ("smile", "brows_raised"),
    "brows_raised": ("brows_lowered",),
    "inner_brows_raised": ("brows_lowered",),
    "lip_corners_down": ("smile",),
    "eyes_wide": ("eyes_narrowed",),
    "eyes_narrowed": ("eyes_wide",),
    "loud": ("soft",),
    "soft": ("loud",),
    "high_pitch": ("low_pitch",),
    "low_pitch": ("high_pitch",),
    "fast": ("slow",),
    "slow": ("fast",),
    "flat": ("lively",),
    "lively": ("flat",),
    "trembling": ("calm",),
    "calm": ("trembling",),
}
_UP_DOWN = (
    ("raising", "lowering"), ("raised", "lowered"), ("raises", "lowers"), ("raise", "lower"),
    ("lifting", "lowering"), ("lifted", "lowered"), ("lifts", "lowers"), ("arched", "lowered"),
    ("upwards", "downwards"), ("upward", "downward"), ("turned up", "turned down"), ("turn up", "turn down"),
    ("curled up", "pulled down"), ("curl up", "pull down"), ("up", "down"),
)  # fmt: skip
_DOWN_UP = tuple((b, a) for a, b in _UP_DOWN) + (
    ("drooping", "turned up"), ("droop", "turn up"), ("drawn together", "raised"), ("knitted", "raised"),
    ("knit", "raised"), ("furrowed", "raised"), ("draws together", "raises"), ("furrows", "raises"),
    ("furrowing", "raising"), ("furrow", "raise"), ("contracted", "raised"), ("drawn down", "raised"),
)  # fmt: skip
_RISE_FALL = (
    ("rising", "falling"), ("rises", "falls"), ("rise", "fall"), ("rose", "fell"), ("risen", "fallen"),
    ("higher", "lower"), ("high", "low"), ("raised", "lowered"), ("raises", "lowers"), ("increased", "decreased"),
    ("increases", "decreases"), ("increasing", "decreasing"),
)  # fmt: skip
_LOUD_SOFT = (
    ("loudest", "softest"), ("louder", "softer"), ("loudly", "softly"), ("loud", "soft"), ("raised", "lowered"),
    ("raises", "lowers"), ("raise", "lower"), ("raising", "lowering"), ("booming", "faint"), ("shouting", "whispering"),
    ("shouts", "whispers"), ("shouted", "whispered"), ("higher", "lower"), ("increases", "decreases"),
)  # fmt: skip
_SOFT_LOUD = (*((b, a) for a, b in _LOUD_SOFT), ("quieter", "louder"), ("quietly", "loudly"), ("quiet", "loud"),
              ("low", "loud"), ("gentle", "loud"), ("hushed", "loud"))  # fmt: skip
_FAST_SLOW = (
    ("fastest", "slowest"), ("faster", "slower"), ("fast", "slow"), ("quicker", "slower"), ("quickly", "slowly"),
    ("quick", "slow"), ("rapidly", "slowly"), ("rapid", "slow"), ("hurriedly", "slowly"), ("hurried", "slow"),
    ("rushed", "slow"), ("swift", "slow"), ("brisk", "slow"), ("speeds up", "slows down"),
)  # fmt: skip
_SLOW_FAST = (("slower", "faster"), ("slowly", "quickly"), ("slowest", "fastest"), ("slow", "fast"),
              ("unhurried", "hurried"), ("slows down", "speeds up"), ("drawn out", "hurried"))  # fmt: skip
#: claim -> language -> (what is looked for, what takes its place), the more particular first.
RULES: dict[str, dict[str, tuple[tuple[str, str], ...]]] = {
    "smile": {
        "en": (
            ("smilingly", "frowningly"), ("smiling", "frowning"), ("smiled", "frowned"), ("smiles", "frowns"),
            ("smile", "frown"), ("grinning", "scowling"), ("grinned", "scowled"), ("grins", "scowls"),
            ("grin", "scowl"), ("beaming", "scowling"), ("beams", "scowls"), *_UP_DOWN,
        ),
        "zh": (
            ("面带微笑", "眉头紧皱"), ("面带笑容", "眉头紧皱"), ("露出了微笑", "皱起了眉头"), ("露出微笑", "皱起眉头"),
            ("露出了笑容", "皱起了眉头"), ("露出笑容", "皱起眉头"), ("微微一笑", "微微皱眉"), ("微笑着", "皱着眉"),
            ("笑着", "皱着眉"), ("笑了笑", "皱了皱眉"), ("在笑", "在皱眉"), ("在微笑", "在皱眉"), ("笑了", "皱起了眉"),
            ("微笑", "皱眉"), ("笑眯眯地", "皱着眉"), ("上扬", "下垂"), ("上翘", "下垂"), ("翘起", "下垂"),
            ("扬起", "垂下"), ("勾起", "垂下"), ("上弯", "下弯"), ("向上", "向下"), ("笑容", "愁眉"), ("含笑", "皱眉"),
        ),
    },
    "brows_lowered": {
        "en": (
            ("frowningly", "smilingly"), ("frowning", "smiling"), ("frowned", "smiled"), ("frowns", "smiles"),
            ("frown", "smile"), ("scowling", "grinning"), ("scowled", "grinned"), ("scowls", "grins"),
            ("scowl", "grin"), ("lowers and draws together the brows", "raises the brows"), *_DOWN_UP,
        ),
        "zh": (
            ("皱起了眉头", "露出了微笑"), ("皱起眉头", "露出微笑"), ("皱着眉头", "微笑着"), ("皱着眉", "微笑着"),
            ("皱了皱眉", "笑了笑"), ("紧皱眉头", "面带微笑"), ("微微皱眉", "微微一笑"), ("眉头紧锁", "眉毛上扬"),
            ("眉头紧皱", "眉毛上扬"), ("双眉紧锁", "双眉上扬"), ("皱起眉", "露出微笑"), ("皱眉", "微笑"),
            ("紧锁", "上扬"), ("紧皱", "上扬"), ("微皱", "上扬"), ("压低", "抬高"), ("下压", "上扬"), ("紧蹙", "上扬"),
            ("皱起", "扬起"), ("皱紧", "扬起"),
        ),
    },
    "brows_raised": {
        "en": _UP_DOWN,
        "zh": (
            ("上扬", "紧皱"), ("扬起", "皱起"), ("上挑", "紧皱"), ("挑起", "皱起"), ("抬起", "皱起"), ("抬高", "压低"),
            ("上抬", "下压"), ("上提", "下压"), ("扬眉", "皱眉"), ("挑眉", "皱眉"), ("高挑", "紧皱"),
        ),
    },
    "lip_corners_down": {
        "en": _DOWN_UP,
        "zh": (
            ("下垂", "上扬"), ("下撇", "上扬"), ("下拉", "上扬"), ("垂下", "扬起"), ("向下", "向上"), ("下弯", "上弯"),
            ("撇嘴", "微笑"), ("下压", "上扬"), ("耷拉", "上扬"),
        ),
    },
    "eyes_wide": {
        "en": (
            ("wide open", "narrowed"), ("opened wide", "narrowed"), ("open wide", "narrow"), ("widened", "narrowed"),
            ("widening", "narrowing"), ("widens", "narrows"), ("widen", "narrow"), ("wide", "narrowed"),
            ("raises the upper eyelids", "narrows the eyes"),
        ),
        "zh": (
            ("睁得很大", "眯得很紧"), ("睁大了", "眯起了"), ("睁大", "眯起"), ("瞪大", "眯起"), ("瞪圆", "眯起"),
            ("睁圆", "眯起"), ("圆睁", "微眯"), ("张大", "眯起"), ("上眼睑抬起", "眼睛眯起"),
        ),
    },
    "eyes_narrowed": {
        "en": (
            ("narrowed", "widened"), ("narrowing", "widening"), ("narrows", "widens"), ("narrow", "wide"),
            ("squinting", "wide-eyed"), ("tightens the eyelids", "widens the eyes"),
        ),
        "zh": (("眯起", "睁大"), ("微眯", "圆睁"), ("眯着", "瞪大"), ("眯", "瞪大"), ("眼睑收紧", "眼睛睁大")),
    },
    "loud": {
        "en": _LOUD_SOFT,
        "zh": (
            ("大声", "小声"), ("高声", "低声"), ("声音很大", "声音很小"), ("声音大", "声音小"), ("较大", "较小"),
            ("很大", "很小"), ("响亮", "微弱"), ("洪亮", "微弱"), ("提高", "压低"), ("变大", "变小"), ("增大", "减小"),
            ("高于", "低于"), ("升高", "降低"), ("偏高", "偏低"), ("较高", "较低"), ("大", "小"), ("高", "低"),
        ),
    },
    "soft": {
        "en": _SOFT_LOUD,
        "zh": (
            ("小声", "大声"), ("低声", "高声"), ("轻声", "大声"), ("声音很小", "声音很大"), ("声音小", "声音大"),
            ("较小", "较大"), ("很小", "很大"), ("微弱", "响亮"), ("压低", "提高"), ("变小", "变大"), ("减小", "增大"),
            ("低于", "高于"), ("降低", "升高"), ("偏低", "偏高"), ("较低", "较高"), ("很轻", "很大"), ("轻", "大"),
            ("小", "大"), ("低", "高"),
        ),
    },
    "high_pitch": {
        "en": _RISE_FALL,
        "zh": (
            ("高于", "低于"), ("升高", "降低"), ("提高", "降低"), ("上扬", "下沉"), ("偏高", "偏低"), ("较高", "较低"),
            ("尖锐", "低沉"), ("高亢", "低沉"), ("变高", "变低"), ("高", "低"),
        ),
    },
    "low_pitch": {
        "en": (*((b, a) for a, b in _RISE_FALL), ("deep", "high"), ("deeper", "higher")),
        "zh": (
            ("低于", "高于"), ("降低", "升高"), ("下沉", "上扬"), ("偏低", "偏高"), ("较低", "较高"), ("低沉", "高亢"),
            ("变低", "变高"), ("低", "高"),
        ),
    },
    "fast": {
        "en": _FAST_SLOW,
        "zh": (
            ("较快", "较慢"), ("很快", "很慢"), ("加快", "放慢"), ("变快", "变慢"), ("偏快", "偏慢"), ("快于", "慢于"),
            ("急促", "缓慢"), ("快速", "缓慢"), ("急速", "缓慢"), ("飞快", "缓慢"), ("快", "慢"),
        ),
    },
    "slow": {
        "en": _SLOW_FAST,
        "zh": (
            ("较慢", "较快"), ("很慢", "很快"), ("放慢", "加快"), ("变慢", "变快"), ("偏慢", "偏快"), ("慢于", "快于"),
            ("缓慢", "急促"), ("减慢", "加快"), ("舒缓", "急促"), ("放缓", "加快"), ("慢", "快"),
        ),
    },
    "flat": {
        "en": (("monotonous", "animated"), ("monotone", "animated tone"), ("flatly", "animatedly"), ("flat", "lively")),
        "zh": (("平淡", "起伏很大"), ("平直", "起伏大"), ("单调", "富有起伏"), ("平平", "起伏很大")),
    },
    "lively": {
        "en": (("animatedly", "flatly"), ("animated", "flat"), ("lively", "flat"), ("expressive", "monotonous")),
        "zh": (("起伏很大", "平淡"), ("起伏较大", "平淡"), ("起伏大", "平直"), ("起伏明显", "平淡"),
               ("富有起伏", "单调")),
    },
    "trembling": {
        "en": (
            ("trembling", "calm"), ("trembles", "stays calm"), ("shaking", "calm"), ("shaky", "calm"),
            ("quivering", "calm"), ("unsteady", "calm"),
        ),
        "zh": (("颤抖", "平稳"), ("发抖", "平稳"), ("发颤", "平稳"), ("不稳", "平稳"), ("哽咽", "平静")),
    },
    "calm": {
        "en": (("calmly", "in a trembling voice"), ("calm", "trembling"), ("steady", "shaky"), ("even", "shaky"),
               ("composed", "shaky")),
        "zh": (("平静", "颤抖"), ("平稳", "颤抖"), ("沉稳", "颤抖"), ("冷静", "颤抖")),
    },
}  # fmt: skip
RULES["inner_brows_raised"] = {
    "en": (("raises the inner brows", "lowers the brows"), *_UP_DOWN),
    "zh": (("眉毛内侧上扬", "眉毛紧皱"), *RULES["brows_raised"]["zh"]),
}


@dataclass(frozen=True)
class Swap:
    """`text` says `opposite` where the original said `claim`."""

    claim: str
    opposite: str
    text: str

    @property
    def rule(self) -> str:
        return f"{self.claim}>{self.opposite}"


def swaps(text: str, language: str, modality: str) -> list[Swap]:
    """Every way in which one claim of `text` can be turned into its opposite, in the order of the text.

    `language` is en or zh; a sentence of both is read in its own language's rules only. Claims about other people
    are left alone. [] where nothing can be swapped so that the gate reads exactly that.
    """
    claims = find(text, modality)
    found: dict[str, Swap] = {}
    for claim in claims:
        if claim.who != "target" or claim.claim not in OPPOSITES:
            continue
        for opposite in OPPOSITES[claim.claim]:
            swap = _swap(text, claims, claim, opposite, language, modality)
            if swap is not None:
                found.setdefault(swap.text, swap)
    return list(found.values())


def turned(claims: list[Claim], after: list[Claim], claim: Claim, opposite: str) -> bool:
    """Whether `after` says what `claims` said but for `claim`, in whose place its opposite stands."""
    was = {(each.claim, each.negated, each.who, each.quote) for each in claims}
    now = {(each.claim, each.negated, each.who, each.quote) for each in after}
    gone = (claim.claim, claim.negated, claim.who, claim.quote)
    come = (opposite, claim.negated, claim.who, claim.quote)
    return come not in was and now == was - {gone} | {come}


def _swap(text: str, claims: list[Claim], claim: Claim, opposite: str, language: str, modality: str) -> Swap | None:
    for pattern, new in _rules(claim.claim, language):
        for candidate in _replaced(text, claim, pattern, new, modality):
            if turned(claims, find(candidate, modality), claim, opposite):
                return Swap(claim.claim, opposite, candidate)
    return None


def _replaced(text: str, claim: Claim, pattern: re.Pattern[str], new: str, modality: str) -> Iterator[str]:
    """The text with the claim's words replaced; then with each further place that makes the same claim, too."""
    at: Claim | None = claim
    for _place in range(MAX_REPEATS):
        if at is None:
            return
        match = _near(text, at, pattern)
        if match is None:
            return
        text = text[: match.start()] + _cased(match[0], new) + _SIGNED.sub(_other_sign, text[match.end() :], count=1)
        yield text
        same = [each for each in find(text, modality) if (each.claim, each.who) == (claim.claim, claim.who)]
        at = same[0] if same else None


def _near(text: str, claim: Claim, pattern: re.Pattern[str]) -> re.Match[str] | None:
    """The match that lies within the claim's words, else the nearest one around them."""
    low, high = max(0, claim.start - REACH), min(len(text), claim.end + REACH)
    matches = list(pattern.finditer(text, low, high))

    def distance(match: re.Match[str]) -> int:
        return max(claim.start - match.end() + 1, match.start() - claim.end + 1, 0)

    return min(matches, key=lambda match: (distance(match), match.start()), default=None)


def _other_sign(match: re.Match[str]) -> str:
    """A measured clue says its number behind its word: louder (+4.2 dB), softer (−4.2 dB)."""
    minus = "\N{MINUS SIGN}"
    return match[1] + (minus if match[2] == "+" else "+")


def _cased(old: str, new: str) -> str:
    return new[0].upper() + new[1:] if old[:1].isupper() else new


@cache
def _rules(claim: str, language: str) -> list[tuple[re.Pattern[str], str]]:
    rules = RULES.get(claim, {}).get(language, ())
    return [(re.compile(_bounded(old, language), re.IGNORECASE), new) for old, new in rules]


def _bounded(old: str, language: str) -> str:
    """A word of English stands by itself; one sign of Chinese is not a part of 音高, 高兴, 大家 and the like."""
    if language == "en":
        return rf"\b{re.escape(old)}\b"
    return rf"(?<!音){re.escape(old)}(?![兴家概约])" if len(old) == 1 else re.escape(old)
