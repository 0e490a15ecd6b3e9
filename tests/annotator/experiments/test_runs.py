"""Runs are found by their folders, launched by lease, and shown to those who may see their corpus."""

import fcntl
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client

from annotator.core.errors import Conflict, Invalid
from annotator.experiments import folders, services
from annotator.experiments.management.commands.trainer import command
from annotator.experiments.models import Evaluation, TrainingRun
from annotator.snapshots.models import Snapshot
from annotator.snapshots.services import freeze_snapshot
from tests.support.factories import create_clip, create_corpus, create_member, create_record, create_user
from training.config import load_config
from training.runlog import Metrics, write_json

pytestmark = pytest.mark.django_db


@pytest.fixture
def snapshot(settings, tmp_path: Path) -> Snapshot:
    settings.SNAPSHOT_ROOT = tmp_path / "snapshots"
    settings.RUNS_ROOT = tmp_path / "runs"
    corpus = create_corpus("study")
    create_record(create_clip(corpus, "样本"))
    return freeze_snapshot(None, corpus, "v1")


def write_run(folder: Path, digest: str, state: str = "finished", steps: int = 3) -> Path:
    folder.mkdir(parents=True)
    result = {"run": str(folder), "steps": steps, "loss": 2.5, "trainable_parameters": 1234}
    facts = {"state": state, "config_name": "tiny-stage2", "snapshot": {"digest": digest}, "reason": None}
    facts |= {"started": "2026-01-02T03:04:05+00:00", "result": result if state == "finished" else None}
    write_json(folder / "run.json", facts)
    metrics = Metrics(folder / "metrics.jsonl", 0)
    for step in range(1, steps + 1):
        metrics.write({"step": step, "loss": 5.0 - step / 2, "lr": 1e-4})
    metrics.close()
    return folder


def test_a_run_started_by_hand_anywhere_is_listed_through_the_index(
    snapshot: Snapshot, settings, tmp_path: Path
) -> None:
    folder = write_run(tmp_path / "elsewhere" / "my-run", snapshot.digest)
    index = Path(settings.RUNS_ROOT) / "index.jsonl"
    index.parent.mkdir()
    index.write_text(json.dumps({"run": str(folder)}) + '\n{"run": "cut sho')
    services.discover()
    services.discover()
    run = TrainingRun.objects.get()
    assert (run.name, run.config, run.state, run.snapshot) == ("my-run", "tiny-stage2", "done", snapshot)
    assert run.result["loss"] == 2.5


def test_evaluations_of_a_folder_are_taken_once(snapshot: Snapshot, settings) -> None:
    folder = write_run(Path(settings.RUNS_ROOT) / "a", snapshot.digest)
    (folder / "evaluations").mkdir()
    write_json(folder / "evaluations" / "1.json", {"split": "test", "avg": 0.5, "n": 3})
    (folder / "evaluations" / "2.json").write_text("{half")
    services.discover()
    services.discover()
    assert [e.report["avg"] for e in Evaluation.objects.all()] == [0.5]


def test_a_killed_run_is_failed_and_a_living_one_is_running(snapshot: Snapshot, settings) -> None:
    folder = write_run(Path(settings.RUNS_ROOT) / "a", snapshot.digest, state="running")
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        services.discover()
        assert TrainingRun.objects.get().state == "running"
    services.discover()
    run = TrainingRun.objects.get()
    assert run.state == "failed"
    assert "--resume" in run.reason


def test_the_curve_has_columns_and_survives_a_cut_line(snapshot: Snapshot, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", snapshot.digest)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    assert folders.read_curve(folder) == {"step": [1, 2, 3], "loss": [4.5, 4.0, 3.5], "lr": [1e-4] * 3}
    assert folders.read_curve(tmp_path / "nowhere")["step"] == []


def test_a_long_curve_is_thinned_but_ends_where_the_run_ends(
    snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "CURVE_POINTS", 5)
    curve = folders.read_curve(write_run(tmp_path / "a", snapshot.digest, steps=18))
    assert curve["step"] == [1, 4, 7, 10, 13, 16, 18]


def test_launching_queues_one_run_that_one_trainer_takes(snapshot: Snapshot) -> None:
    manager = create_member(snapshot.corpus, "manager")
    run = services.launch(manager, snapshot, "tiny", "first")
    with pytest.raises(Conflict):
        services.launch(manager, snapshot, "tiny", "first")
    taken = services.claim_run()
    assert (taken.pk, taken.state) == (run.pk, "running")
    assert services.claim_run() is None
    assert services.heartbeat(taken)
    services.cancel(manager, taken)
    assert not services.heartbeat(taken)


@pytest.mark.parametrize(("config", "name"), [("nothing", "a"), ("tiny", "../a"), ("tiny", "")])
def test_a_wrong_launch_is_refused(snapshot: Snapshot, config: str, name: str) -> None:
    with pytest.raises(Invalid):
        services.launch(None, snapshot, config, name)


def test_overrides_are_checked_at_launch_and_reach_the_command_line_as_json(snapshot: Snapshot) -> None:
    for wrong in ({"train.epocs": 1}, {"train.epochs": "many"}, {"--init": "x"}, {"data.frames": 0}):
        with pytest.raises(Invalid, match="config"):
            services.launch(None, snapshot, "tiny", "wrong", wrong)
    given = {"train.iters_per_epoch": None, "data.subtitle": False, "train.betas": [0.9, 0.95], "train.lr": "1e-4"}
    words = command(services.launch(None, snapshot, "tiny", "right", given), Path("media"))
    settings = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    config = load_config("tiny", settings)
    assert (config.train.iters_per_epoch, config.data.subtitle) == (None, False)
    assert (config.train.betas, config.train.lr) == ([0.9, 0.95], 1e-4)


@pytest.mark.django_db(transaction=True)
def test_two_launches_of_one_name_at_once_make_one_run(settings, tmp_path: Path) -> None:
    settings.SNAPSHOT_ROOT = tmp_path / "snapshots"
    settings.RUNS_ROOT = tmp_path / "runs"
    corpus = create_corpus()
    create_record(create_clip(corpus))
    frozen = freeze_snapshot(None, corpus, "v1")
    barrier = threading.Barrier(4)

    def launch(_number: int) -> str:
        barrier.wait()
        try:
            services.launch(None, frozen, "tiny", "same")
        except Conflict:
            return "conflict"
        finally:
            connection.close()
        return "made"

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(launch, range(4))) == ["conflict", "conflict", "conflict", "made"]
    assert TrainingRun.objects.count() == 1


def test_a_launched_run_is_one_row_though_the_runs_folder_is_a_link(
    snapshot: Snapshot, settings, tmp_path: Path
) -> None:
    (tmp_path / "big-disk").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "big-disk")
    settings.RUNS_ROOT = tmp_path / "linked"
    run = services.launch(None, snapshot, "tiny", "one")
    write_run(Path(run.folder), snapshot.digest)
    services.discover()
    assert TrainingRun.objects.get().pk == run.pk


def test_a_run_whose_trainer_died_is_failed_once(snapshot: Snapshot) -> None:
    services.launch(None, snapshot, "tiny", "first")
    run = services.claim_run()
    TrainingRun.objects.filter(pk=run.pk).update(lease_end=Now() - services.LEASE)
    assert services.expire() == 1
    assert services.expire() == 0
    services.finish(run, "done")
    run.refresh_from_db()
    assert run.state == "failed"


@pytest.mark.parametrize(("role", "status"), [(None, 404), ("annotator", 404), ("viewer", 200), ("manager", 200)])
def test_a_run_is_seen_by_those_who_may(snapshot: Snapshot, settings, role: str, status: int) -> None:
    write_run(Path(settings.RUNS_ROOT) / "a", snapshot.digest)
    services.discover()
    client = Client()
    client.force_login(create_member(snapshot.corpus, role) if role else create_user())
    pk = TrainingRun.objects.get().pk
    for url in (f"/experiments/{pk}/", f"/experiments/{pk}/curve.json", f"/api/v1/training-runs/{pk}/"):
        assert client.get(url).status_code == status
    assert client.get(f"/api/v1/checkpoints/{pk}/lineage/").status_code == status
    assert len(client.get("/api/v1/training-runs/").json()["results"]) == (status == 200)


def test_only_a_manager_launches_by_rest_and_page(snapshot: Snapshot) -> None:
    body = {"snapshot": "study/v1", "config": "tiny", "name": "by-rest"}
    for role, status in (("viewer", 403), ("manager", 201)):
        client = Client()
        client.force_login(create_member(snapshot.corpus, role))
        assert client.post("/api/v1/training-runs/", body, content_type="application/json").status_code == status
    page = client.post("/experiments/", {"snapshot": snapshot.pk, "config": "tiny", "name": "by-page"})
    assert page.status_code == 302
    again = client.post("/experiments/", {"snapshot": snapshot.pk, "config": "tiny", "name": "by-page"})
    assert again.status_code == 422
    assert "never overwritten" in again.content.decode()


def test_the_list_asks_as_many_queries_for_many_runs_and_corpora_as_for_one(
    snapshot: Snapshot, settings, django_assert_max_num_queries
) -> None:
    manager = create_member(snapshot.corpus, "manager")
    for i in range(5):
        other = create_corpus(f"other-{i}")
        create_member(other, "manager", manager)
        create_record(create_clip(other, "样本"))
        freeze_snapshot(None, other, "v1")
    client = Client()
    client.force_login(manager)
    for i in range(6):
        folder = write_run(Path(settings.RUNS_ROOT) / f"r{i}", snapshot.digest)
        (folder / "evaluations").mkdir()
        write_json(folder / "evaluations" / "1.json", {"split": "test", "avg": 0.5, "n": 3})
    services.discover()
    with django_assert_max_num_queries(12):
        page = client.get("/experiments/")
    assert page.content.decode().count("tiny-stage2") == 6
    with django_assert_max_num_queries(6):
        assert len(client.get("/api/v1/snapshots/").json()["results"]) == 6
