"""Clues drafted by audio/video models behind the PRELABEL endpoint; each sees one modality only."""

from __future__ import annotations

import io
import time
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models_ml import mllm, prompts
from models_ml.llm import Completion, Endpoint, require, usable_text
from models_ml.steps.types import Evidence, StepResult, clue, provenance

FRAMES = 8  # uniformly sampled, as the model that is trained on them samples
FRAME_SIDE = 448  # pixels of the longer side sent to the model
RATE = 16000
MAX_AUDIO_S = 120.0


def visual_clue(
    ev: Evidence,
    endpoint: Endpoint | None = None,
    *,
    language: str = "en",
    frames: int = FRAMES,
    idempotency_key: str | None = None,
) -> StepResult:
    """What a model sees in uniformly sampled frames.

    Skipped without video; raises NotConfigured, ModelFailure, MediaError.
    """
    from models_ml.media import MediaError, uniform_jpegs

    if ev.media_path is None:
        return _skip(ev, "visual-clue", "the clip has no video")
    server = require(endpoint, "PRELABEL")
    try:
        images, _ = uniform_jpegs(ev.media_path, frames, max_side=FRAME_SIDE)
    except MediaError as error:
        if error.code == "no_video":
            return _skip(ev, "visual-clue", "the clip has no video")
        raise
    prompt = prompts.load("visual_clue", language)
    return draft_clue(
        ev,
        "visual-clue",
        ("visual", "expression", language),
        prompt,
        lambda: mllm.describe_frames(server, images, prompt.render(), idempotency_key=idempotency_key),
        {"frames": len(images), "frame_side": FRAME_SIDE},
    )


def audio_clue(
    ev: Evidence,
    endpoint: Endpoint | None = None,
    *,
    language: str = "en",
    idempotency_key: str | None = None,
) -> StepResult:
    """What a model hears in 16 kHz mono audio.

    Skipped without audio; raises NotConfigured, ModelFailure, MediaError.
    """
    from models_ml.media import MediaError

    path = ev.wav_path or ev.media_path
    if path is None:
        return _skip(ev, "audio-clue", "the clip has no audio")
    server = require(endpoint, "PRELABEL")
    try:
        wav, seconds = wav_bytes(path)
    except MediaError as error:
        if error.code in ("no_audio", "zero_length"):
            return _skip(ev, "audio-clue", "the clip has no audio")
        raise
    if not seconds:
        return _skip(ev, "audio-clue", "the audio holds no sample")
    if seconds > MAX_AUDIO_S:
        return _skip(ev, "audio-clue", f"the audio is {seconds:.0f} s long; at most {MAX_AUDIO_S:.0f} s go to a model")
    prompt = prompts.load("audio_clue", language)
    return draft_clue(
        ev,
        "audio-clue",
        ("audio", "tone", language),
        prompt,
        lambda: mllm.describe_audio(server, wav, prompt.render(), idempotency_key=idempotency_key),
        {"audio_seconds": round(seconds, 3), "rate": RATE},
    )


def draft_clue(
    ev: Evidence,
    prelabeller: str,
    kind: tuple[str, str, str],
    prompt: prompts.Prompt,
    ask: Callable[[], Completion],
    parameters: dict[str, Any],
) -> StepResult:
    """Ask, judge the answer, and wrap it as one clue of ``kind`` = (modality, aspect, language)."""
    started = time.monotonic()
    answer = ask()
    text = usable_text(answer.text, kind[2], answer.calls)
    return StepResult(
        "done",
        clues=[clue(*kind, text)],
        provenance=receipt(ev, prelabeller, prompt, answer, parameters, time.monotonic() - started),
    )


def receipt(
    ev: Evidence,
    prelabeller: str,
    prompt: prompts.Prompt,
    answer: Completion,
    parameters: dict[str, Any],
    seconds: float,
) -> dict[str, Any]:
    """Provenance of a model's answer."""
    return provenance(
        ev,
        prelabeller,
        seconds,
        model=answer.model,
        prompt=prompt.reference,
        parameters=parameters | answer.parameters | {"request_sha256": answer.request_sha256},
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        calls=answer.calls,
    )


def wav_bytes(path: Path | str) -> tuple[bytes, float]:
    """The audio of any container as the bytes of a 16 kHz mono 16-bit WAV file, and its seconds.

    Raises MediaError.
    """
    import numpy as np

    from models_ml.media import load_audio

    samples = load_audio(path, RATE)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes((np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes())
    return buffer.getvalue(), len(samples) / RATE


def _skip(ev: Evidence, prelabeller: str, reason: str) -> StepResult:
    return StepResult("skipped", reason, provenance=provenance(ev, prelabeller, 0.0))
