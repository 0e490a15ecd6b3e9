"""What a run writes of its steps: lines, TensorBoard's events, speed."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from training.runlog import Clock, Metrics, environment, progress, read_metrics

LINE: dict[str, Any] = {
    "epoch": 0.5, "loss": 2.5, "lr": 3e-5, "grad_norm": 1.25, "tokens": 40, "seconds": 0.5, "data_seconds": 0.01,
    "samples_per_second": 6.0, "mfu": 0.41, "eta_seconds": 3722.4,
}  # fmt: skip


def test_lines_after_the_step_that_a_run_goes_on_from_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps({"step": step, **LINE}) + "\n" for step in (1, 2, 3)) + '{"step": 4, "lo')
    metrics = Metrics(path, after_step=2)
    metrics.write({"step": 3, **LINE, "loss": 9.0})
    metrics.close()
    assert [(line["step"], line["loss"]) for line in read_metrics(path)] == [(1, 2.5), (2, 2.5), (3, 9.0)]


def test_tensorboard_has_the_same_figures(tmp_path: Path) -> None:
    from tensorboardX.proto.event_pb2 import Event

    metrics = Metrics(tmp_path / "metrics.jsonl", 0, board=True)
    metrics.write({"step": 1, **LINE, "grad_norm": None})
    metrics.draw({"test/avg": 0.5}, 1)
    metrics.close()
    (file,) = (tmp_path / "tensorboard").iterdir()
    data, found = file.read_bytes(), {}
    while data:  # length (8 bytes), its checksum (4), the event, its checksum (4)
        size = int.from_bytes(data[:8], "little")
        event = Event.FromString(data[12 : 12 + size])
        found.update({value.tag: (event.step, value.simple_value) for value in event.summary.value})
        data = data[12 + size + 4 :]
    assert found["loss"] == (1, 2.5)
    assert found["samples_per_second"] == (1, 6.0)
    assert found["test/avg"] == (1, 0.5)
    assert "grad_norm" not in found


def test_without_tensorboardx_a_run_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with caplog.at_level(logging.WARNING, "training"):
        metrics = Metrics(tmp_path / "metrics.jsonl", 0, board=True)
    metrics.write({"step": 1, **LINE})
    metrics.close()
    assert "tensorboardX is not installed (pip install -r requirements/ml.txt)" in caplog.text
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 1


def test_speed_is_counted_per_step_and_the_end_is_foretold_from_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0.0, 2.0, 12.0, 14.0])
    monkeypatch.setattr("training.runlog.time.monotonic", lambda: next(seconds))
    clock = Clock(total=10, done=4)
    first = clock.lap(samples=6, data_seconds=0.5, flops=1e12, peak=1e12)
    assert first == {
        "seconds": 2.0, "data_seconds": 0.5, "samples_per_second": 3.0, "mfu": 0.5, "eta_seconds": 10.0,
    }  # fmt: skip
    clock.resume()  # ten seconds went into a checkpoint
    second = clock.lap(samples=6, data_seconds=0.0)
    assert (second["seconds"], second["mfu"]) == (2.0, None)
    assert second["eta_seconds"] == 4 * 7.0


def test_the_progress_line_has_all_that_one_looks_for() -> None:
    line = progress({"step": 44, **LINE}, 8800)
    assert line == (
        "step 44/8800 epoch 0.5 loss 2.5000 lr 3.00e-05 grad norm 1.250 | 6.0 samples/s, step 0.500 s, data 2.0 %, "
        "MFU 41 %, ETA 1:02:02"
    )
    assert "grad norm overflow" in progress({"step": 44, **LINE, "grad_norm": None, "mfu": None}, 8800)


def test_the_environment_names_versions_and_devices() -> None:
    found = environment()
    assert {"torch", "transformers", "accelerate", "peft", "safetensors", "numpy"} <= set(found)
    assert found["torch"]
    assert found["cpus"] >= 1
