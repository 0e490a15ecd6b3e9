"""A run that was killed, stopped or refused: what ``--resume`` goes on with, to the last digit."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training import world
from training.checkpoints import complete
from training.curves import read_evaluations
from training.runlog import read_metrics

ROOT = Path(__file__).parents[2]


def _start(words: list) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "training", *map(str, words)], cwd=ROOT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _wait_for_step(run: Path, step: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end and process.poll() is None:
        lines = read_metrics(run / "metrics.jsonl")
        if lines and lines[-1]["step"] >= step:
            return
        time.sleep(0.01)
    raise AssertionError(f"step {step} never came")


# Adapters with dropout, two parts per step, one of two answers and one of three crops per visit, buckets of length.
EVERYTHING = [
    "model.llm.lora.rank=4", "train.accumulate=2", "data.target=hybrid", "data.crop_scale=[0.5, 1.0]", "data.views=3",
    "data.bucket=2",
]  # fmt: skip


def test_a_run_killed_in_mid_epoch_goes_on_with_the_same_losses(
    command: Any, quick: list, tmp_path: Path, media: Path
) -> None:
    # Batch 2 over 3 clips mixed with 2 others: epochs end inside a pass. Dropout is on: random state must come back.
    rows = [world.record(index, clip=f"other_{index}") for index in (5, 6)]
    other = world.write_snapshot(
        tmp_path / "other", rows, media={row["clip"]: media / f"clip_{5 + i:02d}.mp4" for i, row in enumerate(rows)}
    )
    sources = f"data.sources=[{{path: {other}, weight: 2.0}}]"
    words = [*quick, "--set", "train.epochs=11", "train.save_every=5", sources, *EVERYTHING]
    assert command(*words, "--out", tmp_path / "whole")[0] == 0
    run = tmp_path / "killed"
    process = _start([*words, "--out", run])
    _wait_for_step(run, 8, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert json.loads((run / "run.json").read_text())["state"] == "running"
    code, said, err = command(*words, "--out", run, "--resume")
    assert code == 0
    assert "resumed after step " in err
    _same(tmp_path / "whole", run, 22)
    saved = load_file(complete(run)[-1] / "trainable.safetensors")
    assert any(".lora_A." in name for name in saved)
    # A finished run is finished: the same answer, no further step.
    assert command(*words, "--out", run, "--resume")[1] == said


def _same(whole: Path, resumed: Path, steps: int) -> None:
    """The same steps to the last digit, and the same weights."""
    told, again = (read_metrics(run / "metrics.jsonl") for run in (whole, resumed))
    assert [line["step"] for line in again] == list(range(1, steps + 1))
    for key in ("loss", "lr", "grad_norm", "tokens"):
        assert [line[key] for line in again] == [line[key] for line in told]
    last = [load_file(complete(run)[-1] / "trainable.safetensors") for run in (whole, resumed)]
    assert all(torch.equal(last[0][name], last[1][name]) for name in last[0])


def _crash_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """The process dies inside a step, as if for want of memory."""
    from training import fit

    real = fit.one_step

    def dying(recipe: Any, feed: Any, number: int, tokens: int) -> Any:
        if number == step:
            raise MemoryError("crashed")
        return real(recipe, feed, number, tokens)

    monkeypatch.setattr(fit, "one_step", dying)


@pytest.mark.parametrize(
    "settings",
    [
        ["train.precision=bf16", "data.cache=disk"],
        ["train.precision=fp16", "data.cache=none", "data.crop_scale=[0.5, 1.0]"],
        ["train.schedule=original", "train.decay=original", "train.warmup_steps=9", "data.drop_last=true"],
    ],
)
def test_whatever_the_recipe_a_crash_changes_nothing(
    command: Any, quick: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: list[str]
) -> None:
    words = [*quick, "--set", "train.epochs=5", "train.save_every=2", *settings]
    assert command(*words, "--out", tmp_path / "whole")[0] == 0
    with monkeypatch.context() as patched:
        _crash_at(patched, 4)
        with pytest.raises(MemoryError):
            command(*words, "--out", tmp_path / "run")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["state"] == "failed"
    assert command(*words, "--out", tmp_path / "run", "--resume")[0] == 0
    _same(tmp_path / "whole", tmp_path / "run", len(read_metrics(tmp_path / "whole" / "metrics.jsonl")))


def test_an_evaluation_that_a_crash_took_is_made_on_resuming_and_moves_nothing(
    command: Any, quick: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*quick, "--set", "train.epochs=4"]
    watched = ["evaluate.every=2", "evaluate.select=test-curve", "generate.max_new_tokens=4"]
    assert command(*words, "--out", tmp_path / "unwatched")[0] == 0

    def crash(*_: Any, **__: Any) -> Any:
        raise MemoryError("crashed")

    run = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr("training.fit.during", crash)
        with pytest.raises(MemoryError):
            command(*words, *watched, "--out", run)
    assert [path.name for path in complete(run)] == ["step-00000004"]
    assert command(*words, *watched, "--out", run, "--resume")[0] == 0
    assert [(one["epoch"], one["checkpoint"]) for one in read_evaluations(run)] == [
        (2.0, "step-00000004"),
        (4.0, "step-00000008"),
    ]
    told, plain = (read_metrics(folder / "metrics.jsonl") for folder in (run, tmp_path / "unwatched"))
    assert [line["loss"] for line in told] == [line["loss"] for line in plain]


def test_sigterm_before_the_first_step_ends_the_run_at_once(
    command: Any, quick: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("training.fit.assemble", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        code, _, err = command(*quick, "--out", tmp_path / "run")
    assert code == 1
    assert "told to stop by signal 15" in err
    assert json.loads((tmp_path / "run" / "run.json").read_text())["state"] == "stopped"
    assert command(*quick, "--out", tmp_path / "run", "--resume")[0] == 0
    assert [line["step"] for line in read_metrics(tmp_path / "run" / "metrics.jsonl")] == [1, 2]


def test_sigterm_saves_before_it_stops(command: Any, quick: list, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = [*quick, "--set", "train.epochs=400"]
    process = _start([*words, "--out", run])
    _wait_for_step(run, 3, process)
    process.terminate()
    assert process.wait(60) == 1
    facts = json.loads((run / "run.json").read_text())
    assert facts["state"] == "stopped"
    assert complete(run)[-1].name == f"step-{read_metrics(run / 'metrics.jsonl')[-1]['step']:08d}"


def test_resume_refuses_another_config_another_snapshot_and_an_empty_folder(
    command: Any, quick: list, tmp_path: Path, media: Path
) -> None:
    run = tmp_path / "run"
    assert command(*quick, "--out", run)[0] == 0
    code, _, err = command(*quick, "--out", run, "--resume", "--set", "train.lr=1e-5")
    assert (code, "differs from the run's in: train" in err) == (2, True)
    other = world.write_snapshot(tmp_path / "s", [world.record(index) for index in range(3)])
    words = [other if isinstance(word, Path) and word.name == "few" else word for word in quick]
    code, _, err = command(*words, "--out", run, "--resume")
    assert (code, "was on snapshot" in err) == (2, True)
    code, _, err = command(*quick, "--out", tmp_path / "new", "--resume")
    assert (code, "holds no run" in err) == (2, True)


@pytest.mark.parametrize("kept", [1, 0])
def test_a_resumed_run_keeps_what_it_began_from_though_init_is_not_said_again(
    command: Any, quick: list, tmp_path: Path, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, run = tmp_path / "first", tmp_path / "second"
    monkeypatch.setattr("training.fit.prune", lambda *_: None)  # a kill after the first step finds its moments there
    words = [*quick, "--set", "train.save_every=1"]
    assert command(*quick, "--out", first)[0] == 0
    assert command(*words, "--out", run, "--init", first)[0] == 0
    whole = load_file(complete(run)[-1] / "trainable.safetensors")
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "state": "running", "result": None}))  # as a kill leaves it
    for checkpoint in complete(run)[kept:]:
        shutil.rmtree(checkpoint)
    code, _, err = command(*words, "--out", run, "--resume", "--init", tmp_path / "second")
    assert (code, "began from" in err or "neither a checkpoint" in err) == (2, True)
    assert command(*words, "--out", run, "--resume")[0] == 0
    last = complete(run)[-1]
    assert len(json.loads((last / "lineage.json").read_text())) == 2
    assert json.loads((run / "run.json").read_text())["init"] == facts["init"] == str(complete(first)[-1])
    again = load_file(last / "trainable.safetensors")
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_resume_refuses_other_media_and_a_run_json_that_is_none(command: Any, quick: list, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert command(*quick, "--out", run)[0] == 0
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "state": "running", "result": None}))
    (tmp_path / "none").mkdir()
    words = [tmp_path / "none" if isinstance(word, Path) and word.name.startswith("media") else word for word in quick]
    code, _, err = command(*words, "--out", run, "--resume", "--missing-media", "text-only")
    assert (code, "began with media" in err) == (2, True)
    for text in ("[]", "{}"):
        (run / "run.json").write_text(text)
        code, _, err = command(*quick, "--out", run, "--resume")
        assert (code, "run.json" in err) == (2, True)


def test_two_processes_never_write_one_run(command: Any, quick: list, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = [*quick, "--set", "train.epochs=400"]
    process = _start([*words, "--out", run])
    try:
        _wait_for_step(run, 1, process)
        code, _, err = command(*words, "--out", run, "--resume")
        assert (code, "another process is writing this run" in err) == (2, True)
    finally:
        process.kill()
        process.wait()
