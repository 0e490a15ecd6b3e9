"""Krippendorff's alpha, MASI and the set-level metric between annotators, against published examples and by hand."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_ml.metrics import MetricError
from models_ml.metrics.agreement import (
    agreement,
    alpha,
    between,
    difference,
    grouped,
    interval,
    masi_distance,
    read_annotations,
)
from models_ml.metrics.grouping import lexicon_grouping, no_grouping

ROOT = Path(__file__).resolve().parents[3]


def units(*rows):
    """Observers' rows as units; "." is missing."""
    return [
        tuple(None if value == "." else value for value in column) for column in zip(*map(str.split, rows), strict=True)
    ]


def sets(table):
    return [[None if cell == "." else frozenset(cell.split(",")) for cell in row.split()] for row in table]


# Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", sections A, B and C.
BINARY = units("0 1 0 0 0 0 0 0 1 0", "1 1 1 0 0 1 0 0 0 0")
NOMINAL = units("a a b b d c c c e d d a", "b a b b b c c c e d d d")
MISSING = units(
    "1 2 3 3 2 1 4 1 2 . . .", "1 2 3 3 2 2 4 1 2 5 . 3", ". 3 3 3 2 3 4 2 2 5 1 .", "1 2 3 3 2 4 4 1 2 5 1 ."
)
# The value NLTK 3.10.4 (AnnotationTask with masi_distance) gives for these sets.
SETS = [
    "happy,glad happy happy",
    "sad sad,tired sad",
    "angry angry,upset upset",
    "calm calm calm",
    "sad,angry angry .",
    "happy . happy,proud",
    "tired sad,tired sad",
    "proud,happy proud,happy proud",
    "fear fear,upset worried",
]


def test_krippendorffs_own_examples_come_out():
    """Computing Krippendorff's Alpha-Reliability (2011): A) two observers, binary, B) nominal, C) missing data."""
    assert alpha(BINARY)["alpha"] == pytest.approx(0.095, abs=5e-4)
    assert alpha(NOMINAL)["alpha"] == pytest.approx(0.692, abs=5e-4)
    found = alpha(MISSING)
    assert found["alpha"] == pytest.approx(0.743, abs=5e-4)
    assert (found["units"], found["values"]) == (11, 40)  # the twelfth has one value, which pairs with nothing
    low, high = found["ci95"]
    assert low < found["alpha"] <= high <= 1


def test_masi_is_passonneaus_jaccard_times_monotonicity():
    """Passonneau 2006, section 3; the subset of half the size is the example of NLTK's documentation (1 − 1/2·2/3)."""
    assert masi_distance("ab", "abcd") == pytest.approx(1 - 1 / 2 * 2 / 3)
    assert masi_distance("ab", "ab") == 0
    assert masi_distance("ab", "bc") == pytest.approx(1 - 1 / 3 * 1 / 3)
    assert masi_distance("ab", "cd") == 1
    assert masi_distance((), ()) == 0
    assert masi_distance((), "a") == 1


def test_alpha_over_sets_is_what_nltk_gives():
    assert alpha(sets(SETS), "masi")["alpha"] == pytest.approx(0.38735818476499184)
    alone = [*sets(SETS), [frozenset(["calm"]), None, None]]
    assert alpha(alone, "masi")["alpha"] == pytest.approx(0.38735818476499184)


def test_masi_over_sets_of_one_is_the_nominal_coefficient():
    singles = [[None if value is None else frozenset([value]) for value in unit] for unit in MISSING]
    assert alpha(singles, "masi")["alpha"] == pytest.approx(alpha(MISSING)["alpha"])


def test_without_variation_or_pairs_there_is_no_alpha():
    assert alpha([("a", "a"), ("a", "a")])["alpha"] is None
    assert alpha([("a", None), ("b",)]) == {
        "alpha": None, "ci95": None, "units": 0, "values": 0, "observed": None, "expected": None,
    }  # fmt: skip
    assert alpha([])["alpha"] is None
    one = alpha([("a", "b")])
    assert one["alpha"] == 0.0
    assert one["ci95"] is None  # one unit says nothing of its spread


def test_more_values_than_one_chunk_of_distances():
    many = [(str(index), str(index)) for index in range(1500)]
    assert alpha(many, resamples=10)["alpha"] == 1.0


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=2, max_size=4), min_size=1, max_size=12))
def test_alpha_is_the_coincidence_matrix_formula(data):
    """α = 1 − (n−1)·(n − Σ o_cc)/(n² − Σ n_c²), Krippendorff 2011 section C."""
    n = sum(map(len, data))
    diagonal = sum(unit.count(c) * (unit.count(c) - 1) / (len(unit) - 1) for unit in data for c in "abc")
    squares = sum(sum(unit.count(c) for unit in data) ** 2 for c in "abc")
    found = alpha(data, resamples=0)["alpha"]
    if n * n == squares:
        assert found is None
    else:
        assert found == pytest.approx(1 - (n - 1) * (n - diagonal) / (n * n - squares))


def test_grouping_makes_synonyms_one_and_an_empty_set_missing():
    lists = {"a": [["Happy ", "joyful"], ["glad"], []], "b": [["sad"], ["sad"], None]}
    raw = grouped(lists, no_grouping)
    assert raw[0] == [{"happy", "joyful"}, {"glad"}, None]
    together = grouped(lists, lexicon_grouping)
    assert together[0][0] == together[0][1]
    assert alpha(raw, "masi")["alpha"] < alpha(together, "masi")["alpha"] == 1.0


def test_the_set_level_metric_between_annotators_by_hand():
    """Clip 1: {a,b} against {a}: one way 1 and 1/2, the other 1/2 and 1, mean 3/4. Clip 2: nothing in common, 0."""
    found = between({"1": {"x": ["a", "b"], "y": ["a"]}, "2": {"x": ["c"], "y": ["d"], "z": []}}, no_grouping)
    assert (found["clips"], found["pairs"]) == (2, 2)
    assert found["avg"] == found["accuracy"] == found["recall"] == 0.375
    assert found["by_annotator"]["x"] == {"n": 2, "accuracy": 0.25, "recall": 0.5, "avg": 0.375}
    assert found["by_annotator"]["y"] == {"n": 2, "accuracy": 0.5, "recall": 0.25, "avg": 0.375}
    assert found["by_pair"] == [{"annotators": ["x", "y"], "clips": 2, "avg": 0.375}]
    assert found["ci95"] == [0.0, 0.75]


def test_three_annotators_make_three_pairs_of_which_the_clip_is_the_mean():
    found = between({"1": {"x": ["a"], "y": ["a"], "z": ["b"]}}, no_grouping)
    assert (found["clips"], found["pairs"]) == (1, 3)
    assert found["avg"] == pytest.approx(1 / 3)
    assert found["ci95"] is None
    assert between({"1": {"x": ["a"]}}, no_grouping)["avg"] is None


def test_the_intervals_are_seeded_and_hold_the_mean():
    values = list(np.linspace(0, 1, 50))
    assert interval(values, seed=1) == interval(values, seed=1)
    low, high = interval(values)
    assert low < 0.5 < high
    apart = difference([1.0, 0.9, 1.0, 0.8], [0.1, 0.2, 0.0, 0.1])
    assert apart["difference"] == pytest.approx(0.825)
    assert 0 < apart["ci95"][0] <= 0.825 <= apart["ci95"][1]
    assert difference([1.0], [0.0, 0.5]) is None
    assert interval([1.0]) is None


def test_the_command_line_reads_a_table(tmp_path):
    table = tmp_path / "annotations.csv"
    rows = ["name,annotator,openset,label", 'c1,x,"[""happy""]",happy', 'c1,y,"[""joyful""]",happy', "c2,x,[sad],sad"]
    table.write_text("\n".join([*rows, "c2,y,[angry],angry"]) + "\n")
    call = [sys.executable, "-m", "models_ml.metrics", "agreement", "--data", str(table)]
    answer = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(answer.stdout.splitlines()[-1])
    assert (found["clips"], found["annotators"], found["grouping"]) == (2, 2, "lexicon")
    # labels: values happy 2, sad 1, angry 1; D_o = 2/4, D_e = 10/12
    assert found["label"]["alpha"] == pytest.approx(1 - (2 / 4) / (10 / 12))
    assert found["openset"]["grouped"]["alpha"] == pytest.approx(1 - (2 / 4) / (10 / 12))
    assert found["openset"]["raw"]["alpha"] == pytest.approx(1 - 1 / 1)
    assert found["openset"]["pairs"]["avg"] == 0.5
    table.write_text("name,annotator,openset\nc1,x,happy\n")
    refused = subprocess.run(call, cwd=ROOT, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "line 2" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("name,openset\nc,[a]\n", "columns"),
        ("name,annotator\nc,x\n", "columns"),
        ("name,annotator,label\nc,,a\n", "line 2"),
        ("name,annotator,label\nc,x,a\nc,x,b\n", "line 3"),
        ("name,annotator,label\n", "no rows"),
        ("name,annotator,openset\nc,x,[a\n", "line 2, c"),
    ],
)
def test_a_bad_table_is_refused_by_line(tmp_path, text, wanted):
    table = tmp_path / "t.csv"
    table.write_text(text)
    with pytest.raises(MetricError, match=wanted):
        read_annotations(table)


def test_one_kind_of_label_is_enough():
    rows = [{"name": "c", "annotator": a, "label": None, "labels": ["sad"]} for a in "xy"]
    found = agreement(rows)
    assert found["label"]["alpha"] is None
    assert found["openset"]["pairs"]["avg"] == 1.0
