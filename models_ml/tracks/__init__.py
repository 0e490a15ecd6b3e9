"""What a timeline draws below a clip: times of its frames, action units, pitch and intensity over time."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from models_ml.face import AuTrack
from models_ml.media import MediaError
from models_ml.media.child import run_limited

MAX_POINTS = 400  # of a curve: what a screen's width can show
MAX_FRAMES = 120_000  # an hour at 30 frames/s; of a longer file the player steps 1/25 s
MAX_SECONDS = 1800.0  # of sound that is measured
TIMEOUT_S = 120.0


def measure(video: Path | None, wav: Path | None, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    """`{"version", "frames": [s, …]|None, "pitch": {"t", "hz"}|None, "intensity": {"t", "db"}|None}` of a clip.

    `video`: the file that is played (times are those of its frames on the player's clock); `wav`: its 16-bit mono
    sound. Either may be None. Curves have at most 400 points, `hz` is None where nothing is voiced; a silent or
    very short sound has no curves. Everything is read in one limited child process.
    Raises MediaError (unreadable, timeout), naming the file that was read.
    """
    path = video or wav
    if path is None:
        return {"version": 1, "frames": None, "pitch": None, "intensity": None}
    request = json.dumps([None if file is None else str(file.absolute()) for file in (video, wav)])
    command = [sys.executable, "-P", "-m", "models_ml.tracks.worker", request]
    status, out, err = run_limited(command, path=path, timeout_s=timeout_s)
    if status != 0:
        last = err.decode("utf-8", "replace").strip().splitlines()[-1:] or [f"exit status {status}"]
        raise MediaError("unreadable", path, last[0][:200])
    return json.loads(out)


def face_curves(track: AuTrack, points: int = MAX_POINTS) -> dict[str, Any]:
    """`{"t": [s, …], "curves": {"AU12": [0..5 | None, …]}}` of one face; AUs without intensities are left out.

    Where there are more frames than `points`, neighbours are put together and their maximum stands, so that no peak is
    lost; None where no frame was tracked.
    """
    order = np.argsort(track.timestamps, kind="stable")
    times, good = track.timestamps[order], track.valid()[order]
    groups = _groups(len(times), points)
    curves = {}
    for au in sorted(track.intensity):
        values = np.where(good, track.intensity[au][order], np.nan)
        curves[au] = [
            _finite(np.nanmax(part), 2) if np.isfinite(part).any() else None for part in _split(values, groups)
        ]
    return {"t": [round(float(part.mean()), 3) for part in _split(times, groups)], "curves": curves}


def thinned(times: np.ndarray, values: np.ndarray, points: int, digits: int) -> tuple[list[float], list[float | None]]:
    """At most `points` neighbouring groups: (mean times, medians of what is finite; None where less than half is)."""
    groups = _groups(len(times), points)
    at = [round(float(part.mean()), 3) for part in _split(times, groups)]
    middle: list[float | None] = []
    for part in _split(values, groups):
        known = part[np.isfinite(part)]
        middle.append(_finite(np.median(known), digits) if 2 * len(known) >= len(part) and len(known) else None)
    return at, middle


def _groups(count: int, points: int) -> np.ndarray:
    """Where the groups after the first begin."""
    return np.unique(np.linspace(0, count, min(count, points), endpoint=False).astype(int))[1:]


def _split(values: np.ndarray, starts: np.ndarray) -> list[np.ndarray]:
    return np.split(values, starts) if len(values) else []


def _finite(value: Any, digits: int) -> float | None:
    return round(float(value), digits) if np.isfinite(value) else None
