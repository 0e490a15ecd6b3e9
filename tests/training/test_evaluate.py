"""What was learned came from the media, and is scored only on clips that training never saw."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.training import world
from training.evaluate import split_labels
from training.runlog import read_metrics

FIGURES = {"run", "split", "n", "accuracy", "recall", "avg", "ci95", "grouping", "extraction"}


@pytest.fixture(scope="module")
def swapped(tmp_path_factory: pytest.TempPathFactory, media: Path) -> Path:
    """The training clips' media, each under the next one's name."""
    folder = tmp_path_factory.mktemp("swapped")
    for index in range(8):
        shutil.copy(media / f"clip_{index:02d}.mp4", folder / f"clip_{(index + 1) % 8:02d}.mp4")
    return folder


def _texts(run: Path) -> dict[str, str]:
    lines = (run / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["clip"]: row["text"] for row in map(json.loads, lines)}


def test_overfit_learns_its_clips(fitted: Path) -> None:
    lines = read_metrics(fitted / "metrics.jsonl")
    assert lines[-1]["loss"] < 0.1 < lines[0]["loss"]


def test_swapping_the_media_changes_nine_answers_of_ten(
    command: Any, fitted: Path, snapshot: Path, media: Path, swapped: Path
) -> None:
    words = ["evaluate", "--run", fitted, "--snapshot", snapshot, "--split", "train", "--allow-leak"]
    code, own_scores, err = command(*words, "--media", media)
    assert code == 0
    assert err.splitlines()[0].startswith("WARNING leak: 8 of 8")
    own = _texts(fitted)
    code, swapped_scores, _ = command(*words, "--media", swapped)
    assert code == 0
    other = _texts(fitted)
    assert sum(own[clip] != other[clip] for clip in own) >= 0.9 * len(own)
    # More than different: each clip is now described as the one whose media it was given.
    follows = sum(other[f"clip_{(index + 1) % 8:02d}"] == own[f"clip_{index:02d}"] for index in range(8))
    assert follows >= 7
    assert own_scores["recall"] > 0.8 > swapped_scores["recall"]


def test_evaluate_prints_and_keeps_the_figures(
    command: Any, fitted: Path, snapshot: Path, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLM_BASE_URL", raising=False)
    code, said, _ = command("evaluate", "--run", fitted, "--snapshot", snapshot, "--split", "test", "--media", media)
    assert code == 0
    assert set(said) == FIGURES
    assert (said["n"], said["split"], said["grouping"], said["extraction"]) == (2, "test", "lexicon", "lexicon")
    kept = sorted((fitted / "evaluations").glob("*-test-one-step.json"))
    stored = json.loads(kept[-1].read_text())
    assert {key: stored[key] for key in FIGURES} == said
    assert stored["leak"] is None
    lines = (fitted / "evaluations" / stored["predictions"]).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["gold"] for line in lines] == [["astonished"], ["contempt"]]


def test_clips_that_were_trained_on_are_refused(command: Any, fitted: Path, snapshot: Path, media: Path) -> None:
    words = ["evaluate", "--run", fitted, "--snapshot", snapshot, "--split", "train", "--media", media]
    code, said, err = command(*words)
    assert (code, said) == (2, None)
    assert err.startswith("error: leak: 8 of 8")


@pytest.mark.parametrize(
    ("changes", "by"),
    [({"source": "film_3"}, "source"), ({"speaker": "speaker_5"}, "speaker")],
)
def test_a_renamed_clip_of_a_known_film_or_speaker_leaks(
    command: Any, fitted: Path, tmp_path: Path, media: Path, changes: dict, by: str
) -> None:
    row = world.record(9, clip="renamed", **changes)
    row = {**row, "source": changes.get("source", "new"), "speaker": changes.get("speaker", "new")}
    snapshot = world.write_snapshot(tmp_path / "s", [row], {"test": ["renamed"]}, group_by=())
    code, _, err = command("evaluate", "--run", fitted, "--snapshot", snapshot, "--media", media)
    assert code == 2
    assert f"by {by} '{changes[by]}'" in err


def test_two_step_without_an_llm_says_how_to_configure_one(
    command: Any, fitted: Path, snapshot: Path, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLM_BASE_URL", raising=False)
    words = ["evaluate", "--run", fitted, "--snapshot", snapshot, "--media", media]
    for more in (["--route", "two-step"], ["--extraction", "llm"]):
        code, _, err = command(*words, *more)
        assert code == 2
        assert "LLM_BASE_URL" in err


def test_media_that_is_missing_at_evaluation_is_counted(
    command: Any, fitted: Path, snapshot: Path, tmp_path: Path
) -> None:
    words = ["evaluate", "--run", fitted, "--snapshot", snapshot, "--media", tmp_path]
    code, _, err = command(*words)
    assert (code, "2 of 2 clips" in err) == (2, True)
    code, said, _ = command(*words, "--missing-media", "text-only")
    assert (code, said["n"]) == (0, 2)


def test_generate_describes_one_file_and_needs_no_snapshot(command: Any, fitted: Path, media: Path) -> None:
    code, said, _ = command("generate", "--run", fitted, "--clip", media / "clip_02.mp4", "--subtitle", "我没事")
    assert code == 0
    assert said["text"] == world.record(2)["description"]["en"]
    assert said["media"] == {"video": True, "audio": True}


def test_generate_refuses_what_is_no_media_and_what_is_no_run(command: Any, fitted: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("not a film")
    code, _, err = command("generate", "--run", fitted, "--clip", tmp_path / "text.mp4")
    assert (code, "text.mp4" in err) == (2, True)
    code, _, err = command("generate", "--run", tmp_path, "--clip", tmp_path / "text.mp4")
    assert code == 2


def test_a_model_trained_on_labels_is_read_directly(command: Any, quick: list, tmp_path: Path, media: Path) -> None:
    run = tmp_path / "labels"
    words = [word if word != "train.epochs=1" else "train.epochs=20" for word in quick]
    assert command(*words, "--set", "data.target=ov_labels", "--set", "data.language=zh", "--out", run)[0] == 0
    snapshot = next(word for word in quick if isinstance(word, Path) and word.name == "few")
    code, said, _ = command("evaluate", "--run", run, "--snapshot", snapshot, "--media", media, "--split", "train",
                            "--allow-leak")  # fmt: skip
    assert (code, said["extraction"]) == (0, "direct")
    assert next(iter(said)) == "leak"
    assert said["leak"].startswith("leak: ")


def test_labels_are_split_at_both_scripts_commas() -> None:
    labels = split_labels("Happy, looking forward to，高兴、期待, happy.")
    assert labels == ["happy", "looking forward to", "高兴", "期待"]
    assert split_labels("") == []
