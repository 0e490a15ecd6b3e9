"""Praat's measures come out right on sounds whose truth is known, and None where there is nothing."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from models_ml.media import MediaError
from models_ml.voice import UNITS, baseline, count_syllables, measure

RATE = 16000


def buzz(f0: float | np.ndarray, seconds: float = 1.5, amplitude: float = 0.3) -> np.ndarray:
    """A voice-like tone: twelve harmonics of `f0` (constant, or one value per sample)."""
    n = round(seconds * RATE)
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(f0, n)) / RATE
    wave = sum(np.sin(k * phase) / k for k in range(1, 13))
    return amplitude * wave / np.abs(wave).max()


def never_nan(measures: dict) -> bool:
    return all(not isinstance(value, float) or math.isfinite(value) for value in measures.values())


@pytest.mark.parametrize("f0", [90.0, 210.0, 380.0])
def test_a_steady_tone_has_its_pitch_no_range_and_little_perturbation(f0):
    found = measure(buzz(f0), RATE)
    assert found["f0_median_hz"] == pytest.approx(f0, rel=0.01)
    assert found["f0_range_st"] < 0.3
    assert found["jitter_local"] < 0.005
    assert found["shimmer_local"] < 0.02
    assert found["hnr_db"] > 25
    assert found["voiced_fraction"] > 0.95


def test_an_octave_of_glide_is_eleven_semitones_between_its_5th_and_95th_percentile():
    glide = 120 * 2 ** np.linspace(0, 1, round(1.5 * RATE))
    assert measure(buzz(glide), RATE)["f0_range_st"] == pytest.approx(0.9 * 12, abs=0.5)


def test_ten_times_the_amplitude_is_20_db():
    quiet, loud = (measure(buzz(200, amplitude=a), RATE)["intensity_db"] for a in (0.05, 0.5))
    assert loud - quiet == pytest.approx(20, abs=0.2)


def test_noise_lowers_the_harmonics_to_noise_ratio_and_raises_jitter():
    noise = np.random.default_rng(0).normal(0, 0.05, round(1.5 * RATE))
    clean, noisy = measure(buzz(150), RATE), measure(buzz(150) + noise, RATE)
    assert noisy["hnr_db"] < clean["hnr_db"] - 10
    assert noisy["jitter_local"] > clean["jitter_local"]


def test_bursts_of_voice_are_counted_as_syllables():
    beat = np.concatenate([buzz(180, 0.14), np.zeros(round(0.06 * RATE))])
    found = measure(np.tile(beat, 10), RATE)
    assert (found["syllables"], found["syllables_source"]) == (10, "estimated")
    assert found["syllables_per_s"] == pytest.approx(5.0, abs=0.3)


def test_the_subtitles_syllables_are_preferred_and_long_pauses_do_not_slow_speech():
    wave = np.concatenate([buzz(180, 1.0), np.zeros(2 * RATE), buzz(180, 1.0)])
    found = measure(wave, RATE, syllables=10)
    assert (found["syllables"], found["syllables_source"]) == (10, "subtitle")
    assert found["syllables_per_s"] == pytest.approx(5.0, abs=0.4)


def test_against_a_baseline_differences_are_in_semitones_decibels_and_ratios():
    usual = {"f0_median_hz": 100.0, "intensity_db": 60.0, "syllables_per_s": 4.0}
    found = measure(buzz(200), RATE, baseline=usual, syllables=9)
    assert found["f0_re_baseline_st"] == pytest.approx(12, abs=0.1)
    assert found["intensity_re_baseline_db"] == pytest.approx(found["intensity_db"] - 60.0, abs=0.06)
    assert found["rate_re_baseline"] == pytest.approx(found["syllables_per_s"] / 4.0, abs=0.001)
    assert found["hnr_re_baseline_db"] is None


@pytest.mark.parametrize(
    "wave",
    [np.zeros(RATE), np.zeros(0), np.zeros(1), np.full(RATE, 0.5), np.full(RATE, np.nan), np.zeros(RATE // 10)],
    ids=["silence", "nothing", "one sample", "constant", "nan", "0.1 s of silence"],
)
def test_where_there_is_no_voice_there_are_no_measures(wave):
    found = measure(wave, RATE)
    assert set(found) == set(UNITS)
    assert found["f0_median_hz"] is found["hnr_db"] is found["syllables_per_s"] is found["jitter_local"] is None
    assert never_nan(found)


@pytest.mark.parametrize("seconds", [0.005, 0.02, 0.05, 0.1, 0.2])
def test_very_short_sounds_give_what_can_be_measured_and_no_error(seconds):
    found = measure(buzz(200, seconds), RATE)
    assert found["duration_s"] == pytest.approx(seconds, abs=0.001)
    assert never_nan(found)
    if seconds >= 0.1:
        assert found["f0_median_hz"] == pytest.approx(200, rel=0.02)
    json.dumps(found, allow_nan=False)


def test_whispering_has_loudness_but_no_pitch():
    noise = np.random.default_rng(1).normal(0, 0.1, RATE)
    found = measure(noise, RATE)
    assert found["f0_median_hz"] is None
    assert found["intensity_db"] > 60


def test_samples_without_a_rate_are_a_mistake():
    with pytest.raises(ValueError, match="rate"):
        measure(np.zeros(10))


def test_the_baseline_is_the_median_of_at_least_two_voiced_clips():
    clips = [{"f0_median_hz": f0, "intensity_db": 60.0, "hnr_db": None} for f0 in (100.0, 110.0, 300.0)]
    assert baseline(clips) == {"n": 3, "f0_median_hz": 110.0, "intensity_db": 60.0}
    assert baseline(clips[:1]) == {}
    assert baseline([*clips[:1], {"f0_median_hz": None, "intensity_db": 20.0}]) == {}


@pytest.mark.parametrize(
    ("text", "language", "n"),
    [
        ("我没事，真的。", "zh", 5),
        ("打开 WiFi 吧", "zh", 5),
        ("Hello there", "en", 3),
        ("I hoped for little.", "en", 5),
        ("", "zh", 0),
        ("……！", "zh", 0),
    ],
)
def test_syllables_of_a_subtitle(text, language, n):
    assert count_syllables(text, language) == n


def test_a_file_is_measured_and_the_command_says_the_same(tmp_path):
    import wave as wav

    path = tmp_path / "音.wav"
    with wav.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((buzz(220) * 32767).astype("<i2").tobytes())
    found = measure(path)
    assert found["f0_median_hz"] == pytest.approx(220, rel=0.01)
    command = [sys.executable, "-m", "models_ml.voice", "describe"]
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["measures"]["f0_median_hz"] == {"value": found["f0_median_hz"], "unit": "Hz"}
    assert "220" in said["sentence"]["zh"]
    assert "220" in said["sentence"]["en"]
    path.write_text("not sound")
    failed = subprocess.run([*command, str(path)], capture_output=True, text=True)
    assert failed.returncode == 1
    assert "音.wav" in failed.stderr
    with pytest.raises(MediaError):
        measure(path)


@pytest.mark.parametrize(
    ("option", "content", "status", "says"),
    [
        ("--baseline", "[1, 2]", 1, "wanted an object"),
        ("--baseline", '{"f0_median_hz": "high"}', 1, "wanted an object"),
        ("--baseline", '{"f0_median_hz": NaN}', 1, "wanted an object"),
        ("--baseline", "{", 1, "not JSON"),
        ("--syllables", None, 2, "--syllables"),
    ],
)
def test_options_that_are_no_measures_are_refused_in_one_line(tmp_path, option, content, status, says):
    value = "-5"
    if content is not None:
        (tmp_path / "usual.json").write_text(content)
        value = str(tmp_path / "usual.json")
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    command = [sys.executable, "-m", "models_ml.voice", "describe", str(tmp_path / "a.wav"), f"{option}={value}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == status
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
