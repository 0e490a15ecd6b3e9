"""Audio/video models, behind an OpenAI-compatible server or in this process.

Pictures go as ``image_url`` data URLs, sound as ``input_audio``, a whole file as a ``video_url`` data URL where the
server takes one (vLLM, SGLang, DashScope and `python -m models_ml.serve` do). The data of ``input_audio`` is plain
base64 for OpenAI and vLLM; DashScope wants a data URL in its place (``Endpoint.audio``), and of one turn only one
medium besides the text, so that there a clip with its sound goes as one file.
"""

from __future__ import annotations

import base64
import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models_ml.llm import Completion, Endpoint, complete

if TYPE_CHECKING:
    from models_ml.mllm.local import LocalModel

Messages = list[dict[str, Any]]


def describe_frames(
    endpoint: Endpoint | LocalModel, frames_jpeg: list[bytes], prompt: Messages | str, **how: Any
) -> Completion:
    """Ask about JPEG frames, in their order of time; they go in front of the prompt's last user turn.

    ``how``: the keyword arguments of ``models_ml.llm.complete``. Raises ValueError without frames, ModelFailure as
    ``complete`` does.
    """
    if not frames_jpeg:
        raise ValueError("describe_frames needs at least one frame")
    return complete(endpoint, with_media(prompt, [image_part(frame) for frame in frames_jpeg]), **how)


def describe_audio(endpoint: Endpoint | LocalModel, wav: bytes, prompt: Messages | str, **how: Any) -> Completion:
    """Ask about a WAV file (its bytes). Raises as ``describe_frames`` does."""
    return complete(endpoint, with_media(prompt, [audio_part(endpoint, wav)]), **how)


def describe_video(
    endpoint: Endpoint | LocalModel, video: bytes | Path | str, prompt: Messages | str, **how: Any
) -> Completion:
    """Ask about a whole MP4 (its bytes or its path), with sound or muted, as it is given: for servers that take files
    (``Endpoint.video``). Raises ValueError for a file that is no MP4, else as ``describe_frames``.
    """
    return complete(endpoint, with_media(prompt, [video_part(video)]), **how)


def describe_clip(
    endpoint: Endpoint | LocalModel, frames_jpeg: list[bytes], wav: bytes, prompt: Messages | str, **how: Any
) -> Completion:
    """Ask an omni model about frames and sound together, in one turn. Raises as ``describe_frames`` does."""
    if not frames_jpeg:
        raise ValueError("describe_clip needs at least one frame")
    parts = [*(image_part(frame) for frame in frames_jpeg), audio_part(endpoint, wav)]
    return complete(endpoint, with_media(prompt, parts), **how)


def image_part(jpeg: bytes) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{_encoded(jpeg)}"}}


def audio_part(endpoint: Endpoint | LocalModel, wav: bytes) -> dict[str, Any]:
    """The bytes of a WAV file in the manner that this server wants. Raises ValueError for any other file."""
    if not wav.startswith(b"RIFF"):
        raise ValueError("audio goes to a model as the bytes of a WAV file")
    before = "data:;base64," if getattr(endpoint, "audio", "base64") == "data_url" else ""
    return {"type": "input_audio", "input_audio": {"data": before + _encoded(wav), "format": "wav"}}


def video_part(video: bytes | Path | str) -> dict[str, Any]:
    """An MP4 as a data URL. Raises ValueError for any other file."""
    content = video if isinstance(video, bytes) else Path(video).read_bytes()
    if content[4:8] != b"ftyp":
        raise ValueError("a video goes to a model as an MP4 file")
    return {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{_encoded(content)}"}}


def with_media(prompt: Messages | str, parts: Messages) -> Messages:
    """The prompt with media parts put in front of the text of its last user turn."""
    messages: Messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else copy.deepcopy(prompt)
    for message in reversed(messages):
        if message["role"] == "user":
            message["content"] = [*parts, {"type": "text", "text": message["content"]}]
            return messages
    raise ValueError("the prompt has no user turn to put the media in")


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


__all__ = [
    "audio_part",
    "describe_audio",
    "describe_clip",
    "describe_frames",
    "describe_video",
    "image_part",
    "video_part",
    "with_media",
]
