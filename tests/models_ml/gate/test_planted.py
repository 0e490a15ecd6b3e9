"""The planted claims check themselves: their form, their balance, and that each verdict follows from its numbers.

Nothing of the gate is imported: the thresholds stand here a second time, in plain words of the planted files' README.
"""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

PLANTED = Path(__file__).parent / "planted"
UNITS = {
    "smile": ["AU12"],
    "cheeks_raised": ["AU06"],
    "brows_lowered": ["AU04"],
    "brows_raised": ["AU01", "AU02"],
    "inner_brows_raised": ["AU01"],
    "eyes_wide": ["AU05"],
    "eyes_narrowed": ["AU07"],
    "nose_wrinkled": ["AU09"],
    "upper_lip_raised": ["AU10"],
    "lip_corners_down": ["AU15"],
    "lips_pressed": ["AU23", "AU24"],
    "lips_stretched": ["AU20"],
    "chin_raised": ["AU17"],
    "smirk": ["AU14"],
    "mouth_open": ["AU25", "AU26"],
    "jaw_dropped": ["AU26"],
}
# claim -> measure, supported from, contradicted from (the order of the two says which side is which)
RELATIVE = {
    "loud": ("intensity_re_baseline_db", 3.0, 0.0),
    "soft": ("intensity_re_baseline_db", -3.0, 0.0),
    "high_pitch": ("f0_re_baseline_st", 1.5, 0.0),
    "low_pitch": ("f0_re_baseline_st", -1.5, 0.0),
    "fast": ("rate_re_baseline", 1.15, 1.0),
    "slow": ("rate_re_baseline", 0.85, 1.0),
    "breathy": ("hnr_re_baseline_db", -3.0, 0.0),
}
ABSOLUTE = {
    "fast": ("syllables_per_s", 7.5, 4.5),
    "slow": ("syllables_per_s", 3.0, 5.5),
    "trembling": ("jitter_local", 0.0208, 0.0104),
    "breathy": ("hnr_db", 6.0, 12.0),
    "flat": ("f0_range_st", 4.5, 9.0),
    "lively": ("f0_range_st", 13.5, 9.0),
    "silent": ("voiced_fraction", 0.0499, 0.2),
}
VOICE = {*RELATIVE, *ABSOLUTE, "calm"}
CODES = {*UNITS, "face_neutral", *VOICE, "quote"}
PLAIN = "duration_s speech_s f0_median_hz f0_range_st intensity_db intensity_range_db syllables syllables_source"
PLAIN += " syllables_per_s jitter_local shimmer_local hnr_db voiced_fraction"
AGAINST_BASELINE = "f0_re_baseline_st intensity_re_baseline_db rate_re_baseline jitter_re_baseline shimmer_re_baseline"
MEASURES = {*PLAIN.split(), *AGAINST_BASELINE.split(), "hnr_re_baseline_db"}


def rows(half):
    return [json.loads(line) for line in (PLANTED / f"{half}.jsonl").read_text(encoding="utf-8").splitlines()]


def claims(half):
    return [(row, claim) for row in rows(half) for claim in row["expect"]]


def strength(au, unit, span):
    """(share of the span's frames at intensity 1 or more, highest intensity there); None without the column."""
    if unit not in au["columns"]:
        return None
    first, last = span or [0.0, au["frames"] / au["fps"]]
    times = [i / au["fps"] for i in range(au["frames"]) if first <= i / au["fps"] <= last]
    track = au["tracks"].get(unit, [])
    values = [max([level for a, b, level in track if a <= time < b], default=0.0) for time in times]
    share = sum(value >= 1.0 for value in values) / len(values)
    assert not 0.08 < share < 0.12, f"{unit}: {share:.3f} is too near the threshold of 10 % to be planted"
    return share, max(values)


def face(claim, au, span):
    if au is None:
        return "not_measurable"
    if claim == "face_neutral":
        every = {unit for units in UNITS.values() for unit in units}
        seen = [found for unit in every if (found := strength(au, unit, span))]
        occurring = [highest for share, highest in seen if share >= 0.1]
        if not occurring:
            return "supported"
        return "contradicted" if max(occurring) >= 1.5 else "not_measurable"
    found = [strength(au, unit, span) for unit in UNITS[claim]]
    known = [one for one in found if one]
    if any(share >= 0.1 for share, _ in known):
        return "supported"
    if known and all(highest < 0.5 for _, highest in known):
        assert len(known) == len(found), f"{claim}: half of its columns are missing, which the rules leave open"
        return "contradicted"
    return "not_measurable"


def beyond(value, supported, contradicted):
    if value is None:
        return "not_measurable"
    sign = 1 if supported > contradicted else -1
    if sign * value >= sign * supported:
        return "supported"
    return "contradicted" if sign * value <= sign * contradicted else "not_measurable"


def voice(claim, measures):
    if measures is None:
        return "not_measurable"
    perturbation = [measures["jitter_re_baseline"], measures["shimmer_re_baseline"]]
    if claim == "trembling" and None not in perturbation:
        return beyond(max(perturbation), 1.33, 1.0)
    if claim == "calm":
        if "supported" in (voice("loud", measures), voice("fast", measures), voice("trembling", measures)):
            return "contradicted"
        limits = [("intensity_re_baseline_db", 1.0), ("rate_re_baseline", 1.05), ("jitter_re_baseline", 1.1)]
        known = [(measures[key], most) for key, most in limits if measures[key] is not None]
        quiet = len(known) >= 2 and all(value <= most for value, most in known)
        return "supported" if quiet else "not_measurable"
    key, supported, contradicted = RELATIVE.get(claim, ("", 0.0, 0.0))
    if not key or measures[key] is None:
        key, supported, contradicted = ABSOLUTE.get(claim, ("", 0.0, 0.0))
    return beyond(measures.get(key), supported, contradicted)


def bare(text):
    return re.sub(r"[\W_]+", "", text.casefold())


def quoted(row):
    found = [text for pair in re.findall(r'"(.+?)"|“(.+?)”|「(.+?)」|‘(.+?)’', row["text"]) for text in pair if text]
    subtitle = row["subtitle"][row["language"]]
    assert len(found) == 1, row["id"]
    if subtitle is None:
        return "not_measurable"
    return "supported" if bare(found[0]) in bare(subtitle) else "contradicted"


def follows(row, claim):
    code = claim["claim"]
    if claim["who"] == "other":
        return "not_measurable"
    if code == "quote":
        verdict = quoted(row)
    else:
        verdict = voice(code, row["measures"]) if code in VOICE else face(code, row["au"], row["span"])
    exchanged = {"supported": "contradicted", "contradicted": "supported"}
    return exchanged.get(verdict, verdict) if claim["negated"] else verdict


@pytest.mark.parametrize("half", ["tune", "test"])
def test_every_verdict_follows_from_the_numbers(half):
    wrong = [
        f"{row['id']}: {claim['claim']} is planted as {claim['verdict']}, its numbers say {follows(row, claim)}"
        for row, claim in claims(half)
        if claim["verdict"] != follows(row, claim)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("half", ["tune", "test"])
def test_every_line_has_the_form(half):
    for row in rows(half):
        keys = {"id", "language", "modality", "text", "span", "subtitle", "au", "measures", "expect"}
        assert set(row) == keys, row["id"]
        assert row["language"] in {"zh", "en"}, row["id"]
        assert row["modality"] in {"visual", "audio", "text"}, row["id"]
        assert bool(re.search("[一-鿿]", row["text"])) == (row["language"] == "zh"), row["id"]
        assert set(row["subtitle"]) == {"zh", "en"}, row["id"]
        assert row["measures"] is None or set(row["measures"]) == MEASURES, row["id"]
        if row["au"]:
            seconds = row["au"]["frames"] / row["au"]["fps"]
            assert set(row["au"]["tracks"]) <= set(row["au"]["columns"]), row["id"]
            stretches = [stretch for track in row["au"]["tracks"].values() for stretch in track]
            assert all(0 <= a < b <= seconds and 0 < level <= 5 for a, b, level in stretches), row["id"]
        if row["span"]:
            assert row["span"][0] < row["span"][1], row["id"]
        for claim in row["expect"]:
            assert set(claim) == {"claim", "negated", "hedged", "who", "verdict"}, row["id"]
            assert claim["claim"] in CODES, row["id"]
            assert claim["who"] in {"target", "other"}, row["id"]
        said = [(claim["claim"], claim["who"], claim["negated"]) for claim in row["expect"]]
        assert len(said) == len(set(said)), f"{row['id']}: one code of one person and polarity counts once"


def test_ids_and_texts_occur_once_in_both_files_together():
    both = rows("tune") + rows("test")
    assert len({row["id"] for row in both}) == len(both)
    assert len({row["text"] for row in both}) == len(both)


@pytest.mark.parametrize(("half", "least"), [("tune", 100), ("test", 200)])
def test_both_languages_all_codes_and_all_verdicts_are_planted(half, least):
    planted = claims(half)
    assert len(planted) >= least
    languages = Counter(row["language"] for row, _ in planted)
    assert abs(languages["zh"] - languages["en"]) <= 0.05 * len(planted)
    verdicts = Counter(claim["verdict"] for _, claim in planted)
    assert all(verdicts[verdict] >= 0.15 * len(planted) for verdict in ("supported", "contradicted", "not_measurable"))
    assert sum(claim["negated"] for _, claim in planted) >= 0.08 * len(planted)
    assert sum(claim["hedged"] for _, claim in planted) >= 0.04 * len(planted)
    assert sum(claim["who"] == "other" for _, claim in planted) >= 0.04 * len(planted)
    assert sum(not row["expect"] for row in rows(half)) == 40
    codes = Counter(claim["claim"] for _, claim in planted)
    assert set(codes) == CODES
    assert half == "tune" or min(codes.values()) >= 4
