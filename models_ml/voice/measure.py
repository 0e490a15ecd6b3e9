"""Measured prosody by Praat (Boersma & Weenink; through parselmouth): numbers, no words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import parselmouth

Measures = dict[str, Any]

#: Unit of each measure; "1" is a plain ratio, None a name.
UNITS: dict[str, str | None] = {
    "duration_s": "s",
    "speech_s": "s",
    "f0_median_hz": "Hz",
    "f0_range_st": "semitones",
    "f0_re_baseline_st": "semitones",
    "intensity_db": "dB",
    "intensity_range_db": "dB",
    "intensity_re_baseline_db": "dB",
    "syllables": "syllables",
    "syllables_source": None,
    "syllables_per_s": "syllables/s",
    "rate_re_baseline": "1",
    "jitter_local": "1",
    "jitter_re_baseline": "1",
    "shimmer_local": "1",
    "shimmer_re_baseline": "1",
    "hnr_db": "dB",
    "hnr_re_baseline_db": "dB",
    "voiced_fraction": "1",
}
RATE = 16000  # Hz; what a file is resampled to
STEP = 0.01  # s between pitch and intensity frames
PITCH_FLOOR, PITCH_CEILING = 60.0, 600.0  # Hz, first pass
SILENT_PEAK = 1e-4  # amplitude: 80 dB below full scale; below it there is nothing to measure
SILENCE_BELOW_PEAK_DB = 25.0  # de Jong & Wempe (2009)
SYLLABLE_DIP_DB = 2.0  # de Jong & Wempe (2009)
PAUSE_S = 0.3  # de Jong & Wempe (2009)
MIN_VOICED_FRAMES = 5
BASELINE_KEYS = ("f0_median_hz", "intensity_db", "syllables_per_s", "jitter_local", "shimmer_local", "hnr_db")


def measure(
    path_or_wave: str | Path | np.ndarray,
    rate: int | None = None,
    baseline: Mapping[str, float] | None = None,
    syllables: int | None = None,
) -> Measures:
    """Prosody of one clip, keys as in UNITS; what cannot be measured is None, never NaN.

    `path_or_wave`: a media file, or float samples in [-1, 1] of shape (n,) with their `rate` in Hz.
    `baseline`: what `baseline()` gives for the speaker; fills the `…_re_baseline…` measures.
    `syllables`: counted in the subtitle; else syllable nuclei are estimated from intensity peaks.
    F0: two passes, the second between 0.75·Q1 and 2.5·Q3 of the first (after Hirst 2011; De Looze & Hirst
    2008, whose 1.5·Q3 is widened because emotional speech is); median in Hz, range = 5th to 95th percentile
    in semitones. Intensity: mean energy of the sounding part in dB; the absolute level depends on the
    recording, so only differences mean anything. Rate: syllables per second without pauses above 0.3 s.
    Jitter (local), shimmer (local), HNR (cross-correlation): Praat's standard settings.
    Silence, and clips too short for a measure, are valid. Raises MediaError (no_audio, unreadable, …) for
    a file, ValueError for samples without a rate.
    """
    import parselmouth

    if isinstance(path_or_wave, np.ndarray):
        if not rate or rate <= 0:
            raise ValueError("samples need their rate in Hz")
        wave = np.asarray(path_or_wave, dtype=np.float64).reshape(-1)
    else:
        from models_ml.media import load_audio

        wave, rate = load_audio(path_or_wave, RATE).astype(np.float64), RATE
    out: Measures = dict.fromkeys(UNITS)
    out["duration_s"] = round(len(wave) / rate, 3)
    wave = np.nan_to_num(wave)
    if len(wave):
        wave = wave - wave.mean()  # an offset of the recorder is no sound
    if len(wave) < 2 or np.abs(wave).max() < SILENT_PEAK:
        out["voiced_fraction"] = 0.0 if len(wave) >= 2 else None
        return out
    sound = parselmouth.Sound(wave, sampling_frequency=rate)
    level_times, level = intensity_contour(sound)
    sounding = level > np.quantile(level, 0.99) - SILENCE_BELOW_PEAK_DB if len(level) else np.zeros(0, bool)
    if sounding.any():
        loud = level[sounding]
        out["intensity_db"] = _round(10 * math.log10(np.mean(10 ** (loud / 10))), 1)
        out["intensity_range_db"] = _round(np.percentile(loud, 95) - np.percentile(loud, 5), 1)
    f0_times, f0, ceiling = pitch_contour(sound)
    voiced = f0 > 0
    if len(f0):
        inside = np.interp(f0_times, level_times, sounding.astype(float)) > 0.5 if len(level) else voiced
        out["voiced_fraction"] = _round(voiced[inside].mean(), 3) if inside.any() else 0.0
    if voiced.sum() >= MIN_VOICED_FRAMES:
        low, median, high = np.percentile(f0[voiced], [5, 50, 95])
        out["f0_median_hz"] = _round(median, 1)
        out["f0_range_st"] = _round(12 * math.log2(high / low), 2)
        out |= _voice_quality(sound, ceiling)
    speech = _speech_seconds(sounding)
    out["speech_s"] = _round(speech, 3)
    if syllables is None:
        count, source = _syllable_nuclei(level_times, level, sounding, f0_times, voiced), "estimated"
    else:
        count, source = int(syllables), "subtitle"
    if speech and count:
        out |= {"syllables": count, "syllables_source": source, "syllables_per_s": _round(count / speech, 2)}
    return out | against(out, baseline or {})


def baseline(list_of_measures: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """One speaker's usual voice: the median of each measure over at least two clips, and their number `n`.

    {} for fewer than two clips with a voice: one clip compared with itself says nothing.
    """
    voiced = [measures for measures in list_of_measures if measures.get("f0_median_hz") is not None]
    if len(voiced) < 2:
        return {}
    usual: dict[str, float] = {"n": len(voiced)}
    for key in BASELINE_KEYS:
        values = [measures[key] for measures in voiced if measures.get(key) is not None]
        if len(values) >= 2:
            usual[key] = float(np.median(values))
    return usual


def count_syllables(text: str, language: str) -> int:
    """Syllables of a subtitle: one per Chinese character; vowel groups per English word (silent e left out)."""
    han = len(re.findall(r"[\u3400-\u9fff\uf900-\ufaff]", text)) if language == "zh" else 0
    total = han
    for word in re.findall(r"[a-z]+(?:'[a-z]+)?", text.lower()):
        groups = len(re.findall(r"[aeiouy]+", word))
        silent = bool(re.search(r"[^aeiouyl]e$", word)) or bool(re.search(r"[^aeiouytd]ed$", word))
        total += max(1, groups - silent)
    return total


def intensity_contour(sound: parselmouth.Sound) -> tuple[np.ndarray, np.ndarray]:
    import parselmouth

    try:
        intensity = sound.to_intensity(minimum_pitch=100.0, time_step=STEP, subtract_mean=True)
    except parselmouth.PraatError:  # shorter than the 64 ms window
        return np.zeros(0), np.zeros(0)
    return intensity.xs(), intensity.values[0]


def pitch_contour(sound: parselmouth.Sound) -> tuple[np.ndarray, np.ndarray, float]:
    """Frame times, F0 in Hz with 0 for unvoiced, and the ceiling of the second pass."""
    import parselmouth

    floor, ceiling = PITCH_FLOOR, PITCH_CEILING
    try:
        pitch = sound.to_pitch_ac(time_step=STEP, pitch_floor=floor, pitch_ceiling=ceiling)
    except parselmouth.PraatError:  # shorter than three periods of the floor
        return np.zeros(0), np.zeros(0), ceiling
    f0 = pitch.selected_array["frequency"]
    if (f0 > 0).sum() >= MIN_VOICED_FRAMES:
        q1, q3 = np.percentile(f0[f0 > 0], [25, 75])
        floor, ceiling = max(floor, 0.75 * q1), min(PITCH_CEILING, 2.5 * q3)
        pitch = sound.to_pitch_ac(time_step=STEP, pitch_floor=floor, pitch_ceiling=ceiling)
        f0 = pitch.selected_array["frequency"]
    return pitch.xs(), f0, ceiling


def _voice_quality(sound: parselmouth.Sound, ceiling: float) -> Measures:
    import parselmouth
    from parselmouth.praat import call

    out: Measures = {}
    try:
        points = call(sound, "To PointProcess (periodic, cc)", PITCH_FLOOR, ceiling)
        out["jitter_local"] = _round(call(points, "Get jitter (local)", 0, 0, 0.0001, 0.02, 1.3), 5)
        shimmer = call([sound, points], "Get shimmer (local)", 0, 0, 0.0001, 0.02, 1.3, 1.6)
        out["shimmer_local"] = _round(shimmer, 5)
        harmonicity = sound.to_harmonicity_cc(time_step=STEP, minimum_pitch=PITCH_FLOOR)
        values = harmonicity.values[harmonicity.values > -200]  # -200 marks unvoiced frames
        out["hnr_db"] = _round(values.mean(), 2) if len(values) else None
    except parselmouth.PraatError:  # too few periods: the measures found so far stay
        return out
    return out


def _speech_seconds(sounding: np.ndarray) -> float:
    """Time from the first to the last sounding frame, without pauses longer than PAUSE_S."""
    at = np.flatnonzero(sounding)
    if len(at) == 0:
        return 0.0
    gaps = np.diff(at) * STEP
    return float((at[-1] - at[0] + 1) * STEP - gaps[gaps > PAUSE_S].sum())


def _syllable_nuclei(
    times: np.ndarray, level: np.ndarray, sounding: np.ndarray, f0_times: np.ndarray, voiced: np.ndarray
) -> int:
    """Voiced intensity peaks with a dip of 2 dB on both sides (de Jong & Wempe, Behav. Res. Methods 41, 2009)."""
    count, last_peak, lowest = 0, None, math.inf
    is_voiced = np.interp(times, f0_times, voiced.astype(float)) > 0.5 if len(f0_times) else np.zeros(len(times), bool)
    for i in range(1, len(level) - 1):
        lowest = min(lowest, level[i])
        top = level[i] > level[i - 1] and level[i] >= level[i + 1]
        if not (top and sounding[i] and is_voiced[i]):
            continue
        if last_peak is None or (level[i] - lowest > SYLLABLE_DIP_DB and last_peak - lowest > SYLLABLE_DIP_DB):
            count, last_peak, lowest = count + 1, level[i], level[i]
        elif level[i] > last_peak:
            last_peak, lowest = level[i], level[i]
    return count


def against(out: Mapping[str, Any], usual: Mapping[str, float]) -> Measures:
    """The `…_re_baseline…` measures of a clip, from its own and what `baseline()` gives; only those that are known."""

    def pair(key: str) -> tuple[float, float] | None:
        mine, theirs = out.get(key), usual.get(key)
        return None if mine is None or theirs is None else (float(mine), float(theirs))

    found: Measures = {}
    if (f0 := pair("f0_median_hz")) and f0[1] > 0:
        found["f0_re_baseline_st"] = _round(12 * math.log2(f0[0] / f0[1]), 2)
    if level := pair("intensity_db"):
        found["intensity_re_baseline_db"] = _round(level[0] - level[1], 1)
    if hnr := pair("hnr_db"):
        found["hnr_re_baseline_db"] = _round(hnr[0] - hnr[1], 2)
    ratios = (("syllables_per_s", "rate"), ("jitter_local", "jitter"), ("shimmer_local", "shimmer"))
    for key, name in ratios:
        if (both := pair(key)) and both[1] > 0:
            found[f"{name}_re_baseline"] = _round(both[0] / both[1], 3)
    return found


def _round(value: float, digits: int) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None
