"""Clues that are measured, not guessed: prosody from the waveform, facial action units from an AU track."""

from __future__ import annotations

import time
from typing import Any

from models_ml.steps.types import Evidence, StepResult, clue, provenance

PROSODY_VERSION = "1"
AU_VERSION = "2"
LANGUAGES = ("zh", "en")


def measured_prosody(ev: Evidence) -> StepResult:
    """The voice in numbers and words: one audio/prosody clue whose every adjective is backed by a measure.

    Skipped without audio, and where nothing can be said (silence, too short). Raises MediaError for a broken file.
    """
    from models_ml import voice
    from models_ml.media import MediaError

    path = ev.wav_path or ev.media_path
    if path is None:
        return _skip(ev, "measured-prosody", "the clip has no audio")
    started = time.monotonic()
    syllables = spoken_syllables(ev)
    try:
        measures = voice.measure(path, baseline=ev.baseline, syllables=syllables)
    except MediaError as error:
        if error.code in ("no_audio", "zero_length"):
            return _skip(ev, "measured-prosody", "the clip has no audio")
        raise
    codes = {"kind": "prosody", "codes": voice.codes(measures), "measures": measures}
    parameters: dict[str, Any] = {"version": PROSODY_VERSION, "speaker_baseline": bool(ev.baseline)}
    parameters["syllables"] = "estimated from the signal" if syllables is None else "counted in the subtitle"
    return _measured(ev, "measured-prosody", "audio", "prosody", codes, parameters, started)


def au_expression(ev: Evidence) -> StepResult:
    """The action units of the emotional peak frame in words: one visual/expression clue.

    Its codes carry the pseudo-labels: `pseudo_labels` of every complete combination, best first, and
    `pseudo_label` of the best strong one ("neutral" for none). Skipped without an AU track and where no action unit
    occurs. Raises AuTrackError when the track holds no valid frame.
    """
    from models_ml import face

    if ev.au is None:
        return _skip(ev, "au-expression", "the clip has no action-unit track (OpenFace CSV)")
    started = time.monotonic()
    found = face.peak(ev.au)
    codes = {"kind": "au"} | {key: found.get(key) for key in ("frame", "timestamp", "aus", "pseudo_labels")}
    codes["pseudo_label"] = face.label(found["aus"])["label"]
    parameters = {"version": AU_VERSION} | ({} if ev.person is None else {"person": ev.person.get("track")})
    return _measured(ev, "au-expression", "visual", "expression", codes, parameters, started)


def spoken_syllables(ev: Evidence) -> int | None:
    """Syllables of the subtitle when it is known in one language only; of two, nobody says which one was spoken."""
    from models_ml.voice import count_syllables

    words = {language: text for language in LANGUAGES if (text := (ev.subtitle.get(language) or "").strip())}
    if len(words) != 1:
        return None
    return count_syllables(*reversed(words.popitem())) or None


def render_codes(codes: dict[str, Any], language: str) -> str:
    """The sentence of a coded clue in ``zh`` or ``en``; "" where the codes say nothing."""
    if codes["kind"] == "prosody":
        from models_ml import voice

        return voice.render_voice(codes["codes"], language)
    if codes["kind"] == "au":
        from models_ml import face

        # Trackers other than OpenFace name units that the catalogue has no words for.
        return face.render_face(sorted(au for au in codes["aus"] or {} if au in face.AU_WORDS), language)
    raise ValueError(f"unknown kind of codes: {codes['kind']!r}")


def _measured(
    ev: Evidence,
    prelabeller: str,
    modality: str,
    aspect: str,
    codes: dict[str, Any],
    parameters: dict[str, Any],
    started: float,
) -> StepResult:
    texts = {language: render_codes(codes, language) for language in LANGUAGES}
    source = provenance(ev, prelabeller, time.monotonic() - started, parameters=parameters)
    if not texts["en"]:
        nothing = (
            "no action unit occurs" if codes["kind"] == "au" else "nothing could be measured (silent or too short)"
        )
        return StepResult("skipped", nothing, provenance=source)
    item = clue(modality, aspect, "en", texts["en"], codes=codes, texts=texts)
    return StepResult("done", clues=[item], provenance=source)


def _skip(ev: Evidence, prelabeller: str, reason: str) -> StepResult:
    return StepResult("skipped", reason, provenance=provenance(ev, prelabeller, 0.0))
