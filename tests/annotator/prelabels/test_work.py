"""A job's effect happens exactly once, and every way in which it can end says why."""

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import close_old_connections, connection
from django.utils import timezone

from annotator.checking.models import Record
from annotator.clips.models import Clip
from annotator.core import invariants
from annotator.core.errors import Conflict
from annotator.prelabels import demand, evidence, services, work
from annotator.prelabels.models import CachedAnswer, Clue, DescriptionDraft, Job, PreLabeller, Run
from annotator.prelabels.signals import draft_written
from tests.support.factories import create_clip, create_corpus

pytestmark = pytest.mark.django_db
MakeClip = Callable[..., Clip]


def jobs_of(run: Run, clip: Clip | None = None) -> dict[str, Job]:
    found = run.jobs.all() if clip is None else run.jobs.filter(clip=clip)
    return {job.step: job for job in found}


def do_all(run: Run) -> None:
    """Do every job in the order in which a worker could get them, shuffled as a queue may be."""
    while open_jobs := list(run.jobs.filter(state="queued").order_by("-position", "-id").values_list("id", flat=True)):
        done = [services.run_job(pk) for pk in open_jobs]
        assert any(done), "nothing can be done although jobs are queued"
    run.refresh_from_db()


def test_a_run_makes_one_job_per_clip_and_step_and_measures_voice_and_face(whole_clip: MakeClip) -> None:
    corpus = create_corpus(language="zh")
    clips = [whole_clip(corpus, f"片段_{i}") for i in range(2)]
    run = services.create_run(None, corpus, "measured")
    assert run.jobs.count() == 6
    do_all(run)
    assert (run.state, set(run.jobs.values_list("state", flat=True))) == ("done", {"done"})
    for clip in clips:
        visual, audio = services.clues_for(clip)
        assert (visual.modality, audio.modality) == ("visual", "audio")
        assert visual.language == "zh"
        assert visual.text == visual.texts["zh"]
        assert "AU12" in visual.codes["aus"]
        assert audio.codes["measures"]["f0_median_hz"] == pytest.approx(180, abs=5)
        assert audio.provenance["media_sha256"] == clip.media_sha256
        draft = DescriptionDraft.objects.get(clip=clip)
        assert audio.texts["en"].rstrip(".") in draft.description_en
        assert "你怎么现在才来" in draft.description_zh


def test_what_is_missing_is_skipped_with_its_reason_and_the_rest_goes_on() -> None:
    clip = create_clip()
    run = services.create_run(None, clip.corpus, "measured")
    do_all(run)
    jobs = jobs_of(run)
    assert jobs["measured_prosody"].state == "skipped"
    assert "no media" in jobs["measured_prosody"].reason
    assert "action-unit track" in jobs["au_expression"].reason
    assert jobs["coarse_template"].state == "done"
    assert run.state == "done"


def test_a_step_waits_for_the_steps_before_it(whole_clip: MakeClip) -> None:
    clip = whole_clip(create_corpus())
    jobs = jobs_of(services.create_run(None, clip.corpus, "measured"))
    assert services.run_job(jobs["coarse_template"].pk) is None
    services.run_job(jobs["au_expression"].pk)
    assert services.run_job(jobs["coarse_template"].pk) is None
    services.run_job(jobs["measured_prosody"].pk)
    assert services.run_job(jobs["coarse_template"].pk) == "done"


def test_a_message_delivered_again_does_nothing(whole_clip: MakeClip) -> None:
    clip = whole_clip(create_corpus())
    job = jobs_of(services.create_run(None, clip.corpus, "measured"))["au_expression"]
    assert [services.run_job(job.pk) for _ in range(3)] == ["done", None, None]
    assert Clue.objects.filter(clip=clip).count() == 1
    job.refresh_from_db()
    assert job.attempts == 1


def test_a_job_with_a_live_lease_belongs_to_its_worker(whole_clip: MakeClip) -> None:
    clip = whole_clip(create_corpus())
    job = jobs_of(services.create_run(None, clip.corpus, "measured"))["au_expression"]
    assert work.claim(job.pk) is not None
    assert work.claim(job.pk) is None


def expire(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(lease_end=timezone.now() - timedelta(seconds=1))


def test_a_lost_workers_job_is_taken_over_and_its_late_result_is_dropped(whole_clip: MakeClip) -> None:
    clip = whole_clip(create_corpus())
    job = jobs_of(services.create_run(None, clip.corpus, "measured"))["au_expression"]
    first = work.claim(job.pk)
    assert first is not None
    outcome = work.perform(first)
    expire(job)
    assert services.run_job(job.pk) == "done"
    assert work.finish(first, outcome) is None
    job.refresh_from_db()
    assert (job.attempts, job.losses, job.state) == (2, 1, "done")
    assert Clue.objects.filter(clip=clip).count() == 1


def test_a_call_that_may_have_been_paid_by_a_lost_worker_is_counted(scripted: Any) -> None:
    clip = create_clip()
    run = services.create_run(None, clip.corpus, prelabellers=["disambiguate"])
    job = run.jobs.get()
    first = work.claim(job.pk)
    assert first is not None
    work.perform(first)  # the model answers, then the worker dies,
    CachedAnswer.objects.all().delete()  # before it could keep the answer
    expire(job)
    assert services.run_job(job.pk) == "done"
    job.refresh_from_db()
    calls = scripted.calls()
    assert job.calls == len(calls) == 2
    assert len({call["key"] for call in calls}) == 1, "the repeated call carries the same Idempotency-Key"


def test_a_clip_that_takes_every_worker_with_it_fails_after_ten_losses() -> None:
    clip = create_clip()
    job = services.create_run(None, clip.corpus, prelabellers=["coarse-template"]).jobs.get()
    for _ in range(work.MAX_LOSSES):
        assert work.claim(job.pk) is not None
        expire(job)
    assert services.run_job(job.pk) == "failed"
    job.refresh_from_db()
    assert (job.error_code, job.losses) == ("worker-lost", work.MAX_LOSSES)


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_with_the_same_message_one_does_the_job(whole_clip: MakeClip) -> None:
    clip = whole_clip(create_corpus())
    job = jobs_of(services.create_run(None, clip.corpus, "measured"))["measured_prosody"]
    start, results = threading.Barrier(4), []

    def worker() -> None:
        start.wait()
        results.append(services.run_job(job.pk))
        close_old_connections()
        connection.close()

    threads = [threading.Thread(target=worker) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results, key=str) == [None, None, None, "done"]
    assert Clue.objects.filter(clip=clip).count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_lease_is_renewed_while_the_work_goes_on(settings) -> None:
    settings.PRELABEL_LEASE_SECONDS = 0.6
    clip = create_clip()
    job = work.claim(services.create_run(None, clip.corpus, prelabellers=["coarse-template"]).jobs.get().pk)
    assert job is not None
    with work.held(job) as lost:
        threading.Event().wait(1.5)
        assert work.claim(job.pk) is None, "the lease must not have run out"
        Job.objects.filter(pk=job.pk).update(attempts=9)
        assert lost.wait(2), "the worker is told that the job is no longer its own"


def test_a_failing_subscriber_leaves_a_failed_job_and_no_half_result(whole_clip: MakeClip) -> None:
    def refuse(**_: Any) -> None:
        raise ValueError("the room above refuses")

    clip = create_clip()
    run = services.create_run(None, clip.corpus, prelabellers=["coarse-template"])
    draft_written.connect(refuse)
    try:
        do_all(run)
    finally:
        draft_written.disconnect(refuse)
    job = run.jobs.get()
    assert (job.state, job.error_code) == ("failed", "not-stored")
    assert "refuses" in job.reason
    assert not DescriptionDraft.objects.exists()


def test_nothing_configured_says_how_and_invents_nothing(whole_clip: MakeClip, no_models: None) -> None:
    clip = whole_clip(create_corpus())
    run = services.create_run(None, clip.corpus, "emer")
    do_all(run)
    jobs = jobs_of(run)
    for step, variable in (("audio_clue", "PRELABEL_BASE_URL"), ("merge", "LLM_BASE_URL")):
        assert jobs[step].state == "failed"
        assert jobs[step].error_code == "not-configured"
        assert "not configured" in jobs[step].reason
        assert variable in jobs[step].reason
    assert jobs["visual_clue"].state == "skipped"
    assert run.state == "failed"
    assert {clue.prelabeller.kind for clue in services.clues_for(clip)} == {"measurement"}
    assert not DescriptionDraft.objects.exists()


def test_the_emer_pipeline_merges_what_its_own_steps_found(whole_clip: MakeClip, scripted: Any) -> None:
    clip = whole_clip(create_corpus(licence="restricted"))
    run = services.create_run(None, clip.corpus, "emer")
    do_all(run)
    assert {job.step: job.state for job in run.jobs.all()} == {
        "measured_prosody": "done",
        "au_expression": "done",
        "visual_clue": "skipped",
        "audio_clue": "done",
        "disambiguate": "done",
        "merge": "done",
    }
    draft = DescriptionDraft.objects.get(clip=clip)
    assert "happy" in draft.ov_en
    assert draft.description_zh
    merge = jobs_of(run)["merge"]
    assert (merge.calls, merge.provenance["calls"]) == (1, 1)
    assert merge.prompt_tokens > 0
    assert merge.provenance["prompt"]["sha256"]
    assert draft.provenance["prompt"]["file"].startswith("merge")
    asked = [call for call in scripted.calls() if call["kind"] == "merge"]
    assert "bright" in asked[0]["text"], "the audio model's clue arrived"
    assert "Why do you come only now" in asked[0]["text"]
    sources = {clue.prelabeller.name for clue in services.clues_for(clip)}
    assert sources == {"measured-prosody", "au-expression", "audio-clue:scripted", "disambiguate:scripted"}
    assert PreLabeller.objects.get(name="audio-clue:scripted").kind == "server"


@pytest.mark.parametrize("where", ["corpus", "clip"])
def test_a_restricted_clip_never_goes_to_a_server_marked_outside(
    where: str, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_TRUST", "outside")
    corpus = create_corpus(licence="restricted" if where == "corpus" else "open")
    create_clip(corpus, licence="restricted" if where == "clip" else "")
    run = services.create_run(None, corpus, prelabellers=["disambiguate", "merge"])
    do_all(run)
    assert set(run.jobs.values_list("state", "error_code")) == {("failed", "outside")}
    assert "LLM_TRUST=inside" in run.jobs.first().reason
    assert scripted.calls() == []


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("refuse", "refusal"),
        ("half-json", "bad_json"),
        ("empty", "empty"),
        ("http-401", "http_401"),
        ("html", "not_text"),
    ],
)
def test_a_models_failure_is_kept_with_its_code(
    model: str, code: str, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_MODEL", f"scripted:{model}")
    clip = create_clip()
    run = services.create_run(None, clip.corpus, prelabellers=["merge"])
    do_all(run)
    job = run.jobs.get()
    assert (job.state, job.error_code, job.calls) == ("failed", code, 1)
    assert job.reason
    assert job.provenance["model"] == f"scripted:{model}"
    assert not DescriptionDraft.objects.exists()


def test_a_rerun_keeps_what_did_not_change_and_supersedes_what_did(whole_clip: MakeClip) -> None:
    clip = whole_clip(create_corpus())
    do_all(services.create_run(None, clip.corpus, "measured"))
    face, voice = services.clues_for(clip)
    clip.corpus.language = "zh"
    clip.corpus.save()
    do_all(services.create_run(None, clip.corpus, prelabellers=["au_expression"]))
    face_again, voice_again = services.clues_for(clip)
    assert voice_again == voice
    assert face_again.pk != face.pk
    face.refresh_from_db()
    assert face.superseded_at is not None
    assert face.text == face.texts["en"], "what was written is never overwritten"
    do_all(services.create_run(None, clip.corpus, prelabellers=["au_expression"]))
    assert services.clues_for(clip).first() == face_again, "an unchanged clue stays the current one"


def test_another_model_is_another_prelabeller_and_supersedes_nothing(
    scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = create_clip()
    do_all(services.create_run(None, clip.corpus, prelabellers=["disambiguate"]))
    monkeypatch.setenv("LLM_MODEL", "another")
    do_all(services.create_run(None, clip.corpus, prelabellers=["disambiguate"]))
    assert [c.prelabeller.name for c in services.clues_for(clip)] == ["disambiguate:scripted", "disambiguate:another"]


def test_a_registered_model_runs_beside_the_configured_one(
    whole_clip: MakeClip, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_KEY", "secret-of-the-lab")
    model = PreLabeller.objects.create(
        name="our-checkpoint", kind="checkpoint", modality="audio", model="scripted", base_url=scripted.base_url,
        api_key_env="LAB_KEY",
    )  # fmt: skip
    clip = whole_clip(create_corpus())
    for name, key in (("audio-clue", "audio_clue"), ("our-checkpoint", f"audio_clue@{model.pk}")):
        run = services.create_run(None, clip.corpus, prelabellers=[name])
        assert run.jobs.get().step == key
        do_all(run)
    assert {c.prelabeller.name for c in services.clues_for(clip)} == {"audio-clue:scripted", "our-checkpoint"}
    assert "secret-of-the-lab" not in json.dumps(list(Job.objects.values("provenance", "result", "reason")))


def test_a_registered_model_is_outside_until_somebody_says_otherwise(whole_clip: MakeClip, scripted: Any) -> None:
    PreLabeller.objects.create(
        name="somewhere", kind="server", modality="audio", model="scripted", base_url=scripted.base_url
    )
    clip = whole_clip(create_corpus(licence="restricted"))
    run = services.create_run(None, clip.corpus, prelabellers=["somewhere"])
    do_all(run)
    assert run.jobs.get().error_code == "outside"
    assert scripted.calls() == []


def test_a_registered_model_that_was_removed_or_has_no_usable_address_is_not_configured(whole_clip: MakeClip) -> None:
    clip = whole_clip(create_corpus())
    for name, base_url in (("gone", "http://127.0.0.1:1/v1"), ("mistyped", "127.0.0.1:8001/v1")):
        PreLabeller.objects.create(name=name, kind="server", modality="audio", model="m", base_url=base_url)
    obstacles = services.estimate(clip.corpus, prelabellers=["mistyped"])["obstacles"]
    assert "127.0.0.1:8001/v1" in obstacles[0]["reason"]
    run = services.create_run(None, clip.corpus, prelabellers=["gone", "mistyped"])
    PreLabeller.objects.get(name="gone").delete()
    do_all(run)
    assert set(run.jobs.values_list("error_code", flat=True)) == {"not-configured"}


@pytest.mark.parametrize("broken", ["audio_clue", "disambiguate"])
def test_retrying_a_failed_clue_does_again_what_went_on_without_it(
    whole_clip: MakeClip, scripted: Any, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    prefix = "PRELABEL" if broken == "audio_clue" else "LLM"
    clip = whole_clip(create_corpus())
    run = services.create_run(None, clip.corpus, "emer")
    monkeypatch.setenv(f"{prefix}_MODEL", "scripted:http-401")
    for job in run.jobs.order_by("position"):
        if job.step == "merge":
            monkeypatch.setenv("LLM_MODEL", "scripted")
        services.run_job(job.pk)
    first = DescriptionDraft.objects.get(clip=clip)
    assert set(run.jobs.filter(state="failed").values_list("step", flat=True)) == {broken}

    assert services.retry_run(None, run) == 1  # still broken: nothing new, nothing done again
    monkeypatch.setenv(f"{prefix}_MODEL", "scripted:http-401")
    do_all(run)
    assert (run.state, run.jobs.filter(step__contains="#").count()) == ("failed", 0)

    monkeypatch.setenv(f"{prefix}_MODEL", "scripted")
    services.retry_run(None, run)
    do_all(run)
    assert run.state == "done"
    superseded = {"merge#1", "disambiguate#1"} if broken == "audio_clue" else {"merge#1"}
    assert set(run.jobs.filter(step__contains="#").values_list("step", flat=True)) == superseded
    again = DescriptionDraft.objects.filter(clip=clip).latest("pk")
    assert (first.job.step, first.job.state, first.job.attempts) == ("merge#1", "done", 1)
    assert again.job.step == "merge"
    assert sum(call["kind"] == "merge" for call in scripted.calls()) == 2
    found = run.jobs.get(step=broken).result["clues"][0]["text"]
    given = evidence.clues_before(run.jobs.get(step="merge"))
    assert [clue["text"] for clue in given].count(found) == 1
    assert Record.objects.get(clip=clip, grade="coarse").current.draft_id == again.pk
    assert invariants.broken() == []
    with pytest.raises(Conflict):
        services.retry_run(None, run)


def test_a_merge_that_was_at_work_while_a_clue_was_retried_is_done_again(whole_clip: MakeClip, scripted: Any) -> None:
    clip = whole_clip(create_corpus())
    run = services.create_run(None, clip.corpus, "measured")
    jobs = jobs_of(run)
    Job.objects.filter(pk=jobs["au_expression"].pk).update(state="failed", reason="why", attempts=1)
    services.run_job(jobs["measured_prosody"].pk)
    merging = work.claim(jobs["coarse_template"].pk)
    assert merging is not None
    outcome = work.perform(merging)
    services.retry_run(None, run)
    services.run_job(jobs["au_expression"].pk)
    assert work.finish(merging, outcome) == "done"
    do_all(run)
    assert "嘴角" not in DescriptionDraft.objects.get(job=merging).description_zh
    assert "嘴角" in DescriptionDraft.objects.latest("pk").description_zh
    assert invariants.broken() == []


def test_a_retried_clue_of_a_run_cancelled_meanwhile_starts_nothing(whole_clip: MakeClip) -> None:
    clip = whole_clip(create_corpus())
    run = services.create_run(None, clip.corpus, "measured")
    jobs = jobs_of(run)
    Job.objects.filter(pk=jobs["au_expression"].pk).update(state="failed", reason="why", attempts=1)
    services.run_job(jobs["measured_prosody"].pk)
    services.run_job(jobs["coarse_template"].pk)
    services.retry_run(None, run)
    late = work.claim(jobs["au_expression"].pk)
    assert late is not None
    services.cancel_run(None, run)
    assert work.finish(late, work.perform(late)) == "done"
    assert not run.jobs.filter(state="queued").exists()


def test_a_step_run_alone_works_on_the_clips_current_clues(whole_clip: MakeClip, scripted: Any) -> None:
    clip = whole_clip(create_corpus())
    do_all(services.create_run(None, clip.corpus, prelabellers=["au-expression"]))
    do_all(services.create_run(None, clip.corpus, prelabellers=["coarse-template"]))
    assert "嘴角" in DescriptionDraft.objects.get(clip=clip).description_zh
    do_all(services.create_run(None, clip.corpus, prelabellers=["measured-prosody", "coarse-template"]))
    assert "嘴角" not in DescriptionDraft.objects.latest("pk").description_zh


def test_a_withdrawn_clip_is_skipped(whole_clip: MakeClip) -> None:
    clip = whole_clip(create_corpus())
    run = services.create_run(None, clip.corpus, prelabellers=["au_expression"])
    Clip.objects.filter(pk=clip.pk).update(withdrawn_at=timezone.now())
    do_all(run)
    assert run.jobs.get().reason == "the clip was withdrawn"
    assert not Clue.objects.exists()


def test_a_missing_file_and_a_corrupt_track_name_what_is_wrong(whole_clip: MakeClip, media_root: Any) -> None:
    corpus = create_corpus()
    gone, corrupt = whole_clip(corpus, f0=150), whole_clip(corpus, f0=160)
    for path in (gone.media_path, gone.derivatives.get().path):
        (media_root / "media" / path).unlink()
    (media_root / "media" / corrupt.au_track.path).write_text("frame, timestamp\n1, zero\n")
    run = services.create_run(None, corpus, prelabellers=["measured_prosody", "au_expression"])
    do_all(run)
    assert jobs_of(run, gone)["measured_prosody"].error_code == "file-missing"
    assert jobs_of(run, corrupt)["au_expression"].error_code == "au-track"
    assert run.jobs.filter(state="failed").exclude(reason="").count() == run.jobs.filter(state="failed").count()
    assert jobs_of(run, corrupt)["measured_prosody"].state == "done"


def test_ready_jobs_are_found_in_the_database_alone() -> None:
    clip = create_clip()
    run = services.create_run(None, clip.corpus, "emer")
    ready = demand.ready(run.jobs.filter(state="queued")).values_list("step", flat=True)
    assert set(ready) == {"measured_prosody", "au_expression", "visual_clue", "audio_clue"}
