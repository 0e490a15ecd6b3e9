"""Clips with a voice and a face, made on the spot: a tone with syllables, an OpenFace table."""

import io
import wave
from pathlib import Path

import numpy as np

from annotator.clips.models import AuTrack, Clip, DerivedMedia
from annotator.clips.storage import put_au, put_derived, put_original
from models_ml.media import sha256_file


def tone(f0: float, seconds: float = 1.5, rate: int = 16000, phase: float = 0.0) -> bytes:
    """A WAV file: a harmonic tone of `f0` Hz in syllables, four a second."""
    t = np.arange(int(seconds * rate)) / rate
    voice = sum(np.sin(2 * np.pi * f0 * k * t + phase) / k for k in range(1, 9))
    samples = voice * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * t)) * 0.2
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes((samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def add_voice(clip: Clip, folder: Path, f0: float = 180.0) -> Clip:
    """Give the clip audio: an original and its 16 kHz WAV."""
    path = folder / f"{clip.pk}.wav"
    path.write_bytes(tone(f0, phase=clip.pk / 1000))
    sha256 = sha256_file(path)
    original = put_original(path, sha256, ".wav")
    made = put_derived(path, sha256, "wav")
    DerivedMedia.objects.create(clip=clip, kind="wav", path=made.path, sha256=made.sha256, bytes=made.bytes)
    clip.media, clip.media_path, clip.media_sha256, clip.has_audio = "stored", original.path, sha256, True
    clip.save()
    return clip


def add_face(clip: Clip, folder: Path, **aus: float) -> Clip:
    """Give the clip an AU track of ten frames with these intensities, e.g. AU12=2.5."""
    names = list(aus)
    head = ["frame", " face_id", " timestamp", " confidence", " success", *[f" {au}_r" for au in names]]
    rows = [
        [str(i + 1), "0", f"{i / 25:.3f}", "0.98", "1", *[f"{aus[au] * (i + 1) / 10:.2f}" for au in names]]
        for i in range(10)
    ]
    path = folder / f"{clip.pk}.csv"
    path.write_text("\n".join([",".join(head), *[", ".join(row) for row in rows]]) + "\n")
    stored = put_au(path)
    AuTrack.objects.create(clip=clip, path=stored.path, sha256=stored.sha256)
    return clip
