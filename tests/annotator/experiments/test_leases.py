"""A run is trained by one trainer at a time; one that died is followed by another, a bounded number of times."""

import fcntl
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now

from annotator.core.errors import Conflict
from annotator.experiments import leases, services
from annotator.experiments.models import TrainingRun
from annotator.experiments.tasks import sweep
from annotator.snapshots.models import Snapshot
from annotator.snapshots.services import freeze_snapshot
from tests.annotator.experiments.written import write_checkpoint, write_run
from tests.support.factories import create_clip, create_corpus, create_member, create_record

pytestmark = pytest.mark.django_db


def launched(snapshot: Snapshot, name: str = "first") -> TrainingRun:
    return services.launch(None, snapshot, "tiny", name)


def die(run: TrainingRun, ago: timedelta = timedelta(seconds=1)) -> None:
    """Its trainer was killed: the lease has run out."""
    TrainingRun.objects.filter(pk=run.pk).update(lease_end=Now() - ago)


def again(run: TrainingRun) -> TrainingRun:
    run.refresh_from_db()
    return run


def test_a_queued_run_is_taken_once_and_renewed_until_it_is_cancelled(snapshot: Snapshot) -> None:
    run = launched(snapshot)
    taken = leases.claim_run()
    assert taken is not None
    assert (taken.pk, taken.state, taken.attempts, taken.losses) == (run.pk, "running", 1, 0)
    assert leases.claim_run() is None
    assert leases.heartbeat(taken)
    services.cancel(create_member(snapshot.corpus, "manager"), taken)
    assert not leases.heartbeat(taken)
    assert leases.finish(taken, "cancelled", "cancelled by a person")
    assert not leases.finish(taken, "done")
    assert again(run).state == "cancelled"


def test_the_database_refuses_a_run_that_is_trained_without_a_lease(snapshot: Snapshot) -> None:
    run = launched(snapshot)
    with pytest.raises(IntegrityError), transaction.atomic():
        TrainingRun.objects.filter(pk=run.pk).update(state="running", lease_end=None)


@pytest.mark.django_db(transaction=True)
def test_of_many_trainers_each_run_gets_one(roots: Path) -> None:
    corpus = create_corpus()
    create_record(create_clip(corpus))
    frozen = freeze_snapshot(None, corpus, "v1")
    for name in ("a", "b"):
        launched(frozen, name)
    lost = launched(frozen, "lost")
    die(leases.claim_run())  # the oldest, a
    barrier = threading.Barrier(8)

    def claim(_number: int) -> list[int]:
        barrier.wait()
        found = []
        try:
            while (run := leases.claim_run()) is not None:
                found.append(run.pk)
        finally:
            connection.close()
        return found

    with ThreadPoolExecutor(8) as pool:
        taken = [pk for found in pool.map(claim, range(8)) for pk in found]
    assert sorted(taken) == sorted(TrainingRun.objects.values_list("pk", flat=True))
    assert lost.pk in taken
    assert list(TrainingRun.objects.order_by("name").values_list("name", "attempts", "losses")) == [
        ("a", 2, 1), ("b", 1, 0), ("lost", 1, 0),
    ]  # fmt: skip


def test_what_a_dead_trainer_had_begun_the_next_one_goes_on_with(snapshot: Snapshot) -> None:
    first = leases.claim_run() if launched(snapshot) else None
    write_run(Path(first.folder), snapshot.digest, state="running")
    assert leases.claim_run() is None  # its lease still holds
    die(first)
    second = leases.claim_run()
    assert (second.pk, second.attempts, second.losses) == (first.pk, 2, 1)
    assert not leases.heartbeat(first)  # the dead one came back: it is no longer its run
    assert not leases.finish(first, "failed", "late")
    assert not leases.lose(first, "late")
    assert not leases.release(first)
    assert again(first).state == "running"
    assert leases.finish(second, "done", result={"loss": 1.0})


def test_a_run_whose_child_is_still_saving_is_not_taken_over(snapshot: Snapshot) -> None:
    run = leases.claim_run() if launched(snapshot) else None
    folder = write_run(Path(run.folder), snapshot.digest, state="running")
    die(run)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert leases.claim_run() is None
        assert leases.expire() == 0
    assert leases.claim_run().pk == run.pk


def test_a_run_that_takes_every_process_with_it_ends_with_the_number_of_losses(snapshot: Snapshot) -> None:
    run = launched(snapshot)
    for loss in range(1, leases.MAX_LOSSES):
        taken = leases.claim_run()
        if loss % 2:
            die(taken)
        else:
            assert leases.lose(taken, "it was ended by SIGKILL")
            assert "SIGKILL" in again(run).reason
    taken = leases.claim_run()
    assert taken.losses == leases.MAX_LOSSES - 1
    assert not leases.lose(taken, "it was ended by SIGKILL")
    assert again(run).state == "failed"
    assert f"lost {leases.MAX_LOSSES} times" in run.reason
    assert "SIGKILL" in run.reason
    services.resume(None, run)  # a person may try again
    assert again(run).losses == 0
    assert leases.claim_run().attempts == leases.MAX_LOSSES + 1


def test_the_sweeper_ends_what_was_lost_too_often_and_leaves_the_rest_to_a_trainer(snapshot: Snapshot) -> None:
    run = leases.claim_run() if launched(snapshot) else None
    die(run)
    assert sweep()["expired"] == 0
    TrainingRun.objects.filter(pk=run.pk).update(losses=leases.MAX_LOSSES - 1)
    assert sweep()["expired"] == 1
    assert sweep()["expired"] == 0
    assert again(run).state == "failed"
    assert run.host in run.reason


def test_without_any_trainer_a_lost_run_fails_in_the_end(snapshot: Snapshot) -> None:
    run = leases.claim_run() if launched(snapshot) else None
    die(run, leases.WAITS_FOR + timedelta(seconds=1))
    assert sweep()["expired"] == 1
    assert again(run).state == "failed"
    assert "no trainer" in run.reason


def test_another_host_leaves_a_run_whose_folder_it_does_not_have(snapshot: Snapshot) -> None:
    run = launched(snapshot)
    assert leases.claim_run("one").pk == run.pk
    die(run)
    assert leases.claim_run("two") is None
    write_run(Path(run.folder), snapshot.digest, state="running")  # the folder is shared after all
    taken = leases.claim_run("two")
    assert (taken.pk, taken.host) == (run.pk, "two")


def test_a_lost_run_that_was_to_be_cancelled_or_was_finished_needs_no_trainer(snapshot: Snapshot) -> None:
    cancelled, finished = launched(snapshot, "cancelled"), launched(snapshot, "finished")
    for run in (leases.claim_run(), leases.claim_run()):
        die(run)
    services.cancel(None, cancelled)
    write_run(Path(finished.folder), snapshot.digest, state="finished")
    assert leases.claim_run() is None
    assert again(cancelled).state == "cancelled"
    assert (again(finished).state, finished.result["loss"]) == ("done", 2.5)


def test_a_trainer_that_is_stopped_gives_its_run_back(snapshot: Snapshot) -> None:
    run = launched(snapshot)
    assert leases.release(leases.claim_run())
    assert (again(run).state, run.losses) == ("queued", 0)
    assert leases.claim_run().attempts == 2


@pytest.mark.django_db(transaction=True)
def test_trouble_of_the_trainers_own_fails_the_run_and_not_the_trainer(snapshot: Snapshot, settings: Any) -> None:
    run = launched(snapshot)
    settings.VAR.mkdir()
    (settings.VAR / "logs").write_text("a file where the folder of logs should be")
    call_command("trainer", "--once")
    assert again(run).state == "failed"
    assert "FileExistsError" in run.reason


@pytest.mark.parametrize("state", ["queued", "running", "done"])
def test_only_what_ended_without_success_is_resumed(snapshot: Snapshot, state: str) -> None:
    run = launched(snapshot)
    if state != "queued":
        leases.finish(leases.claim_run(), state) if state == "done" else leases.claim_run()
    with pytest.raises(Conflict, match="failed or was cancelled"):
        services.resume(None, run)


def test_a_run_on_a_withdrawn_clip_is_neither_launched_nor_resumed_nor_begun_from(snapshot: Snapshot) -> None:
    from annotator.clips.services import withdraw_clip
    from annotator.experiments import discovery

    run = launched(snapshot)
    leases.finish(leases.claim_run(), "failed", "exit 1")
    folder = write_run(Path(run.folder), snapshot.digest)
    write_checkpoint(folder, 3)
    discovery.find_checkpoints()
    checkpoint = run.checkpoints.get()
    clip = snapshot.entries.get().revision.record.clip
    withdraw_clip(None, clip, "consent withdrawn")
    with pytest.raises(Conflict, match="withdrawn"):
        services.resume(None, run)
    with pytest.raises(Conflict, match="withdrawn"):
        launched(snapshot, "second")
    with pytest.raises(Conflict, match="样本"):
        services.promote(None, checkpoint)
    create_record(create_clip(snapshot.corpus, "另一段"))
    fresh = freeze_snapshot(None, snapshot.corpus, "v2")
    with pytest.raises(Conflict, match="样本"):
        services.launch(None, fresh, "tiny", "third", init=checkpoint)
    assert services.launch(None, fresh, "tiny", "third").pk
