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
from annotator.experiments import folders, services
from annotator.experiments.management.commands.trainer import command
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
    make_corpus(tmp_path / "clips", n=6, seed=4)
    corpus = create_corpus("study")
    call_command("ingest", "study", str(tmp_path / "clips"), "--subtitles", str(tmp_path / "clips" / "subtitles.csv"))
    for clip in Clip.objects.filter(corpus=corpus):
        create_record(clip, description={"zh": "他笑了。", "en": f"The person smiles in {clip.name}."})
    return freeze_snapshot(None, corpus, "v1", sizes={"train": 4, "test": 2}, group_by=[])


def test_a_launched_run_trains_on_the_stored_media_and_shows_its_curve(study, settings, tmp_path: Path) -> None:
    run = services.launch(None, study, "tiny", "first", {"train.epochs": 1, "train.iters_per_epoch": 3})
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
    services.discover()
    assert run.evaluations.get().report["n"] == 2


def test_a_run_that_cannot_train_is_failed_with_the_reason(study) -> None:
    run = services.launch(None, study, "affectgpt-2024-stage2", "too-big")
    call_command("trainer", "--once")
    run.refresh_from_db()
    assert run.state == "failed"
    assert "exit 2" in run.reason
    assert TrainingRun.objects.filter(state="running").count() == 0
    assert folder_of(study).is_dir()


def test_a_trainer_that_is_stopped_says_so_and_the_run_can_go_on(study) -> None:
    steps = {"train.epochs": 1, "train.iters_per_epoch": 120, "train.warmup_steps": 1}
    run = services.launch(None, study, "tiny", "stopped", steps)
    before = signal.getsignal(signal.SIGTERM)
    stop = threading.Thread(target=terminate_once_training, args=(Path(run.folder),))
    stop.start()
    call_command("trainer")  # until it is stopped
    stop.join()
    run.refresh_from_db()
    assert (run.state, "was stopped" in run.reason) == ("failed", True)
    assert signal.getsignal(signal.SIGTERM) is before
    state = json.loads((Path(run.folder) / "run.json").read_text())
    assert state["state"] == "stopped"
    again = [*command(run, services.link_media(run)), "--resume"]
    ended = subprocess.run(again, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1])["steps"] == 120


def terminate_once_training(folder: Path) -> None:
    """SIGTERM to this process, as the system sends it, when the first steps are logged (or it takes far too long)."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not folders.read_curve(folder)["step"]:
        time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGTERM)
