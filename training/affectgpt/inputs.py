"""From a clip's decoded evidence to the arrays that each frozen encoder takes. No weights: any process can do it.

Pictures stay uint8; their encoder normalises them on its device. Sound follows the audio encoder's kind: Kaldi log-mel
windows (imagebind, ast), raw windows of the normalised utterance (hubert), Whisper's log-mel of the whole (whisper).
The log-mels are those of transformers, computed for all frames of a window at once.
"""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ..schema import Config

if TYPE_CHECKING:
    from ..evidence import Evidence

Inputs = dict[str, dict[str, np.ndarray]]

CHUNK_SECONDS = 30  # Whisper hears pieces of this length
CHUNK_FRAMES = 3000  # mel frames of a piece
CHUNK_STEPS = 1500  # hidden states of a piece: 50 a second


def media_inputs(evidence: Evidence, config: Config) -> Inputs:
    """Modality -> arrays.

    video, face: ``{"frames": (n, size, size, 3) uint8}``.
    audio, by kind: imagebind, ast ``{"mel": (w, mel_frames, mel_bins), "segment": (w,)}``; hubert ``{"waves":
    (w, samples), "segment": (w,)}``; whisper ``{"mel": (chunks, mel_bins, 3000), "spans": (segments, 2)}``, spans in
    hidden states of the chunks laid end to end.
    """
    made: Inputs = {}
    if evidence.frames is not None:
        made["video"] = {"frames": evidence.frames}
    if evidence.faces is not None:
        made["face"] = {"frames": evidence.faces}
    if evidence.wave is not None:
        made["audio"] = audio_inputs(evidence.wave, evidence.duration, len(evidence.times), config)
    return made


def audio_inputs(wave: np.ndarray, duration: float, count: int, config: Config) -> dict[str, np.ndarray]:
    """The audio encoder's arrays of one utterance (samples,) in ``count`` equal segments."""
    data, audio = config.data, config.model.audio
    if audio.kind == "whisper":
        chunks = max(1, math.ceil(max(duration, len(wave) / data.sample_rate) / CHUNK_SECONDS - 1e-9))
        return {
            "mel": whisper_mel(wave, chunks, data.sample_rate, audio.mel_bins),
            "spans": segment_spans(duration, count, chunks),
        }
    if audio.kind == "hubert":
        # Zero mean and unit variance of the utterance, as HuBERT's feature extractor does it; never of the batch.
        wave = ((wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)).astype(np.float32)
    windows, segment = audio_windows(wave, duration, count, data.window_seconds, data.sample_rate)
    if audio.kind == "hubert":
        return {"waves": windows, "segment": segment}
    return {"mel": log_mel(windows, data.sample_rate, audio.mel_bins, audio.mel_frames), "segment": segment}


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


def segment_spans(duration: float, count: int, chunks: int) -> np.ndarray:
    """First and last-but-one hidden state (count, 2) of each segment; at least one each."""
    edges = np.arange(count + 1) * (duration / count * CHUNK_STEPS / CHUNK_SECONDS)
    start = np.minimum(np.floor(edges[:-1] + 1e-9).astype(np.int64), chunks * CHUNK_STEPS - 1)
    end = np.minimum(np.ceil(edges[1:] - 1e-9).astype(np.int64), chunks * CHUNK_STEPS)
    return np.stack([start, np.maximum(end, start + 1)], axis=1)


@lru_cache(maxsize=4)
def _kaldi_tools(rate: int, bins: int) -> tuple[np.ndarray, np.ndarray]:
    from transformers.audio_utils import mel_filter_bank, window_function

    with warnings.catch_warnings():
        # 128 bins on a 512-point FFT leave the lowest filters empty, in Kaldi as well.
        warnings.filterwarnings("ignore", message="At least one mel filter has all zero values")
        filters = mel_filter_bank(
            num_frequency_bins=257, num_mel_filters=bins, min_frequency=20, max_frequency=rate // 2,
            sampling_rate=rate, norm=None, mel_scale="kaldi", triangularize_in_mel_space=True,
        )  # fmt: skip
    return filters, window_function(round(0.025 * rate), "hann", periodic=False)


def log_mel(waves: np.ndarray, rate: int, bins: int, frames: int) -> np.ndarray:
    """Kaldi's log-mel filter bank (25 ms windows every 10 ms, DC removed), as ImageBind and AST use it.

    waves: (…, samples). Returns (…, frames, bins) float32, padded with zeros or cut at the end.
    """
    if waves.ndim > 1:
        return np.stack([log_mel(wave, rate, bins, frames) for wave in waves])
    filters, window = _kaldi_tools(rate, bins)
    hop = round(0.010 * rate)
    cut = np.lib.stride_tricks.sliding_window_view(waves.astype(np.float64), len(window))[::hop][:frames]
    cut = cut - cut.mean(axis=1, keepdims=True)
    emphasised = cut.copy()
    emphasised[:, 1:] -= 0.97 * cut[:, :-1]
    emphasised[:, 0] *= 1 - 0.97
    power = np.abs(np.fft.rfft(emphasised * window, n=512)) ** 2
    mel = np.log(np.maximum(power @ filters, 1.192092955078125e-07))
    return np.pad(mel, ((0, frames - len(mel)), (0, 0))).astype(np.float32)


@lru_cache(maxsize=4)
def _whisper_tools(rate: int, bins: int) -> tuple[np.ndarray, np.ndarray]:
    from transformers.audio_utils import mel_filter_bank, window_function

    filters = mel_filter_bank(
        num_frequency_bins=201, num_mel_filters=bins, min_frequency=0.0, max_frequency=rate / 2, sampling_rate=rate,
        norm="slaney", mel_scale="slaney",
    )  # fmt: skip
    return filters, window_function(400, "hann")


def whisper_mel(wave: np.ndarray, chunks: int, rate: int, bins: int) -> np.ndarray:
    """Whisper's log-mel (Radford et al. 2022; 25 ms windows every 10 ms) of ``chunks`` pieces of 30 s, silence after
    the end: (chunks, bins, 3000) float32."""
    filters, window = _whisper_tools(rate, bins)
    length = CHUNK_SECONDS * rate
    pieces = np.zeros((chunks, length))
    pieces.reshape(-1)[: len(wave)] = wave[: chunks * length]
    made = np.empty((chunks, bins, CHUNK_FRAMES), np.float32)
    for number, piece in enumerate(pieces):
        padded = np.pad(piece, 200, mode="reflect")
        cut = np.lib.stride_tricks.sliding_window_view(padded, 400)[:: rate // 100][:CHUNK_FRAMES]
        power = np.abs(np.fft.rfft(cut * window)) ** 2
        mel = np.log10(np.maximum(power @ filters, 1e-10))
        made[number] = ((np.maximum(mel, mel.max() - 8.0) + 4.0) / 4.0).T
    return made
