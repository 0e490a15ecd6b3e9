"""Shifts: workers are called, take jobs in batches over all runs, write their ends in groups, and lose nothing."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from annotator.celery import app
from annotator.checking.models import Record
from annotator.clips.models import Clip
from annotator.core import invariants
from annotator.prelabels import claims, dispatch, endings, services, shifts, work
from annotator.prelabels.leases import keeper
from annotator.prelabels.models import Clue, DescriptionDraft, Job, PreLabeller, Run
from annotator.prelabels.signals import draft_written
from models_ml.steps import StepResult
from tests.support import scripted_server
from tests.support.factories import create_clip, create_corpus

pytestmark = pytest.mark.django_db(transaction=True)
MakeClip = Callable[..., Clip]


@pytest.fixture
def own_queues(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Queues of the real broker that nobody else sees."""
    before = app.conf.broker_transport_options
    app.conf.broker_transport_options = {**before, "global_keyprefix": f"test-{uuid.uuid4().hex}-"}
    dispatch.forget()
    yield
    monkeypatch.undo()
    answer_calls()
    app.conf.broker_transport_options = before


@pytest.fixture(autouse=True)
def quiet(own_queues: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """No shift waits for work that may come."""
    monkeypatch.setattr("annotator.prelabels.crew.LINGER_SECONDS", 0.0)


def calls_waiting() -> dict[str, int | None]:
    return {queue: depth for queue in dispatch.QUEUES if (depth := dispatch.depth_of(queue))}


def answer_calls() -> None:
    """Somebody takes the calls out of the queues."""
    with dispatch.broker() as link:
        for queue in dispatch.QUEUES:
            link.channel().queue_purge(queue)
    dispatch.forget()


def text_run(clips: int, *steps: str, corpus: Any = None) -> Run:
    corpus = corpus or create_corpus()
    for number in range(clips):  # each says something else: the same question is asked once
        create_clip(corpus, en=f"Line {number}: why do you come only now?")
    return services.create_run(None, corpus, prelabellers=steps or ["disambiguate"])


def states(run: Run) -> dict[str, int]:
    found: dict[str, int] = {}
    for state in run.jobs.values_list("state", flat=True):
        found[state] = found.get(state, 0) + 1
    return found


def expire(run: Run) -> None:
    run.jobs.filter(state="running").update(lease_end=timezone.now() - timedelta(seconds=1))


# --- Calls ------------------------------------------------------------------------------------------------------------


def test_a_run_calls_workers_to_the_queues_that_have_work() -> None:
    create_clip(corpus := create_corpus())
    services.create_run(None, corpus, prelabellers=["disambiguate", "measured-prosody", "coarse-template"])
    assert calls_waiting() == {"cpu": 1}, "what must wait for others calls nobody"


def test_one_call_waits_in_a_queue_however_much_there_is_to_do() -> None:
    text_run(30)
    text_run(30)
    for _ in range(3):
        dispatch.sweep()
    assert calls_waiting() == {"llm": 1}


def test_a_call_that_was_lost_is_sent_again_by_the_sweeper() -> None:
    text_run(1)
    answer_calls()
    assert dispatch.sweep()["called"] == 1
    assert calls_waiting() == {"llm": 1}


def test_nobody_is_called_where_nothing_is_to_be_done() -> None:
    run = text_run(1)
    run.jobs.update(not_before=timezone.now() + timedelta(minutes=1))
    answer_calls()
    assert dispatch.sweep()["called"] == 0
    Run.objects.update(state="paused", reason="for now")
    run.jobs.update(not_before=None)
    assert dispatch.sweep()["called"] == 0
    assert calls_waiting() == {}


def test_a_step_that_has_ended_calls_workers_to_those_that_wait_for_it(scripted: Any) -> None:
    run = text_run(1, "measured-prosody", "disambiguate", "coarse-template")
    assert not run.jobs.get(step="coarse_template").ready
    answer_calls()
    services.run_job(run.jobs.get(step="measured_prosody").pk)
    assert calls_waiting()["llm"] == 1
    answer_calls()
    services.run_job(run.jobs.get(step="disambiguate").pk)
    assert calls_waiting() == {"cpu": 1}


def test_a_broker_that_is_down_fails_no_request_and_loses_no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.conf, "broker_write_url", "redis+socket:///nowhere/redis.sock")
    began = time.monotonic()
    run = text_run(1, "coarse-template")
    assert dispatch.sweep()["called"] == 0
    assert services.run_job(run.jobs.get().pk) == "done"
    assert time.monotonic() - began < 10


def test_the_sweeper_closes_a_run_that_its_last_worker_did_not_live_to_close() -> None:
    run = text_run(1)
    run.jobs.update(state="done")
    assert dispatch.sweep()["closed"] == 1
    run.refresh_from_db()
    assert run.state == "done"


# --- Batches ----------------------------------------------------------------------------------------------------------


def test_a_shift_does_all_jobs_of_all_runs(whole_clip: MakeClip) -> None:
    corpus = create_corpus()
    clips = [whole_clip(corpus, f0=150 + 10 * i) for i in range(3)]
    runs = [services.create_run(None, corpus, "measured") for _ in range(2)]
    others = services.create_run(None, create_clip().corpus, prelabellers=["coarse-template"])
    while shifts.shift("media") + shifts.shift("cpu"):
        pass
    for run in (*runs, others):
        run.refresh_from_db()
        assert run.state == "done"
        assert set(states(run)) <= {"done", "skipped"}
    assert set(Record.objects.filter(grade="coarse", clip__in=clips).values_list("clip_id", flat=True)) == {
        clip.pk for clip in clips
    }
    assert Clue.objects.filter(superseded_at=None).count() == 6
    assert invariants.broken() == []


def test_a_batch_is_taken_and_written_in_a_fixed_number_of_queries(django_assert_max_num_queries: Any) -> None:
    text_run(40, "measured-prosody")
    with django_assert_max_num_queries(40):
        assert shifts.shift("cpu") == 40
    text_run(160, "measured-prosody")
    with django_assert_max_num_queries(80):
        assert shifts.shift("cpu") == 160


def test_what_was_taken_and_not_begun_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    run = text_run(5, "coarse-template")
    jobs = claims.take(run.pk, "cpu", {"coarse_template": 5})
    begun: list[int] = []
    assert shifts.work_through(jobs, lambda: len(begun) == 2 or bool(begun.append(1))) == 2
    assert states(run) == {"done": 2, "queued": 3}
    assert set(run.jobs.filter(state="queued").values_list("attempts", "losses", "ready")) == {(0, 0, True)}
    assert shifts.shift("cpu") == 3


def test_two_workers_never_take_the_same_job(scripted: Any) -> None:
    run = text_run(60)
    barrier, taken = threading.Barrier(4), []

    def take() -> None:
        barrier.wait()
        for _ in range(3):
            taken.extend(job.pk for job in claims.take(run.pk, "llm", {"disambiguate": 7}))
        connection.close()

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 60


def test_runs_share_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    long, short = text_run(200, "coarse-template"), text_run(5, "coarse-template")
    ends: list[int] = []
    finish_all = work.finish_all

    def note(ended: Any) -> Any:
        ends.extend(job.run_id for job, _outcome in ended)
        return finish_all(ended)

    monkeypatch.setattr(work, "finish_all", note)
    shifts.shift("cpu")
    assert ends.index(short.pk) < 20, "the second run's first job does not wait for the first run's last"
    assert len(ends) == 205
    assert long.jobs.filter(state="done").count() == 200


def test_a_paused_run_is_left_alone_and_goes_on_where_it_was() -> None:
    run = text_run(4, "coarse-template")
    services.run_job(run.jobs.first().pk)
    services.pause_run(None, run)
    assert shifts.shift("cpu") == 0
    services.resume_run(None, run)
    assert shifts.shift("cpu") == 3
    assert set(run.jobs.values_list("attempts", flat=True)) == {1}


# --- Groups -----------------------------------------------------------------------------------------------------------


def test_one_bad_result_fails_one_job_of_its_group() -> None:
    run = text_run(6, "coarse-template")
    unlucky = run.jobs.order_by("id")[2].clip_id

    def refuse(draft: Any, **_: Any) -> None:
        if draft.clip_id == unlucky:
            raise ValueError("the room above refuses")

    draft_written.connect(refuse)
    try:
        shifts.shift("cpu")
    finally:
        draft_written.disconnect(refuse)
    assert states(run) == {"done": 5, "failed": 1}
    failed = run.jobs.get(state="failed")
    assert (failed.clip_id, failed.error_code) == (unlucky, "not-stored")
    assert DescriptionDraft.objects.count() == Record.objects.count() == 5


def test_a_result_whose_job_was_taken_over_is_dropped_and_the_others_are_written() -> None:
    run = text_run(3, "coarse-template")
    jobs = claims.take(run.pk, "cpu", {"coarse_template": 3})
    ended = [(job, work.perform(job)) for job in jobs]
    Job.objects.filter(pk=jobs[1].pk).update(attempts=7)
    assert list(work.finish_all(ended).values()) == ["done", None, "done"]
    assert DescriptionDraft.objects.count() == 2
    assert work.finish_all(ended) == {job.pk: None for job in jobs}, "an answer lost at commit may be repeated"


def test_a_clip_withdrawn_while_its_job_was_at_work_gets_nothing() -> None:
    run = text_run(2, "coarse-template")
    jobs = claims.take(run.pk, "cpu", {"coarse_template": 2})
    ended = [(job, work.perform(job)) for job in jobs]
    Clip.objects.filter(pk=jobs[0].clip_id).update(withdrawn_at=timezone.now())
    assert list(work.finish_all(ended).values()) == ["skipped", "done"]
    assert not DescriptionDraft.objects.filter(clip=jobs[0].clip_id).exists()


def test_a_group_that_meets_a_cancellation_is_written_all_the_same(whole_clip: MakeClip) -> None:
    """A cancellation locks the jobs that wait for those that have just ended: one of the two is made to yield."""
    run = text_run(20, "measured-prosody", "coarse-template")
    jobs = claims.take(run.pk, "cpu", {"measured_prosody": 20})
    ended = [(job, work.perform(job)) for job in jobs]
    cancelling = threading.Thread(target=lambda: (services.cancel_run(None, run), connection.close()))
    cancelling.start()
    found = work.finish_all(ended)
    cancelling.join()
    assert set(found.values()) == {"skipped"}
    services.tend_run(run.pk)
    assert states(run) == {"skipped": 20, "cancelled": 20}
    assert invariants.broken() == []


def test_a_clip_that_a_step_leaves_out_gets_no_more_jobs_and_no_record(
    monkeypatch: pytest.MonkeyPatch, whole_clip: MakeClip
) -> None:
    kept, left = whole_clip(corpus := create_corpus(), "kept"), whole_clip(corpus, "left")
    run_step = work.run_step

    def leave_out(name: str, found: Any, *args: Any, **options: Any) -> StepResult:
        result = run_step(name, found, *args, **options)
        if name == "au_expression" and found.name == "left":
            result.filtered = "no strong expression: AU12 at 0.3"
        return result

    monkeypatch.setattr(work, "run_step", leave_out)
    run = services.create_run(None, corpus, "measured")
    while shifts.shift("media") + shifts.shift("cpu"):
        pass
    later = run.jobs.get(clip=left, step="coarse_template")
    assert (later.state, later.error_code, later.reason) == ("skipped", "filtered", "no strong expression: AU12 at 0.3")
    assert run.jobs.get(clip=kept, step="coarse_template").state == "done"
    assert list(Record.objects.values_list("clip", flat=True)) == [kept.pk]
    assert invariants.broken() == []


# --- Descriptions -----------------------------------------------------------------------------------------------------


def test_only_the_last_description_of_a_run_becomes_a_record(scripted: Any) -> None:
    run = text_run(3, "coarse-template", "merge")
    published: list[int] = []

    def note(draft: Any, **_: Any) -> None:
        published.append(draft.pk)

    draft_written.connect(note)
    try:
        shifts.shift("cpu")
        assert (DescriptionDraft.objects.count(), published) == (3, [])
        shifts.shift("llm")
    finally:
        draft_written.disconnect(note)
    last = DescriptionDraft.objects.filter(job__step="merge")
    assert sorted(published) == sorted(last.values_list("pk", flat=True))
    assert Record.objects.count() == 3
    run.refresh_from_db()
    assert run.state == "done"
    assert invariants.broken() == []


def test_where_the_last_description_fails_the_one_before_it_is_the_runs_last_word(
    scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_MODEL", "scripted:refuse")
    run = text_run(1, "coarse-template", "merge")
    shifts.shift("cpu")
    assert not Record.objects.exists()
    shifts.shift("llm")
    assert run.jobs.get(step="merge").state == "failed"
    assert Record.objects.get().current.draft.job.step == "coarse_template"
    assert invariants.broken() == []


# --- Lost workers -----------------------------------------------------------------------------------------------------


def test_what_a_lost_worker_was_at_is_queued_again_and_counted() -> None:
    run = text_run(5)
    claims.take(run.pk, "llm", {"disambiguate": 5})
    assert dispatch.sweep()["recovered"] == 0
    expire(run)
    assert dispatch.sweep()["recovered"] == 5
    assert set(run.jobs.values_list("state", "attempts", "losses", "calls", "ready")) == {("queued", 1, 1, 1, True)}


def test_a_job_that_loses_workers_is_worked_on_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    run = text_run(6, "coarse-template")
    run.jobs.filter(pk__in=list(run.jobs.values_list("pk", flat=True)[:2])).update(losses=claims.SUSPECT)
    assert len(claims.take(run.pk, "cpu", {"coarse_template": 6})) == 4
    run.jobs.filter(state="running").update(state="queued", lease_end=None)
    held: list[int] = []
    perform = work.perform

    def note(each: Any) -> Any:
        held.append(Job.objects.filter(state="running").count())
        return perform(each)

    monkeypatch.setattr(work, "perform", note)
    assert shifts.shift("cpu") == 6
    assert held[:2] == [1, 1]


def test_one_thread_renews_the_leases_of_all_jobs(settings: Any) -> None:
    settings.PRELABEL_LEASE_SECONDS = 0.6
    run = text_run(20)
    jobs = claims.take(run.pk, "llm", {"disambiguate": 20})
    keeper.add(jobs)
    time.sleep(1.5)
    assert claims.recover() == 0
    Job.objects.filter(pk=jobs[3].pk).update(attempts=9)
    time.sleep(0.5)
    assert [keeper.lost(job) for job in jobs[2:5]] == [False, True, False]
    assert sum(thread.name == "leases" for thread in threading.enumerate()) == 1
    keeper.drop(jobs)
    time.sleep(0.9)
    assert claims.recover() == 20


# --- Crews ------------------------------------------------------------------------------------------------------------


def server_of(monkeypatch: pytest.MonkeyPatch, server: scripted_server.Running, **more: str) -> None:
    for name, value in {"BASE_URL": server.base_url, "MODEL": "scripted", "MAX_RETRIES": "0", **more}.items():
        monkeypatch.setenv(f"LLM_{name}", value)


def test_a_crew_keeps_many_calls_in_flight(no_models: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    with scripted_server.running(tmp_path / "calls.jsonl", delay=0.5) as server:
        server_of(monkeypatch, server)
        run = text_run(60)
        began = time.monotonic()
        assert shifts.shift("llm") == 60
        took = time.monotonic() - began
    assert took < 10, "one after another they take 30 s"
    assert states(run) == {"done": 60}
    assert set(run.jobs.values_list("attempts", "calls", "losses")) == {(1, 1, 0)}
    assert not [thread for thread in threading.enumerate() if thread.name == "crew"]


def test_a_slow_server_keeps_nobody_waiting_who_asks_another(
    no_models: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    with (
        scripted_server.running(tmp_path / "slow.jsonl", delay=2.5) as slow,
        scripted_server.running(tmp_path / "fast.jsonl") as fast,
    ):
        server_of(monkeypatch, slow, CONCURRENCY="1")
        PreLabeller.objects.create(
            name="fast", kind="server", modality="text", model="scripted", base_url=fast.base_url, trust="inside"
        )
        waits, flows = text_run(2), text_run(40, "fast")
        crew = threading.Thread(target=lambda: (shifts.shift("llm", seconds=1.0), connection.close()))
        crew.start()
        time.sleep(2.0)
        assert flows.jobs.filter(state="done").count() == 40
        assert waits.jobs.filter(state="done").count() == 0
        crew.join()
    assert waits.jobs.filter(state="done").count() >= 1, "a call that is in flight at the end of the shift is awaited"


def test_steps_whose_model_is_not_configured_fail_without_a_thread(no_models: None) -> None:
    run = text_run(10)
    assert shifts.shift("llm") == 10
    assert set(run.jobs.values_list("state", "error_code")) == {("failed", "not-configured")}


def test_every_end_of_a_crew_is_written_once(scripted: Any) -> None:
    run = text_run(50, "disambiguate", "merge")
    crews = [threading.Thread(target=lambda: (shifts.shift("llm"), connection.close())) for _ in range(2)]
    for crew in crews:
        crew.start()
    for crew in crews:
        crew.join()
    shifts.shift("llm")
    assert states(run) == {"done": 100}
    assert len(scripted.calls()) == 100
    assert DescriptionDraft.objects.count() == Record.objects.count() == 50
    assert endings.publishing.publish([]) == 0
    run.refresh_from_db()
    assert run.state == "done"
    assert invariants.broken() == []
