"""Action units over the frames of a synthetic clip, and the OpenFace 2.2 file that tells them."""

from __future__ import annotations

import io

import numpy as np

#: The columns of OpenFace 2.2: AU28 has a presence only.
INTENSITY_AUS = tuple(f"AU{n:02d}" for n in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45))
PRESENCE_AUS = tuple(f"AU{n:02d}" for n in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 28, 45))
PRESENT_FROM = 0.5  # intensity at which a drawn AU counts as present
SPEECH_LIPS = 2.6  # AU25 at the loudest moment
BLINK_S = 0.2


def timeline(face: dict[str, float], mouth: np.ndarray, fps: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """AU -> intensity 0..5 per frame, shape (n,): neutral, onset, apex, offset; speech parts the lips.

    The AUs of `face` reach their apex within the first third and hold it to near the end, so each occurs in
    more than half of the frames. `mouth` is the opening by speech, 0..1 per frame.
    """
    n = len(mouth)
    seconds = np.arange(n) / fps
    length = n / fps
    onset, offset = rng.uniform(0.1, 0.2) * length, length - rng.uniform(0.08, 0.16) * length
    tracks = {au: np.zeros(n) for au in (*INTENSITY_AUS, "AU28")}
    for au, strength in face.items():
        start = onset + rng.uniform(-0.06, 0.06)
        rise = _ease((seconds - start) / rng.uniform(0.3, 0.5))
        fall = 1.0 - 0.75 * _ease((seconds - offset) / 0.4)
        swell = 1.0 + 0.08 * np.sin(2 * np.pi * (seconds - onset) / (length * 0.8))
        tracks[au] = np.clip(strength * rise * fall * swell, 0.0, 5.0)
    # Tight or pressed lips open less when they speak.
    held = 1.0 - 0.5 * tracks["AU23"] / 5.0
    tracks["AU25"] = np.clip(np.maximum(tracks["AU25"], 0.9 * tracks["AU26"]) + SPEECH_LIPS * mouth * held, 0.0, 5.0)
    moment = rng.uniform(0.3, 1.5)
    while moment < length:
        tracks["AU45"] = np.maximum(tracks["AU45"], 5.0 * np.clip(1.0 - np.abs(seconds - moment) / (BLINK_S / 2), 0, 1))
        moment += rng.uniform(1.6, 3.4)
    return tracks


def _ease(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def openface_csv(tracks: dict[str, np.ndarray], fps: float, rng: np.random.Generator, lost: int = 0) -> str:
    """The tracks as an OpenFace 2.2 CSV: frames from 1, headers with a leading blank, measuring noise on _r.

    The first `lost` frames are failures of the tracker, as OpenFace writes them (success 0, all AUs 0).
    """
    n = len(tracks["AU01"])
    measured = {au: np.clip(tracks[au] + rng.normal(0, 0.04, n), 0.0, 5.0) for au in INTENSITY_AUS}
    confidence = np.clip(rng.normal(0.97, 0.01, n), 0.9, 0.99)
    header = ["frame", "face_id", "timestamp", "confidence", "success"]
    header += [f"{au}_r" for au in INTENSITY_AUS] + [f"{au}_c" for au in PRESENCE_AUS]
    out = io.StringIO()
    out.write(", ".join(header) + "\n")
    for i in range(n):
        tracked = i >= lost
        cells = [str(i + 1), "0", f"{i / fps:.3f}", f"{confidence[i] if tracked else 0:.2f}", str(int(tracked))]
        cells += [f"{measured[au][i] * tracked:.2f}" for au in INTENSITY_AUS]
        cells += [f"{float(tracked and tracks[au][i] >= PRESENT_FROM):.2f}" for au in PRESENCE_AUS]
        out.write(", ".join(cells) + "\n")
    return out.getvalue()
