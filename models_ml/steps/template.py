"""The coarse description without a model: clues and subtitle laid one after another.

Source: MERR's coarse-grained synthesis (Emotion-LLaMA, arXiv 2406.11161: visual expression, visual objective,
audio tone and lexical subtitle "in a templated sequence"); the sentence openings follow EMER-V2's layout
(在视频中 / 在音频中 / 在文本中), so that one reader understands coarse and fine descriptions.
"""

from __future__ import annotations

import re
import time

from models_ml.steps import merr
from models_ml.steps.asking import meant
from models_ml.steps.types import Evidence, StepResult, clue_text, provenance

TEMPLATE_VERSION = "2"
_ASPECT_ORDER = ("expression", "gesture", "scene", "tone", "prosody", "content", "")
_SUBTITLE = {"zh": "在文本中，字幕内容：“{}”", "en": "In the text, the subtitle reads: “{}”"}
_OPENING = {
    "zh": {"visual": "在视频中，{}", "audio": "在音频中，{}", "text": "在文本中，{}"},
    "en": {"visual": "In the video: {}", "audio": "In the audio: {}", "text": "In the text: {}"},
}
# Measured clues stand alone elsewhere and say where they come from; here the opening has said it already.
_SAID_ALREADY = re.compile(r"^(?:从声音看，|画面中的(?=人物))")
_STOPS = "。．.;；!！?？…"


def coarse_template(ev: Evidence, *, form: str = "emer") -> StepResult:
    """A description in zh and in en from the clues and subtitle at hand; a sentence whose slot is empty is left out.

    ``form``: ``emer`` lays out what the video, the audio and the text hold; ``merr`` is Emotion-LLaMA's template. A
    language in which nothing is known stays None; where nothing is known at all the step is skipped. The template
    concludes nothing, so there are no OV labels.
    """
    started = time.monotonic()
    describe = _describe if form == "emer" else merr.describe
    description = {language: describe(ev, language) for language in ("zh", "en")}
    parameters = {"version": TEMPLATE_VERSION, "form": form, "clues": len(ev.clues)} | meant(ev)
    source = provenance(ev, "coarse-template", time.monotonic() - started, parameters=parameters)
    if not any(description.values()):
        return StepResult("skipped", "neither a clue nor a subtitle to lay out", provenance=source)
    return StepResult("done", description=description, provenance=source)


def _describe(ev: Evidence, language: str) -> str | None:
    sentences = []
    for modality in ("visual", "audio"):
        text = _slot(ev, modality, language)
        if text:
            sentences.append(_sentence(_OPENING[language][modality].format(text), language))
    subtitle = (ev.subtitle.get(language) or "").strip()
    words = _SUBTITLE[language].format(subtitle) if subtitle else ""
    implied = _slot(ev, "text", language)
    if words and implied:
        words = f"{words}{'，' if language == 'zh' else '. '}{implied}"
    elif implied:
        words = _OPENING[language]["text"].format(implied)
    if words:
        sentences.append(_sentence(words, language))
    if not sentences:
        return None
    return ("" if language == "zh" else " ").join(sentences)


def _slot(ev: Evidence, modality: str, language: str) -> str:
    """All clues of a modality in this language, expression before scene, tone before prosody."""
    chosen = [item for item in ev.clues if item.get("modality") == modality]
    chosen.sort(key=lambda item: _ASPECT_ORDER.index(item.get("aspect") or ""))
    texts = [text.rstrip(_STOPS) for item in chosen if (text := clue_text(item, language))]
    if language == "zh":
        return "，".join(dict.fromkeys(_SAID_ALREADY.sub("", text) for text in texts))
    return "; ".join(dict.fromkeys(texts))


def _sentence(text: str, language: str) -> str:
    if language == "zh":
        return text.rstrip(_STOPS) + "；"
    return text if text.rstrip("”")[-1:] in tuple(".!?") else text + "."
