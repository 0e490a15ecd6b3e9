"""Prosody words: each adjective has a code, the measure it speaks of, a threshold and the threshold's source.

Rules of one group exclude each other: the first that holds is taken. A measure against the speaker's own
baseline is preferred; without one only what is unusual for anybody is called so, and pitch is stated
without being judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Rule:
    """`code` holds when `measure` is on the `side` of `threshold`; both are in `unit` after `shown`.

    `en` and `zh` say it with the number at {n}; `source` is where the threshold comes from.
    """

    group: str
    code: str
    measure: str
    side: str  # ">=", "<=" or "any" (a number that is stated, not judged)
    threshold: float | None
    unit: str
    en: str
    zh: str
    source: str
    baseline: bool | None = None  # True/False: only with/without the speaker's baseline; None: always


HART = (
    "'t Hart (1981), J. Acoust. Soc. Am. 69:811: pitch differences below about 1.5-2 semitones are hardly "
    "noticed in speech, from 3 on they carry meaning"
)
LOUD = "about three times the just noticeable difference of 1 dB (Zwicker & Fastl, Psychoacoustics, 1999)"
TEMPO = "Quené (2007), J. Phonetics 35:353: the just noticeable difference of speech tempo is about 5 %; three of them"
RATES = (
    "Pellegrino, Coupé & Marsico (2011), Language 87:539: read speech has 6.2 (English) and 5.2 (Mandarin) "
    "syllables/s; the limits lie 1.3 above and about 2.2 below these"
)
RANGE = (
    "Traunmüller & Eriksson (1995): the standard deviation of F0 in conversation is about 3 semitones, 5th to "
    "95th percentile about 9; narrow and wide are half of that and half as much again"
)
MDVP = (
    "Praat manual, Voice 2: MDVP's jitter threshold of pathology is 1.040 % in a sustained vowel; running speech "
    "lies higher, so it takes twice that. Shimmer (MDVP: 3.810 %) of running speech follows the stress of the "
    "words and is judged against the speaker's baseline only"
)
HNR = "Praat manual, Harmonicity: at 6 dB a fifth of the energy is noise (1 / (1 + 10^0.6))"
HNR_OWN = "Praat manual, Harmonicity: 3 dB less is twice the share of noise"
OWN = "a third above the speaker's own median, so that what speech itself varies by is not named"
UNJUDGED = "no judgement: voices differ more between speakers than between emotions"

RULES: tuple[Rule, ...] = (
    Rule("pitch", "F0_MUCH_HIGHER", "f0_re_baseline_st", ">=", 3.0, "st",
         "the pitch is clearly higher than this speaker's usual ({n})", "音高明显高于说话人平时（{n}）", HART, True),
    Rule("pitch", "F0_HIGHER", "f0_re_baseline_st", ">=", 1.5, "st",
         "the pitch is slightly higher than this speaker's usual ({n})", "音高略高于说话人平时（{n}）", HART, True),
    Rule("pitch", "F0_MUCH_LOWER", "f0_re_baseline_st", "<=", -3.0, "st",
         "the pitch is clearly lower than this speaker's usual ({n})", "音高明显低于说话人平时（{n}）", HART, True),
    Rule("pitch", "F0_LOWER", "f0_re_baseline_st", "<=", -1.5, "st",
         "the pitch is slightly lower than this speaker's usual ({n})", "音高略低于说话人平时（{n}）", HART, True),
    Rule("pitch", "F0_USUAL", "f0_re_baseline_st", "any", None, "st",
         "the pitch is near this speaker's usual ({n})", "音高接近说话人平时（{n}）", HART, True),
    Rule("pitch", "F0_STATED", "f0_median_hz", "any", None, "Hz",
         "the median pitch is {n} (no other clips of this speaker to compare it with)",
         "音高中位数为{n}（没有该说话人的其他片段可比）", UNJUDGED, False),
    Rule("range", "F0_RANGE_NARROW", "f0_range_st", "<=", 4.5, "st",
         "the intonation is flat (a pitch range of {n})", "语调平直（音高变化范围{n}）", RANGE),
    Rule("range", "F0_RANGE_WIDE", "f0_range_st", ">=", 13.5, "st",
         "the intonation is lively (a pitch range of {n})", "语调起伏大（音高变化范围{n}）", RANGE),
    Rule("loudness", "MUCH_LOUDER", "intensity_re_baseline_db", ">=", 6.0, "dB",
         "the voice is clearly louder than usual ({n})", "音量明显高于平时（{n}）", LOUD, True),
    Rule("loudness", "LOUDER", "intensity_re_baseline_db", ">=", 3.0, "dB",
         "the voice is louder than usual ({n})", "音量高于平时（{n}）", LOUD, True),
    Rule("loudness", "MUCH_SOFTER", "intensity_re_baseline_db", "<=", -6.0, "dB",
         "the voice is clearly softer than usual ({n})", "音量明显低于平时（{n}）", LOUD, True),
    Rule("loudness", "SOFTER", "intensity_re_baseline_db", "<=", -3.0, "dB",
         "the voice is softer than usual ({n})", "音量低于平时（{n}）", LOUD, True),
    Rule("rate", "FASTER", "rate_re_baseline", ">=", 15.0, "%",
         "the speech is faster than usual ({n})", "语速快于平时（{n}）", TEMPO, True),
    Rule("rate", "SLOWER", "rate_re_baseline", "<=", -15.0, "%",
         "the speech is slower than usual ({n})", "语速慢于平时（{n}）", TEMPO, True),
    Rule("rate", "FAST", "syllables_per_s", ">=", 7.5, "syll/s",
         "the speech seems fast ({n})", "语速似乎偏快（{n}）", RATES, False),
    Rule("rate", "SLOW", "syllables_per_s", "<=", 3.0, "syll/s",
         "the speech seems slow ({n})", "语速似乎偏慢（{n}）", RATES, False),
    Rule("periods", "JITTER_RAISED", "jitter_re_baseline", ">=", 33.0, "%",
         "the voice is less steady than usual (jitter {n})", "嗓音不如平时平稳（频率微扰{n}）", OWN, True),
    Rule("periods", "JITTER_HIGH", "jitter_local", ">=", 2.08, "%",
         "the voice seems unsteady (a jitter of {n})", "嗓音似乎不稳（频率微扰{n}）", MDVP, False),
    Rule("amplitudes", "SHIMMER_RAISED", "shimmer_re_baseline", ">=", 33.0, "%",
         "the voice is less even than usual (shimmer {n})", "嗓音强弱不如平时均匀（振幅微扰{n}）", OWN, True),
    Rule("noise", "HNR_LOWERED", "hnr_re_baseline_db", "<=", -3.0, "dB",
         "the voice is breathier or rougher than usual (harmonics-to-noise ratio {n})",
         "嗓音比平时更带气声或更粗糙（谐噪比{n}）", HNR_OWN, True),
    Rule("noise", "HNR_LOW", "hnr_db", "<=", 6.0, "dB",
         "the voice seems breathy or rough (a harmonics-to-noise ratio of {n})",
         "嗓音似乎带气声或粗糙（谐噪比{n}）", HNR, False),
)  # fmt: skip
CATALOGUE: dict[str, Rule] = {rule.code: rule for rule in RULES}
#: Measures that are compared with a baseline, by the group whose rules need one.
COMPARED = {
    "pitch": "f0_re_baseline_st",
    "loudness": "intensity_re_baseline_db",
    "rate": "rate_re_baseline",
    "periods": "jitter_re_baseline",
    "amplitudes": "shimmer_re_baseline",
    "noise": "hnr_re_baseline_db",
}
RATIOS_SHOWN_AS_CHANGE = {"rate_re_baseline", "jitter_re_baseline", "shimmer_re_baseline"}
RATIOS_SHOWN_AS_PERCENT = {"jitter_local", "shimmer_local"}
SIGNED = set(COMPARED.values())


def codes(measures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What may be said about `measure()`'s numbers: `[{code, measure, value, unit, threshold}]`, one per group.

    `value` and `threshold` are in `unit` (st, Hz, dB, %, syll/s); `threshold` is None for a number that is
    stated without a judgement. [] when nothing could be measured.
    """
    found: list[dict[str, Any]] = []
    taken: set[str] = set()
    for rule in RULES:
        value = shown(rule.measure, measures.get(rule.measure))
        has_baseline = measures.get(COMPARED.get(rule.group, "")) is not None
        if rule.group in taken or value is None or rule.baseline not in (None, has_baseline):
            continue
        holds = rule.side == "any" or (
            rule.threshold is not None and (value >= rule.threshold if rule.side == ">=" else value <= rule.threshold)
        )
        if holds:
            taken.add(rule.group)
            entry = {"code": rule.code, "measure": rule.measure, "value": value}
            found.append(entry | {"unit": rule.unit, "threshold": rule.threshold})
    return found


def shown(measure: str, value: float | None) -> float | None:
    """A measure in the unit its rules speak in: ratios to the baseline as change in %, perturbation in %."""
    if value is None:
        return None
    if measure in RATIOS_SHOWN_AS_CHANGE:
        return round((value - 1.0) * 100.0, 1)
    return round(value * 100.0, 2) if measure in RATIOS_SHOWN_AS_PERCENT else round(value, 2)


UNIT_WORDS = {
    "en": {"st": " semitones", "Hz": " Hz", "dB": " dB", "%": " %", "syll/s": " syllables/s"},
    "zh": {"st": "个半音", "Hz": "赫兹", "dB": "分贝", "%": "%", "syll/s": "音节/秒"},
}


def render_voice(codes: Sequence[Mapping[str, Any]], language: str) -> str:
    """One sentence in which every adjective is followed by its number; "" when `codes` is empty.

    Raises ValueError for an unknown code or a language other than en and zh.
    """
    if language not in UNIT_WORDS:
        raise ValueError(f"no voice words in language {language!r}: use en or zh")
    phrases = []
    for entry in codes:
        rule = CATALOGUE.get(entry["code"])
        if rule is None:
            raise ValueError(f"unknown voice code {entry['code']!r}")
        value, words = entry["value"], rule.en if language == "en" else rule.zh
        sign = "+" if rule.measure in SIGNED and value > 0 else ""
        number = f"{sign}{value:g}{UNIT_WORDS[language][entry['unit']]}".replace("-", "\N{MINUS SIGN}")
        phrases.append(words.format(n=number))
    if not phrases:
        return ""
    if language == "zh":
        return f"从声音看，{'，'.join(phrases)}。"
    sentence = phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])}, and {phrases[-1]}"
    return sentence[0].upper() + sentence[1:] + "."
