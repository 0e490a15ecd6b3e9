"""Pages and REST of runs: each role sees and does what the table says, progress is live and ends."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from annotator.clips import hooks
from annotator.clips.models import Corpus
from annotator.prelabels import progress, services, tallies, waiting
from annotator.prelabels.models import Run
from tests.support.factories import create_clip, create_clue, create_corpus, create_member, create_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def corpus(no_models: None) -> Corpus:
    corpus = create_corpus("study")
    for name in ("片段_1", "片段_2"):
        create_clip(corpus, name)
    return corpus


def as_role(client: Client, corpus: Corpus, role: str | None) -> Client:
    client.force_login(create_member(corpus, role) if role else create_user())
    return client


def finished(corpus: Corpus, pipeline: str = "measured") -> Run:
    run = services.create_run(None, corpus, pipeline)
    while waiting.do_one(run):
        pass
    run.refresh_from_db()
    return run


READS = {"viewer": 200, "reviewer": 200, "manager": 200, "annotator": 403, None: 404}
WRITES = {"viewer": 403, "reviewer": 403, "annotator": 403, "manager": 302, None: 404}


@pytest.mark.parametrize("role", READS)
def test_who_sees_runs(role: str | None, client: Client, corpus: Corpus) -> None:
    run = finished(corpus)
    as_role(client, corpus, role)
    for path in ("/corpora/study/runs/", f"/runs/{run.pk}/", "/api/v1/corpora/study/runs/", f"/api/v1/runs/{run.pk}/",
                 f"/api/v1/runs/{run.pk}/jobs/"):  # fmt: skip
        assert client.get(path).status_code == READS[role], path
    expected = 286 if READS[role] == 200 else READS[role]
    assert client.get(f"/runs/{run.pk}/progress/").status_code == expected


@pytest.mark.parametrize("role", WRITES)
def test_who_starts_cancels_and_retries(role: str | None, client: Client, corpus: Corpus) -> None:
    run = services.create_run(None, corpus)
    as_role(client, corpus, role)
    assert client.post("/corpora/study/runs/", {"pipeline": "measured"}).status_code == WRITES[role]
    api = 201 if role == "manager" else WRITES[role]
    started = client.post("/api/v1/corpora/study/runs/", {"pipeline": "measured"}, content_type="application/json")
    assert started.status_code == api
    run.jobs.filter(position=0).update(state="failed", reason="because")
    assert client.post(f"/runs/{run.pk}/retry/").status_code == WRITES[role]
    run.jobs.filter(position=0).update(state="failed", reason="because")
    api = 200 if role == "manager" else WRITES[role]
    assert client.post(f"/api/v1/runs/{run.pk}/retry/").status_code == api
    assert client.post(f"/runs/{run.pk}/cancel/").status_code == WRITES[role]
    other = services.create_run(None, corpus)
    assert client.post(f"/api/v1/runs/{other.pk}/cancel/").status_code == api


def test_strangers_without_session_are_sent_to_sign_in_or_refused(client: Client, corpus: Corpus) -> None:
    run = services.create_run(None, corpus)
    assert "/accounts/sign-in" in client.get("/corpora/study/runs/")["Location"]
    assert "/accounts/sign-in" in client.post(f"/runs/{run.pk}/cancel/")["Location"]
    assert client.get(f"/api/v1/runs/{run.pk}/").status_code == 401


def test_the_form_says_what_is_not_configured_and_how(client: Client, corpus: Corpus) -> None:
    page = as_role(client, corpus, "manager").get("/corpora/study/runs/").content.decode()
    assert "Not configured: set PRELABEL_BASE_URL" in page
    assert "Not configured: set LLM_BASE_URL" in page


def test_the_form_names_what_is_wrong_and_keeps_what_was_typed(client: Client, corpus: Corpus) -> None:
    as_role(client, corpus, "manager")
    answer = client.post("/corpora/study/runs/", {"pipeline": "measured", "clips": "片段_1\n没有这个\n"})
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "没有这个" in page
    assert "片段_1" in page
    assert client.post("/corpora/study/runs/", {"pipeline": "nonsense"}).status_code == 422
    assert not Run.objects.exists()


def test_the_page_shows_counts_reasons_and_what_one_can_do(client: Client, corpus: Corpus) -> None:
    run = finished(corpus, "emer")
    page = as_role(client, corpus, "manager").get(f"/runs/{run.pk}/").content.decode()
    assert "Retry what failed" in page
    assert "not-configured" in page
    assert "LLM_BASE_URL" in page
    assert "片段_1" in page
    assert "hx-get" not in page, "an ended run is not polled"
    seen_by_viewer = as_role(client, corpus, "viewer").get(f"/runs/{run.pk}/").content.decode()
    assert "Retry what failed" not in seen_by_viewer


def test_progress_is_polled_while_the_run_goes_on_and_stops_at_its_end(client: Client, corpus: Corpus) -> None:
    run = services.create_run(None, corpus)
    as_role(client, corpus, "viewer")
    going = client.get(f"/runs/{run.pk}/progress/", headers={"HX-Request": "true"})
    assert going.status_code == 200
    assert f'hx-get="/runs/{run.pk}/progress/"' in going.content.decode()
    assert "<html" not in going.content.decode()
    while waiting.do_one(run):
        pass
    ended = client.get(f"/runs/{run.pk}/progress/", headers={"HX-Request": "true"})
    assert ended.status_code == 286
    assert "hx-get" not in ended.content.decode()


def test_the_pages_speak_chinese(client: Client, corpus: Corpus) -> None:
    run = finished(corpus)
    as_role(client, corpus, "viewer")
    page = client.get(f"/runs/{run.pk}/", headers={"Accept-Language": "zh-hans"})
    assert page.status_code == 200
    assert 'lang="zh-Hans"' in page.content.decode()


def test_lists_cost_the_same_queries_however_long_they_are(
    client: Client, corpus: Corpus, django_assert_max_num_queries: Any
) -> None:
    for _ in range(12):
        services.create_run(None, corpus)
    as_role(client, corpus, "manager")
    with django_assert_max_num_queries(14):
        assert client.get("/corpora/study/runs/").status_code == 200
    with django_assert_max_num_queries(8):
        assert len(client.get("/api/v1/corpora/study/runs/").json()["results"]) == 12
    with django_assert_max_num_queries(14):
        assert client.get(f"/runs/{Run.objects.first().pk}/").status_code == 200


def test_rest_starts_a_run_and_shows_its_jobs(client: Client, corpus: Corpus) -> None:
    as_role(client, corpus, "manager")
    body = {"pipeline": "emer", "clips": ["片段_1"]}
    run = client.post("/api/v1/corpora/study/runs/", body, content_type="application/json").json()
    assert (run["corpus"], run["pipeline"], run["state"], run["jobs"]["queued"]) == ("study", "emer", "queued", 6)
    while waiting.do_one(Run.objects.get(pk=run["id"])):
        pass
    jobs = client.get(f"/api/v1/runs/{run['id']}/jobs/?state=failed&page_size=1").json()
    assert jobs["results"][0]["clip"] == "片段_1"
    assert "not configured" in jobs["results"][0]["reason"]
    assert client.get(jobs["next"]).json()["results"][0]["id"] > jobs["results"][0]["id"]


@pytest.mark.parametrize(
    ("body", "status"),
    [({"pipeline": "nonsense"}, 422), ({"clips": ["不存在"]}, 422), ({"clips": "片段_1"}, 422), ([], 422)],
)
def test_rest_answers_a_wrong_request_with_a_problem(body: Any, status: int, client: Client, corpus: Corpus) -> None:
    as_role(client, corpus, "manager")
    answer = client.post("/api/v1/corpora/study/runs/", body, content_type="application/json")
    assert answer.status_code == status
    assert answer["Content-Type"] == "application/problem+json"
    assert not Run.objects.exists()


def test_rest_refuses_a_state_that_does_not_exist_and_a_second_cancel(client: Client, corpus: Corpus) -> None:
    run = services.create_run(None, corpus)
    as_role(client, corpus, "manager")
    assert client.get(f"/api/v1/runs/{run.pk}/jobs/?state=asleep").status_code == 422
    assert client.post(f"/api/v1/runs/{run.pk}/cancel/").json()["state"] == "cancelled"
    assert client.post(f"/api/v1/runs/{run.pk}/cancel/").status_code == 409
    assert client.get("/api/v1/runs/999999/").status_code == 404


def test_the_clips_page_lists_clues_with_their_source(rf: Any, corpus: Corpus) -> None:
    clip = corpus.clips.first()
    create_clue(
        clip, "他皱着眉头 <b>", language="zh", prelabeller="qwen", provenance={"model": "Qwen-X", "parameters": {}}
    )
    (panel,) = [hook for hook in hooks.panels if "prelabels" in hook.__module__]
    request = rf.get("/")
    request.user = create_member(corpus, "viewer")
    shown = panel(request, clip)
    assert "他皱着眉头 &lt;b&gt;" in shown
    assert "Qwen-X" in shown
    request.user = create_member(corpus, "annotator")
    assert panel(request, clip) == ""


def test_a_run_is_paused_limited_and_resumed_with_one_click_each(client: Client, corpus: Corpus) -> None:
    run = services.create_run(None, corpus)
    as_role(client, corpus, "manager")
    page = client.get(f"/runs/{run.pk}/").content.decode()
    assert f'action="/runs/{run.pk}/pause/"' in page
    assert "/resume/" not in page
    assert client.post(f"/runs/{run.pk}/pause/").status_code == 302
    page = client.get(f"/runs/{run.pk}/").content.decode()
    assert "Paused by person" in page
    assert f'action="/runs/{run.pk}/resume/"' in page
    assert "/pause/" not in page
    run.jobs.filter(position=0).update(prompt_tokens=30, completion_tokens=1)
    wrong = client.post(f"/runs/{run.pk}/resume/", {"tokens": "50", "money": "", "gpu_seconds": ""})
    assert wrong.status_code == 422
    assert (
        "62 of 50 Tokens" in wrong.content.decode() or "The budget is spent: 62 of 50 tokens" in wrong.content.decode()
    )
    assert 'value="50"' in wrong.content.decode()
    assert client.post(f"/runs/{run.pk}/resume/", {"tokens": "-1"}).status_code == 422
    assert client.post(f"/runs/{run.pk}/resume/", {"tokens": "1000"}).status_code == 302
    run.refresh_from_db()
    assert (run.state, run.budget) == ("running", {"tokens": 1000})
    page = client.get(f"/runs/{run.pk}/").content.decode()
    assert "62 / 1000 (6.2 %)" in page
    assert client.post(f"/runs/{run.pk}/pause/").status_code == 302
    assert client.post(f"/runs/{run.pk}/resume/").status_code == 302
    run.refresh_from_db()
    assert run.budget == {"tokens": 1000}, "nothing sent: as it was"


def test_rest_pauses_resumes_and_tells_the_progress(client: Client, corpus: Corpus) -> None:
    as_role(client, corpus, "manager")
    body = {"filter": {"without": "merge", "sample": 1}, "budget": {"money": 2.5}, "repeat": 3}
    answer = client.post("/api/v1/corpora/study/runs/", body, content_type="application/json")
    assert answer.status_code == 201
    run = answer.json()
    assert (run["clips"], run["filter"], run["budget"], run["repeat"]) == (1, body["filter"], {"money": 2.5}, 3)
    address = f"/api/v1/runs/{run['id']}/"
    assert client.post(f"{address}pause/").json()["state"] == "paused"
    assert client.post(f"{address}pause/").status_code == 409
    detail = client.get(address).json()
    assert detail["reason"].startswith("paused by")
    assert detail["progress"]["jobs"] == 3
    assert detail["progress"]["spent"] == {"tokens": 0, "money": 0.0, "gpu_seconds": 0.0}
    resumed = client.post(f"{address}resume/", {"budget": {"tokens": 9}}, content_type="application/json")
    assert (resumed.json()["state"], resumed.json()["budget"]) == ("running", {"tokens": 9})
    for wrong in ({"budget": {"tokens": 0}}, {"budget": 5}):
        client.post(f"{address}pause/")
        assert client.post(f"{address}resume/", wrong, content_type="application/json").status_code == 422


@pytest.mark.parametrize(
    "body", [{"filter": {"colour": "red"}}, {"filter": []}, {"budget": {"tokens": -1}}, {"repeat": -1}]
)
def test_rest_names_a_wrong_filter_or_budget(body: Any, client: Client, corpus: Corpus) -> None:
    as_role(client, corpus, "manager")
    for path in ("runs/", "runs/estimate/"):
        if "repeat" in body and "estimate" in path:
            continue
        answer = client.post(f"/api/v1/corpora/study/{path}", body, content_type="application/json")
        assert answer.status_code == 422, path
        assert answer["Content-Type"] == "application/problem+json"
    assert not Run.objects.exists()


def test_the_page_and_rest_estimate_without_starting(client: Client, corpus: Corpus) -> None:
    as_role(client, corpus, "manager")
    answer = client.post("/corpora/study/runs/", {"pipeline": "emer", "tokens": "7", "estimate": "1"})
    assert answer.status_code == 200
    page = answer.content.decode()
    assert "What this run would take" in page
    assert "not configured" in page
    assert 'value="7"' in page, "what was typed is kept"
    found = client.post("/api/v1/corpora/study/runs/estimate/", {"pipeline": "emer"}, content_type="application/json")
    assert (found.json()["clips"], found.json()["jobs"], len(found.json()["steps"])) == (2, 12, 6)
    assert not Run.objects.exists()


def test_the_form_takes_filter_and_budget(client: Client, corpus: Corpus) -> None:
    as_role(client, corpus, "manager")
    body = {"pipeline": "measured", "without": "merge", "sample": "1", "seed": "4", "gpu_seconds": "9.5", "repeat": "1"}
    assert client.post("/corpora/study/runs/", body).status_code == 302
    run = Run.objects.get()
    assert run.selection == {"without": "merge", "sample": 1, "seed": 4}
    assert (run.budget, run.repeat, run.clips) == ({"gpu_seconds": 9.5}, 1, 1)
    page = client.get(f"/runs/{run.pk}/").content.decode()
    assert page.count("Random sample of: 1") == 1
    wrong = client.post("/corpora/study/runs/", {"pipeline": "measured", "seed": "4"})
    assert wrong.status_code == 422
    assert "wants a sample" in wrong.content.decode()
    assert client.post("/corpora/study/runs/", {"pipeline": ""}).status_code == 422


def test_a_failed_call_shows_request_and_response(client: Client, corpus: Corpus) -> None:
    run = services.create_run(None, corpus)
    exchange = {"request": {"model": "m", "messages": ["<b>问"]}, "response": "nonsense " * 1000, "status": 500}
    job = run.jobs.first()
    type(job).objects.filter(pk=job.pk).update(
        state="failed", reason="HTTP 500", error_code="http-500", exchange=exchange, finished_at=job.run.created_at
    )
    page = as_role(client, corpus, "viewer").get(f"/runs/{run.pk}/").content.decode()
    assert "Request and response" in page
    assert "&lt;b&gt;问" in page
    assert " …</pre>" in page, "long texts are cut"
    assert len(page) < 40_000
    rows = client.get(f"/api/v1/runs/{run.pk}/jobs/?state=failed").json()["results"]
    assert rows[0]["exchange"] == exchange


def test_failures_are_grouped_by_code_with_a_reason_each(client: Client, corpus: Corpus) -> None:
    for n in range(5):
        create_clip(corpus, f"more{n}")
    run = services.create_run(None, corpus, "measured")
    steps = {"measured_prosody": ("timeout", "too slow"), "au_expression": ("", "the clip has no track")}
    for step, (code, reason) in steps.items():
        state = "failed" if code else "skipped"
        run.jobs.filter(step=step).update(state=state, error_code=code, reason=reason, finished_at=run.created_at)
    found = progress.reasons(run, tallies.totals(run)["codes"])
    assert [(row["step"], row["error_code"], row["n"], row["reason"]) for row in found] == [
        ("measured_prosody", "timeout", 7, "too slow"),
        ("au_expression", "", 7, "the clip has no track"),
    ]


def test_the_page_costs_the_same_queries_however_many_jobs_and_failures_there_are(
    client: Client, corpus: Corpus
) -> None:
    as_role(client, corpus, "manager")
    costs = []
    for clips in (1, 60):
        for n in range(clips):
            create_clip(corpus, f"x{clips}-{n}")
        run = services.create_run(None, corpus)
        half = run.jobs.filter(position__lt=2)
        half.update(state="failed", reason="why", error_code="x", finished_at=run.created_at, exchange={"status": 1})
        client.get(f"/runs/{run.pk}/progress/")
        with CaptureQueriesContext(connection) as queries:
            assert client.get(f"/runs/{run.pk}/progress/").status_code == 200
        costs.append(len(queries))
    assert costs[0] == costs[1] <= 12


def test_the_page_shows_how_the_servers_are_doing(
    client: Client, whole_clip: Any, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "workers_answer", lambda: False)
    clip = whole_clip(create_corpus(), "片段")
    run = services.wait_for(services.create_run(None, clip.corpus, prelabellers=["disambiguate", "audio-clue"]))
    assert run.state == "done"
    page = as_role(client, clip.corpus, "viewer").get(f"/runs/{run.pk}/").content.decode()
    assert "Model servers" in page
    assert scripted.base_url in page
    assert "working" in page
    assert f"<dd>{tallies.totals(run)['calls']}</dd>" in page


def test_the_rate_of_a_fast_run_is_that_of_its_last_jobs(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "RATE_JOBS", 4)
    for n in range(8):
        create_clip(corpus, f"more{n}")
    run = services.create_run(None, corpus, prelabellers=["measured_prosody"])
    run.state, run.created_at = "running", timezone.now() - timedelta(hours=1)
    pks = list(run.jobs.order_by("id").values_list("pk", flat=True))
    for age, some in ((50, pks[:2]), (20, pks[2:4])):
        run.jobs.filter(pk__in=some[:1]).update(state="done", finished_at=timezone.now() - timedelta(seconds=age))
    assert progress.run_progress(run)["rate"] == pytest.approx(2 / 60), "few: those of the last minute"
    run.jobs.filter(pk__in=pks[:6]).update(state="done", finished_at=timezone.now() - timedelta(seconds=20))
    with CaptureQueriesContext(connection) as queries:
        assert progress.run_progress(run)["rate"] == pytest.approx(4 / 20, rel=0.1), "many: the last ones"
    assert "LIMIT 4" in queries[-1]["sql"], "it looks at no more than these"
    run.jobs.filter(pk__in=pks[:6]).update(finished_at=timezone.now() - timedelta(minutes=2))
    assert progress.run_progress(run)["rate"] is None


def test_a_misspelt_limit_or_filter_is_refused_not_left_out(client: Client, corpus: Corpus) -> None:
    as_role(client, corpus, "manager")
    misspelt: tuple[tuple[dict[str, Any], str], ...] = (
        ({"budget": {"gpu-seconds": 3}}, "gpu-seconds"),
        ({"filter": {"speakers": "a"}}, "speakers"),
        ({"filters": {"speaker": "a"}}, "filters"),
    )
    for wrong, name in misspelt:
        for path in ("/api/v1/corpora/study/runs/", "/api/v1/corpora/study/runs/estimate/"):
            answer = client.post(path, wrong, content_type="application/json")
            assert answer.status_code == 422
            assert f"“{name}”" in answer.json()["detail"]
    run = services.create_run(None, corpus)
    services.pause_run(None, run)
    answer = client.post(f"/api/v1/runs/{run.pk}/resume/", {"budget": {"token": 1}}, content_type="application/json")
    assert (answer.status_code, Run.objects.get(pk=run.pk).state) == (422, "paused")
    assert Run.objects.count() == 1
