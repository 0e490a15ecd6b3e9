"""Media files: facts, frames, samples and derived files. Every decode runs in a limited child process."""

from models_ml.media.derive import derive, waveform_peaks
from models_ml.media.errors import MediaError
from models_ml.media.read import (
    Probe,
    check,
    frame_jpeg,
    frames_at,
    load_audio,
    probe,
    sha256_file,
    uniform_frames,
    uniform_jpegs,
)

__all__ = [
    "MediaError",
    "Probe",
    "check",
    "derive",
    "frame_jpeg",
    "frames_at",
    "load_audio",
    "probe",
    "sha256_file",
    "uniform_frames",
    "uniform_jpegs",
    "waveform_peaks",
]
