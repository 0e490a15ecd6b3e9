"""The trainer runs a queued launch for real: a snapshot's media, `training fit`, a loss curve, an evaluation."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from django.core.management import call_command

from annotator.clips.models import Clip
from annotator.experiments import curves, discovery, folders, queries, services
from annotator.experiments.models import TrainingRun
from annotator.snapshots import exports
from annotator.snapshots.services import folder_of, freeze_snapshot
from models_ml.synthetic import make_corpus
from tests.support.factories import create_corpus, create_record

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def study(settings, tmp_path: Path):
    settings.MEDIA_ROOT = tmp_path / "media"
    settings.SNAPSHOT_ROOT = tmp_path / "snapshots"
    settings.RUNS_ROOT = tmp_path / "runs"
    settings.VAR = tmp_path / "var"
    make_corpus(tmp_path / "clips", n=6, seed=4)
    corpus = create_corpus("study")
    call_command("ingest", "study", str(tmp_path / "clips"), "--subtitles", str(tmp_path / "clips" / "subtitles.csv"))
    for clip in Clip.objects.filter(corpus=corpus):
        create_record(clip, description={"zh": "他笑了。", "en": f"The person smiles in {clip.name}."})
    return freeze_snapshot(None, corpus, "v1", sizes={"train": 4, "test": 2}, group_by=[])


def test_a_launched_run_trains_on_the_stored_media_and_shows_its_curve(study, settings, tmp_path: Path) -> None:
    steps = {"train.epochs": 3, "train.iters_per_epoch": 2, "generate.max_new_tokens": 8}
    run = services.launch(None, study, "tiny", "first", {**steps, "evaluate.every": 1})
    call_command("trainer", "--once")
    run.refresh_from_db()
    assert (run.state, run.reason) == ("done", "")
    assert run.result["media"] == {"video": 4, "audio": 4, "missing": 0}
    assert len(folders.read_curve(Path(run.folder))["step"]) == run.result["steps"]
    exports.export(study, "folder", tmp_path / "copy", media="copy")
    evaluated = subprocess.run(
        [
            *(sys.executable, "-m", "training", "evaluate", "--run", run.folder),
            *("--snapshot", str(tmp_path / "copy"), "--split", "test"),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert evaluated.returncode == 0, evaluated.stderr
    discovery.discover()
    reports = [e.report for e in run.evaluations.order_by("id")]
    (afterwards,) = [report for report in reports if not report["during_training"]]
    assert (afterwards["n"], afterwards["split"]) == (2, "test")
    found = curves.score_curves(reports, 0.6)["metrics"]["avg"]
    assert [(one["split"], one["n"], one["epochs"]) for one in found] == [("test", 2, [1.0, 2.0, 3.0])]
    assert len(folders.read_scores(Path(run.folder), afterwards["predictions"])) == 2
    kept = run.checkpoints.filter(removed_at=None)
    assert {row.name for row in kept} >= {
        body["checkpoint"] for body in folders.named_checkpoints(Path(run.folder)).values()
    }
    assert "tiny" in queries.card(kept.latest("step"))


def test_a_run_that_cannot_train_is_failed_with_the_reason(study) -> None:
    run = services.launch(None, study, "affectgpt-2024-stage2", "too-big")
    call_command("trainer", "--once")
    run.refresh_from_db()
    assert run.state == "failed"
    assert "exit 2" in run.reason
    assert TrainingRun.objects.filter(state="running").count() == 0
    assert folder_of(study).is_dir()


def test_a_trainer_that_is_stopped_gives_its_run_back_and_the_next_goes_on(study) -> None:
    steps = {"train.epochs": 1, "train.iters_per_epoch": 120, "train.warmup_steps": 1}
    run = services.launch(None, study, "tiny", "stopped", steps)
    before = signal.getsignal(signal.SIGTERM)
    stop = threading.Thread(target=terminate_once_training, args=(Path(run.folder),))
    stop.start()
    call_command("trainer")  # until it is stopped
    stop.join()
    run.refresh_from_db()
    assert (run.state, run.attempts, run.losses) == ("queued", 1, 0)
    assert signal.getsignal(signal.SIGTERM) is before
    state = json.loads((Path(run.folder) / "run.json").read_text())
    assert state["state"] == "stopped"
    call_command("trainer", "--once")  # the next one goes on by itself
    run.refresh_from_db()
    assert (run.state, run.attempts, run.result["steps"]) == ("done", 2, 120)
    assert folders.read_curve(Path(run.folder))["step"] == list(range(1, 121))
    assert "attempt 2" in queries.log_path(run).read_text()


def terminate_once_training(folder: Path) -> None:
    """SIGTERM to this process, as the system sends it, when the first steps are logged (or it takes far too long)."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not folders.read_curve(folder)["step"]:
        time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGTERM)
