"""The child's side of `measure`: one JSON object on stdout. Started under limits."""

from __future__ import annotations

import json
import sys
import wave
from typing import Any

import numpy as np

from models_ml.media.worker import Refused, open_media, packets, picture_stream
from models_ml.tracks import MAX_FRAMES, MAX_POINTS, MAX_SECONDS, thinned
from models_ml.voice.measure import SILENT_PEAK, intensity_contour, pitch_contour


def frame_times(path: str) -> list[float] | None:
    """Presentation times of the pictures in seconds, rising; None without pictures, or with too many of them."""
    with open_media(path) as container:
        stream = picture_stream(container)
        if stream is None:
            return None
        times = {
            round(float(packet.pts * packet.time_base), 6)
            for packet in packets(container, stream)
            if packet.pts is not None
        }
    shown = sorted(time for time in times if time >= 0)
    return shown if 0 < len(shown) <= MAX_FRAMES else None


def contours(path: str) -> dict[str, Any]:
    """Pitch (Hz) and intensity (dB) of a 16-bit mono wave, as `voice.measure` takes them, every 10 ms at first."""
    import parselmouth

    with wave.open(path, "rb") as file:
        rate = file.getframerate()
        count = min(file.getnframes(), int(MAX_SECONDS * rate))
        samples = np.frombuffer(file.readframes(count), dtype="<i2").astype(np.float64) / 32768.0
    nothing = {"pitch": None, "intensity": None}
    if len(samples) < 2:
        return nothing
    samples = samples - samples.mean()  # an offset of the recorder is no sound
    if np.abs(samples).max() < SILENT_PEAK:
        return nothing
    sound = parselmouth.Sound(samples, sampling_frequency=rate)
    times, level = intensity_contour(sound)
    found: dict[str, Any] = dict(nothing)
    if len(times):
        t, db = thinned(times, level, MAX_POINTS, 1)
        found["intensity"] = {"t": t, "db": db}
    times, f0, _ceiling = pitch_contour(sound)
    if (f0 > 0).any():
        t, hz = thinned(times, np.where(f0 > 0, f0, np.nan), MAX_POINTS, 1)
        found["pitch"] = {"t": t, "hz": hz}
    return found


def main(argument: str) -> int:
    video, wav = json.loads(argument)
    try:
        frames = frame_times(video) if video else None
    except Refused as refusal:
        print(f"{refusal.code} {refusal.detail}".strip(), file=sys.stderr)
        return 1
    sound = contours(wav) if wav else {"pitch": None, "intensity": None}
    print(json.dumps({"version": 1, "frames": frames, **sound}, separators=(",", ":"), allow_nan=False))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
