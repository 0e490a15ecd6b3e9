"""The emotion-wheel metric of MER2025 and MER2026, on a wheel folder small enough to check by hand."""

import csv
import json
import sys

import numpy as np
import pytest
from openpyxl import Workbook

from models_ml.metrics import MetricError, openset, read_wheels, score_clips
from models_ml.metrics.__main__ import main

# Two wheels that differ; three that repeat the second. A blank cell repeats what stands above it.
FIRST = [
    ("Happy ", "Proud", "confident"),
    (None, None, "Successful"),
    (None, "joyful", "glad"),
    ("sad", "lonely", "isolated"),
    (None, None, "glad"),  # stands under two: the last place counts
]
OTHER = [("mad", "furious", "irate"), ("happy", "content", "joyful"), ("sad", "down", "tired")]
SYNONYMS = [("glad", "cheerful, merry"), ("mad", "cross"), ("irate", "cross"), ("sad", "blue"), ("down", "blue")]
FORMS = [
    ("glad", "gladly,gladness"), ("cheerful", "cheerfully"), ("cross", "crossly"), ("blue", "blues"),
    ("happy", "happiness, HAPPIER"), ("joyful", ""), ("proud", "proud,pride"), ("sad", "sadness"), ("mad", "madness"),
]  # fmt: skip


def sheet(path, heads, rows):
    book = Workbook()
    book.active.append(heads)
    for row in rows:
        book.active.append(row)
    book.save(path)


@pytest.fixture
def folder(tmp_path):
    for number in range(1, 6):
        sheet(tmp_path / f"wheel{number}.xlsx", ("level1", "level2", "level3"), FIRST if number == 1 else OTHER)
    words = sorted({str(cell).strip().lower() for row in FIRST + OTHER for cell in row if cell})
    runs = [(word, dict(SYNONYMS).get(word), word, "") for word in words]
    sheet(tmp_path / "synonym.xlsx", ("word_run1", "synonym_run1", "word_run2", "synonym_run2"), runs)
    with (tmp_path / "format.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("name", "format"), *FORMS])
    return tmp_path


def test_a_label_goes_by_its_forms_and_synonyms_to_a_cluster_of_each_wheel(folder):
    wheels = read_wheels(folder)
    assert wheels.candidates("crossly") == ("irate", "mad")
    assert wheels.cluster("crossly", "wheel2", "level1") == "mad"
    assert wheels.cluster("crossly", "wheel2", "level2") == "furious"
    assert wheels.cluster("happier", "wheel1", "level1") == "happy"
    assert wheels.cluster("pride", "wheel1", "level2") == "proud"


def test_a_word_of_the_first_level_goes_to_its_alphabetically_first_second_level(folder):
    wheels = read_wheels(folder)
    assert wheels.cluster("happiness", "wheel1", "level2") == "joyful"
    assert wheels.cluster("sad", "wheel1", "level2") == "lonely"


def test_the_quirks_of_the_original_are_kept(folder):
    wheels = read_wheels(folder)
    # of a word under two clusters the last one counts
    assert wheels.cluster("gladness", "wheel1", "level1") == "sad"
    # the alphabetically first wheel word decides, though the label itself stands in the wheel
    assert wheels.candidates("blues") == ("down", "sad")
    assert wheels.cluster("blue", "wheel2", "level2") == "down"
    # what is in no wheel, neutral included, is dropped
    assert wheels.cluster("neutral", "wheel1", "level1") is None
    assert wheels.cluster("joyful", "wheel2", "level1") == "happy"


def test_clips_without_a_gold_cluster_are_skipped_and_empty_predictions_count_zero(folder):
    gold = {"a": ["sad"], "b": ["sad"], "c": ["mad"], "d": ["neutral"]}
    pred = {"a": ["sadness", "unheard of"], "b": [], "c": ["mad", "happy"], "d": ["sad"]}
    report, warnings = {}, []
    found = openset(gold, pred, read_wheels(folder, 2026), report=report, warnings=warnings)
    # wheel 1 has no word for mad: there two clips count, precision and recall (1 + 0)/2; in the others three
    assert found["wheels"]["wheel1"]["level1"] == {"n": 2, "f": 0.5, "accuracy": 0.5, "recall": 0.5}
    other = found["wheels"]["wheel2"]["level1"]
    assert (other["n"], other["accuracy"], other["recall"]) == (3, pytest.approx(0.5), pytest.approx(2 / 3))
    assert other["f"] == pytest.approx(2 * 0.5 * (2 / 3) / (0.5 + 2 / 3))
    assert found["f"] == pytest.approx((0.5 + 4 * other["f"]) / 5)
    assert found["avg"] == pytest.approx((found["accuracy"] + found["recall"]) / 2)
    assert (found["n"], found["grouping"]) == (3, "wheel:2026")
    assert (report["scored"], report["off_wheel"], report["empty_pred"]) == (3, 1, 1)
    assert report["vocabulary"] == {"gold": {"known": 3, "all": 4}, "pred": {"known": 4, "all": 5}}
    assert any("any wheel, left out: 1 (d)" in note for note in warnings)
    low, high = found["ci95"]["f"]
    assert low <= found["f"] <= high


def test_2025_is_the_mean_of_both_levels_and_2026_the_first(folder):
    gold, pred = {"a": ["happy"], "b": ["sad"]}, {"a": ["pride"], "b": ["tired", "lonely"]}
    both, first = (openset(gold, pred, read_wheels(folder, year)) for year in (2025, 2026))
    assert first["f"] == first["levels"]["level1"]["f"] == both["levels"]["level1"]["f"]
    assert both["f"] == pytest.approx((both["levels"]["level1"]["f"] + both["levels"]["level2"]["f"]) / 2)
    assert both["grouping"] == "wheel:2025"


def test_a_wheel_in_which_nothing_is_right_scores_zero_and_divides_by_nothing(folder):
    found = openset({"a": ["happy"]}, {"a": ["sad"]}, read_wheels(folder))
    assert found["f"] == found["accuracy"] == 0.0
    with pytest.raises(MetricError, match="nothing to score"):
        openset({"a": ["neutral"]}, {"a": ["sad"]}, read_wheels(folder))


def test_the_steps_before_a_wheel_are_told(folder):
    found = openset({"a": ["cheerfully", "blues"]}, {"a": ["cheerful", "merrily"]}, read_wheels(folder))
    assert found["cases"]["forms"] == {"n": 1, "f": pytest.approx(2 / 3), "accuracy": 1.0, "recall": 0.5}
    # glad and the alphabetically first of down and sad, against glad
    assert found["cases"]["synonyms"]["recall"] == 0.5


def test_scores_by_clip_are_means_over_the_wheels_that_score_it(folder):
    scores = score_clips({"a": ["mad"], "b": ["neutral"]}, {"a": ["mad"], "b": []}, read_wheels(folder, 2026))
    assert scores == {"a": (1.0, 1.0)}


def test_the_compiled_tables_are_refused_because_they_are_pickles(folder, tmp_path):
    np.savez(tmp_path / "wheel_mapping.npz", format_mapping=np.array({"a": ["a"]}, dtype=object))
    with pytest.raises(MetricError, match=r"refused: it holds pickled .*wheel1\.xlsx"):
        read_wheels(tmp_path / "wheel_mapping.npz")
    assert read_wheels(folder).forms  # beside the workbooks it is left alone
    (folder / "format.csv").unlink()
    with pytest.raises(MetricError, match="refused"):
        read_wheels(folder)


def test_what_is_wrong_with_a_folder_is_named(folder, monkeypatch):
    sheet(folder / "wheel3.xlsx", ("level1", "level2"), [("a", "b")])
    with pytest.raises(MetricError, match=r"wheel3\.xlsx: no column level3"):
        read_wheels(folder)
    sheet(folder / "wheel3.xlsx", ("level1", "level2", "level3"), [(None, "b", "c")])
    with pytest.raises(MetricError, match=r"wheel3\.xlsx line 2: an empty cell"):
        read_wheels(folder)
    (folder / "wheel3.xlsx").write_bytes(b"PK no workbook")
    with pytest.raises(MetricError, match=r"wheel3\.xlsx: not a workbook"):
        read_wheels(folder)
    (folder / "wheel3.xlsx").unlink()
    with pytest.raises(MetricError, match=r"wheel3\.xlsx: No such file"):
        read_wheels(folder)
    with pytest.raises(MetricError, match="no wheel metric of 2024"):
        read_wheels(folder, 2024)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(MetricError, match="openpyxl is needed"):
        read_wheels(folder)


def test_a_synonym_of_a_word_in_no_wheel_and_a_table_without_columns_are_named(folder):
    heads = ("word_run1", "synonym_run1")
    sheet(folder / "synonym.xlsx", heads, [("sad", "blue"), ("bored", "dull")])
    with pytest.raises(MetricError, match=r"synonym\.xlsx line 3: 'bored' \(word_run1\) stands in no wheel"):
        read_wheels(folder)
    sheet(folder / "synonym.xlsx", heads, [("sad", "blue")])
    (folder / "format.csv").write_text("name,forms\nsad,sadly\n", "utf-8")
    with pytest.raises(MetricError, match=r"format\.csv: wanted the columns name,format"):
        read_wheels(folder)


def test_the_command_scores_with_wheels(folder, capsys):
    (folder / "g.csv").write_text("name,openset\na,\"['happy', 'sad']\"\nb,['sad']\n", "utf-8")
    (folder / "p.csv").write_text("name,openset\na,Output: [happiness]\nb,The emotional state is sad.\n", "utf-8")
    files = ["openset", "--gold", str(folder / "g.csv"), "--pred", str(folder / "p.csv"), "--wheel", str(folder)]
    assert main([*files, "--wheel-year", "2026", "--per-clip", str(folder / "clips.csv")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["accuracy"], found["recall"], found["grouping"]) == (1.0, 0.75, "wheel:2026")
    assert {"n", "accuracy", "recall", "avg", "f", "ci95", "grouping", "levels", "wheels", "cases"} <= set(found)
    assert (folder / "clips.csv").read_text().splitlines() == ["name,accuracy,recall", "a,1.0,0.5", "b,1.0,1.0"]
