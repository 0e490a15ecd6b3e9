"""Runs: made in bulk, sent within limits, cancelled, retried, closed; the sweeper finds what nobody carries."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from annotator.celery import app
from annotator.clips.models import Clip
from annotator.core.errors import Conflict, Forbidden, Invalid, NotFound
from annotator.core.models import AuditEntry
from annotator.prelabels import dispatch, progress, services, waiting, work
from annotator.prelabels.baseline import speaker_baseline
from annotator.prelabels.models import Clue, Job, Pipeline, ProsodyMeasures, Run
from annotator.prelabels.runs import close_ended
from tests.support.factories import create_clip, create_corpus, create_member, create_user

pytestmark = pytest.mark.django_db
MakeClip = Callable[..., Clip]


@pytest.fixture
def own_queues() -> Iterator[None]:
    """Queues of the real broker that nobody else sees."""
    before = app.conf.broker_transport_options
    app.conf.broker_transport_options = {**before, "global_keyprefix": f"test-{uuid.uuid4().hex}-"}
    yield
    with dispatch.broker() as connection:
        for queue in dispatch.QUEUES:
            connection.channel().queue_purge(queue)
    app.conf.broker_transport_options = before


def test_jobs_are_made_clip_by_clip_with_what_they_wait_for() -> None:
    corpus = create_corpus()
    clips = [create_clip(corpus) for _ in range(3)]
    run = services.create_run(None, corpus, "emer")
    rows = list(run.jobs.order_by("id").values_list("clip_id", "step", "after", "queue"))
    assert [row[0] for row in rows] == [clip.pk for clip in clips for _ in range(6)]
    by_step = {step: (set(after), queue) for _clip, step, after, queue in rows}
    assert by_step["measured_prosody"] == (set(), "cpu")
    assert by_step["merge"] == (
        {"measured_prosody", "au_expression", "visual_clue", "audio_clue", "disambiguate"},
        "llm",
    )


def test_a_prelabeller_named_in_two_ways_is_run_once() -> None:
    run = services.create_run(None, create_clip().corpus, prelabellers=["measured_prosody", "measured-prosody"])
    assert run.jobs.count() == 1


def test_a_pipeline_is_one_version_until_its_content_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    from annotator.prelabels import plans

    corpus = create_clip().corpus
    first, second = (services.create_run(None, corpus, "measured").pipeline for _ in range(2))
    assert first == second
    monkeypatch.setitem(plans.PIPELINES, "measured", {"version": "2", "steps": ["au_expression", "coarse_template"]})
    third = services.create_run(None, corpus, "measured").pipeline
    assert (first.version, third.version) == (1, 2)
    assert len(Pipeline.objects.get(name="measured", version=1).definition["steps"]) == 3


@pytest.mark.parametrize(
    ("chosen", "named"),
    [
        ({"pipeline_name": "nonsense"}, "nonsense"),
        ({"prelabellers": ["au-expression", "no-such-model"]}, "no-such-model"),
        ({"clip_names": ["here", "不存在"]}, "不存在"),
    ],
)
def test_what_does_not_exist_is_named_and_nothing_is_made(chosen: dict[str, Any], named: str) -> None:
    corpus = create_clip(name="here").corpus
    with pytest.raises(Invalid, match=named):
        services.create_run(None, corpus, **chosen)
    assert not Run.objects.exists()


def test_withdrawn_clips_get_no_jobs_and_an_empty_corpus_no_run() -> None:
    clip = create_clip(withdrawn_at=timezone.now())
    with pytest.raises(Invalid, match="no clips"):
        services.create_run(None, clip.corpus)
    assert not Run.objects.exists()


@pytest.mark.parametrize("role", ["viewer", "annotator", "reviewer"])
def test_only_managers_start_cancel_and_retry(role: str) -> None:
    corpus = create_clip().corpus
    user = create_member(corpus, role)
    run = services.create_run(create_member(corpus, "manager"), corpus)
    for forbidden in (
        lambda: services.create_run(user, corpus),
        lambda: services.cancel_run(user, run),
        lambda: services.retry_run(user, run),
    ):
        with pytest.raises(Forbidden):
            forbidden()
    with pytest.raises(NotFound):
        services.create_run(create_user(), corpus)


def test_starting_cancelling_and_retrying_leave_one_audit_entry_each() -> None:
    corpus = create_clip().corpus
    manager = create_member(corpus, "manager")
    run = services.create_run(manager, corpus)
    run.jobs.filter(position=0).update(state="failed", reason="because")
    services.retry_run(manager, run)
    services.cancel_run(manager, run)
    entries = AuditEntry.objects.filter(target=str(run.pk)).order_by("id")
    assert list(entries.values_list("action", "actor_name")) == [
        (f"run.{action}", manager.username) for action in ("start", "retry", "cancel")
    ]


def test_cancelling_stops_what_is_queued_and_keeps_what_a_worker_is_at() -> None:
    clip = create_clip()
    run = services.create_run(None, clip.corpus, prelabellers=["coarse-template", "disambiguate"])
    taken = work.claim(run.jobs.get(step="disambiguate").pk)
    assert taken is not None
    cancelled = services.cancel_run(None, run)
    assert (cancelled.state, cancelled.finished_at) == ("cancelled", None)
    assert run.jobs.get(step="coarse_template").state == "cancelled"
    assert work.finish(taken, work.Outcome("skipped", "nothing to say")) == "skipped"
    dispatch.close_ended(run.pk)
    run.refresh_from_db()
    assert run.state == "cancelled"
    assert run.finished_at is not None
    with pytest.raises(Conflict):
        services.cancel_run(None, run)


def test_a_lost_workers_job_of_a_cancelled_run_is_not_done_again() -> None:
    clip = create_clip()
    run = services.create_run(None, clip.corpus, prelabellers=["coarse-template"])
    job = work.claim(run.jobs.get().pk)
    assert job is not None
    services.cancel_run(None, run)
    Job.objects.update(lease_end=timezone.now() - timedelta(seconds=1))
    assert services.run_job(job.pk) == "cancelled"
    run.refresh_from_db()
    assert run.finished_at is not None


def test_retrying_queues_what_failed_and_leaves_what_is_done(
    whole_clip: MakeClip, scripted: Any, monkeypatch: Any
) -> None:
    clip = whole_clip(create_corpus())
    monkeypatch.setenv("LLM_MODEL", "scripted:http-401")
    run = services.create_run(None, clip.corpus, "emer")
    while waiting.do_one(run):
        pass
    run.refresh_from_db()
    assert run.state == "failed"
    failed = set(run.jobs.filter(state="failed").values_list("step", flat=True))
    assert failed == {"disambiguate", "merge"}
    monkeypatch.setenv("LLM_MODEL", "scripted")
    assert services.retry_run(None, run) == 2
    while waiting.do_one(run):
        pass
    run.refresh_from_db()
    assert run.state == "done"
    assert run.jobs.get(step="audio_clue").attempts == 1
    assert run.jobs.get(step="merge").attempts == 2
    assert run.jobs.get(step="merge").calls == 2
    with pytest.raises(Conflict):
        services.retry_run(None, run)


def test_retrying_a_cancelled_run_is_refused() -> None:
    run = services.cancel_run(None, services.create_run(None, create_clip().corpus))
    with pytest.raises(Conflict):
        services.retry_run(None, run)


def test_a_speakers_voice_is_measured_against_their_other_clips(whole_clip: MakeClip) -> None:
    corpus = create_corpus()
    clips = [whole_clip(corpus, f"c{i}", f0=f0, speaker="李雷") for i, f0 in enumerate((140, 150, 280))]
    whole_clip(corpus, "stranger", f0=90)
    run = services.create_run(None, corpus, prelabellers=["measured_prosody"])
    while waiting.do_one(run):
        pass
    shift = {
        clue.clip.name: clue.codes["measures"]["f0_re_baseline_st"] for clue in Clue.objects.select_related("clip")
    }
    assert shift["c2"] == pytest.approx(11.4, abs=0.5), "280 Hz over the median of 140 and 150"
    assert shift["stranger"] is None
    assert ProsodyMeasures.objects.count() == 3
    assert Clue.objects.get(clip=clips[2]).provenance["parameters"]["speaker_baseline"] is True


def test_the_baseline_does_not_depend_on_which_job_came_first(whole_clip: MakeClip) -> None:
    corpus = create_corpus()
    for i, f0 in enumerate((140, 170, 200, 230)):
        whole_clip(corpus, f"c{i}", f0=f0, speaker="s")
    texts = []
    for order in ("id", "-id"):
        ProsodyMeasures.objects.all().delete()
        run = services.create_run(None, corpus, prelabellers=["measured_prosody"])
        for pk in run.jobs.order_by(order).values_list("id", flat=True):
            services.run_job(pk)
        jobs = run.jobs.order_by("clip__name")
        texts.append([job.result["clues"][0]["codes"] for job in jobs])
    assert texts[0] == texts[1]
    assert Clue.objects.count() == 4, "the same content stays the current clue"


def test_a_speaker_with_one_other_clip_or_a_broken_one_has_no_baseline(whole_clip: MakeClip, media_root: Any) -> None:
    corpus = create_corpus()
    first = whole_clip(corpus, "a", f0=140, speaker="s")
    broken = whole_clip(corpus, "b", f0=150, speaker="s")
    for path in (broken.media_path, broken.derivatives.get().path):
        (media_root / "media" / path).write_bytes(b"not audio")
    assert speaker_baseline(first) is None
    assert speaker_baseline(create_clip(corpus)) is None


def test_progress_counts_by_step_and_state_and_estimates_the_time(django_assert_max_num_queries: Any) -> None:
    corpus = create_corpus()
    for _ in range(4):
        create_clip(corpus)
    run = services.create_run(None, corpus, "measured")
    for _ in range(6):
        waiting.do_one(run)
    with django_assert_max_num_queries(2):
        found = progress.run_progress(run)
    assert (found["jobs"], found["ended"], found["percent"]) == (12, 6, 50.0)
    assert found["rate"] > 0
    assert found["eta_seconds"] >= 0
    assert [row["step"] for row in found["steps"]] == ["measured_prosody", "au_expression", "coarse_template"]


def test_waiting_without_a_worker_does_the_jobs_here_and_says_so(own_queues: None) -> None:
    said: list[str] = []
    run = services.create_run(None, create_clip().corpus)
    assert services.wait_for(run, say=said.append).state == "done"
    assert "No worker answers" in said[0]


def test_a_run_is_not_closed_over_jobs_that_a_retry_is_queueing(transactional_db: None) -> None:
    """The worker that ends the last job asks while the retry has locked the run and not yet committed."""
    clip = create_clip()
    run = services.create_run(None, clip.corpus, prelabellers=["coarse-template"])
    run.jobs.update(state="failed", reason="why")
    Run.objects.update(state="running")
    closed: list[int] = []

    def close() -> None:
        closed.append(close_ended(run.pk))
        connection.close()

    closing = threading.Thread(target=close)
    with transaction.atomic():
        services.retry_run(None, run)
        closing.start()
        wait_for_a_lock()
    closing.join(10)
    run.refresh_from_db()
    assert (closed, run.state, run.finished_at) == ([0], "running", None)


def test_cancelling_while_the_first_jobs_are_claimed_does_not_deadlock(transactional_db: None) -> None:
    clip = create_clip()
    run = services.create_run(None, clip.corpus, prelabellers=["coarse-template"])
    pk = run.jobs.get().pk
    claimed: list[Any] = []

    def claim() -> None:
        try:
            claimed.append(work.claim(pk))
        except OperationalError as error:
            claimed.append(error)
        connection.close()

    claiming = threading.Thread(target=claim)
    with transaction.atomic():
        Run.objects.select_for_update(no_key=True).get(pk=run.pk)  # what a cancellation does first
        claiming.start()
        wait_for_a_lock()
        services.cancel_run(None, run)
    claiming.join(10)
    assert isinstance(claimed[0], Job)
    run.refresh_from_db()
    assert run.state == "cancelled"
    assert run.jobs.get().state == "running"


def wait_for_a_lock() -> None:
    """Until another connection waits for a lock of ours."""
    for _ in range(100):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
            )
            if cursor.fetchone()[0]:
                return
        time.sleep(0.02)
    raise AssertionError("nobody waits")
