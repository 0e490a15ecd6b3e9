"""The clue that an audio model hears, and the part of a long recording that it is given."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import Any

import numpy as np

from models_ml import mllm, prompts
from models_ml.llm import Endpoint, require
from models_ml.steps.asking import draft_clue, skip
from models_ml.steps.types import Evidence, StepResult

RATE = 16000  # Hz, mono
MAX_AUDIO_S = 120.0  # what is longer is heard in part
WINDOW_S = 30.0  # of that part; the encoders of audio models take 30 s at a time (Whisper, Qwen2-Audio)
MIN_AUDIO_S = 0.2  # a shorter sound has no tone of voice
SILENT = 1e-3  # a peak of −60 dBFS around the mean: a model that is asked about silence invents a voice
NO_AUDIO = "the clip has no audio"


def audio_clue(
    ev: Evidence,
    endpoint: Endpoint | None = None,
    *,
    language: str = "en",
    audio_window: str = "loudest",
    idempotency_key: str | None = None,
) -> StepResult:
    """What a model hears in 16 kHz mono audio: one audio/tone clue.

    Of audio above 120 s only 30 s are sent, the loudest or the first (``audio_window``); then the clue's span and the
    provenance say which.
    Skipped without audio, below 0.2 s and in silence; raises NotConfigured, ModelFailure, MediaError.
    """
    from models_ml.media import MediaError

    path = ev.wav_path or ev.media_path
    if path is None:
        return skip(ev, "audio-clue", NO_AUDIO)
    server = require(endpoint, "PRELABEL")
    try:
        samples, start, seconds = audible_part(path, audio_window)
    except MediaError as error:
        if error.code in ("no_audio", "zero_length"):
            return skip(ev, "audio-clue", NO_AUDIO)
        raise
    if not len(samples):
        return skip(ev, "audio-clue", "the audio holds no sample")
    if seconds < MIN_AUDIO_S:
        return skip(ev, "audio-clue", f"the audio is {seconds:.2f} s long, too short for a tone of voice")
    if np.abs(samples - samples.mean()).max() < SILENT * 32768:
        return skip(ev, "audio-clue", "the audio is silent")
    sent = len(samples) / RATE
    parameters: dict[str, Any] = {"audio_seconds": round(sent, 3), "rate": RATE}
    span = None
    if sent < seconds:
        span = [round(start, 3), round(start + sent, 3)]
        parameters |= {"audio_window": audio_window, "window": span, "of_seconds": round(seconds, 3)}
    prompt = prompts.load("audio_clue", language)
    wav = wav_bytes(samples)
    return draft_clue(
        ev,
        "audio-clue",
        ("audio", "tone", language),
        prompt,
        lambda: mllm.describe_audio(server, wav, prompt.render(), idempotency_key=idempotency_key),
        parameters,
        span=span,
    )


def audible_part(path: Path | str, window: str = "loudest") -> tuple[np.ndarray, float, float]:
    """Samples (int16, 16 kHz mono) to send, where they begin (s), and how long the whole audio is (s).

    A 16 kHz mono WAV, as the workbench keeps of every clip, is read in pieces: half an hour does not stand in memory.
    Any other file goes through the limited decoder. Raises MediaError.
    """
    try:
        with wave.open(str(path), "rb") as source:
            if (source.getframerate(), source.getnchannels(), source.getsampwidth()) == (RATE, 1, 2):
                return _part_of_wave(source, window)
    except (wave.Error, EOFError, OSError):
        pass  # no such WAV: the decoder says what it is, or what is wrong with it
    from models_ml.media import load_audio

    samples = (np.clip(load_audio(path, RATE), -1.0, 1.0) * 32767).astype("<i2")
    if len(samples) <= MAX_AUDIO_S * RATE:
        return samples, 0.0, len(samples) / RATE
    levels = [_energy(samples[at : at + RATE]) for at in range(0, len(samples), RATE)]
    start = _window_start(levels, window)
    return samples[start * RATE : int((start + WINDOW_S) * RATE)], float(start), len(samples) / RATE


def _part_of_wave(source: wave.Wave_read, window: str) -> tuple[np.ndarray, float, float]:
    if source.getnframes() <= MAX_AUDIO_S * RATE:
        samples = np.frombuffer(source.readframes(source.getnframes()), "<i2")
        return samples, 0.0, len(samples) / RATE
    levels, total = [], 0
    while piece := source.readframes(RATE):
        samples = np.frombuffer(piece, "<i2")
        levels.append(_energy(samples))
        total += len(samples)
    start = _window_start(levels, window)
    source.setpos(start * RATE)
    return np.frombuffer(source.readframes(int(WINDOW_S * RATE)), "<i2"), float(start), total / RATE


def _energy(samples: np.ndarray) -> float:
    """Of one second, around its mean, so that an offset of the recorder is no loudness."""
    values = samples.astype(np.float64)
    return float(((values - values.mean()) ** 2).sum()) if len(values) else 0.0


def _window_start(levels: list[float], window: str) -> int:
    """The second at which the part to be sent begins; of equal parts the earliest."""
    length = int(WINDOW_S)
    if window == "first" or len(levels) <= length:
        return 0
    sums = np.concatenate([[0.0], np.cumsum(levels)])
    return int(np.argmax(sums[length:] - sums[:-length]))


def wav_bytes(samples: np.ndarray) -> bytes:
    """Int16 mono samples at 16 kHz as the bytes of a WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()
