"""What each code of claim is held against, and what the measurements say about it.

Face: action units after Ekman, Friesen & Hager, Facial Action Coding System: The Manual (2002); intensities as
OpenFace 2.2 gives them (0..5), where 1.0 is FACS's level A, a trace. Voice: thresholds of `models_ml.voice.catalogue`,
which cites their sources. Every answer carries the number it rests on.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models_ml.face import AuTrack

FACE_UNITS: dict[str, tuple[str, ...]] = {
    "smile": ("AU12",),
    "cheeks_raised": ("AU06",),
    "brows_lowered": ("AU04",),
    "brows_raised": ("AU01", "AU02"),
    "inner_brows_raised": ("AU01",),
    "eyes_wide": ("AU05",),
    "eyes_narrowed": ("AU07",),
    "nose_wrinkled": ("AU09",),
    "upper_lip_raised": ("AU10",),
    "lip_corners_down": ("AU15",),
    "lips_pressed": ("AU23", "AU24"),
    "lips_stretched": ("AU20",),
    "chin_raised": ("AU17",),
    "smirk": ("AU14",),
    "mouth_open": ("AU25", "AU26"),
    "jaw_dropped": ("AU26",),
    "face_neutral": (),
}
ALL_UNITS = tuple(sorted({unit for units in FACE_UNITS.values() for unit in units}))
VOICE_CODES = (
    *("loud", "soft", "high_pitch", "low_pitch", "fast", "slow"),
    *("trembling", "breathy", "flat", "lively", "calm", "silent"),
)
CODES = (*FACE_UNITS, *VOICE_CODES, "quote")

OCCURS = 1.0  # intensity from which a unit occurs
ABSENT = 0.5  # intensity below which it does not
SHARE = 0.10  # of the valid frames, from which a movement is more than a flicker of the tracker
EXPRESSIVE = 1.5  # intensity of any unit that no neutral face has
NEUTRAL_NEEDS = 3  # units that must be measured before a face may be called neutral
EDGE_S = 1e-6


@dataclass(frozen=True)
class Finding:
    """What the measurements say about one claim, before negation. `span` is in seconds of the clip."""

    verdict: str  # supported, contradicted, not_measurable
    reason: str
    measure: str | None = None
    value: float | None = None
    unit: str | None = None
    threshold: float | None = None
    span: tuple[float, float] | None = None


@dataclass(frozen=True)
class Limits:
    """`measure` supports a claim from `supports` on and contradicts it up to `contradicts`, upward or downward."""

    measure: str
    unit: str
    supports: float
    contradicts: float

    def read(self, value: float) -> Finding:
        """The finding for a value; between both limits it is not measurable."""
        up = self.supports > self.contradicts
        if value >= self.supports if up else value <= self.supports:
            return Finding("supported", "reached", self.measure, value, self.unit, self.supports)
        if value <= self.contradicts if up else value >= self.contradicts:
            return Finding("contradicted", "not_reached", self.measure, value, self.unit, self.contradicts)
        return Finding("not_measurable", "between", self.measure, value, self.unit, self.supports)


#: First against the speaker's own baseline, then without one; an empty second place: without one nothing is said.
VOICE: dict[str, tuple[Limits, ...]] = {
    "loud": (Limits("intensity_re_baseline_db", "dB", 3.0, 0.0),),
    "soft": (Limits("intensity_re_baseline_db", "dB", -3.0, 0.0),),
    "high_pitch": (Limits("f0_re_baseline_st", "st", 1.5, 0.0),),
    "low_pitch": (Limits("f0_re_baseline_st", "st", -1.5, 0.0),),
    "fast": (Limits("rate_re_baseline", "1", 1.15, 1.0), Limits("syllables_per_s", "syll/s", 7.5, 4.5)),
    "slow": (Limits("rate_re_baseline", "1", 0.85, 1.0), Limits("syllables_per_s", "syll/s", 3.0, 5.5)),
    "breathy": (Limits("hnr_re_baseline_db", "dB", -3.0, 0.0), Limits("hnr_db", "dB", 6.0, 12.0)),
    "flat": (Limits("f0_range_st", "st", 4.5, 9.0),),
    "lively": (Limits("f0_range_st", "st", 13.5, 9.0),),
}
NEEDS_BASELINE = {"loud", "soft", "high_pitch", "low_pitch"}
TREMBLING = (Limits("jitter_re_baseline", "1", 1.33, 1.0), Limits("shimmer_re_baseline", "1", 1.33, 1.0))
TREMBLING_ALONE = Limits("jitter_local", "1", 0.0208, 0.0104)
CALM = {"intensity_re_baseline_db": 1.0, "rate_re_baseline": 1.05, "jitter_re_baseline": 1.1}
CALM_NEEDS = 2  # of the three, so that one quiet number alone calls nobody calm
SILENT_BELOW, SPEAKS_FROM = 0.05, 0.2  # voiced fraction


def hold_face(code: str, track: AuTrack | None, span: Sequence[float] | None = None) -> Finding:
    """A face claim against the track's valid frames within `span` (seconds; the whole clip without one)."""
    if track is None:
        return Finding("not_measurable", "no_track")
    good = track.valid()
    if span is not None:
        good = good & (track.timestamps >= span[0] - EDGE_S) & (track.timestamps <= span[1] + EDGE_S)
    if not good.any():
        return Finding("not_measurable", "no_valid_frame")
    if code == "face_neutral":
        return _neutral(track, good)
    units = [unit for unit in FACE_UNITS[code] if unit in track.intensity or unit in track.presence]
    if not units:
        return Finding("not_measurable", "no_column", FACE_UNITS[code][0])
    found = [_unit(unit, track, good) for unit in units]
    if any(one.verdict == "supported" for one in found):
        return _strongest([one for one in found if one.verdict == "supported"])
    if all(one.verdict == "contradicted" for one in found):
        return _strongest(found)
    return _strongest([one for one in found if one.verdict == "not_measurable"])


def hold_voice(code: str, measures: Mapping[str, Any] | None) -> Finding:
    """A claim about the voice against what `models_ml.voice.measure` returns."""
    if not measures or all(value is None for value in measures.values()):
        return Finding("not_measurable", "no_audio")
    if code == "calm":
        return _calm(measures)
    if code == "trembling":
        return _trembling(measures)
    if code == "silent":
        value = number(measures, "voiced_fraction")
        if value is None:
            return Finding("not_measurable", "not_measured", "voiced_fraction")
        if value < SILENT_BELOW:
            return Finding("supported", "reached", "voiced_fraction", value, "1", SILENT_BELOW)
        verdict, reason = ("contradicted", "not_reached") if value >= SPEAKS_FROM else ("not_measurable", "between")
        return Finding(verdict, reason, "voiced_fraction", value, "1", SPEAKS_FROM)
    for limits in VOICE[code]:
        if (value := number(measures, limits.measure)) is not None:
            return limits.read(value)
    reason = "no_baseline" if code in NEEDS_BASELINE else "not_measured"
    return Finding("not_measurable", reason, VOICE[code][-1].measure)


def hold_quote(words: str, subtitle: Mapping[str, str | None]) -> Finding:
    """Quoted words against the subtitle of their own language; "…" inside a quote stands for words left out."""
    language = "zh" if re.search(r"[\u3400-\u9fff]", words) else "en"
    said = subtitle.get(language)
    if not said or not plain(said):
        return Finding("not_measurable", "no_subtitle", f"subtitle_{language}")
    text, at = f" {plain(said)} ", 0
    for piece in re.split(r"\.{2,}|…+", words):
        wanted = plain(piece)
        if not wanted:
            continue
        # Whole words in English; Chinese has no spaces between words.
        at = text.find(wanted if language == "zh" else f" {wanted} ", at)
        if at < 0:
            return Finding("contradicted", "not_in_subtitle", f"subtitle_{language}")
        at += len(wanted)
    return Finding("supported", "in_subtitle", f"subtitle_{language}")


def plain(text: str) -> str:
    """Words without case, width and punctuation, one blank between English words and none inside Chinese."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("’", "'").replace("‘", "'")
    folded = re.sub(r"(?<=\w)'(?=\w)", "", folded)  # don't = dont, whichever apostrophe
    folded = re.sub(r"[\W_]+", " ", folded).strip()
    return re.sub(r"(?<=[\u3400-\u9fff]) | (?=[\u3400-\u9fff])", "", folded)


def number(measures: Mapping[str, Any], key: str) -> float | None:
    """A finite number of the measures, else None."""
    value = measures.get(key)
    if value is None or isinstance(value, (bool, str)) or not np.isfinite(value):
        return None
    return float(value)


def _unit(unit: str, track: AuTrack, good: np.ndarray) -> Finding:
    strength = track.intensity.get(unit)
    on = np.zeros(len(good), dtype=bool)
    if unit in track.presence:
        on |= track.presence[unit] == 1
    if strength is not None:
        on |= strength >= OCCURS
    on &= good
    times = track.timestamps[good]
    whole = (round(float(times[0]), 3), round(float(times[-1]), 3))
    peak = None if strength is None else float(strength[good].max())
    value = round(float(on.sum() / good.sum()) if peak is None else peak, 2)
    name, scale = (unit, "share") if peak is None else (unit, "intensity")
    if on.sum() / good.sum() >= SHARE and (peak is None or peak >= OCCURS):
        return Finding(
            "supported", "occurs", name, value, scale, SHARE if peak is None else OCCURS, _longest(on, track)
        )
    if not on.any() and (peak is None or peak < ABSENT):
        return Finding("contradicted", "absent", name, value, scale, SHARE if peak is None else ABSENT, whole)
    reason = "brief" if peak is None or peak >= OCCURS else "weak"
    at = _longest(on, track) if on.any() else whole
    return Finding("not_measurable", reason, name, value, scale, SHARE if peak is None else OCCURS, at)


def _longest(on: np.ndarray, track: AuTrack) -> tuple[float, float]:
    """First and last second of the longest unbroken stretch of true frames."""
    edges = np.diff(np.concatenate([[0], on.astype(np.int8), [0]]))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    best = int(np.argmax(ends - starts))
    first, last = track.timestamps[starts[best]], track.timestamps[ends[best]]
    return round(float(first), 3), round(float(last), 3)


def _strongest(found: list[Finding]) -> Finding:
    return max(found, key=lambda one: one.value if one.value is not None else -1.0)


def _neutral(track: AuTrack, good: np.ndarray) -> Finding:
    found = [_unit(unit, track, good) for unit in ALL_UNITS if unit in track.intensity or unit in track.presence]
    if len(found) < NEUTRAL_NEEDS:
        return Finding("not_measurable", "no_column")
    seen = [one for one in found if one.verdict == "supported"]
    if not seen:
        top = _strongest(found)
        return Finding("supported", "still", top.measure, top.value, top.unit, OCCURS, top.span)
    top = _strongest(seen)
    strong = top.unit == "intensity" and top.value is not None and top.value >= EXPRESSIVE
    verdict, reason = ("contradicted", "moves") if strong else ("not_measurable", "weak")
    return Finding(verdict, reason, top.measure, top.value, top.unit, EXPRESSIVE, top.span)


def _trembling(measures: Mapping[str, Any]) -> Finding:
    known = [(limits, number(measures, limits.measure)) for limits in TREMBLING]
    found = [limits.read(value) for limits, value in known if value is not None]
    if not found:
        alone = number(measures, TREMBLING_ALONE.measure)
        if alone is None:
            return Finding("not_measurable", "not_measured", TREMBLING_ALONE.measure)
        return TREMBLING_ALONE.read(alone)
    for verdict in ("supported", "not_measurable"):
        if one := [finding for finding in found if finding.verdict == verdict]:
            return _strongest(one)
    return _strongest(found)


def _calm(measures: Mapping[str, Any]) -> Finding:
    for code in ("loud", "fast", "trembling"):
        found = hold_voice(code, measures)
        if found.verdict == "supported":
            return Finding("contradicted", code, found.measure, found.value, found.unit, found.threshold)
    known = {key: value for key in CALM if (value := number(measures, key)) is not None}
    if len(known) < CALM_NEEDS:
        return Finding("not_measurable", "no_baseline")
    worst = max(known, key=lambda key: known[key] - CALM[key])
    verdict, reason = (
        ("supported", "even") if all(known[key] <= CALM[key] for key in known) else ("not_measurable", "between")
    )
    return Finding(verdict, reason, worst, known[worst], "dB" if worst.endswith("_db") else "1", CALM[worst])
