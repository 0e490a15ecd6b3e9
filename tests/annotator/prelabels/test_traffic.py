"""A job's way to a model: what is asked once, what is asked anew, what a failure keeps, and what the page is told."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from annotator.clips.models import Clip, Corpus
from annotator.clips.services import withdraw_clip
from annotator.prelabels import cache, demand, services, traffic, work
from annotator.prelabels.models import CachedAnswer, Job, Run
from models_ml.llm import Deferred, Endpoint, ModelFailure, NotConfigured
from models_ml.llm.limits import Limits
from models_ml.llm.traffic import using
from tests.support import scripted_server
from tests.support.factories import create_clip, create_corpus, create_prelabeller

pytestmark = pytest.mark.django_db
MakeClip = Callable[..., Clip]


@pytest.fixture(autouse=True)
def _own_limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Breakers of one test's servers are nothing to another's, whose server may have got the same port."""
    shared = traffic.limits()
    assert shared is not None
    own = Limits(shared.redis, f"test:{uuid.uuid4().hex}:")  # with doors of its own, too: they are known by the port
    monkeypatch.setattr(traffic, "_limits", own)
    yield
    if left := list(own.redis.scan_iter(f"{own.prefix}*")):
        own.redis.delete(*left)


def one_job(corpus: Corpus, *steps: str, repeat: int = 0) -> Job:
    run = services.create_run(None, corpus, prelabellers=steps or ["disambiguate"], repeat=repeat)
    return run.jobs.order_by("position").get() if len(steps or [1]) == 1 else run.jobs.order_by("position")[0]


def done(job: Job) -> Job:
    services.run_job(job.pk)
    job.refresh_from_db()
    return job


def test_the_same_question_is_paid_once(scripted: Any) -> None:
    clip = create_clip()
    first, second = (done(one_job(clip.corpus)) for _ in range(2))
    assert len(scripted.calls()) == 1
    assert (first.state, first.cached, first.calls) == ("done", False, 1)
    assert (second.state, second.cached, second.calls) == ("done", True, 0)
    assert second.prompt_tokens == second.completion_tokens == second.cost == 0
    assert second.provenance["parameters"]["request_sha256"] == first.provenance["parameters"]["request_sha256"]
    assert second.result["clues"] == first.result["clues"]


def test_another_repetition_asks_anew_and_the_same_one_does_not(scripted: Any) -> None:
    clip = create_clip()
    found = [done(one_job(clip.corpus, repeat=repeat)).cached for repeat in (0, 1, 1, 2, 0)]
    assert found == [False, False, True, False, True]
    assert len(scripted.calls()) == 3


def test_another_server_or_another_model_is_asked_itself(scripted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = create_clip()
    done(one_job(clip.corpus))
    monkeypatch.setenv("LLM_MODEL", "scripted-large")
    assert not done(one_job(clip.corpus)).cached
    monkeypatch.setenv("LLM_BASE_URL", scripted.base_url.replace("127.0.0.1", "localhost"))
    assert not done(one_job(clip.corpus)).cached


@pytest.mark.parametrize("behaviour", ["refuse", "wrong-language", "empty", "truncated"])
def test_what_no_step_can_use_is_not_kept_and_a_retry_asks_anew(
    scripted: Any, monkeypatch: pytest.MonkeyPatch, behaviour: str
) -> None:
    monkeypatch.setenv("LLM_MODEL", f"scripted:{behaviour}")
    job = done(one_job(create_clip().corpus))
    assert job.state == "failed"
    assert not CachedAnswer.objects.exists()
    services.retry_run(None, job.run)
    done(job)
    assert len(scripted.calls()) == 2


def test_a_kept_answer_that_a_step_finds_unusable_is_forgotten(scripted: Any) -> None:
    """As after an update whose checks are stricter: the retry must not meet the same answer again."""
    clip = create_clip()
    done(one_job(clip.corpus))
    row = CachedAnswer.objects.get()
    row.answer["text"] = "I'm sorry, but I can't help with that."
    row.save()
    job = done(one_job(clip.corpus))
    assert (job.state, job.error_code, job.calls) == ("failed", "refusal", 0)
    services.retry_run(None, job.run)
    assert done(job).state == "done"
    assert len(scripted.calls()) == 2


def test_what_was_answered_before_a_later_call_is_put_off_is_not_asked_again(scripted: Any) -> None:
    clip = create_clip()
    job = one_job(clip.corpus)
    job.run, job.clip = Run.objects.get(pk=job.run_id), clip
    attempt = traffic.for_job(job)
    with pytest.raises(Deferred), using(attempt):
        attempt.keep("first", {"text": "Sad.", "model": "m"})
        raise Deferred(5, "busy")
    assert traffic.for_job(job).recall("first") == {"text": "Sad.", "model": "m"}
    with pytest.raises(ModelFailure), using(attempt):
        attempt.keep("second", {"text": "Sad.", "model": "m"})
        raise ModelFailure("wrong_language", "asked for zh")
    assert traffic.for_job(job).recall("second") is None


def test_the_answers_about_a_withdrawn_clip_go_with_it(scripted: Any, whole_clip: MakeClip) -> None:
    corpus = create_corpus()
    gone, bare, other = whole_clip(corpus), create_clip(corpus, en="No media."), whole_clip(corpus, en="Another line.")
    run = services.create_run(None, corpus, prelabellers=["disambiguate"])
    for job in run.jobs.all():
        done(job)
    assert CachedAnswer.objects.count() == 3
    for clip in (gone, bare):
        withdraw_clip(None, clip, "the speaker asked for it")
    assert CachedAnswer.objects.get().media_sha256 == other.media_sha256
    cache.write([cache.Row("late", "m", cache.media_of(gone), {"text": "Sad."}, gone.pk)])
    assert cache.look_up("late") is None, "an answer that arrives afterwards is not kept"


@pytest.mark.django_db(transaction=True)
def test_many_threads_share_one_connection_to_the_answers() -> None:
    import threading

    clip = create_clip()
    connection.close()
    answers: dict[int, Any] = {}

    def keep_and_ask(number: int) -> None:
        cache.write([cache.Row(f"key {number}", "m", "", {"text": f"answer {number}"}, clip.pk)])
        answers[number] = cache.look_up(f"key {number}")
        assert connection.connection is None, "this thread needed none of its own"

    threads = [threading.Thread(target=keep_and_ask, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: {"text": f"answer {number}"} for number in range(40)}
    cache.write([cache.Row("nul", "m", "", {"text": "a\x00b"}, clip.pk)])
    cache.write([cache.Row("half", "m", "", {"text": "a\ud800b"}, clip.pk)])
    cache.write([cache.Row("key 1", "m", "", {"text": "another"}, clip.pk)])
    assert [cache.look_up(key) for key in ("nul", "half")] == [None, None]
    assert cache.look_up("key 1") == {"text": "answer 1"}


def test_a_failed_call_is_kept_with_its_request_and_response(scripted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_API_KEY", "sk-secret-7")
    for behaviour, status, said in (("http-401", 401, "scripted 401"), ("wrong-language", 200, "脚本")):
        monkeypatch.setenv("LLM_MODEL", f"scripted:{behaviour}")
        job = done(one_job(create_clip(en=f"Line for {behaviour}.").corpus))
        assert job.exchange["status"] == status
        assert said in job.exchange["response"]
        assert job.exchange["request"]["model"] == f"scripted:{behaviour}"
        assert job.exchange["request"]["base_url"] == scripted.base_url
        assert "Line for" in json.dumps(job.exchange["request"]["messages"], ensure_ascii=False)
        assert "secret" not in json.dumps(job.exchange)


def test_what_was_paid_is_counted_whatever_became_of_it(
    scripted: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in (("PRICE_IN", "1000000"), ("PRICE_OUT", "2000000"), ("GPUS", "4")):
        monkeypatch.setenv(f"LLM_{name}", value)
    # Slow enough that the call is nearly all of the job.
    with scripted_server.running(tmp_path / "slow.jsonl", delay=0.4) as slow, monkeypatch.context() as here:
        here.setenv("LLM_BASE_URL", slow.base_url)
        well = done(one_job(create_clip().corpus))
    assert well.cost == pytest.approx(well.prompt_tokens + 2 * well.completion_tokens)
    assert well.prompt_tokens > 10
    assert well.gpu_seconds == pytest.approx(4 * well.seconds, rel=0.5)
    assert well.gpu_seconds >= 4 * 0.4
    monkeypatch.setenv("LLM_MODEL", "scripted:refuse")
    badly = done(one_job(create_clip(en="Another line.").corpus))
    assert (badly.state, badly.calls) == ("failed", 1)
    assert badly.cost == pytest.approx(badly.prompt_tokens + 2 * badly.completion_tokens)
    assert badly.cost > 10


def test_a_server_that_wants_a_long_pause_gets_it_and_the_job_does_not_fail(
    scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = traffic.limits()
    assert known is not None
    endpoint = Endpoint(scripted.base_url, "scripted")
    with pytest.raises(ModelFailure), known.place(endpoint):
        failure = ModelFailure("http_429", "slowly")
        failure.retry_after = 60.0
        raise failure
    job = one_job(create_clip().corpus)
    claimed = work.claim(job.pk)
    assert claimed is not None
    outcome = work.perform(claimed)
    assert (outcome.state, scripted.calls()) == ("deferred", [])
    assert outcome.seconds == pytest.approx(60, abs=2)
    (told,) = traffic.endpoint_stats(job.run)
    assert (told["endpoint"], told["model"], told["calls"]) == (scripted.base_url, "scripted", 1)


def test_the_page_is_told_how_each_server_is_doing(scripted: Any) -> None:
    row = create_prelabeller(
        "big", kind="server", base_url=scripted.base_url, model="big", modality="audio", trust="inside", concurrency=7
    )
    run = services.create_run(None, create_clip().corpus, prelabellers=["disambiguate", row.name])
    for job in run.jobs.order_by("position"):
        done(job)
    stats = {told["model"]: told for told in traffic.endpoint_stats(run)}
    assert set(stats) == {"scripted", "big"}
    asked, idle = stats["scripted"], stats["big"]
    assert (asked["calls"], asked["failures"], asked["in_flight"], asked["limit"]) == (1, 0, 0, None)
    assert 0 <= asked["p50"] <= asked["p95"] < 10
    assert (idle["calls"], idle["p50"], idle["limit"], idle["breaker"]) == (0, None, 7, "closed")
    assert (idle["open_since"], idle["retry_at"]) == (None, None)


def broken(scripted: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Run, Endpoint]:
    """A run at work whose server has failed five times in a row just now."""
    monkeypatch.setenv("LLM_MODEL", "scripted:http-500")
    run = one_job(create_clip().corpus).run
    run.state = "running"
    run.save()
    endpoint = Endpoint(scripted.base_url, "scripted:http-500")
    known = traffic.limits()
    assert known is not None
    for _ in range(5):
        with pytest.raises(ModelFailure), known.place(endpoint):
            raise ModelFailure("http_500", "down")
    return run, endpoint


def as_if_long_ago(endpoint: Endpoint, **ago: float) -> None:
    """Move what is remembered of a server into the past, by seconds."""
    known = traffic.limits()
    assert known is not None
    for name, seconds in ago.items():
        known.redis.hset(f"{known.name_of(endpoint)}state", name, int((time.time() - seconds) * 1000))


def test_a_server_that_is_down_is_told_since_when(scripted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run, _endpoint = broken(scripted, monkeypatch)
    (told,) = traffic.endpoint_stats(run)
    assert (told["breaker"], told["failures"]) == ("open", 5)
    assert abs((datetime.now(UTC) - told["open_since"]).total_seconds()) < 5
    assert told["retry_at"] > told["open_since"]


def test_a_run_whose_server_stays_down_is_paused_and_asks_it_again_when_resumed(
    scripted: Any, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    run, endpoint = broken(scripted, monkeypatch)
    assert demand.pause_hopeless() == 0, "it may come back"
    as_if_long_ago(endpoint, open_since=400)
    assert demand.pause_hopeless() == 1
    run.refresh_from_db()
    assert run.state == "paused"
    assert scripted.base_url in run.reason
    with django_capture_on_commit_callbacks(execute=True):
        services.resume_run(None, run)
    assert demand.pause_hopeless() == 0
    monkeypatch.setenv("LLM_MAX_RETRIES", "0")
    assert done(run.jobs.get()).error_code == "http_500", "it was asked"


def test_a_server_that_was_down_when_it_was_asked_last_may_be_well_by_now(
    scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, endpoint = broken(scripted, monkeypatch)
    as_if_long_ago(endpoint, open_since=90_000, retry_at=80_000)
    assert demand.pause_hopeless() == 0
    known = traffic.limits()
    assert known is not None
    with pytest.raises(ModelFailure), known.place(endpoint):
        raise ModelFailure("http_500", "still down")
    (told,) = traffic.endpoint_stats(run)
    assert abs((datetime.now(UTC) - told["open_since"]).total_seconds()) < 5, "counted from now on"


def test_without_redis_a_server_without_limits_is_asked_and_one_with_limits_is_not(
    scripted: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_URL = ""
    assert done(one_job(create_clip().corpus)).state == "done"
    monkeypatch.setenv("LLM_CONCURRENCY", "4")
    job = done(one_job(create_clip(en="Another line.").corpus))
    assert (job.state, job.error_code, "REDIS_URL" in job.reason) == ("failed", "not-configured", True)
    job.run, job.clip = Run.objects.get(pk=job.run_id), create_clip()
    with pytest.raises(NotConfigured):
        traffic.for_job(job).admit(Endpoint(scripted.base_url, "m", rate_per_minute=5))


def test_a_redis_that_does_not_answer_leaves_the_page_whole(scripted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import redis

    run = one_job(create_clip().corpus).run
    known = traffic.limits()
    assert known is not None
    away = redis.Redis(unix_socket_path="/nowhere/redis.sock")
    for script in known._scripts.values():
        monkeypatch.setattr(script, "registered_client", away)
    (told,) = traffic.endpoint_stats(run)
    assert (told["breaker"], told["p50"], told["in_flight"]) == ("unknown", None, None)
