"""A verdict as one sentence with its number, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMES: dict[str, tuple[str, str]] = {
    "smile": ("smile", "微笑"),
    "cheeks_raised": ("raised cheeks", "脸颊上提"),
    "brows_lowered": ("lowered brows", "皱眉"),
    "brows_raised": ("raised brows", "扬眉"),
    "inner_brows_raised": ("raised inner brows", "眉毛内侧上扬"),
    "eyes_wide": ("wide eyes", "睁大眼睛"),
    "eyes_narrowed": ("narrowed eyes", "眯眼"),
    "nose_wrinkled": ("wrinkled nose", "皱鼻"),
    "upper_lip_raised": ("raised upper lip", "上唇提起"),
    "lip_corners_down": ("lip corners down", "嘴角下垂"),
    "lips_pressed": ("pressed lips", "抿嘴"),
    "lips_stretched": ("stretched lips", "嘴唇拉伸"),
    "chin_raised": ("raised chin", "下巴上推"),
    "smirk": ("smirk", "嘴角收紧"),
    "mouth_open": ("open mouth", "张嘴"),
    "jaw_dropped": ("dropped jaw", "下颌下落"),
    "face_neutral": ("neutral face", "面无表情"),
    "loud": ("loud voice", "声音大"),
    "soft": ("soft voice", "声音小"),
    "high_pitch": ("high pitch", "音调高"),
    "low_pitch": ("low pitch", "音调低"),
    "fast": ("fast speech", "语速快"),
    "slow": ("slow speech", "语速慢"),
    "trembling": ("trembling voice", "声音颤抖"),
    "breathy": ("breathy or rough voice", "声音沙哑或带气声"),
    "flat": ("flat intonation", "语调平淡"),
    "lively": ("lively intonation", "语调起伏"),
    "calm": ("calm voice", "声音平静"),
    "silent": ("silence", "沉默"),
    "quote": ("quoted words", "引用的话"),
}
VERDICTS = {
    "supported": ("supported", "有依据"),
    "contradicted": ("contradicted", "与测量不符"),
    "not_measurable": ("not measurable", "无法测量"),
}
MEASURES: dict[str, tuple[str, str]] = {
    "intensity_re_baseline_db": ("loudness against the speaker's usual", "音量与平时之差"),
    "f0_re_baseline_st": ("pitch against the speaker's usual", "音高与平时之差"),
    "rate_re_baseline": ("speech rate to the usual", "语速与平时之比"),
    "syllables_per_s": ("speech rate", "语速"),
    "jitter_re_baseline": ("jitter to the usual", "频率微扰与平时之比"),
    "shimmer_re_baseline": ("shimmer to the usual", "振幅微扰与平时之比"),
    "jitter_local": ("jitter", "频率微扰"),
    "hnr_re_baseline_db": ("harmonics-to-noise ratio against the usual", "谐噪比与平时之差"),
    "hnr_db": ("harmonics-to-noise ratio", "谐噪比"),
    "f0_range_st": ("pitch range", "音高变化范围"),
    "voiced_fraction": ("voiced share", "浊音比例"),
    "subtitle_zh": ("Chinese subtitle", "中文字幕"),
    "subtitle_en": ("English subtitle", "英文字幕"),
}
UNITS = {
    "dB": (" dB", "分贝"),
    "st": (" semitones", "个半音"),
    "syll/s": (" syllables/s", "音节/秒"),
    "share": (" of the frames", "的帧"),
}
#: Reasons that are a sentence by themselves.
PLAIN: dict[str, tuple[str, str]] = {
    "other_person": ("it speaks of another person", "所说的是另一个人"),
    "no_track": ("there is no action-unit track", "没有动作单元数据"),
    "no_valid_frame": ("no frame with a tracked face in this time", "这段时间没有有效的人脸帧"),
    "no_column": ("the track does not measure it", "动作单元数据中没有这一项"),
    "no_audio": ("there is no measured sound", "没有声音测量数据"),
    "no_baseline": ("the speaker's usual voice is not known", "不知道说话人平时的声音"),
    "not_measured": ("the measure has no value", "该测量没有数值"),
    "no_subtitle": ("there is no subtitle in this language", "没有该语言的字幕"),
    "in_subtitle": ("the words stand in the subtitle", "字幕中有这些话"),
    "not_in_subtitle": ("the words do not stand in the subtitle", "字幕中没有这些话"),
}


def render(verdict: Mapping[str, Any], language: str) -> str:
    """One sentence, as "Smile: supported. AU12 reaches 2.1 (0.4–1.8 s)."

    Raises ValueError for a language other than en and zh.
    """
    if language not in ("en", "zh"):
        raise ValueError(f"no words of verdicts in language {language!r}: use en or zh")
    at = 0 if language == "en" else 1
    name = _word(NAMES, verdict["claim"], at)
    if verdict.get("negated"):
        name = f"no {name}" if language == "en" else f"没有“{name}”"
    why = _why(verdict, at)
    ruling = _word(VERDICTS, verdict["verdict"], at)
    if language == "en":
        return f"{name[0].upper()}{name[1:]}: {ruling}. {why[0].upper()}{why[1:]}."
    return f"{name}：{ruling}，{why}。"


def _why(verdict: Mapping[str, Any], at: int) -> str:
    reason, value, measure = verdict.get("reason") or "", verdict.get("value"), str(verdict.get("measure") or "")
    if reason in PLAIN or value is None:
        return _word(PLAIN, reason, at)
    unit = verdict.get("unit") or ""
    if unit == "share":
        number = f"{value:.0%}" + UNITS["share"][at]
        text = f"{measure} occurs in {number}" if at == 0 else f"{measure}出现在{number}中"
    elif unit == "intensity":
        text = _intensity(reason, measure, value, at)
    else:
        number = f"{value:+.2g}" if "_re_baseline_" in measure else f"{value:.3g}"
        number = number.replace("-", "\N{MINUS SIGN}") + (UNITS[unit][at] if unit in UNITS else "")
        limit = f"{verdict.get('threshold'):g}".replace("-", "\N{MINUS SIGN}")
        name = _word(MEASURES, measure, at)
        text = f"{name} is {number} (limit {limit})" if at == 0 else f"{name}为{number}（界限{limit}）"
    return text + _when(verdict.get("span"), at)


def _intensity(reason: str, unit: str, value: float, at: int) -> str:
    how = {
        "absent": ("stays at {n}", "最高只有{n}"),
        "still": ("is the strongest unit, at {n}", "是最强的动作单元，为{n}"),
        "brief": ("reaches {n}, too briefly", "达到{n}，但时间太短"),
        "weak": ("reaches only {n}", "只达到{n}"),
    }.get(reason, ("reaches {n}", "达到{n}"))
    joint = " " if at == 0 else ""
    return f"{unit}{joint}{how[at].format(n=f'{value:.1f}')}"


def _when(span: Any, at: int) -> str:
    if not span:
        return ""
    start, end = span
    return f" ({start:.1f}–{end:.1f} s)" if at == 0 else f"（{start:.1f}–{end:.1f}秒）"


def _word(table: Mapping[str, tuple[str, str]], key: str, at: int) -> str:
    return table[key][at] if key in table else key
