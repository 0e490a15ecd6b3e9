"""The process that holds a checkpoint answers for the weights that were promoted, or says why not."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from annotator.prelabels import checkpoints
from annotator.prelabels.checkpoints import FOLDER, CheckpointModel
from models_ml.llm import NotConfigured

ROOT = Path(__file__).resolve().parents[3]


def worker(folder: Path, sha256: str, *options: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "annotator.prelabels.checkpoint_worker", str(folder), "--sha256", sha256, *options]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)


def test_other_weights_than_were_promoted_are_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "trainable.safetensors").write_bytes(b"others")
    done = worker(tmp_path, "a" * 64)
    assert done.returncode == 2
    assert "holds other weights" in json.loads(done.stdout)["error"]
    assert "No such file" in json.loads(worker(tmp_path / "none", "a" * 64).stdout)["error"]


def test_a_folder_that_is_no_checkpoint_is_said_to_be_none(settings, tmp_path: Path) -> None:
    settings.RUNS_ROOT, settings.VAR = tmp_path / "runs", tmp_path / "var"
    folder = tmp_path / "runs" / FOLDER / "ours"
    folder.mkdir(parents=True)
    (folder / "trainable.safetensors").write_bytes(b"x")
    sha256 = hashlib.sha256(b"x").hexdigest()
    model = CheckpointModel.from_parameters("ours", "ours", {"sha256": sha256, "checkpoint": 1})
    with pytest.raises(NotConfigured, match=r"cannot be loaded: .*ours"):
        model.describe_whole("/nowhere.mp4", {"zh": None, "en": None}, "c", None)
    assert checkpoints._seat.child is None
    assert (tmp_path / "var" / "logs" / "checkpoint-ours.log").exists()
