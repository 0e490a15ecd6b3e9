"""Measured clues: every sentence can be written again, in both languages, from the codes it is stored with."""

import json
import wave

import numpy as np
import pytest

from models_ml.face import AuTrackError, read_openface
from models_ml.media import MediaError
from models_ml.steps import Evidence, au_expression, measured_prosody, render_codes

HEADER = "frame, face_id, timestamp, confidence, success, AU05_r, AU26_r, AU45_r, AU05_c, AU26_c, AU45_c"


def track(rows):
    return read_openface("\n".join([HEADER, *rows]) + "\n")


def wav_file(path, samples):
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16000)
        out.writeframes((np.asarray(samples) * 32767).astype("<i2").tobytes())
    return path


def humming(seconds=1.5, pitch=200.0):
    t = np.arange(int(16000 * seconds)) / 16000
    phase = 2 * np.pi * np.cumsum(pitch + 30 * np.sin(2 * np.pi * 2 * t)) / 16000
    return 0.3 * np.sin(phase) * (1 + 0.5 * np.sin(2 * np.pi * 4 * t)) / 1.5


def test_prosody_becomes_one_audio_clue_with_codes_and_both_languages(tmp_path):
    ev = Evidence("c", wav_path=wav_file(tmp_path / "c.wav", humming()), media_sha256="ab" * 32)
    result = measured_prosody(ev)
    (clue,) = result.clues
    assert result.state == "done"
    assert (clue["modality"], clue["aspect"]) == ("audio", "prosody")
    kept = json.loads(json.dumps(clue["codes"], allow_nan=False))
    assert 180 < kept["measures"]["f0_median_hz"] < 220
    assert {language: render_codes(kept, language) for language in ("zh", "en")} == clue["texts"]
    assert clue["text"] == clue["texts"]["en"]
    assert any("\u4e00" <= sign <= "\u9fff" for sign in clue["texts"]["zh"])
    assert result.provenance["media_sha256"] == "ab" * 32
    assert result.provenance["calls"] == 0


def test_syllables_are_counted_only_where_the_spoken_language_is_known(tmp_path):
    wav = wav_file(tmp_path / "c.wav", humming())
    known = measured_prosody(Evidence("c", wav_path=wav, subtitle={"zh": "我没事你放心", "en": None}))
    unknown = measured_prosody(Evidence("c", wav_path=wav, subtitle={"zh": "我没事", "en": "I am fine"}))
    assert known.provenance["parameters"]["syllables"] == "counted in the subtitle"
    assert unknown.provenance["parameters"]["syllables"] == "estimated from the signal"


@pytest.mark.parametrize("samples", [np.zeros(16000), np.zeros(160)], ids=["silence", "ten milliseconds"])
def test_a_voice_that_says_nothing_measurable_is_skipped(tmp_path, samples):
    result = measured_prosody(Evidence("c", wav_path=wav_file(tmp_path / "c.wav", samples)))
    assert result.state == "skipped"
    assert "silent or too short" in result.reason


def test_a_broken_audio_file_is_the_steps_failure_and_names_the_file(tmp_path):
    broken = tmp_path / "坏.wav"
    broken.write_text("no audio at all")
    with pytest.raises(MediaError, match="坏.wav"):
        measured_prosody(Evidence("c", wav_path=broken))


def test_the_peak_frames_action_units_become_one_visual_clue():
    rows = [f"{n}, 0, {n / 25:.3f}, 0.98, 1, {n / 10:.2f}, {n / 20:.2f}, 3.0, 1, 1, 1" for n in range(1, 11)]
    result = au_expression(Evidence("c", au=track(rows)))
    (clue,) = result.clues
    kept = json.loads(json.dumps(clue["codes"], allow_nan=False))
    assert (clue["modality"], clue["aspect"]) == ("visual", "expression")
    assert kept["kind"] == "au"
    assert kept["frame"] == 10
    assert set(kept["aus"]) == {"AU05", "AU26"}
    assert kept["pseudo_labels"][0] == "surprise"
    assert {language: render_codes(kept, language) for language in ("zh", "en")} == clue["texts"]


def test_a_face_that_shows_nothing_is_skipped():
    result = au_expression(Evidence("c", au=track(["1, 0, 0.0, 0.98, 1, 0, 0, 0, 0, 0, 0"])))
    assert (result.state, result.reason) == ("skipped", "no action unit occurs")


def test_a_unit_without_words_is_kept_as_a_number_and_says_nothing():
    header = "frame,timestamp,AU12_r,AU43_r\n"
    result = au_expression(Evidence("c", au=read_openface(header + "1,0.0,2.5,3.0\n")))
    assert result.clues[0]["codes"]["aus"] == {"AU12": 2.5, "AU43": 3.0}
    assert result.clues[0]["texts"]["en"] == "The person pulls the lip corners up."
    alone = au_expression(Evidence("c", au=read_openface(header + "1,0.0,0.0,3.0\n")))
    assert (alone.state, alone.reason) == ("skipped", "no action unit occurs")


def test_an_offset_of_the_recorder_is_silence_although_there_is_a_subtitle(tmp_path):
    constant = wav_file(tmp_path / "c.wav", np.full(32000, 0.2))
    result = measured_prosody(Evidence("c", wav_path=constant, subtitle={"zh": "我没事", "en": None}))
    assert result.state == "skipped"


def test_a_track_without_a_valid_frame_is_a_failure_not_a_clue():
    with pytest.raises(AuTrackError):
        au_expression(Evidence("c", au=track(["1, 0, 0.0, 0.0, 0, 1, 1, 0, 1, 1, 0"])))


def test_codes_of_an_unknown_kind_are_refused():
    with pytest.raises(ValueError, match="smell"):
        render_codes({"kind": "smell"}, "en")
