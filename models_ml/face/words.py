"""What each action unit looks like, in English and Chinese, and the sentence made of several.

Action units and their appearance after Ekman, Friesen & Hager, Facial Action Coding System: The Manual
(2002); the list is the one OpenFace 2.2 measures (Baltrušaitis et al., FG 2018).
"""

from __future__ import annotations

from collections.abc import Sequence

AU_WORDS: dict[str, dict[str, str]] = {
    "AU01": {"en": "raises the inner brows", "zh": "眉毛内侧上扬"},
    "AU02": {"en": "raises the outer brows", "zh": "眉毛外侧上扬"},
    "AU04": {"en": "lowers and draws together the brows", "zh": "皱眉"},
    "AU05": {"en": "raises the upper eyelids", "zh": "上眼睑抬起"},
    "AU06": {"en": "raises the cheeks", "zh": "脸颊上提"},
    "AU07": {"en": "tightens the eyelids", "zh": "眼睑收紧"},
    "AU09": {"en": "wrinkles the nose", "zh": "皱鼻"},
    "AU10": {"en": "raises the upper lip", "zh": "上唇提起"},
    "AU12": {"en": "pulls the lip corners up", "zh": "嘴角上扬"},
    "AU14": {"en": "tightens the lip corners into dimples", "zh": "嘴角收紧、挤出酒窝"},
    "AU15": {"en": "pulls the lip corners down", "zh": "嘴角下垂"},
    "AU17": {"en": "raises the chin", "zh": "下巴上推"},
    "AU20": {"en": "stretches the lips sideways", "zh": "嘴唇向两侧拉伸"},
    "AU23": {"en": "tightens the lips", "zh": "嘴唇收紧"},
    "AU25": {"en": "parts the lips", "zh": "双唇张开"},
    "AU26": {"en": "drops the jaw", "zh": "下颌下落"},
    "AU28": {"en": "sucks in the lips", "zh": "抿入嘴唇"},
    "AU45": {"en": "blinks", "zh": "眨眼"},
}


def render_face(codes: Sequence[str], language: str) -> str:
    """One sentence from action-unit codes, e.g. "The person raises the inner brows and drops the jaw."

    "" when `codes` is empty. Raises ValueError for an unknown code or a language other than en and zh.
    """
    if language not in ("en", "zh"):
        raise ValueError(f"no face words in language {language!r}: use en or zh")
    unknown = [code for code in codes if code not in AU_WORDS]
    if unknown:
        raise ValueError(f"unknown action units: {', '.join(map(str, unknown))}")
    phrases = [AU_WORDS[code][language] for code in dict.fromkeys(codes)]
    if not phrases:
        return ""
    if language == "zh":
        return f"画面中的人物{'，'.join(phrases)}。"
    listed = phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"
    return f"The person {listed}."
