"""Every adjective about a voice stands beside its number, beyond a threshold that has a source."""

from __future__ import annotations

import re

import pytest

from models_ml.voice import CATALOGUE, UNITS, codes, render_voice
from models_ml.voice.catalogue import RULES

NO_BASELINE = {"f0_median_hz": 210.0, "f0_range_st": 8.0, "syllables_per_s": 5.0, "jitter_local": 0.012, "hnr_db": 14.0}
BASELINE = NO_BASELINE | {
    "f0_re_baseline_st": 0.2,
    "intensity_re_baseline_db": 0.5,
    "rate_re_baseline": 1.02,
    "jitter_re_baseline": 1.0,
    "shimmer_re_baseline": 1.1,
    "hnr_re_baseline_db": -0.5,
}


def names(measures: dict) -> list[str]:
    return [entry["code"] for entry in codes(measures)]


def test_an_unremarkable_voice_is_not_decorated():
    assert names(NO_BASELINE) == ["F0_STATED"]
    assert names(BASELINE) == ["F0_USUAL"]


@pytest.mark.parametrize(
    ("measure", "value", "code"),
    [
        ("f0_re_baseline_st", 1.49, "F0_USUAL"),
        ("f0_re_baseline_st", 1.5, "F0_HIGHER"),
        ("f0_re_baseline_st", 3.0, "F0_MUCH_HIGHER"),
        ("f0_re_baseline_st", -1.5, "F0_LOWER"),
        ("f0_re_baseline_st", -3.2, "F0_MUCH_LOWER"),
        ("intensity_re_baseline_db", 3.0, "LOUDER"),
        ("intensity_re_baseline_db", 6.0, "MUCH_LOUDER"),
        ("intensity_re_baseline_db", -4.0, "SOFTER"),
        ("intensity_re_baseline_db", -9.0, "MUCH_SOFTER"),
        ("rate_re_baseline", 1.15, "FASTER"),
        ("rate_re_baseline", 0.8, "SLOWER"),
        ("jitter_re_baseline", 1.5, "JITTER_RAISED"),
        ("shimmer_re_baseline", 1.5, "SHIMMER_RAISED"),
        ("hnr_re_baseline_db", -3.5, "HNR_LOWERED"),
        ("f0_range_st", 4.0, "F0_RANGE_NARROW"),
        ("f0_range_st", 15.0, "F0_RANGE_WIDE"),
    ],
)
def test_thresholds_decide_against_the_speakers_baseline(measure, value, code):
    assert code in names(BASELINE | {measure: value})


def test_without_a_baseline_only_what_is_unusual_for_anybody_is_said_and_cautiously():
    found = codes(NO_BASELINE | {"syllables_per_s": 8.0, "jitter_local": 0.03, "hnr_db": 5.0})
    assert [entry["code"] for entry in found] == ["F0_STATED", "FAST", "JITTER_HIGH", "HNR_LOW"]
    sentence = render_voice(found, "en")
    assert sentence.count("seems") == 3
    assert "higher" not in sentence
    assert render_voice(found, "zh").count("似乎") == 3


def test_a_code_carries_its_number_in_the_unit_of_its_threshold():
    assert codes(NO_BASELINE | {"jitter_local": 0.025})[1] == {
        "code": "JITTER_HIGH", "measure": "jitter_local", "value": 2.5, "unit": "%", "threshold": 2.08
    }  # fmt: skip
    faster = codes(BASELINE | {"rate_re_baseline": 1.25})[1]
    assert (faster["value"], faster["unit"]) == (25.0, "%")


def test_nothing_measured_nothing_said():
    assert codes(dict.fromkeys(UNITS)) == []
    assert render_voice([], "en") == render_voice([], "zh") == ""


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_every_rule_has_its_number_in_both_languages_and_a_source(rule):
    assert rule.measure in UNITS
    assert rule.source
    value = -7.25 if rule.side == "<=" else 7.25
    entry = {"code": rule.code, "measure": rule.measure, "value": value, "unit": rule.unit, "threshold": 1.0}
    english, chinese = render_voice([entry], "en"), render_voice([entry], "zh")
    for sentence in (english, chinese):
        assert re.search(r"[+\u2212]?7\.25", sentence)
        assert "{" not in sentence
    assert english.endswith(".")
    assert chinese.endswith("。")
    assert not re.search(r"[\u4e00-\u9fff]", english)
    assert CATALOGUE[rule.code] is rule


def test_a_whole_sentence_reads_so():
    found = codes(BASELINE | {"f0_re_baseline_st": 4.1, "intensity_re_baseline_db": 6.5, "rate_re_baseline": 0.7})
    assert render_voice(found, "en") == (
        "The pitch is clearly higher than this speaker's usual (+4.1 semitones), the voice is clearly louder than "
        "usual (+6.5 dB), and the speech is slower than usual (\N{MINUS SIGN}30 %)."
    )
    assert render_voice(found, "zh") == (
        "从声音看，音高明显高于说话人平时（+4.1个半音），"
        "音量明显高于平时（+6.5分贝），语速慢于平时（\N{MINUS SIGN}30%）。"
    )


def test_unknown_codes_and_languages_are_refused():
    with pytest.raises(ValueError, match="'LOUD_AND_PROUD'"):
        render_voice([{"code": "LOUD_AND_PROUD", "value": 1, "unit": "dB"}], "en")
    with pytest.raises(ValueError, match="'fr'"):
        render_voice([], "fr")
