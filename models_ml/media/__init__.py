"""Media files: facts, frames, samples and derived files. Decodes run in a limited child process, but for `decode` and
`probe_direct`, which are for files of one's own."""

from models_ml.media.derive import derive, waveform_peaks
from models_ml.media.direct import Decoded, decode, probe_direct
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
    "Decoded",
    "MediaError",
    "Probe",
    "check",
    "decode",
    "derive",
    "frame_jpeg",
    "frames_at",
    "load_audio",
    "probe",
    "probe_direct",
    "sha256_file",
    "uniform_frames",
    "uniform_jpegs",
    "waveform_peaks",
]
