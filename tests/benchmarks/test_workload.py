"""The benchmarks' own ground: the same clips and answers everywhere, and arithmetic that can be trusted."""

import importlib
import json

import pytest

from benchmarks import annotation, figures, workload

MODULES = (
    "annotation",
    "client",
    "figures",
    "freeze",
    "large_run",
    "media",
    "prelabel",
    "shown",
    "training",
    "workload",
    "world",
)


@pytest.mark.parametrize("name", MODULES)
def test_every_module_can_be_imported_without_django_being_set_up(name: str) -> None:
    assert importlib.import_module(f"benchmarks.{name}").__doc__


def test_clip_i_is_the_same_in_every_run_and_differs_from_its_neighbours() -> None:
    again = [json.dumps(workload.clip(i), sort_keys=True) for i in range(20)]
    assert again == [json.dumps(workload.clip(i), sort_keys=True) for i in range(20)]
    assert len(set(again)) == 20
    assert workload.clip(3) != workload.clip(3, seed=1)


def test_a_clip_has_twelve_words_of_subtitle_and_forty_of_each_modality() -> None:
    english = workload.clip(4)
    assert len(english["subtitle_en"].split()) == 1 + 12
    assert [clue["modality"] for clue in english["clues"]] == ["visual", "audio", "text"]
    assert {len(clue["text"].split()) for clue in english["clues"]} == {40}
    chinese = workload.clip(5)
    assert {clue["language"] for clue in chinese["clues"]} == {"zh"}
    assert chinese["subtitle_zh"].endswith("。")


def test_the_annotator_keeps_two_clues_and_corrects_one() -> None:
    clip = workload.clip(7)
    offered = [{**clue, "id": 10 + i, "span": None} for i, clue in enumerate(clip["clues"])]
    body = workload.body({"clip": {"name": clip["name"]}, "clues": offered})
    assert [clue["verdict"] for clue in body["clues"]] == ["kept", "kept", "corrected"]
    assert body["clues"][0]["text"] == clip["clues"][0]["text"]
    assert body["clues"][2]["text"] != clip["clues"][2]["text"]
    assert body["description"]["zh"]
    assert body["description"]["en"] == ""
    assert len(body["ov_labels"]["zh"]) == 2


def test_a_clip_in_two_pairs_of_hands_is_seen() -> None:
    holds = [
        annotation.Hold(1, 0, 0.0, 1.0, True),
        annotation.Hold(1, 1, 0.5, 1.5, True),
        annotation.Hold(2, 0, 1.0, 2.0, True),
        annotation.Hold(2, 0, 2.0, 3.0, True),
    ]
    assert list(annotation.double_held(holds)) == [1]


def test_medians_and_percentiles() -> None:
    assert figures.percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert figures.percentile([0.0, 10.0], 0.95) == pytest.approx(9.5)
    assert figures.latency([0.1, 0.2, 0.3]) == {"n": 3, "median_ms": 200.0, "p95_ms": 290.0}
    with pytest.raises(ValueError, match="no values"):
        figures.percentile([], 0.5)
