"""Pages and REST of runs: each role sees and does what the table says, progress is live and ends."""

from typing import Any

import pytest
from django.test import Client

from annotator.clips import hooks
from annotator.clips.models import Corpus
from annotator.prelabels import services, waiting
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
