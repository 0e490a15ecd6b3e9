"""Audio/video models, behind an OpenAI-compatible server or in this process: frames as images, speech as
``input_audio``."""

from __future__ import annotations

import base64
import copy
from typing import TYPE_CHECKING, Any

from models_ml.llm import Completion, Endpoint, complete

if TYPE_CHECKING:
    from models_ml.mllm.local import LocalModel

Messages = list[dict[str, Any]]


def describe_frames(
    endpoint: Endpoint | LocalModel,
    frames_jpeg: list[bytes],
    prompt: Messages | str,
    *,
    temperature: float = 0.0,
    max_tokens: int = 512,
    seed: int = 0,
    idempotency_key: str | None = None,
) -> Completion:
    """Ask about JPEG frames, in their order of time; they go as data URLs in front of the prompt's last user turn.

    Raises ValueError without frames, ModelFailure as ``models_ml.llm.complete`` does.
    """
    if not frames_jpeg:
        raise ValueError("describe_frames needs at least one frame")
    parts = [
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + base64.b64encode(frame).decode()}}
        for frame in frames_jpeg
    ]
    messages = with_media(prompt, parts)
    return complete(
        endpoint, messages, temperature=temperature, max_tokens=max_tokens, seed=seed, idempotency_key=idempotency_key
    )


def describe_audio(
    endpoint: Endpoint | LocalModel,
    wav: bytes,
    prompt: Messages | str,
    *,
    temperature: float = 0.0,
    max_tokens: int = 512,
    seed: int = 0,
    idempotency_key: str | None = None,
) -> Completion:
    """Ask about a WAV file (its bytes), sent as ``input_audio``. Raises as ``describe_frames`` does."""
    if not wav.startswith(b"RIFF"):
        raise ValueError("describe_audio needs the bytes of a WAV file")
    part = {"type": "input_audio", "input_audio": {"data": base64.b64encode(wav).decode(), "format": "wav"}}
    messages = with_media(prompt, [part])
    return complete(
        endpoint, messages, temperature=temperature, max_tokens=max_tokens, seed=seed, idempotency_key=idempotency_key
    )


def with_media(prompt: Messages | str, parts: Messages) -> Messages:
    """The prompt with media parts put in front of the text of its last user turn."""
    messages: Messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else copy.deepcopy(prompt)
    for message in reversed(messages):
        if message["role"] == "user":
            message["content"] = [*parts, {"type": "text", "text": message["content"]}]
            return messages
    raise ValueError("the prompt has no user turn to put the media in")


__all__ = ["describe_audio", "describe_frames", "with_media"]
