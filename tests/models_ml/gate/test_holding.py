"""Claims held against action units, voices and subtitles: verdict, number, time."""

import numpy as np
import pytest

from models_ml.face import AuTrack
from models_ml.gate import judge, render
from models_ml.gate.measures import hold_quote, hold_voice

N, FPS = 100, 25.0


def track(presence=None, success=None, **intensity):
    times = np.arange(N) / FPS
    return AuTrack(
        frames=np.arange(1, N + 1),
        timestamps=times,
        success=np.ones(N, bool) if success is None else success,
        confidence=np.ones(N),
        intensity={unit: np.asarray(values, float) for unit, values in intensity.items()},
        presence={unit: np.asarray(values, float) for unit, values in (presence or {}).items()},
    )


def stretch(first, last, level):
    values = np.zeros(N)
    values[first:last] = level
    return values


def one(text, au, **more):
    given = {"modality": "visual", "measures": None, "subtitle": {}, "language": "en"} | more
    (verdict,) = judge(text, au=au, **given)
    return verdict


def test_supported_comes_with_the_peak_and_its_time():
    verdict = one("She smiles.", track(AU12=stretch(10, 46, 2.1)))
    assert (verdict["verdict"], verdict["measure"], verdict["value"]) == ("supported", "AU12", 2.1)
    assert verdict["span"] == [0.4, 1.8]
    assert (verdict["unit"], verdict["threshold"], verdict["reason"]) == ("intensity", 1.0, "occurs")
    assert render(verdict, "en") == "Smile: supported. AU12 reaches 2.1 (0.4–1.8 s)."
    assert render(verdict, "zh") == "微笑：有依据，AU12达到2.1（0.4–1.8秒）。"


@pytest.mark.parametrize(
    ("values", "verdict", "reason"),
    [
        (stretch(0, 50, 0.4), "contradicted", "absent"),
        (stretch(0, 50, 0.5), "not_measurable", "weak"),
        (stretch(0, 50, 0.99), "not_measurable", "weak"),
        (stretch(0, 9, 3.0), "not_measurable", "brief"),
        (stretch(0, 10, 1.0), "supported", "occurs"),
    ],
)
def test_bounds_of_a_face_claim(values, verdict, reason):
    assert (one("She smiles.", track(AU12=values))["verdict"], one("She smiles.", track(AU12=values))["reason"]) == (
        verdict,
        reason,
    )


def test_negation_exchanges_the_verdicts():
    assert one("She does not smile.", track(AU12=stretch(0, 50, 2)))["verdict"] == "contradicted"
    assert one("She does not smile.", track(AU12=np.zeros(N)))["verdict"] == "supported"
    assert one("She does not smile.", track(AU12=stretch(0, 50, 0.7)))["verdict"] == "not_measurable"


def test_presence_alone_is_a_share_of_frames():
    verdict = one("She smiles.", track(presence={"AU12": stretch(0, 30, 1)}))
    assert (verdict["verdict"], verdict["value"], verdict["unit"]) == ("supported", 0.3, "share")
    assert render(verdict, "en") == "Smile: supported. AU12 occurs in 30% of the frames (0.0–1.2 s)."
    assert one("She smiles.", track(presence={"AU12": np.zeros(N)}))["verdict"] == "contradicted"


def test_presence_that_intensity_does_not_bear_out_is_not_enough():
    au = track(presence={"AU12": stretch(0, 50, 1)}, AU12=stretch(0, 50, 0.3))
    assert one("She smiles.", au)["verdict"] == "not_measurable"


@pytest.mark.parametrize(
    ("au", "span", "reason"),
    [
        (None, None, "no_track"),
        (track(AU12=np.full(N, np.nan)), None, "no_valid_frame"),
        (track(success=np.zeros(N, bool), AU12=np.full(N, 3.0)), None, "no_valid_frame"),
        (track(AU12=np.full(N, 3.0)), [100.0, 110.0], "no_valid_frame"),
        (track(AU04=np.full(N, 3.0)), None, "no_column"),
        (track(), None, "no_column"),
    ],
)
def test_without_evidence_nothing_is_supported(au, span, reason):
    for text in ("She smiles.", "She does not smile."):
        verdict = one(text, au, span=span)
        assert (verdict["verdict"], verdict["reason"], verdict["value"]) == ("not_measurable", reason, None)
        assert "not measurable" in render(verdict, "en")
        assert "无法测量" in render(verdict, "zh")


def test_a_span_looks_at_its_own_time_only():
    au = track(AU12=stretch(50, 100, 2.0))
    assert one("She smiles.", au, span=[0.0, 1.5])["verdict"] == "contradicted"
    assert one("She smiles.", au, span=[2.0, 4.0])["verdict"] == "supported"


def test_another_person_is_never_held_against_this_face():
    verdict = one("The woman beside him smiles.", track(AU12=np.full(N, 3.0)))
    assert (verdict["who"], verdict["verdict"], verdict["reason"]) == ("other", "not_measurable", "other_person")


def test_a_neutral_face_needs_stillness_of_several_units():
    still = {f"AU{unit}": np.zeros(N) for unit in ("01", "02", "04", "12", "25")}
    assert one("Her face is expressionless.", track(**still))["verdict"] == "supported"
    assert one("Her face is expressionless.", track(**still | {"AU12": stretch(0, 50, 2)}))["verdict"] == "contradicted"
    mild = track(**still | {"AU12": stretch(0, 50, 1.2)})
    assert one("Her face is expressionless.", mild)["verdict"] == "not_measurable"
    assert one("Her face is expressionless.", track(AU12=np.zeros(N)))["verdict"] == "not_measurable"


@pytest.mark.parametrize(
    ("code", "measures", "verdict"),
    [
        ("loud", {"intensity_re_baseline_db": 3.0}, "supported"),
        ("loud", {"intensity_re_baseline_db": 2.9}, "not_measurable"),
        ("loud", {"intensity_re_baseline_db": 0.0}, "contradicted"),
        ("loud", {"intensity_db": 80.0}, "not_measurable"),
        ("soft", {"intensity_re_baseline_db": -3.0}, "supported"),
        ("low_pitch", {"f0_re_baseline_st": 0.0}, "contradicted"),
        ("fast", {"rate_re_baseline": 1.2, "syllables_per_s": 3.0}, "supported"),
        ("fast", {"rate_re_baseline": None, "syllables_per_s": 4.5}, "contradicted"),
        ("slow", {"syllables_per_s": 3.0}, "supported"),
        ("trembling", {"jitter_re_baseline": 1.0, "shimmer_re_baseline": 1.4}, "supported"),
        ("trembling", {"jitter_re_baseline": 1.0, "shimmer_re_baseline": 0.9}, "contradicted"),
        ("trembling", {"jitter_local": 0.0208}, "supported"),
        ("breathy", {"hnr_db": 12.0}, "contradicted"),
        ("flat", {"f0_range_st": 4.5}, "supported"),
        ("lively", {"f0_range_st": 9.0}, "contradicted"),
        ("calm", {"rate_re_baseline": 1.0}, "not_measurable"),
        ("calm", {"rate_re_baseline": 1.0, "intensity_re_baseline_db": 0.5}, "supported"),
        ("calm", {"rate_re_baseline": 1.0, "intensity_re_baseline_db": 4.0}, "contradicted"),
        ("silent", {"voiced_fraction": 0.04}, "supported"),
        ("silent", {"voiced_fraction": 0.2}, "contradicted"),
        ("silent", {"voiced_fraction": float("nan"), "duration_s": 1.0}, "not_measurable"),
        ("silent", None, "not_measurable"),
        ("loud", {}, "not_measurable"),
    ],
)
def test_bounds_of_a_voice_claim(code, measures, verdict):
    assert hold_voice(code, measures).verdict == verdict


def test_the_sentence_of_a_voice_has_its_number():
    (verdict,) = judge(
        "她的声音很大。", "zh", modality="audio", au=None, measures={"intensity_re_baseline_db": -1.5}, subtitle={}
    )
    assert render(verdict, "zh") == "声音大：与测量不符，音量与平时之差为−1.5分贝（界限0）。"
    assert "−1.5 dB" in render(verdict, "en")


@pytest.mark.parametrize(
    ("words", "subtitle", "verdict"),
    [
        ("I'm FINE", {"en": "Well — I’m fine, thanks."}, "supported"),
        ("fine", {"en": "He is refined."}, "contradicted"),
        ("我 很好！", {"zh": "我很好。"}, "supported"),
        ("ｏｋ", {"en": "OK then"}, "supported"),
        ("I … go", {"en": "I must go"}, "supported"),
        ("go … I", {"en": "I must go"}, "contradicted"),
        ("我很好", {"en": "I am fine"}, "not_measurable"),
        ("fine", {"en": ""}, "not_measurable"),
        ("fine", {"en": None}, "not_measurable"),
    ],
)
def test_quotes_against_the_subtitle_of_their_language(words, subtitle, verdict):
    assert hold_quote(words, subtitle).verdict == verdict


def test_render_knows_two_languages():
    with pytest.raises(ValueError, match="'fr'"):
        render(one("She smiles.", None), "fr")
