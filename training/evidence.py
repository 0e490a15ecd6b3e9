"""What a clip's media file shows and sounds like: frames, faces and the whole utterance on one time line.

The clip is cut into n equal segments; frame i is taken at the middle of segment i, and audio window i is centred on
the same instant, with silence outside the clip. Segments longer than a window are heard through several, so nothing
between the first and the last sample is left out. A file is decoded once for all of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .media import MediaFile, MediaIndex, MediaReport, open_media, survey
from .schema import Config, DataConfig

__all__ = [
    "Evidence",
    "MediaFile",
    "MediaIndex",
    "MediaReport",
    "frame_count",
    "load_evidence",
    "load_faces",
    "load_image",
    "normalise",
    "open_media",
    "segment_times",
    "survey",
]


TARGET_RMS = 0.05  # of an utterance after normalisation; about what speech at -26 dBFS has
DETECT_SIDE = 960  # pixels of the longer side of the pictures that faces are cut out of


@dataclass
class Evidence:
    """times: the segments' middles in seconds; frames, faces: (n, size, size, 3) uint8 RGB or None; wave: the whole
    utterance (samples,) float32 at data.sample_rate, mono and normalised, or None."""

    times: list[float]
    duration: float
    frames: np.ndarray | None = None
    faces: np.ndarray | None = None
    wave: np.ndarray | None = None


def load_evidence(file: MediaFile, config: Config, only: set[str] | None = None) -> Evidence:
    """Decode a clip once: what the config asks for, or of that only these modalities (video, face, audio).

    The time line does not depend on what is asked for. Raises models_ml.media.MediaError.
    """
    from models_ml.media import decode

    data, size = config.data, config.model.vision.image_size
    wanted = {"video", "face", "audio"} if only is None else only
    if file.image:
        return Evidence([0.0], 0.0, load_image(file.path, size)[None] if data.video and "video" in wanted else None)
    video = data.video and "video" in wanted
    face = config.model.face and data.faces != "none" and "face" in wanted
    detect = face and data.faces == "detect"
    decoded = decode(
        file.path, lambda duration: segment_times(duration, frame_count(duration, data)), size=size,
        rate=data.sample_rate, video=video or detect, max_side=DETECT_SIDE if detect else None,
    )  # fmt: skip
    evidence = Evidence(decoded.times, decoded.duration, decoded.frames if video else None)
    if detect and decoded.pictures:
        from models_ml.face.crops import face_crops

        evidence.faces, _ = face_crops(decoded.pictures, size)
    elif face and file.faces is not None:
        evidence.faces = load_faces(file.faces, decoded.times, decoded.duration, size, data.face_order)
    if decoded.wave is not None and len(decoded.wave) and data.audio and "audio" in wanted:
        evidence.wave = normalise(decoded.wave)
    return evidence


def frame_count(duration: float, data: DataConfig) -> int:
    """Frames (and audio segments) of a clip of ``duration`` seconds."""
    if data.seconds_per_frame is None:
        return data.frames
    return min(data.frames, max(1, math.ceil(duration / data.seconds_per_frame - 1e-9)))


def segment_times(duration: float, count: int) -> list[float]:
    """The middles of ``count`` equal segments of ``duration`` seconds."""
    return [(index + 0.5) * duration / count for index in range(count)]


def load_image(path: Path, size: int) -> np.ndarray:
    """A picture (size, size, 3) uint8 RGB, aspect ratio lost as in a clip's frames. Raises MediaError."""
    from PIL import Image

    from models_ml.media import MediaError

    try:
        with Image.open(path, formats=("JPEG", "PNG", "WEBP", "BMP")) as picture:
            return np.asarray(picture.convert("RGB").resize((size, size), Image.Resampling.BICUBIC))
    except FileNotFoundError:
        raise MediaError("missing", path) from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise MediaError("unreadable", path, str(error)[:200]) from error


def load_faces(path: Path, times: list[float], duration: float, size: int, order: str) -> np.ndarray:
    """Faces at these times out of OpenFace's (frames, height, width, 3) uint8 array over the whole clip.

    order: ``rgb`` or ``bgr``, of the array's channels. Raises MediaError for anything but such an array.
    """
    import av

    from models_ml.media import MediaError

    try:
        faces = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise MediaError("missing", path) from None
    except (OSError, ValueError, EOFError) as error:
        raise MediaError("unreadable", path, str(error)[:200]) from error
    if not isinstance(faces, np.ndarray) or faces.ndim != 4 or faces.shape[3] != 3 or faces.dtype != np.uint8:
        shape = getattr(faces, "shape", None)
        raise MediaError("unreadable", path, f"not (frames, height, width, 3) uint8 but {shape}")
    if not len(faces):
        raise MediaError("zero_length", path)
    chosen = []
    for time in times:
        face = faces[min(len(faces) - 1, max(0, int(time / max(duration, 1e-9) * len(faces))))]
        face = np.ascontiguousarray(face[..., ::-1] if order == "bgr" else face)
        shown = av.VideoFrame.from_ndarray(face, format="rgb24")
        chosen.append(shown.reformat(width=size, height=size, interpolation="BICUBIC").to_ndarray())
    return np.stack(chosen)


def normalise(wave: np.ndarray) -> np.ndarray:
    """One utterance (samples,) to zero mean and a fixed RMS; silence stays silence.

    Per utterance, never per batch: a clip's features must not depend on its neighbours.
    """
    wave = wave.astype(np.float64) - wave.mean(dtype=np.float64)
    rms = math.sqrt(float(np.mean(wave**2)))
    return (wave * (TARGET_RMS / rms) if rms > 1e-4 else wave).astype(np.float32)
