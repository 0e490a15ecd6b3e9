"""Curves are thinned without losing a peak, and are None where nothing was measured."""

import subprocess
import wave
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from models_ml.face import read_openface
from models_ml.media import MediaError
from models_ml.tracks import face_curves, measure, thinned

RATE = 16000


def tone(path: Path, hz: float, seconds: float) -> Path:
    """A voice-like tone: ten harmonics."""
    t = np.arange(int(RATE * seconds)) / RATE
    samples = sum(np.sin(2 * np.pi * hz * n * t) / n for n in range(1, 11)) * 0.2
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def test_a_tone_of_200_hz_is_drawn_at_200_hz(tmp_path: Path) -> None:
    found = measure(None, tone(tmp_path / "t.wav", 200, 8.0))
    assert found["frames"] is None
    hz = [value for value in found["pitch"]["hz"] if value is not None]
    assert np.median(hz) == pytest.approx(200, abs=1)
    assert 200 < len(found["pitch"]["t"]) == len(found["pitch"]["hz"]) <= 400
    assert 0 <= found["pitch"]["t"][0] < found["pitch"]["t"][-1] <= 8.0
    level = [value for value in found["intensity"]["db"] if value is not None]
    assert np.ptp(level[5:-5]) < 1


def test_silence_and_nothing_have_no_curves(tmp_path: Path) -> None:
    quiet = tone(tmp_path / "q.wav", 0, 1.0)
    empty = tone(tmp_path / "e.wav", 200, 0.0)
    for path in (quiet, empty):
        assert measure(None, path) == {"version": 1, "frames": None, "pitch": None, "intensity": None}
    assert measure(None, None)["frames"] is None


def test_a_file_that_is_no_video_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no video at all")
    with pytest.raises(MediaError, match="broken.mp4"):
        measure(path, None)


def test_a_single_frame_of_smiling_survives_thinning() -> None:
    rows = ["frame,timestamp,confidence,success,AU12_r"]
    rows += [f"{i + 1},{i / 25:.3f},0.9,{int(i >= 200)},{4.5 if i == 1501 else 0.0}" for i in range(2000)]
    found = face_curves(read_openface("\n".join(rows)))
    assert len(found["t"]) == len(found["curves"]["AU12"]) == 400
    assert max(value for value in found["curves"]["AU12"] if value is not None) == 4.5
    assert found["t"][found["curves"]["AU12"].index(4.5)] == pytest.approx(1501 / 25, abs=0.1)
    assert found["curves"]["AU12"][0] is None  # not tracked there


def test_few_points_stay_as_they_are() -> None:
    t, values = thinned(np.array([0.0, 0.1, 0.2]), np.array([1.0, np.nan, 3.0]), 400, 1)
    assert (t, values) == ([0.0, 0.1, 0.2], [1.0, None, 3.0])
    assert thinned(np.zeros(0), np.zeros(0), 400, 1) == ([], [])


def test_half_an_hour_has_the_time_of_each_frame(tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    picture = ["-f", "lavfi", "-i", "color=s=32x32:r=30:d=1800", "-c:v", "libx264", "-preset", "ultrafast"]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", *picture, str(path)], check=True)
    frames = measure(path, None)["frames"]
    assert len(frames) == 1800 * 30
    assert np.diff(frames) == pytest.approx(1 / 30, abs=0.001)
