"""Speech of the synthetic world: eSpeak NG as Praat carries it, 30 ms a line instead of 200.

eSpeak carries the phase of its pitch flutter from one utterance to the next, so each line is said by a fork of this
process, in which eSpeak has never spoken. Call it from a process without threads of its own.
"""

from __future__ import annotations

import os

import numpy as np

from models_ml.synthetic.speech import LANGUAGES, levelled
from models_ml.synthetic.world_people import Person

RATE = 16000  # Hz


def say(text: str, who: Person, pitch: float, melody: float, tempo: float, gain_db: float) -> np.ndarray:
    """`text` as float samples in [-1, 1] at RATE, shape (n,); pitch, melody and tempo relative to the person's own.

    The same arguments give the same samples. Raises RuntimeError when eSpeak fails.
    """
    speaker = who.speaker
    wave = _in_a_fork(
        text, LANGUAGES[speaker.language], speaker.voice,
        float(np.clip(speaker.pitch * pitch, 0.5, 2.0)), float(np.clip(speaker.spread * melody, 0.0, 2.0)),
        int(np.clip(speaker.words_per_minute * tempo, 80, 450)), RATE / who.tract,
    )  # fmt: skip
    return levelled(wave, gain_db)


def _in_a_fork(
    text: str, language: str, voice: str, pitch: float, spread: float, words_per_minute: int, rate: float
) -> np.ndarray:
    import parselmouth  # noqa: F401  loaded before the fork, so that it is loaded once

    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(out)
            samples = _espeak(text, language, voice, pitch, spread, words_per_minute, rate)
            with os.fdopen(into, "wb") as pipe:
                pipe.write(samples.tobytes())
            status = 0
        finally:
            os._exit(status)  # nothing of the parent is to be finished here
    os.close(into)
    with os.fdopen(out, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(child, 0)
    if status != 0 or not data:
        raise RuntimeError(f"eSpeak could not say {text!r} with voice {voice}")
    return np.frombuffer(data, dtype="<f4").astype(np.float64)


def _espeak(
    text: str, language: str, voice: str, pitch: float, spread: float, words_per_minute: int, rate: float
) -> np.ndarray:
    from parselmouth.praat import call

    synthesizer = call("Create SpeechSynthesizer", language, voice)
    call(synthesizer, "Speech output settings", rate, 0.01, pitch, spread, words_per_minute, "IPA")
    sounds = call(synthesizer, "To Sound", text, "no")
    sound = sounds[0] if isinstance(sounds, list) else sounds
    return np.asarray(sound.values[0], dtype="<f4")
