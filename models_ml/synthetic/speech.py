"""Speech for the synthetic clips by eSpeak NG, as Praat carries it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from models_ml.synthetic.scenarios import Speaker, Voice

RATE = 44100  # Hz
ESPEAK = Path(__file__).with_name("espeak.py")
LANGUAGES = {"zh": "Chinese (Mandarin)", "en": "English (Great Britain)"}
NEUTRAL_RMS_DB = -27.0  # re full scale, leaves room for the loudest voice
ROOM_RMS_DB = -68.0


def speak(text: str, speaker: Speaker, voice: Voice) -> np.ndarray:
    """`text` as float samples in [-1, 1] at RATE, shape (n,), with the voice's pitch, loudness and rate.

    The same arguments give the same samples. Raises RuntimeError when eSpeak fails.
    """
    pitch = float(np.clip(speaker.pitch * voice.pitch, 0.5, 2.0))
    spread = float(np.clip(speaker.spread * voice.pitch_range, 0.0, 2.0))
    words_per_minute = int(np.clip(speaker.words_per_minute * voice.tempo, 80, 450))
    options = (LANGUAGES[speaker.language], speaker.voice, f"{pitch:.4f}", f"{spread:.4f}", str(words_per_minute))
    command = [sys.executable, "-P", "-X", "utf8", str(ESPEAK), *options, str(RATE), text]
    done = subprocess.run(command, capture_output=True, timeout=60)
    if done.returncode != 0:
        raise RuntimeError(f"eSpeak could not say {text!r}: {done.stderr.decode('utf-8', 'replace')[-300:]}")
    return levelled(np.frombuffer(done.stdout, dtype="<f4").astype(np.float64), voice.gain_db)


def levelled(wave: np.ndarray, gain_db: float) -> np.ndarray:
    """The wave without the silence around it, `gain_db` above the neutral level."""
    heard = np.flatnonzero(np.abs(wave) > 0.01 * np.abs(wave).max())
    wave = wave[heard[0] : heard[-1] + 1]
    wave = wave * (10 ** ((NEUTRAL_RMS_DB + gain_db) / 20) / np.sqrt(np.mean(wave**2)))
    return np.clip(wave, -1.0, 1.0)


def in_a_room(
    speech: np.ndarray, start_s: float, duration_s: float, rng: np.random.Generator, rate: int = RATE
) -> np.ndarray:
    """The speech placed at `start_s` in `duration_s` of faint noise: no recording is digitally silent."""
    wave = rng.normal(0.0, 10 ** (ROOM_RMS_DB / 20), round(duration_s * rate))
    at = round(start_s * rate)
    room = wave[at : at + len(speech)]
    room += speech[: len(room)]
    return np.clip(wave, -1.0, 1.0).astype(np.float32)


def envelope(wave: np.ndarray, n_frames: int, fps: float, rate: int = RATE) -> np.ndarray:
    """How open the mouth is in each video frame, 0..1, shape (n_frames,), from the sound's level."""
    window = rate / fps
    levels = np.array([np.sqrt(np.mean(wave[int(i * window) : int((i + 1) * window)] ** 2)) for i in range(n_frames)])
    floor = 10 ** (ROOM_RMS_DB / 20) * 4
    levels = np.maximum(levels - floor, 0.0)
    return np.clip(levels / (np.quantile(levels, 0.95) + 1e-9), 0.0, 1.0) ** 0.7
