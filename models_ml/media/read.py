"""Facts, frames and samples of a media file, read by a limited child process."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models_ml.media.child import ask
from models_ml.media.errors import MediaError

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Probe:
    """What a file holds. Cover art is no video; `width`, `height` are as displayed (rotation applied)."""

    duration: float  # seconds, measured on the packets
    has_video: bool
    has_audio: bool
    width: int | None
    height: int | None
    fps: float | None
    n_frames: int | None  # counted packets of the video stream
    video_codec: str | None
    audio_codec: str | None
    sample_rate: int | None  # Hz
    container: str  # FFmpeg's name of the format, e.g. "mov,mp4,m4a,3gp,3g2,mj2"


def probe(path: str | Path, timeout_s: float = 120.0) -> Probe:
    """Read every packet's header and decode the first picture.

    Raises MediaError: missing, empty, unreadable, truncated, no_streams, zero_length, timeout, too_big.
    A file with audio only is reported with has_video False; `check` turns that into an error.
    """
    header, _ = ask({"do": "probe"}, path=path, timeout_s=timeout_s)
    return Probe(**header)


def check(facts: Probe, path: str | Path, *, need_video: bool = True, max_seconds: float | None = None) -> None:
    """Raise MediaError `no_video` or `too_long` where `facts` of `path` do not make a usable clip.

    A clip without audio passes: callers that want to say so read `facts.has_audio`.
    """
    if need_video and not facts.has_video:
        raise MediaError("no_video", path)
    if max_seconds is not None and facts.duration > max_seconds:
        raise MediaError("too_long", path, f"{facts.duration:.1f} s, at most {max_seconds:g} s")


def sha256_file(path: str | Path) -> str:
    """Hex sha256 of the file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def frames_at(
    path: str | Path, times: Sequence[float] | int, size: int = 224, timeout_s: float = 120.0
) -> tuple[np.ndarray, list[float]]:
    """Frames shown at `times` (seconds), or that many uniform frames when `times` is an int.

    Returns ((t, size, size, 3) uint8 RGB, aspect ratio lost as in AffectGPT's loader; their timestamps in s).
    Uniform: index floor(i·len/n); a clip with fewer frames repeats its last one.
    Raises MediaError: no_video, zero_length, and what `probe` raises.
    """
    wanted: dict[str, int | list[float]]
    wanted = {"n": times} if isinstance(times, int) else {"times": [float(time) for time in times]}
    if (times if isinstance(times, int) else len(times)) < 1:
        raise ValueError("frames_at needs at least one frame to take")
    header, body = ask({"do": "frames", "size": size, **wanted}, path=path, timeout_s=timeout_s)
    return np.frombuffer(body, dtype=np.uint8).reshape(header["shape"]).copy(), header["timestamps"]


def uniform_frames(
    path: str | Path, n: int, size: int | None = None, max_side: int | None = None, timeout_s: float = 120.0
) -> tuple[np.ndarray | list[Image.Image], list[float]]:
    """`n` uniform frames and their timestamps (s).

    With `size`: one array (n, size, size, 3) uint8. Without: a list of PIL images with their aspect ratio,
    the longer side at most `max_side` pixels where that is given. Raises as `frames_at`.
    """
    if size is not None:
        return frames_at(path, n, size, timeout_s)
    header, body = ask({"do": "frames", "n": int(n), "max_side": max_side}, path=path, timeout_s=timeout_s)
    return _images(header, body), header["timestamps"]


def frame_jpeg(path: str | Path, t: float, max_side: int | None = None, quality: int = 88) -> bytes:
    """The frame shown at `t` seconds (the last one when the clip is shorter) as JPEG. Raises as `frames_at`."""
    header, body = ask({"do": "frames", "times": [float(t)], "max_side": max_side}, path=path)
    return _jpeg(_images(header, body)[0], quality)


def uniform_jpegs(
    path: str | Path, n: int, max_side: int | None = 512, quality: int = 88
) -> tuple[list[bytes], list[float]]:
    """`n` uniform frames as JPEG files and their timestamps (s): what an image model is sent."""
    images, timestamps = uniform_frames(path, n, max_side=max_side)
    return [_jpeg(image, quality) for image in images], timestamps


def load_audio(path: str | Path, rate: int = 16000, timeout_s: float = 120.0) -> np.ndarray:
    """The first audio stream as float32 mono in [-1, 1], shape (samples,), mean of channels, at `rate` Hz.

    Raises MediaError: no_audio, and what `probe` raises.
    """
    _, body = ask({"do": "audio", "rate": int(rate)}, path=path, timeout_s=timeout_s)
    return np.frombuffer(body, dtype="<f4").copy()


def _images(header: dict, body: memoryview) -> list[Image.Image]:
    from PIL import Image

    pixels = np.frombuffer(body, dtype=np.uint8).reshape(header["shape"])
    return [Image.fromarray(frame) for frame in pixels]


def _jpeg(image: Image.Image, quality: int) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()
