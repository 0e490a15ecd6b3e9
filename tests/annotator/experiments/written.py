"""Run folders as training writes them, without training: run.json, metrics, checkpoints, evaluations."""

import hashlib
import json
from pathlib import Path
from typing import Any

from training.runlog import Metrics, write_json

CARD = """---
license: apache-2.0
---
# A checkpoint

Trained on <script>alert('x')</script> [this](javascript:alert(1)).

| what | value |
|---|---|
| step | 3 |
"""


def write_run(folder: Path, digest: str, state: str = "finished", steps: int = 3, **facts: Any) -> Path:
    """A run of so many steps on the snapshot with this digest."""
    folder.mkdir(parents=True)
    result = {"run": str(folder), "steps": steps, "loss": 2.5, "trainable_parameters": 1234}
    body = {
        "state": state,
        "config_name": "tiny-stage2",
        "snapshot": {"digest": digest, "name": "v1", "samples": 1},
        "reason": None,
        "steps": steps,
        "lineage": [{"digest": digest, "name": "v1", "corpus": "study", "grade": "fine", "split": "all", "stage": 2,
                     "clips": 1}],
        "started": "2026-01-02T03:04:05+00:00",
        "result": result if state == "finished" else None,
        **facts,
    }  # fmt: skip
    write_json(folder / "run.json", body)
    metrics = Metrics(folder / "metrics.jsonl", 0)
    for step in range(1, steps + 1):
        metrics.write({"step": step, "loss": max(0.25, 5.0 - step / 2), "lr": 1e-4})
    metrics.close()
    return folder


def write_checkpoint(
    run: Path, step: int, content: bytes = b"weights", *, clips: tuple[str, ...] = ("样本",), **data: Any
) -> str:
    """A checkpoint's folder; the sha256 of its weights."""
    folder = run / "checkpoints" / f"step-{step:08d}"
    (folder / "tokenizer").mkdir(parents=True)
    (folder / "tokenizer" / "tokenizer.json").write_text("{}")
    (folder / "trainable.safetensors").write_bytes(content)
    (folder / "optimizer.safetensors").write_bytes(b"moments")
    config = {"stage": 2, "data": {"language": "en", "target": "description", **data}}
    write_json(folder / "state.json", {"step": step, "config": config, "frozen": {}})
    body = json.loads((run / "run.json").read_text())
    stages = [{**stage, "group_by": [], "clips": [{"clip": name, "sha256": None} for name in clips]}
              for stage in body["lineage"]]  # fmt: skip
    write_json(folder / "lineage.json", stages)
    (folder / "README.md").write_text(CARD)
    return hashlib.sha256(content).hexdigest()


def write_evaluation(run: Path, stamp: str, split: str = "test", avg: float = 0.5, **report: Any) -> dict[str, Any]:
    """A report, with per-clip scores where `scores` gives them: {clip: (accuracy, recall)}."""
    folder = run / "evaluations"
    folder.mkdir(exist_ok=True)
    scores = report.pop("scores", None)
    body: dict[str, Any] = {
        "run": str(run), "split": split, "n": len(scores or "abc"), "accuracy": avg, "recall": avg, "avg": avg,
        "ci95": {name: [max(0.0, avg - 0.1), min(1.0, avg + 0.1)] for name in ("accuracy", "recall", "avg")},
        "grouping": "lexicon", "extraction": "lexicon", "route": "one-step", "checkpoint": "step-00000003",
        "leak": None, "finished": f"2026-01-0{len(stamp) % 9 + 1}T00:00:00+00:00", "during_training": False, **report,
    }  # fmt: skip
    if scores is not None:
        body["predictions"] = f"{stamp}.predictions.jsonl"
        lines = [{"clip": clip, "text": "", "scores": list(pair), "failed": None} for clip, pair in scores.items()]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / body["predictions"]).write_text(text, encoding="utf-8")
    write_json(folder / f"{stamp}.json", body)
    return body
