"""Clips without a strong expression are left out with the reason; a share of neutral ones can stay."""

from __future__ import annotations

import json
import re

import pytest

from models_ml.face import AuTrackError, read_openface
from models_ml.steps.measured import au_expression
from models_ml.steps.tracks import au_filter
from models_ml.steps.types import Evidence

HAPPY = "frame, timestamp, AU06_r, AU12_r\n1, 0.0, 1.5, 2.5\n2, 0.04, 1, 1\n"
WEAK = "frame, timestamp, AU06_r, AU12_r\n1, 0.0, 0.3, 0.5\n"
BLANK = "frame, timestamp, AU06_r, AU12_r\n1, 0.0, 0, 0\n"
NOBODY = "frame, timestamp, success, AU12_r\n1, 0.0, 0, 0\n"


def ev(csv, name="片段", **more):
    return Evidence(name, au=read_openface(csv), **more)


def test_a_strong_expression_goes_on_and_its_label_is_kept():
    result = au_filter(ev(HAPPY, person={"track": 2}), strength=1.0)
    assert (result.state, result.filtered, result.clues) == ("done", None, [])
    told = result.provenance["parameters"]
    assert (told["pseudo_label"], told["core"], told["mean_intensity"]) == ("happy", ["AU06", "AU12"], 2.0)
    assert (told["strength"], told["person"], told["peak"]) == (1.0, 2, 0.0)
    json.dumps(result.provenance, allow_nan=False)


@pytest.mark.parametrize(
    ("csv", "options", "says"),
    [
        (WEAK, {}, r"no strong expression: happy \(AU06 \+ AU12, mean 0.4\) is below 1"),
        (HAPPY, {"strength": 2.1}, r"happy \(AU06 \+ AU12, mean 2\) is below 2.1"),
        (BLANK, {}, "no known combination of action units at the peak"),
        (HAPPY, {"labels": ["sad", "disgust"]}, "pseudo-label happy .* is not among sad, disgust"),
        (NOBODY, {}, "no face is tracked in any frame"),
    ],
)
def test_a_clip_is_left_out_with_label_and_numbers(csv, options, says):
    result = au_filter(ev(csv), **options)
    assert result.state == "done"
    assert re.search(says, result.filtered)


def test_the_share_of_neutral_clips_depends_on_seed_and_name_only():
    names = [f"clip_{i:04}" for i in range(400)]

    def kept(seed, order):
        return {name for name in order if au_filter(ev(WEAK, name), neutral_share=0.25, seed=seed).filtered is None}

    first = kept(0, names)
    assert 70 < len(first) < 130
    assert kept(0, names[::-1]) == first
    assert kept(1, names) != first
    assert not {n for n in names if au_filter(ev(WEAK, n), neutral_share=0.0).filtered is None}
    assert all(au_filter(ev(WEAK, n), neutral_share=1.0).filtered is None for n in names[:20])


def test_disgust_can_be_searched_for():
    mixed = "frame, timestamp, AU06_r, AU09_r, AU12_r\n1, 0.0, 2, 1.2, 3\n"
    assert au_filter(ev(mixed), labels=["disgust"]).filtered is not None
    assert au_filter(ev(mixed), labels=["disgust"], rare_first=True).filtered is None


def test_an_unknown_label_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="unknown pseudo-labels joy: there are happy, surprise"):
        au_filter(ev(HAPPY), labels=["joy"])


def test_a_clip_without_a_track_is_skipped_not_left_out():
    result = au_filter(Evidence("c"))
    assert (result.state, result.filtered) == ("skipped", None)


def test_the_clue_carries_the_pseudo_label_and_the_person():
    (clue,) = (result := au_expression(ev(HAPPY, person={"track": 2}))).clues
    assert (clue["codes"]["pseudo_label"], clue["codes"]["pseudo_labels"]) == ("happy", ["happy"])
    assert result.provenance["parameters"]["person"] == 2
    assert au_expression(ev(WEAK)).clues[0]["codes"]["pseudo_label"] == "neutral"
    with pytest.raises(AuTrackError):
        au_expression(ev(NOBODY))
