"""The description of a whole clip by one model that is given picture, sound and subtitle at once (one-step route)."""

from __future__ import annotations

import time
from typing import Any, Protocol, cast, runtime_checkable

from models_ml import mllm, prompts
from models_ml.llm import Completion, Endpoint, require, usable_text
from models_ml.steps.asking import meant, person, receipt, skip, subtitle
from models_ml.steps.audio import audible_part, wav_bytes
from models_ml.steps.types import Evidence, StepResult, provenance
from models_ml.steps.visual import FRAME_SIDE, FRAMES, numbered_frames

NAME = "clip-description"
NO_MEDIA = "the clip has neither picture nor sound"


@runtime_checkable
class WholeClipModel(Protocol):
    """A model with a prompt of its own, such as a trained AffectGPT checkpoint: it is given files, not messages.

    ``language`` is the one that it answers in. ``describe_whole(media, subtitles, clip, media_sha256)`` gives its text
    with a receipt whose ``parameters`` say which weights answered and whether they were trained on the clip; it raises
    ModelFailure and NotConfigured.
    """

    language: str

    def describe_whole(
        self, media: str, subtitles: dict[str, str | None], clip: str, media_sha256: str | None
    ) -> Completion: ...


def clip_description(
    ev: Evidence,
    endpoint: Endpoint | WholeClipModel | None = None,
    *,
    language: str = "en",
    frames: int = FRAMES,
    frame_side: int = FRAME_SIDE,
    idempotency_key: str | None = None,
) -> StepResult:
    """Picture, sound and subtitle → a description in one language, by one question.

    A checkpoint (`WholeClipModel`) is given the file and its subtitle and answers in the language that it was trained
    in; ``language``, ``frames`` and ``frame_side`` are for any other model, which is sent uniformly sampled frames and
    the sound that `audio_clue` would be sent. What the file lacks is left out.
    Skipped without media; raises NotConfigured, ModelFailure, MediaError.
    """
    started = time.monotonic()
    if ev.media_path is None:
        return skip(ev, NAME, NO_MEDIA)
    server = require(cast(Endpoint, endpoint), "PRELABEL")
    if isinstance(server, WholeClipModel):
        answer = server.describe_whole(str(ev.media_path), ev.subtitle, ev.name, ev.media_sha256)
        language = server.language
        source = _of_checkpoint(ev, answer, time.monotonic() - started)
    else:
        prompt = prompts.load("clip_description", language)
        messages = prompt.render(person=person(ev, language), subtitle=subtitle(ev, language))
        images, wav, sent = _media(ev, frames, frame_side)
        if not images and not wav:
            return skip(ev, NAME, NO_MEDIA)
        if images and wav:
            answer = mllm.describe_clip(server, images, wav, messages, idempotency_key=idempotency_key)
        elif images:
            answer = mllm.describe_frames(server, images, messages, idempotency_key=idempotency_key)
        else:
            answer = mllm.describe_audio(server, wav, messages, idempotency_key=idempotency_key)
        remarks = {"numbered_frames": True} if numbered_frames(answer.text) else {}
        source = receipt(ev, NAME, prompt, [answer], sent | remarks | meant(ev), time.monotonic() - started)
    text = usable_text(answer.text, language, answer.calls)
    description: dict[str, str | None] = {"zh": None, "en": None, language: text}
    return StepResult("done", description=description, provenance=source)


def _of_checkpoint(ev: Evidence, answer: Completion, seconds: float) -> dict[str, Any]:
    """Its prompt is part of the checkpoint, so that no prompt file is named."""
    return provenance(
        ev,
        NAME,
        seconds,
        model=answer.model,
        parameters=answer.parameters | meant(ev) | {"request_sha256": answer.request_sha256},
        completion_tokens=answer.completion_tokens,
        calls=answer.calls,
        cached=answer.cached,
        gpu_seconds=answer.gpu_seconds,
    )


def _media(ev: Evidence, frames: int, side: int) -> tuple[list[bytes], bytes, dict[str, Any]]:
    """JPEG frames and WAV of the clip, what it lacks left empty, and what provenance keeps. Raises MediaError."""
    from models_ml.media import MediaError, uniform_jpegs

    assert ev.media_path is not None
    sent: dict[str, Any] = {}
    images: list[bytes] = []
    wav = b""
    try:
        images, times = uniform_jpegs(ev.media_path, frames, max_side=side)
        sent |= {"frames": len(images), "frame_side": side, "times": [round(at, 3) for at in times]}
    except MediaError as error:
        if error.code != "no_video":
            raise
    try:
        samples, start, seconds = audible_part(ev.wav_path or ev.media_path)
        if len(samples):
            wav = wav_bytes(samples)
            sent |= {"audio_from": round(start, 3), "of_seconds": round(seconds, 3)}
    except MediaError as error:
        if error.code not in ("no_audio", "zero_length"):
            raise
    return images, wav, sent
