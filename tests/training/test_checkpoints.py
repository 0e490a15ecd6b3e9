"""Checkpoints: complete or not there, found by the run's best or by name, bounded on the disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from training.checkpoints import complete, find_checkpoint, load_resume, open_checkpoint, prune, save_checkpoint
from training.config import load_config
from training.curves import read_evaluations
from training.errors import UsageError
from training.estimate import checkpoint_bound
from training.lineage import entry
from training.runlog import read_metrics
from training.snapshot import read_snapshot


class Words:
    """As much of a tokenizer as a checkpoint needs."""

    def save_pretrained(self, folder: str) -> None:
        Path(folder).mkdir()
        (Path(folder) / "tokenizer.json").write_text("{}")


@pytest.fixture
def save(tmp_path: Path, few: Path) -> Any:
    """Write a checkpoint of 4,000 bytes of weights and 8,000 of moments into one run folder."""
    snapshot = read_snapshot(few)
    lineage = [entry(snapshot, "train", 2, snapshot.split("train"))]
    config = load_config("tiny").to_dict()

    def write(step: int) -> Path:
        state = {"step": step, "epoch": step / 10, "config": config, "frozen": {}}
        trainable = {"weight": torch.full((1000,), float(step))}
        return save_checkpoint(tmp_path, state, trainable, {"weight:exp_avg": torch.ones(2000)}, Words(), lineage)

    return write


def _names(run: Path) -> list[int]:
    return [int(path.name.removeprefix("step-")) for path in complete(run)]


def test_a_run_stands_for_its_best_checkpoint_else_its_last_and_others_have_names(save: Any, tmp_path: Path) -> None:
    for step in (10, 20, 30):
        save(step)
    assert json.loads((tmp_path / "checkpoints" / "last.json").read_text())["checkpoint"] == "step-00000030"
    assert open_checkpoint(tmp_path).step == 30
    with pytest.raises(UsageError, match="no best checkpoint was chosen"):
        find_checkpoint(f"{tmp_path}@best")
    (tmp_path / "checkpoints" / "best.json").write_text('{"checkpoint": "step-00000010", "why": "it is"}')
    for place, step in (
        (tmp_path, 10), (f"{tmp_path}@best", 10), (f"{tmp_path}@last", 30), (f"{tmp_path}@step-00000020", 20),
        (tmp_path / "checkpoints" / "step-00000020", 20),
    ):  # fmt: skip
        assert open_checkpoint(place).step == step
    with pytest.raises(UsageError, match="no such checkpoint; there are: step-00000010, step-00000020"):
        find_checkpoint(f"{tmp_path}@step-00000040")
    (tmp_path / "checkpoints" / "best.json").write_text('{"checkpoint": "step-00000040", "why": "gone"}')
    with pytest.raises(UsageError, match=r"best\.json names step-00000040, which is not there"):
        find_checkpoint(tmp_path)


def test_a_folder_whose_name_has_an_at_sign_is_a_folder(save: Any, tmp_path: Path) -> None:
    place = save(10)
    copied = tmp_path / "run@home"
    (copied / "checkpoints").mkdir(parents=True)
    place.rename(copied / "checkpoints" / place.name)
    assert open_checkpoint(copied).step == 10
    assert open_checkpoint(f"{copied}@last").step == 10


def test_pruning_keeps_the_last_ones_the_best_and_those_for_good(save: Any, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.json").write_text('{"checkpoint": "step-00000020", "why": "it is"}')
    for step in range(10, 110, 10):
        save(step)
        prune(tmp_path, keep=2, for_good=40)
    assert _names(tmp_path) == [20, 40, 80, 90, 100]


def test_moments_are_only_in_the_checkpoint_that_a_run_goes_on_from(save: Any, tmp_path: Path) -> None:
    for step in (10, 20):
        save(step)
        prune(tmp_path, keep=2)
    old, last = (open_checkpoint(path) for path in complete(tmp_path))
    assert set(load_resume(last)) == {"weight:exp_avg"}
    with pytest.raises(UsageError, match="a run goes on from its last one only"):
        load_resume(old)


def test_the_disk_that_checkpoints_take_is_bounded_at_every_moment(
    save: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Looked at when a checkpoint was just written and nothing has been pruned yet.
    config = load_config("tiny", ["train.epochs=10", "train.keep=2", "train.keep_every=4", "evaluate.every=1",
                                  "evaluate.select=test-curve"])  # fmt: skip
    bound = checkpoint_bound(config, 4000, 8000)
    (tmp_path / "checkpoints").mkdir()
    most = 0
    for step in range(10, 110, 10):
        save(step)
        (tmp_path / "checkpoints" / "best.json").write_text('{"checkpoint": "step-00000010", "why": "the first"}')
        tensors = [path.stat().st_size for path in (tmp_path / "checkpoints").rglob("*.safetensors")]
        most = max(most, sum(tensors) - 100 * len(tensors))  # their headers apart
        prune(tmp_path, keep=2, for_good=40)
    assert most <= bound
    assert most > 0.8 * bound


def test_what_was_not_finished_is_not_there_and_leaves(
    save: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(10)
    with monkeypatch.context() as patched:
        patched.setattr("training.checkpoints.os.rename", _die)
        with pytest.raises(KeyboardInterrupt):
            save(20)
    assert _names(tmp_path) == [10]
    assert [path.name for path in (tmp_path / "checkpoints").glob(".*")] == [".writing-step-00000020"]
    save(20)
    assert _names(tmp_path) == [10, 20]
    assert not list((tmp_path / "checkpoints").glob(".*"))
    assert float(load_file(complete(tmp_path)[-1] / "trainable.safetensors")["weight"][0]) == 20


def _die(*_: Any) -> None:
    raise KeyboardInterrupt


def test_a_run_keeps_what_its_recipe_says_and_notes_its_best_by_validation(
    command: Any, quick: list, tmp_path: Path, snapshot: Path
) -> None:
    words = [snapshot if isinstance(word, Path) and word.name == "few" else word for word in quick]
    run = tmp_path / "run"
    code, _, err = command(
        *words, "--out", run, "--set", "train.epochs=6", "train.save_every=1", "train.keep=1", "train.keep_every=3",
        "evaluate.every=2", "evaluate.validation=0.25", "evaluate.select=validation", "evaluate.splits=[test]",
        "generate.max_new_tokens=4",
    )  # fmt: skip
    assert code == 0
    facts = json.loads((run / "run.json").read_text())
    assert (facts["snapshot"]["samples"], facts["snapshot"]["validation"]) == (6, 2)
    assert facts["lineage"][0]["clips"] == 6  # what was set apart was not trained on
    per_epoch = facts["steps_per_epoch"]
    best = json.loads((run / "checkpoints" / "best.json").read_text())
    assert best["by"] == "validation"
    kept = {int(best["checkpoint"].removeprefix("step-")), 3 * per_epoch, 6 * per_epoch}
    assert set(_names(run)) == kept
    found = read_evaluations(run)
    assert [(one["split"], one["epoch"], one["during_training"]) for one in found] == [
        (split, epoch, True) for epoch in (2.0, 4.0, 6.0) for split in ("test", "val")
    ]
    card = json.loads((find_checkpoint(run) / "card.json").read_text())
    assert card["best"]["why"] == best["why"]
    assert {one["split"] for one in card["evaluations"]} == {"test", "val"}
    assert len(read_metrics(run / "metrics.jsonl")) == 6 * per_epoch
    assert "best so far: epoch" in err


def test_choosing_among_evaluations_that_will_not_be_made_is_refused(command: Any, quick: list, tmp_path: Path) -> None:
    for settings in (["evaluate.select=validation"], ["evaluate.select=test-curve", "evaluate.every=9"]):
        code, _, err = command(*quick, "--out", tmp_path / "run", "--set", *settings)
        assert (code, "set evaluate.every to at most 1 epochs" in err) == (2, True)
    code, _, err = command(*quick, "--out", tmp_path / "run", "--set", "evaluate.select=validation",
                           "evaluate.every=1")  # fmt: skip
    assert (code, "set no part of train apart" in err) == (2, True)
