"""Several processes (gloo, on the CPU) do what one process does over the same batches; sharing is by accelerate."""

from __future__ import annotations

import json
import os
import signal
import socket
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
from training.runlog import read_metrics

ROOT = Path(__file__).parents[2]
FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}


@pytest.fixture
def words(tmp_path: Path) -> list[Any]:
    """A fit without dropout on four clips, one of them without sound, one without pictures, one without media: a step
    of two batches of one sample."""
    (tmp_path / "media").mkdir()
    for index in range(3):
        world.write_clip(
            tmp_path / "media" / f"clip_{index:02d}.{'wav' if index == 1 else 'mp4'}", index, audio=index != 0,
            video=index != 1,
        )  # fmt: skip
    snapshot = world.write_snapshot(tmp_path / "snapshot", [world.record(index) for index in range(4)])
    return ["fit", "--config", "tiny", "--snapshot", snapshot, "--media", tmp_path / "media", "--missing-media",
            "text-only", "--no-register", "--set", "train.epochs=4", "train.batch_size=1", "train.save_every=3",
            "train.threads=1", "model.video.dropout=0.0", "model.audio_branch.dropout=0.0", "data.bucket=0",
            f"data.cache_dir={tmp_path}/cache", "data.cache=disk", "train.keep=9"]  # fmt: skip


def together(words: list[Any], environment: dict[str, str] | None = None, count: int = 2) -> list[subprocess.Popen]:
    """The processes that torchrun would start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        **os.environ, **(environment or {}), "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    return [
        subprocess.Popen(
            [sys.executable, "-m", "training", *map(str, words)], cwd=ROOT, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(count)
    ]  # fmt: skip


def finished(started: list[subprocess.Popen]) -> list[tuple[str, str]]:
    """What each said on stdout and stderr."""
    try:
        said = [process.communicate(timeout=240) for process in started]
    finally:
        for process in started:
            process.kill()
    for process, (_, err) in zip(started, said, strict=True):
        assert process.returncode == 0, err
    return said


def kill_after(started: list[subprocess.Popen], run: Path, step: int) -> None:
    """kill -9 to all of them once this step is logged."""
    end = time.monotonic() + 200
    while time.monotonic() < end and all(process.poll() is None for process in started):
        lines = read_metrics(run / "metrics.jsonl")
        if lines and lines[-1]["step"] >= step:
            break
        time.sleep(0.01)
    for process in started:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def same(one: Path, many: Path) -> None:
    """Losses and weights of two runs are equal but for the order in which float32 sums were added up."""
    ours, theirs = (read_metrics(run / "metrics.jsonl") for run in (one, many))
    assert [line["tokens"] for line in theirs] == [line["tokens"] for line in ours]
    assert [line["loss"] for line in theirs] == pytest.approx([line["loss"] for line in ours], rel=1e-5)
    assert [line["grad_norm"] for line in theirs] == pytest.approx([line["grad_norm"] for line in ours], rel=1e-4)
    last = [load_file(complete(run)[-1] / "trainable.safetensors") for run in (one, many)]
    assert set(last[0]) == set(last[1])
    assert all(torch.allclose(last[0][name], last[1][name], rtol=1e-3, atol=1e-5) for name in last[0])


def test_two_processes_have_the_losses_of_one_and_go_on_after_kill_9(
    command: Any, words: list[Any], tmp_path: Path
) -> None:
    assert command(*words, "train.accumulate=2", "--out", tmp_path / "one")[0] == 0
    run = tmp_path / "two"
    started = together([*words, "--out", run])
    kill_after(started, run, 4)
    (out, err), (silent, _) = finished(together([*words, "--out", run, "--resume"]))
    assert json.loads(out.splitlines()[-1])["steps"] == 8
    assert "resumed after step " in err
    assert silent == ""
    facts = json.loads((run / "run.json").read_text())
    assert (facts["state"], facts["processes"]) == ("finished", 2)
    same(tmp_path / "one", run)
    # A process alone takes other batches: it may not go on with the run of two.
    (run / "run.json").write_text(json.dumps({**facts, "state": "running", "result": None}))
    code, _, err = command(*words, "--out", run, "--resume")
    assert (code, "the run has 2 processes, this call 1" in err) == (2, True)


def test_a_model_cut_over_two_processes_has_the_losses_of_one_and_goes_on_after_kill_9(
    command: Any, words: list[Any], tmp_path: Path
) -> None:
    more = ["model.llm.lora.rank=4", "model.llm.lora.dropout=0.0"]
    assert command(*words, *more, "train.accumulate=4", "--out", tmp_path / "one")[0] == 0
    run = tmp_path / "cut"
    words = [*words, *more, "train.accumulate=2", "--out", run]
    kill_after(together(words, FSDP), run, 4)
    finished(together([*words, "--resume"], FSDP))
    same(tmp_path / "one", run)
    saved = load_file(complete(run)[-1] / "trainable.safetensors")
    assert any(".lora_B." in name for name in saved)


def test_what_accelerate_cannot_give_is_said(
    command: Any, words: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    code, _, err = command(*words, "--out", tmp_path / "run")
    assert (code, "DeepSpeed is not supported" in err) == (2, True)


def test_one_process_needs_no_accelerate_and_several_say_that_they_do(words: list[Any], tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['accelerate'] = sys.modules['tensorboardX'] = None\n"
        "from training.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )

    def asked(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, words), "--out", str(tmp_path / "run")], cwd=ROOT, text=True,
            capture_output=True, check=False, env={**os.environ, **environment},
        )  # fmt: skip

    several = asked(WORLD_SIZE="2")
    assert (several.returncode, "several processes need accelerate" in several.stderr) == (2, True)
    alone = asked()
    assert alone.returncode == 0, alone.stderr
    assert "no TensorBoard events" in alone.stderr
