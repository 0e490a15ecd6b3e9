"""The peak frame follows the published rule, and its words and labels follow the peak frame."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from models_ml.face import AU_WORDS, AuTrackError, peak, pseudo_labels, read_openface, render_face
from models_ml.synthetic.timeline import PRESENCE_AUS


def track(header: str, *rows: str):
    lines = [f"{10 + i}, {i / 25:.2f}, 0.98, 1, {row}" for i, row in enumerate(rows)]
    return read_openface("\n".join([f"frame, timestamp, confidence, success, {header}", *lines, ""]))


def test_the_highest_sum_of_the_most_frequent_aus_is_the_peak():
    found = peak(track("AU05_r, AU26_r", "1, 1", "2, 2.5", "3, 1"))
    assert found["frame"] == 11
    assert found["timestamp"] == 0.04
    assert found["aus"] == {"AU05": 2.0, "AU26": 2.5}
    assert found["pseudo_labels"] == ["surprise"]
    assert found["words"]["en"] == ["raises the upper eyelids", "drops the jaw"]
    assert found["words"]["zh"] == ["上眼睑抬起", "下颌下落"]


def test_an_au_in_fewer_than_half_of_the_frames_does_not_decide():
    found = peak(track("AU01_r, AU12_r", "0, 1", "0, 2", "5, 1", "0, 1"))
    assert found["frame"] == 11
    assert found["aus"] == {"AU12": 2.0}


def test_exactly_half_of_the_frames_is_frequent():
    assert peak(track("AU01_r, AU12_r", "0, 1", "4, 1", "3, 1", "0, 1"))["frame"] == 11


def test_without_a_frequent_au_the_single_most_frequent_decides():
    found = peak(track("AU01_r, AU12_r", "0, 0", "0, 0", "0, 0", "1, 0", "0, 5", "2, 0", "0, 0", "0, 0"))
    assert (found["frame"], found["aus"]) == (15, {"AU01": 2.0})


def test_of_equal_frames_the_earliest_is_the_peak():
    assert peak(track("AU01_r, AU12_r", "1, 1", "1.5, 0.8", "0.8, 1.5"))["frame"] == 11


def test_presence_decides_what_occurs_where_there_is_a_presence_column():
    found = peak(track("AU01_r, AU12_r, AU12_c", "1, 4, 0", "2, 3, 0", "1, 2, 0"))
    assert (found["frame"], found["aus"]) == (11, {"AU01": 2.0})


def test_an_au_with_presence_only_occurs_but_adds_nothing():
    found = peak(track("AU12_r, AU28_c", "1, 1", "2, 1", "1, 1"))
    assert found["aus"] == {"AU12": 2.0, "AU28": None}


def test_blinking_is_left_out():
    found = peak(track("AU12_r, AU45_r, AU45_c", "1, 5, 1", "2, 1, 1"))
    assert (found["frame"], found["aus"]) == (11, {"AU12": 2.0})


def test_a_face_that_shows_nothing_has_no_words():
    found = peak(track("AU12_r", "0", "0"))
    assert found == {"frame": 10, "timestamp": 0.0, "aus": {}, "words": {"zh": [], "en": []}, "pseudo_labels": []}


def test_without_a_tracked_face_there_is_no_peak():
    with pytest.raises(AuTrackError, match="no frame with a tracked face"):
        peak(read_openface("frame, timestamp, success, AU01_r\n1, 0, 0, 3\n"))


@pytest.mark.parametrize(
    ("aus", "labels"),
    [
        ({"AU06", "AU12"}, ["happy"]),
        ({"AU01", "AU04", "AU15"}, ["sad"]),
        ({"AU04", "AU05", "AU07", "AU23"}, ["angry"]),
        ({"AU01", "AU02", "AU05", "AU26"}, ["surprise"]),
        ({"AU01", "AU02", "AU04", "AU05", "AU20", "AU26"}, ["fear", "worried", "surprise"]),
        ({"AU12"}, []),
        (set(), []),
    ],
)
def test_complete_prototypes_name_emotions_best_first(aus, labels):
    assert pseudo_labels(aus) == labels


def test_intensity_orders_prototypes_of_one_size():
    assert pseudo_labels({"AU06": 1, "AU12": 1, "AU05": 3, "AU26": 3}) == ["surprise", "happy"]
    assert pseudo_labels({"AU06": 3, "AU12": 3, "AU05": 1, "AU26": 1}) == ["happy", "surprise"]


def test_every_openface_au_has_words_in_both_languages():
    assert set(AU_WORDS) == set(PRESENCE_AUS)
    for language in ("en", "zh"):
        words = [entry[language] for entry in AU_WORDS.values()]
        assert all(words)
        assert len(set(words)) == len(words)


def test_codes_become_one_sentence():
    assert render_face(["AU01", "AU26"], "en") == "The person raises the inner brows and drops the jaw."
    assert render_face(["AU01", "AU26"], "zh") == "画面中的人物眉毛内侧上扬，下颌下落。"
    assert render_face(["AU12"], "en") == "The person pulls the lip corners up."
    assert render_face([], "zh") == ""


def test_an_unknown_code_or_language_is_refused():
    with pytest.raises(ValueError, match="AU99"):
        render_face(["AU99"], "en")
    with pytest.raises(ValueError, match="'fr'"):
        render_face(["AU01"], "fr")


def test_the_command_prints_the_same_as_one_json_object(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("frame, timestamp, AU05_r, AU26_r\n1, 0.0, 0.36, 1\n", encoding="utf-8")
    command = [sys.executable, "-m", "models_ml.face", "peak"]
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == peak(read_openface(path))
    path.write_text("nothing")
    failed = subprocess.run([*command, str(path)], capture_output=True, text=True)
    assert failed.returncode == 1
    assert "a.csv" in failed.stderr


def test_a_file_name_with_a_line_break_is_a_file_name(tmp_path):
    path = tmp_path / "a\nb.csv"
    path.write_text("frame, timestamp, AU05_r, AU26_r\n1, 0.0, 0.36, 1\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "models_ml.face", "peak", str(path)], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["frame"] == 1


def test_the_published_example_frame_1_beats_frame_7():
    """Emotion-LLaMA's example: AU05 0.36 + AU26 1.03 in frame 1; in frame 7 AU26 alone has its own maximum."""
    rows = ["0.36, 1.03", "0.20, 0.80", "0.10, 0.60", "0.05, 0.50", "0.02, 0.40", "0.01, 0.90", "0.00, 1.20"]
    lines = [f"{i}, {i / 25:.2f}, 0.98, 1, {row}" for i, row in enumerate(rows, 1)]
    found = peak(read_openface("frame, timestamp, confidence, success, AU05_r, AU26_r\n" + "\n".join(lines) + "\n"))
    assert (found["frame"], found["aus"]) == (1, {"AU05": 0.36, "AU26": 1.03})
    assert found["pseudo_labels"] == ["surprise"]
