"""The loop is closed: launched on a snapshot -> trained -> promoted -> the next run's descriptions come from that very
checkpoint, and say so."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from annotator.checking.models import Record
from annotator.clips.models import Clip
from annotator.experiments import services
from annotator.experiments.models import Checkpoint
from annotator.prelabels import checkpoints, plans
from annotator.prelabels import services as prelabels
from annotator.prelabels.models import DescriptionDraft, Job, PreLabeller
from annotator.snapshots.services import freeze_snapshot
from models_ml.synthetic import make_corpus
from tests.support.factories import create_corpus, create_record

pytestmark = pytest.mark.django_db(transaction=True)
SAID = "The person smiles and raises the cheeks, so the person is happy."


@pytest.fixture
def clips(settings: Any, tmp_path: Path) -> list[Clip]:
    """Four clips with media and subtitles; the corpus is restricted. The last one has no record."""
    settings.MEDIA_ROOT, settings.VAR = tmp_path / "media", tmp_path / "var"
    settings.SNAPSHOT_ROOT, settings.RUNS_ROOT = tmp_path / "snapshots", tmp_path / "runs"
    make_corpus(tmp_path / "clips", n=4, seed=4)
    corpus = create_corpus("study", licence="restricted")
    call_command("ingest", "study", str(tmp_path / "clips"), "--subtitles", str(tmp_path / "clips" / "subtitles.csv"))
    found = list(Clip.objects.filter(corpus=corpus).order_by("name"))
    for clip in found[:3]:
        create_record(clip, description={"zh": "他笑了。", "en": SAID})
    return found


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Any:
    yield
    checkpoints.close()


def train(clips: list[Clip]) -> Checkpoint:
    """`overfit` on the three records, through the trainer, until it knows their one sentence; its checkpoint."""
    snapshot = freeze_snapshot(None, clips[0].corpus, "v1", group_by=[])
    steps = {"train.epochs": 80, "generate.max_new_tokens": 40}
    run = services.launch(None, snapshot, "overfit", "first", steps)
    call_command("trainer", "--once")
    run.refresh_from_db()
    assert (run.state, run.reason) == ("done", "")
    return run.checkpoints.filter(removed_at=None).latest("step")


def pre_label(clips: list[Clip], model: PreLabeller) -> dict[str, Job]:
    run = prelabels.create_run(None, clips[0].corpus, prelabellers=[model.name])
    for job in run.jobs.order_by("id"):
        prelabels.run_job(job.pk)
    run.refresh_from_db()
    assert run.finished_at
    return {job.clip.name: job for job in run.jobs.select_related("clip")}


def test_a_promoted_checkpoint_describes_clips_and_every_record_names_it(clips: list[Clip]) -> None:
    checkpoint = train(clips)
    model = services.promote(None, checkpoint)
    jobs = pre_label(clips, model)
    assert [job.state for job in jobs.values()] == ["done"] * 4, [job.reason for job in jobs.values()]
    for draft in DescriptionDraft.objects.select_related("clip"):
        assert draft.prelabeller == model
        assert draft.description_en == SAID  # it learnt one sentence, and no other came from anywhere
        told = draft.provenance["parameters"]
        assert told["checkpoint"] == {
            "id": checkpoint.pk, "run": "first", "step": 80, "stage": 2, "sha256": checkpoint.sha256,
        }  # fmt: skip
        seen = draft.clip.name != clips[3].name
        assert [stage["split"] for stage in told["in_training"]] == (["all"] if seen else [])
        record = Record.objects.get(clip=draft.clip, grade="coarse").current
        described = record.provenance["description"]
        assert described["provenance"]["prelabeller"] == model.name
        assert described["provenance"]["parameters"]["checkpoint"]["sha256"] == checkpoint.sha256
    assert Record.objects.filter(grade="coarse").count() == 4
    again = pre_label(clips, model)  # the same media and weights: from the cache
    assert all(job.cached and job.calls == 0 for job in again.values())
    os.kill(checkpoints._seat.child.process.pid, signal.SIGKILL)
    time.sleep(0.2)
    run = prelabels.create_run(None, clips[0].corpus, prelabellers=[model.name], clip_names=[clips[3].name], repeat=1)
    assert prelabels.run_job(run.jobs.get().pk) == "done"  # the process was started again
    folder = plans.endpoint_for(f"clip_description@{model.pk}").path
    words = [sys.executable, "-m", "annotator.prelabels.checkpoint_worker", str(folder), "--sha256", checkpoint.sha256]
    alone = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert alone.returncode == 0  # its worker is gone, its input with it: it ends
    assert json.loads(alone.stdout)["ready"]
    (folder / "trainable.safetensors").write_bytes(b"others")
    checkpoints.close()
    run = prelabels.create_run(None, clips[0].corpus, prelabellers=[model.name], clip_names=[clips[3].name], repeat=2)
    assert prelabels.run_job(run.jobs.get().pk) == "failed"
    job = run.jobs.get()
    assert job.error_code == "not-configured"
    assert "other weights" in job.reason
