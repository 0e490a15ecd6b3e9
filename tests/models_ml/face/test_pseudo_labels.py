"""Combinations of action units name emotions; only strong ones pass, and rare ones can be looked for first."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from models_ml.face import label, pseudo_labels
from models_ml.face.labels import PROTOTYPES, VARIANTS
from models_ml.face.words import AU_WORDS


@pytest.mark.parametrize(
    ("aus", "labels"),
    [
        ({"AU05", "AU26"}, ["surprise"]),  # MERR's four, as published
        ({"AU06", "AU12"}, ["happy"]),
        ({"AU01", "AU04", "AU15"}, ["sad"]),
        ({"AU04", "AU05", "AU07", "AU23"}, ["angry"]),
        ({"AU01", "AU02", "AU05"}, ["surprise"]),  # variants
        ({"AU06", "AU15"}, ["sad"]),
        ({"AU04", "AU07", "AU23"}, ["angry"]),
        ({"AU01", "AU02", "AU04", "AU05"}, ["fear", "surprise"]),
        ({"AU09"}, ["disgust"]),
        ({"AU10", "AU17"}, ["disgust"]),
        ({"AU14"}, ["contempt"]),
        ({"AU04"}, []),
        ({"AU10"}, []),
    ],
)
def test_a_complete_combination_names_its_emotion(aus, labels):
    assert pseudo_labels(aus) == labels


def test_a_prototype_goes_before_any_variant():
    assert pseudo_labels({"AU06": 1, "AU12": 1, "AU04": 5, "AU07": 5, "AU23": 5}) == ["happy", "angry"]


def test_every_unit_of_the_table_has_words():
    cores = [core for core, _support in PROTOTYPES.values()] + [core for cores in VARIANTS.values() for core in cores]
    assert set().union(*cores) <= set(AU_WORDS)
    assert set(VARIANTS) <= set(PROTOTYPES)


def test_what_is_not_strong_is_neutral_and_still_told():
    found = label({"AU06": 0.5, "AU12": 0.9})
    assert (found["label"], found["core"], found["mean"]) == ("neutral", [], None)
    assert found["candidates"] == [{"label": "happy", "core": ["AU06", "AU12"], "mean": 0.7}]
    assert label({"AU06": 0.5, "AU12": 0.9}, strength=0.7)["label"] == "happy"


def test_the_strong_combination_is_taken_before_a_better_ranked_weak_one():
    weak_anger = {"AU04": 0.3, "AU05": 0.3, "AU07": 0.3, "AU23": 0.3}
    found = label(weak_anger | {"AU06": 2.0, "AU12": 3.0})
    assert (found["label"], found["mean"]) == ("happy", 2.5)


def test_a_unit_known_by_presence_only_adds_no_strength():
    assert label({"AU06": None, "AU12": 1.5}, strength=1.0)["label"] == "neutral"


def test_disgust_is_found_first_where_rare_labels_are_looked_for():
    mixed = {"AU06": 2.0, "AU12": 3.0, "AU09": 1.2}
    assert label(mixed)["label"] == "happy"
    assert label(mixed, rare_first=True)["label"] == "disgust"
    assert label(mixed | {"AU09": 0.4}, rare_first=True)["label"] == "happy"


def test_the_commands_print_the_label_and_the_people(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("frame, face_id, timestamp, AU05_r, AU26_r\n1, 0, 0.0, 0.36, 1.03\n", encoding="utf-8")

    def run(*arguments):
        command = [sys.executable, "-m", "models_ml.face", *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    found = json.loads(run("label", str(path), "--strength", "0.5").stdout.splitlines()[-1])
    assert (found["label"], found["mean"], found["frame"]) == ("surprise", 0.695, 1)
    assert json.loads(run("label", str(path)).stdout)["label"] == "neutral"
    (person,) = json.loads(run("people", str(path), "--size", "64x48").stdout)["people"]
    assert (person["number"], person["presence"]) == (0, 1.0)
    wrong = run("people", str(path), "--size", "64")
    assert (wrong.returncode, "'64' is not WIDTHxHEIGHT" in wrong.stderr) == (2, True)
    nobody = run("peak", str(path), "--face", "4")
    assert (nobody.returncode, "there is no face 4" in nobody.stderr) == (1, True)
