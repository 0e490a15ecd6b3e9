"""What a clip's media file shows and sounds like: frames and log-mel windows on one time line.

The clip is cut into n equal segments; frame i is taken at the middle of segment i, and audio window i is
centred on the same instant, with silence outside the clip. Segments longer than a window are heard through
several, so nothing between the first and the last sample is left out.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from .config import Config
from .errors import UsageError
from .snapshot import Record, Snapshot

# Containers that a clip may come in; a CSV or picture of the clip's name beside it is not its media.
VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".flv", ".wmv", ".ts", ".3gp")
AUDIO_SUFFIXES = (".wav", ".m4a", ".mp3", ".flac", ".ogg", ".opus", ".aac")
TARGET_RMS = 0.05  # of an utterance after normalisation; about what speech at -26 dBFS has


@dataclass(frozen=True)
class MediaFile:
    """A readable file of a clip: duration in seconds and which streams it holds."""

    path: Path
    duration: float
    has_video: bool
    has_audio: bool


@dataclass
class Evidence:
    """frames: (n, size, size, 3) uint8 or None; mel: (windows, frames, bins) float32 or None with the
    segment (windows,) each window belongs to; times: the n segments' middles in seconds."""

    times: list[float]
    frames: np.ndarray | None = None
    mel: np.ndarray | None = None
    segment: np.ndarray | None = None


@dataclass
class MediaReport:
    files: dict[str, MediaFile]
    missing: dict[str, str]  # clip -> reason

    def counts(self) -> dict[str, int]:
        """``{video, audio, missing}``: clips with that stream, and clips without readable media."""
        return {
            "video": sum(file.has_video for file in self.files.values()),
            "audio": sum(file.has_audio for file in self.files.values()),
            "missing": len(self.missing),
        }


class MediaIndex:
    """Finds a clip's file: ``DIR/<sha256>.*``, then ``DIR/<clip>.*``, then the path in media.jsonl."""

    def __init__(self, folder: str | Path | None, listed: dict[str, str]) -> None:
        self.listed = listed
        self.by_stem: dict[str, Path] = {}
        if folder is None:
            return
        if not Path(folder).is_dir():
            raise UsageError(f"--media {folder}: no such folder")
        order = {suffix: rank for rank, suffix in enumerate(VIDEO_SUFFIXES + AUDIO_SUFFIXES)}
        for path in sorted(Path(folder).iterdir()):
            rank = order.get(path.suffix.lower())
            if rank is None or not path.is_file():
                continue
            known = self.by_stem.get(path.stem)
            if known is None or rank < order[known.suffix.lower()]:
                self.by_stem[path.stem] = path

    def find(self, record: Record) -> Path | None:
        for stem in (record.media_sha256, record.clip):
            if stem and stem in self.by_stem:
                return self.by_stem[stem]
        listed = self.listed.get(record.clip)
        return Path(listed) if listed and Path(listed).is_file() else None


def open_media(path: str | Path) -> MediaFile:
    """Probe a file. Raises models_ml.media.MediaError when it cannot be read."""
    from models_ml.media import MediaError, probe

    found = probe(path)
    if not found.has_video and not found.has_audio:
        raise MediaError("no_streams", path)
    return MediaFile(Path(path), found.duration, found.has_video, found.has_audio)


def survey(records: Iterable[Record], snapshot: Snapshot, folder: str | Path | None) -> MediaReport:
    """Find and probe the media of every record; what cannot be read is reported with its reason."""
    from models_ml.media import MediaError

    index = MediaIndex(folder, snapshot.media)

    def look(record: Record) -> tuple[str, MediaFile | str]:
        path = index.find(record)
        if path is None:
            return record.clip, "no media file found"
        try:
            return record.clip, open_media(path)
        except MediaError as error:
            return record.clip, str(error)

    report = MediaReport({}, {})
    with ThreadPoolExecutor(4) as pool:
        for clip, found in pool.map(look, records):
            if isinstance(found, MediaFile):
                report.files[clip] = found
            else:
                report.missing[clip] = found
    return report


def load_evidence(file: MediaFile, config: Config) -> Evidence:
    """Decode a clip's frames and audio. Raises models_ml.media.MediaError."""
    from models_ml.media import frames_at, load_audio

    data, count = config.data, config.data.frames
    wave = load_audio(file.path, data.sample_rate) if file.has_audio else None
    duration = max(file.duration, 0.0 if wave is None else len(wave) / data.sample_rate)
    times = segment_times(duration, count)
    evidence = Evidence(times)
    if file.has_video:
        evidence.frames, _ = frames_at(file.path, times, size=config.model.vision.image_size)
    if wave is not None and len(wave):
        windows, evidence.segment = audio_windows(
            normalise(wave), duration, count, data.window_seconds, data.sample_rate
        )
        audio = config.model.audio
        evidence.mel = np.stack(
            [log_mel(window, data.sample_rate, audio.mel_bins, audio.mel_frames) for window in windows]
        )
    return evidence


def segment_times(duration: float, count: int) -> list[float]:
    """The middles of ``count`` equal segments of ``duration`` seconds."""
    return [(index + 0.5) * duration / count for index in range(count)]


def normalise(wave: np.ndarray) -> np.ndarray:
    """One utterance (samples,) to zero mean and a fixed RMS; silence stays silence.

    Per utterance, never per batch: a clip's features must not depend on its neighbours.
    """
    wave = wave.astype(np.float64) - wave.mean(dtype=np.float64)
    rms = math.sqrt(float(np.mean(wave**2)))
    return (wave * (TARGET_RMS / rms) if rms > 1e-4 else wave).astype(np.float32)


def audio_windows(
    wave: np.ndarray, duration: float, count: int, seconds: float, rate: int
) -> tuple[np.ndarray, np.ndarray]:
    """Windows (w, seconds * rate) and the segment (w,) of each.

    A segment no longer than ``seconds`` gets one window centred on its middle; a longer one gets as many as
    cover it, evenly spread. Outside the clip there is silence.
    """
    length = round(seconds * rate)
    span = duration / count
    per_segment = max(1, math.ceil(span / seconds - 1e-9))
    starts, segments = [], []
    for segment in range(count):
        for part in range(per_segment):
            middle = segment * span + span * (part + 0.5) / per_segment
            starts.append(round((middle - seconds / 2) * rate))
            segments.append(segment)
    padded = np.pad(wave, (length, length + max(0, math.ceil(duration * rate) - len(wave))))
    windows = np.stack([padded[start + length : start + 2 * length] for start in starts])
    return windows, np.array(segments, dtype=np.int64)


@lru_cache(maxsize=4)
def _mel_tools(rate: int, bins: int) -> tuple[np.ndarray, np.ndarray]:
    from transformers.audio_utils import mel_filter_bank, window_function

    with warnings.catch_warnings():
        # 128 bins on a 512-point FFT leave the lowest filters empty, in Kaldi as well.
        warnings.filterwarnings("ignore", message="At least one mel filter has all zero values")
        filters = mel_filter_bank(
            num_frequency_bins=257, num_mel_filters=bins, min_frequency=20, max_frequency=rate // 2,
            sampling_rate=rate, norm=None, mel_scale="kaldi", triangularize_in_mel_space=True,
        )  # fmt: skip
    return filters, window_function(round(0.025 * rate), "hann", periodic=False)


def log_mel(wave: np.ndarray, rate: int, bins: int, frames: int) -> np.ndarray:
    """Kaldi's log-mel filter bank (25 ms windows every 10 ms, DC removed), as ImageBind and AST use it.

    Returns (frames, bins) float32, padded with zeros or cut at the end.
    """
    from transformers.audio_utils import spectrogram

    filters, window = _mel_tools(rate, bins)
    mel = spectrogram(
        wave, window, frame_length=len(window), hop_length=round(0.010 * rate), fft_length=512, power=2.0,
        center=False, preemphasis=0.97, mel_filters=filters, log_mel="log", mel_floor=1.192092955078125e-07,
        remove_dc_offset=True,
    ).T[:frames]  # fmt: skip
    return np.pad(mel, ((0, frames - len(mel)), (0, 0))).astype(np.float32)
