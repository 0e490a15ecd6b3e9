"""Run folders as training leaves them, without a model: what reads a run is tested on these."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_run(folder: Path, config: dict[str, Any] | None = None, checkpoints: tuple[int, ...] = ()) -> Path:
    """A run folder with run.json and empty checkpoints of these steps."""
    for step in checkpoints:
        path = folder / "checkpoints" / f"step-{step:08d}"
        path.mkdir(parents=True)
        (path / "state.json").write_text("{}")
    (folder / "evaluations").mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps({"state": "finished", "config": config or {}}))
    return folder


def write_evaluation(folder: Path, epoch: float | None, avg: float, split: str = "test", **changes: Any) -> Path:
    """An evaluation of that epoch; ten optimiser steps an epoch."""
    half = 0.1
    value = {
        "run": str(folder), "split": split, "n": 66, "accuracy": avg, "recall": avg, "avg": avg,
        "ci95": {key: [max(0.0, avg - half), min(1.0, avg + half)] for key in ("accuracy", "recall", "avg")},
        "grouping": "lexicon", "extraction": "lexicon", "route": "one-step",
        "checkpoint": f"step-{round(10 * (epoch or 0)):08d}", "step": round(10 * (epoch or 0)), "epoch": epoch,
        "snapshot": {"digest": "d" * 64, "name": "one"}, "leak": None, "during_training": True,
        "finished": f"2026-01-01T00:00:{round(epoch or 0):02d}+00:00",
    }  # fmt: skip
    value.update(changes)
    path = folder / "evaluations" / f"{len(list((folder / 'evaluations').iterdir())):04d}-{split}.json"
    path.write_text(json.dumps(value))
    return path


def write_losses(folder: Path, losses: list[float], per_epoch: int = 2) -> None:
    """metrics.jsonl with a line a step, every step of ten target tokens."""
    lines = [
        {"step": step, "epoch": round(step / per_epoch, 4), "loss": loss, "tokens": 10}
        for step, loss in enumerate(losses, 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
