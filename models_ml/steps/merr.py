"""The published template of MERR's coarse descriptions, with its slots filled so that the sentence stays one.

Source: Emotion-LLaMA (arXiv 2406.11161), coarse-grained synthesis: "This person in the video is {visual objective}. The
person's expression and actions include {visual expression}, and the person's tone is {audio tone}. Saying: {subtitle}".
The Chinese wording is our own.
"""

from __future__ import annotations

import re
from typing import Any

from models_ml.steps.types import Evidence, clue_text

_STOPS = "。．.;；!！?？… "
# Action units as things that a face's "expression and actions include"; what each looks like is from FACS (Ekman,
# Friesen & Hager 2002), as in models_ml.face.words, which says the same in verbs.
AU_NOUNS = {
    "AU01": "raised inner brows",
    "AU02": "raised outer brows",
    "AU04": "lowered, drawn-together brows",
    "AU05": "raised upper eyelids",
    "AU06": "raised cheeks",
    "AU07": "tightened eyelids",
    "AU09": "a wrinkled nose",
    "AU10": "a raised upper lip",
    "AU12": "lip corners pulled up",
    "AU14": "tightened, dimpled lip corners",
    "AU15": "lip corners pulled down",
    "AU17": "a raised chin",
    "AU20": "lips stretched sideways",
    "AU23": "tightened lips",
    "AU25": "parted lips",
    "AU26": "a dropped jaw",
    "AU28": "sucked-in lips",
    "AU45": "blinking",
}
_WHO = r"(?:the|this|a) (?:(?:main|target|young|older) )?(?:person|man|woman|boy|girl|speaker|character|individual)"
_WHERE = r"(?: (?:shown |seen )?in (?:the|this) (?:video|clip|image|picture|frame|photo|scene))?"
# What a clue begins with where its rest fits behind the template's own words.
_IS = re.compile(rf"^{_WHO}{_WHERE} is ", re.IGNORECASE)
_TONE = re.compile(
    rf"^(?:(?:{_WHO}['’]s |the |their |his |her )(?:tone(?: of voice)?|voice)) (?:is|sounds) ", re.IGNORECASE
)
_SAID_ALREADY_ZH = re.compile(r"^(?:从声音看，|(?:画面|视频)中的人物|人物(?=[^的]))")


def describe(ev: Evidence, language: str) -> str | None:
    """The template's text in ``language``; a part whose slot is empty is left out, None where all are."""
    objective = _texts(ev, language, "visual", ("scene", "gesture"))
    expression = _texts(ev, language, "visual", ("expression", ""))
    tone = _texts(ev, language, "audio", None)
    said = (ev.subtitle.get(language) or "").strip()
    implied = " ".join(clue_text(item, language) for item in ev.clues if item.get("modality") == "text").strip()
    write = _chinese if language == "zh" else _english
    return write(objective, expression, tone, said, implied) or None


def _english(objective: list[str], expression: list[str], tone: list[str], said: str, implied: str) -> str:
    sentences = []
    if objective:
        fits = _IS.sub("", objective[0])
        first = fits if fits != objective[0] else f"seen as follows: {objective[0]}"
        sentences.append("This person in the video is " + "; ".join([first, *objective[1:]]))
    shown = ""
    if expression:
        include = "include" if _is_list(expression) else "include the following:"
        shown = f"The person's expression and actions {include} {'; '.join(expression)}"
    if tone:
        fits = _TONE.sub("", tone[0])
        first = fits if fits != tone[0] else f"as follows: {tone[0]}"
        heard = "erson's tone is " + "; ".join([first, *tone[1:]])
        shown = f"{shown}, and the p{heard}" if shown else f"The p{heard}"
    sentences += [shown] if shown else []
    text = " ".join(f"{sentence}." for sentence in sentences)
    if said:
        text = f"{text} Saying: {said}".strip()
    if implied:
        text = f"{text}{'' if text[-1:] in tuple('.!?”。！？') or not text else '.'} {implied}".strip()
    return text


def _chinese(objective: list[str], expression: list[str], tone: list[str], said: str, implied: str) -> str:
    def strip(text: str) -> str:
        return _SAID_ALREADY_ZH.sub("", text)

    parts = [f"视频中的人物：{'；'.join(map(strip, objective))}。"] if objective else []
    shown = [f"人物的表情和动作包括：{'；'.join(map(strip, expression))}"] if expression else []
    shown += [f"{'' if shown else '人物'}说话的语气：{'；'.join(map(strip, tone))}"] if tone else []
    parts += [f"{'，'.join(shown)}。"] if shown else []
    parts += [f"所说的话：“{said}”"] if said else []
    parts += [implied] if implied else []
    return "".join(parts)


def _texts(ev: Evidence, language: str, modality: str, aspects: tuple[str, ...] | None) -> list[str]:
    chosen = [item for item in ev.clues if item.get("modality") == modality]
    if aspects is not None:
        chosen = [item for item in chosen if (item.get("aspect") or "") in aspects]
    texts = [_action_units(item) if language == "en" else "" for item in chosen]
    texts = [units or clue_text(item, language).rstrip(_STOPS) for item, units in zip(chosen, texts, strict=True)]
    return [text for text in dict.fromkeys(texts) if text]


def _action_units(item: dict[str, Any]) -> str:
    """The nouns of a measured expression; "" for any other clue, and for one that a person has worded anew."""
    codes = item.get("codes") or {}
    nouns = (
        [AU_NOUNS[au] for au in sorted(codes.get("aus") or {}) if au in AU_NOUNS] if codes.get("kind") == "au" else []
    )
    return nouns[0] if len(nouns) == 1 else f"{', '.join(nouns[:-1])} and {nouns[-1]}" if nouns else ""


def _is_list(expression: list[str]) -> bool:
    """Whether the slot is made of action units alone, so that it can follow "include"."""
    known = sorted(AU_NOUNS.values(), key=len, reverse=True)
    return all(any(text.startswith(noun) for noun in known) for text in expression)
