"""Clues that a vision model sees: the scene in the peak frame, and what happens over the clip."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from models_ml import mllm, prompts
from models_ml.llm import Completion, Endpoint, require
from models_ml.steps.asking import draft_clue, meant, person, skip
from models_ml.steps.types import Evidence, StepResult

FRAMES = 8  # uniformly sampled, as the model that is trained on them samples
FRAME_SIDE = 448  # pixels of the longer side of each of several frames
SCENE_SIDE = 768  # of the one frame in which a scene is to be recognised
MAX_VIDEO_BYTES = 32 << 20  # of a file that is sent whole; base64 makes a third more of it
NO_VIDEO = "the clip has no video"
# "in the first image", "frame 3", "images 2 and 3", 图1, 第二张图片, 画面三
_NUMBERED = re.compile(
    r"\b(?:first|second|third|fourth|fifth|sixth|seventh|eighth|last|final|next)\s+(?:image|frame|picture|photo)s?\b"
    r"|\b(?:image|frame|picture|photo)s?\s*(?:no\.?\s*|number\s*|#\s*)?(?:\d+|one|two|three|four|five|six|seven|eight)\b"
    r"|第\s*[一二三四五六七八九十\d]+\s*(?:张|幅|帧|个画面|图)|(?:图|画面|帧|图片|图像)\s*\d"
    r"|(?:图|画面|图片)[一二三四五六七八](?=[中里内，：,:显是])",
    re.IGNORECASE,
)


def numbered_frames(text: str) -> bool:
    """Whether a description speaks of its pictures by number, as if the reader saw them one by one."""
    return _NUMBERED.search(text) is not None


def visual_clue(
    ev: Evidence,
    endpoint: Endpoint | None = None,
    *,
    language: str = "en",
    frames: int = FRAMES,
    frame_side: int = FRAME_SIDE,
    send: str = "auto",
    idempotency_key: str | None = None,
) -> StepResult:
    """What a model sees over the clip: one visual/expression clue.

    Sent are ``frames`` uniformly sampled frames, or, to a server that takes ``video_url`` (``send`` auto or video),
    the clip's muted video file where there is one of at most 32 MiB. A description that numbers its pictures is kept
    as the model wrote it; provenance says ``numbered_frames``.
    Skipped without video; raises NotConfigured, ModelFailure, MediaError.
    """
    from models_ml.media import MediaError, uniform_jpegs

    if ev.media_path is None:
        return skip(ev, "visual-clue", NO_VIDEO)
    server = require(endpoint, "PRELABEL")
    prompt = prompts.load("visual_clue", language)
    messages = prompt.render(person=person(ev, language))
    parameters: dict[str, Any] = {}
    video = None
    if send == "video" or (send == "auto" and getattr(server, "video", "frames") == "video_url"):
        video, instead = _whole_video(ev)
        parameters = {"sent": "video", "bytes": len(video)} if video else {"sent": "frames", "why_no_video": instead}
    if video:

        def ask() -> Completion:
            return mllm.describe_video(server, video, messages, idempotency_key=idempotency_key)
    else:
        try:
            images, times = uniform_jpegs(ev.media_path, frames, max_side=frame_side)
        except MediaError as error:
            if error.code == "no_video":
                return skip(ev, "visual-clue", NO_VIDEO)
            raise
        parameters |= {"frames": len(images), "frame_side": frame_side, "times": [round(time, 3) for time in times]}

        def ask() -> Completion:
            return mllm.describe_frames(server, images, messages, idempotency_key=idempotency_key)

    kind = ("visual", "expression", language)
    return draft_clue(ev, "visual-clue", kind, prompt, ask, parameters | meant(ev), remarks=_remarks)


def visual_objective(
    ev: Evidence,
    endpoint: Endpoint | None = None,
    *,
    language: str = "en",
    frame_side: int = SCENE_SIDE,
    idempotency_key: str | None = None,
) -> StepResult:
    """Scene, gestures and objects in the frame of the strongest expression: one visual/scene clue.

    The frame is the one that ``au_expression`` named (Emotion-LLaMA, arXiv 2406.11161, visual objective description);
    where no action units are known, the middle one, and provenance says so.
    Skipped without video; raises NotConfigured, ModelFailure, MediaError, AuTrackError.
    """
    from models_ml.media import MediaError, frame_jpeg, uniform_jpegs

    if ev.media_path is None:
        return skip(ev, "visual-objective", NO_VIDEO)
    server = require(endpoint, "PRELABEL")
    at = peak_time(ev)
    try:
        if at is None:
            (_, image), (_, at) = uniform_jpegs(ev.media_path, 2, max_side=frame_side)
            chosen = "middle"
        else:
            image, chosen = frame_jpeg(ev.media_path, at, max_side=frame_side), "peak"
    except MediaError as error:
        if error.code == "no_video":
            return skip(ev, "visual-objective", NO_VIDEO)
        raise
    prompt = prompts.load("visual_objective", language)
    messages = prompt.render(person=person(ev, language))
    return draft_clue(
        ev,
        "visual-objective",
        ("visual", "scene", language),
        prompt,
        lambda: mllm.describe_frames(server, [image], messages, idempotency_key=idempotency_key),
        {"frame": chosen, "time": round(at, 3), "frame_side": frame_side} | meant(ev),
    )


def peak_time(ev: Evidence) -> float | None:
    """Seconds at which the expression peaks, by the clue of ``au_expression`` or the track itself; None without."""
    for item in ev.clues:
        codes = item.get("codes") or {}
        if codes.get("kind") == "au" and codes.get("timestamp") is not None:
            return float(codes["timestamp"])
    if ev.au is None:
        return None
    from models_ml import face

    return float(face.peak(ev.au)["timestamp"])


def _remarks(text: str) -> dict[str, Any]:
    return {"numbered_frames": True} if numbered_frames(text) else {}


def _whole_video(ev: Evidence) -> tuple[bytes, str]:
    """The clip's picture as a file to send; or b"" and why not. Never the file with sound: each modality is drafted
    alone, so that a clue says what was seen and not what was overheard."""
    if ev.muted_path is None:
        return b"", "there is no video file of the clip without sound"
    size = Path(ev.muted_path).stat().st_size
    if size > MAX_VIDEO_BYTES:
        return b"", f"the video file has {size >> 20} MiB; at most {MAX_VIDEO_BYTES >> 20} MiB are sent"
    return Path(ev.muted_path).read_bytes(), ""
