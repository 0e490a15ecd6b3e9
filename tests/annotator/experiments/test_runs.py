"""Runs are found by their folders, launched once, shown to those who may see their corpus."""

import fcntl
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client

from annotator.core.errors import Conflict, Invalid
from annotator.core.models import AuditEntry
from annotator.experiments import commands, configs, discovery, folders, leases, services
from annotator.experiments.models import Evaluation, TrainingRun
from annotator.snapshots.models import Snapshot
from annotator.snapshots.services import freeze_snapshot
from tests.annotator.experiments.written import write_checkpoint, write_evaluation, write_run
from tests.support.factories import create_clip, create_corpus, create_member, create_record, create_user
from training.config import load_config, names

pytestmark = pytest.mark.django_db


def test_a_run_started_by_hand_anywhere_is_listed_through_the_index(
    snapshot: Snapshot, settings, tmp_path: Path
) -> None:
    folder = write_run(tmp_path / "elsewhere" / "my-run", snapshot.digest)
    index = Path(settings.RUNS_ROOT) / "index.jsonl"
    index.parent.mkdir()
    index.write_text(json.dumps({"run": str(folder)}) + '\n{"run": "cut sho')
    discovery.discover()
    discovery.discover()
    run = TrainingRun.objects.get()
    assert (run.name, run.config, run.state, run.snapshot) == ("my-run", "tiny-stage2", "done", snapshot)
    assert run.result["loss"] == 2.5
    assert not run.launched


@pytest.mark.parametrize("body", [{"snapshot": []}, {"snapshot": {"digest": 5}}, {"lineage": "x"}, {"config": 1}])
def test_a_strange_folder_breaks_no_page(snapshot: Snapshot, settings, body: dict) -> None:
    folder = write_run(Path(settings.RUNS_ROOT) / "a", snapshot.digest)
    known = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**known, **body, "environment": 3, "media": None}))
    write_evaluation(folder, "1", ci95=[1], snapshot="x")
    discovery.discover()
    client = Client()
    client.force_login(create_user(is_superuser=True))
    pk = TrainingRun.objects.get().pk
    for url in (f"/experiments/{pk}/", "/experiments/", "/experiments/results/", f"/api/v1/training-runs/{pk}/"):
        assert client.get(url).status_code == 200


def test_evaluations_of_a_folder_are_taken_once(snapshot: Snapshot, settings) -> None:
    folder = write_run(Path(settings.RUNS_ROOT) / "a", snapshot.digest)
    write_evaluation(folder, "1")
    (folder / "evaluations" / "2.json").write_text("{half")
    discovery.discover()
    discovery.discover()
    assert [e.report["avg"] for e in Evaluation.objects.all()] == [0.5]


def test_a_killed_run_is_failed_and_a_living_one_is_running(snapshot: Snapshot, settings) -> None:
    folder = write_run(Path(settings.RUNS_ROOT) / "a", snapshot.digest, state="running")
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        discovery.discover()
        assert TrainingRun.objects.get().state == "running"
    discovery.discover()
    run = TrainingRun.objects.get()
    assert run.state == "failed"
    assert "--resume" in run.reason


def test_the_curve_has_columns_and_survives_a_cut_line(snapshot: Snapshot, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", snapshot.digest)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    assert folders.read_curve(folder) == {"step": [1, 2, 3], "loss": [4.5, 4.0, 3.5], "lr": [1e-4] * 3}
    assert folders.last_metrics(folder)["step"] == 3
    assert folders.read_curve(tmp_path / "nowhere")["step"] == []
    assert folders.last_metrics(tmp_path / "nowhere") == {}


def test_a_long_curve_is_thinned_but_ends_where_the_run_ends(
    snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "CURVE_POINTS", 5)
    curve = folders.read_curve(write_run(tmp_path / "a", snapshot.digest, steps=18))
    assert curve["step"] == [1, 4, 7, 10, 13, 16, 18]


def test_the_logs_end_is_plain_text_of_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(
        b"".join(b"line %d\n" % n for n in range(5000)) + b"1 %\r50 %\r100 %\r\n\x1b[31mred\x1b[0m\x00\n\xff<b>\n\n"
    )
    told = folders.log_tail(log).splitlines()
    assert len(told) == folders.LOG_LINES
    assert told[-3:] == ["100 %", "red", "\ufffd<b>"]
    assert folders.log_tail(tmp_path / "none") == ""


@pytest.mark.parametrize(("config", "name"), [("nothing", "a"), ("../../etc/x.yaml", "a"), ("tiny", "../a"),
                                              ("tiny", ""), ("tiny", "a\n"), ("tiny-stage1", "a")])  # fmt: skip
def test_a_wrong_launch_is_refused(snapshot: Snapshot, config: str, name: str) -> None:
    with pytest.raises(Invalid) as caught:
        services.launch(None, snapshot, config, name)
    assert set(caught.value.extra["errors"]) <= {"config", "name"}
    assert not TrainingRun.objects.exists()


def test_the_configs_that_fit_are_those_of_training(snapshot: Snapshot) -> None:
    coarse, fine = configs.fitting("coarse"), configs.fitting("fine")
    assert set(names()) <= {*coarse, *fine}
    for name in coarse:
        assert load_config(name).grade == "coarse"
    for name in fine:
        assert load_config(name).grade == "fine"
    assert {"tiny-stage1", "affectgpt-2024-stage1"} <= set(coarse)
    assert "tiny" in fine
    assert configs.preferred("coarse") == "tiny-stage1"


def test_overrides_are_checked_at_launch_and_reach_the_command_line_as_json(snapshot: Snapshot) -> None:
    for wrong in ({"train.epocs": 1}, {"train.epochs": "many"}, {"--init": "x"}, {"data.frames": 0}):
        with pytest.raises(Invalid, match="config") as caught:
            services.launch(None, snapshot, "tiny", "wrong", wrong)
        assert "overrides" in caught.value.extra["errors"]
    given = {"train.iters_per_epoch": None, "data.subtitle": False, "train.betas": [0.9, 0.95], "train.lr": "1e-4"}
    words = commands.fit_command(services.launch(None, snapshot, "tiny", "right", given), Path("media"))
    settings = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    config = load_config("tiny", settings)
    assert (config.train.iters_per_epoch, config.data.subtitle) == (None, False)
    assert (config.train.betas, config.train.lr) == ([0.9, 0.95], 1e-4)


def test_the_trainer_starts_training_as_its_host_wants(snapshot: Snapshot, settings) -> None:
    run = services.launch(None, snapshot, "tiny", "first", text_only=True)
    assert commands.fit_command(run, Path("m"))[:4] == [sys.executable, "-m", "training", "fit"]
    settings.TRAINING_LAUNCH = ["accelerate", "launch", "-m"]
    words = commands.fit_command(run, Path("m"), resume=True)
    assert words[:5] == ["accelerate", "launch", "-m", "training", "fit"]
    assert words[-2:] == ["--no-register", "--resume"]
    assert words[words.index("--missing-media") + 1] == "text-only"


def test_the_commands_for_a_cluster_are_whole_words_for_a_shell(snapshot: Snapshot, settings) -> None:
    import shlex

    folder = write_run(Path(settings.RUNS_ROOT) / "erste stufe", snapshot.digest)
    write_checkpoint(folder, 3)
    discovery.discover()
    discovery.find_checkpoints()
    init = TrainingRun.objects.get().checkpoints.get()
    hostile = {"prompt.question": "Why? $(rm -rf /) `x` 'y'"}
    told = commands.for_cluster("https://lab.example", snapshot, "tiny", "v1", hostile, init)
    lines = {name: text.replace("\\\n", "") for name, text in told.items()}  # as a shell reads them
    words = shlex.split(lines["one"])
    assert words[:6] == ["python", "-m", "training", "fit", "--config", "tiny"]
    assert words[words.index("--init") + 1].endswith("erste stufe/checkpoints/step-00000003")
    assert words[words.index("--set") + 1] == "prompt.question=Why? $(rm -rf /) `x` 'y'"
    assert shlex.split(lines["many"])[:4] == ["accelerate", "launch", "-m", "training"]
    fetched = shlex.split(lines["fetch"])
    assert fetched[4] == f"https://lab.example/api/v1/snapshots/{snapshot.pk}/"
    assert fetched[-1] == words[words.index("--snapshot") + 1]


@pytest.mark.django_db(transaction=True)
def test_two_launches_of_one_name_at_once_make_one_run(roots: Path) -> None:
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
    discovery.discover()
    assert TrainingRun.objects.get().pk == run.pk


def test_of_a_launched_run_the_row_decides_but_for_one_that_was_finished_by_hand(snapshot: Snapshot) -> None:
    run = services.launch(None, snapshot, "tiny", "one")
    folder = write_run(Path(run.folder), snapshot.digest, state="stopped")
    discovery.discover()  # released by a trainer that was stopped: it waits
    run.refresh_from_db()
    assert run.state == "queued"
    leases.finish(leases.claim_run(), "failed", "exit 1: no space left")
    discovery.discover()
    run.refresh_from_db()
    assert (run.state, run.reason) == ("failed", "exit 1: no space left")
    body = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**body, "state": "finished", "result": {"loss": 1.0}}))
    discovery.discover()
    run.refresh_from_db()
    assert (run.state, run.result) == ("done", {"loss": 1.0})


@pytest.mark.parametrize(("role", "status"), [(None, 404), ("annotator", 404), ("viewer", 200), ("manager", 200)])
def test_a_run_is_seen_by_those_who_may(snapshot: Snapshot, settings, role: str, status: int) -> None:
    folder = write_run(Path(settings.RUNS_ROOT) / "a", snapshot.digest)
    write_checkpoint(folder, 3)
    write_evaluation(folder, "1")
    discovery.discover()
    discovery.find_checkpoints()
    client = Client()
    client.force_login(create_member(snapshot.corpus, role) if role else create_user())
    run = TrainingRun.objects.get()
    pk, checkpoint = run.pk, run.checkpoints.get().pk
    for url in (
        f"/experiments/{pk}/", f"/experiments/{pk}/curve.json", f"/experiments/checkpoints/{checkpoint}/",
        f"/api/v1/training-runs/{pk}/", f"/api/v1/checkpoints/{checkpoint}/",
        f"/api/v1/checkpoints/{checkpoint}/lineage/",
    ):  # fmt: skip
        assert client.get(url).status_code == status, url
    for url in ("/api/v1/training-runs/", f"/api/v1/evaluations/?training_run={pk}&split=test"):
        assert len(client.get(url).json()["results"]) == (status == 200)
    assert (f'"/experiments/{pk}/"' in client.get("/experiments/results/").content.decode()) == (status == 200)
    assert len(client.get("/experiments/results/table.csv?paper=0").content.splitlines()) == 1 + (status == 200)


def test_only_a_manager_launches_cancels_and_resumes(snapshot: Snapshot) -> None:
    body = {"snapshot": "study/v1", "config": "tiny", "name": "by-rest"}
    viewer, manager = Client(), Client()
    viewer.force_login(create_member(snapshot.corpus, "viewer"))
    manager.force_login(create_member(snapshot.corpus, "manager"))
    for client, status in ((viewer, 403), (manager, 201)):
        assert client.post("/api/v1/training-runs/", body, content_type="application/json").status_code == status
    form = {"snapshot": snapshot.pk, "config": "tiny", "name": "by-page", "launch": "1"}
    assert viewer.post("/experiments/new/", form).status_code == 403
    assert viewer.get("/experiments/new/").status_code == 403
    page = manager.post("/experiments/new/", form)
    assert page.status_code == 302
    again = manager.post("/experiments/new/", form)
    assert again.status_code == 422
    assert "never overwritten" in again.content.decode()
    pk = TrainingRun.objects.get(name="by-page").pk
    for what in ("cancel", "resume"):
        for address in (f"/experiments/{pk}/{what}/", f"/api/v1/training-runs/{pk}/{what}/"):
            assert viewer.post(address).status_code == 403, address
    assert manager.post(f"/experiments/{pk}/cancel/").status_code == 302
    answer = manager.post(f"/api/v1/training-runs/{pk}/resume/")
    assert (answer.status_code, answer.json()["state"]) == (200, "queued")
    assert manager.post(f"/api/v1/training-runs/{pk}/resume/").status_code == 409
    assert manager.post(f"/api/v1/training-runs/{pk}/cancel/").json()["state"] == "cancelled"
    done = list(AuditEntry.objects.filter(target="by-page").order_by("id").values_list("action", flat=True))
    assert done == ["training.start", "training.cancel", "training.resume", "training.cancel"]


def test_a_run_by_hand_is_neither_cancelled_nor_resumed_here(snapshot: Snapshot, settings) -> None:
    write_run(Path(settings.RUNS_ROOT) / "a", snapshot.digest, state="stopped")
    discovery.discover()
    run = TrainingRun.objects.get()
    for verb in (services.cancel, services.resume):
        with pytest.raises(Conflict, match="not launched here"):
            verb(None, run)


def test_the_pages_ask_as_many_queries_for_many_runs_as_for_one(
    snapshot: Snapshot, settings, django_assert_max_num_queries, monkeypatch: pytest.MonkeyPatch
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
        write_evaluation(folder, "1")
        for step in (1, 2, 3):
            write_checkpoint(folder, step, b"%d" % step)
    discovery.discover()
    discovery.find_checkpoints()
    with django_assert_max_num_queries(11):
        page = client.get("/experiments/")
    assert page.content.decode().count("tiny-stage2") == 6
    with django_assert_max_num_queries(9):
        page = client.get("/experiments/results/")
    assert page.content.decode().count("tiny-stage2</option>") == 1
    pk = TrainingRun.objects.first().pk
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} was read again"))
    client.get("/experiments/")
    with django_assert_max_num_queries(15):
        assert client.get(f"/experiments/{pk}/").status_code == 200
    with django_assert_max_num_queries(9):
        assert client.get(f"/experiments/{pk}/", headers={"HX-Request": "true"}).status_code == 286
    with django_assert_max_num_queries(16):
        assert client.get("/experiments/new/").status_code == 200
    with django_assert_max_num_queries(6):
        assert len(client.get("/api/v1/snapshots/").json()["results"]) == 6
