"""MERR's JSON (Emotion-LLaMA), coarse and fine, as published or as MER-Factory exports it.

No person checked either, so both are grade coarse here; which of them it was is known by its caption's key.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

from models_ml.formats.bodies import FormatError, Imported, body, clue, language_of, text_or_none
from models_ml.formats.mer2025 import read_subtitles

CAPTIONS = {"smp_reason_caption": "fine", "caption": "coarse"}
PRIORS = {"visual_prior_list": "visual", "audio_prior_list": "audio"}
UNKNOWN = ("unknown", "", "nan", "none")


def read_merr(path: str | Path, subtitles: str | Path | None = None) -> Imported:
    """An object keyed by clip with `caption` (coarse) or `smp_reason_caption` (fine), priors and `pseu_emotion`.

    Repaired: line breaks stored as a backslash and an n, and lists stored as Python text. Missing: the subtitle, which
    MER-Factory always leaves empty (`subtitles`: a CSV `name,sentence`). Raises FormatError.
    """
    path = Path(path)
    try:
        whole = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise FormatError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise FormatError(f"{path}: not JSON in UTF-8 ({error})") from error
    if not isinstance(whole, dict) or not all(isinstance(entry, dict) for entry in whole.values()):
        raise FormatError(f"{path}: not an object of clips")
    spoken = read_subtitles(subtitles) if subtitles is not None else {}
    imported = Imported()
    for name, entry in whole.items():
        if not name.strip():
            raise FormatError(f"{path}: an entry without a clip name")
        key = next((key for key in CAPTIONS if text_or_none(entry.get(key))), None)
        if key is None:
            imported.warn(name, f"neither {' nor '.join(CAPTIONS)}; left out")
            continue
        caption = _text(entry[key], name, key, imported)
        clues = []
        for prior, modality in PRIORS.items():
            if text := _joined(entry.get(prior), name, prior, imported):
                clues.append(clue(modality, language_of(text), text))
        emotion = text_or_none(entry.get("pseu_emotion")) or ""
        labels = [] if emotion.lower() in UNKNOWN else [emotion]
        subtitle = dict(spoken.get(name) or {})
        if text := _text(entry.get("text"), name, "text", imported):
            subtitle.setdefault(language_of(text), text)
        imported.rows.append(
            body(
                name, grade="coarse", subtitle=subtitle, label=labels[0] if labels else None, clues=clues,
                description={language_of(caption): caption},
                ov_labels={language_of(emotion): labels} if labels else {},
            )
        )  # fmt: skip
    return imported.sorted()


def _text(value: Any, name: str, where: str, imported: Imported) -> str:
    text = text_or_none(value) or ""
    if "\\n" in text:
        imported.repair(name, where, "line breaks stored as a backslash and an n")
        text = " ".join(part.strip() for part in text.split("\\n") if part.strip())
    return text


def _joined(value: Any, name: str, where: str, imported: Imported) -> str:
    """A prior as one text: a list, a text, or a list as Python writes it."""
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = ast.literal_eval(value.strip())
            imported.repair(name, where, "a list stored as Python text")
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            imported.warn(name, f"{where}: a list that cannot be read")
            return ""
    parts = value if isinstance(value, list) else [value]
    texts = [_text(part, name, where, imported) for part in parts if isinstance(part, str)]
    texts = list(filter(None, texts))
    return ("，" if texts and language_of(texts[0]) == "zh" else ", ").join(texts)
