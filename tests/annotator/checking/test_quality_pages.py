"""Pages, files and REST of quality: what they show to whom, in few queries, in both languages."""

import csv
import io
import json
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import translation

from annotator.checking.models import CheckingRules, Claim
from annotator.checking.quality import reports
from annotator.clips.models import Corpus
from tests.support import factories as make

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _language() -> Any:
    yield
    translation.deactivate()


@pytest.fixture
def corpus() -> Corpus:
    corpus = make.create_corpus("lab", overlap=2)
    anna = make.create_member(corpus, user=make.create_user("anna"))
    ben = make.create_member(corpus, user=make.create_user("ben"))
    for labels in (["happy"], ["sad"]):
        clip = make.create_clip(corpus)
        make.create_clue(clip, prelabeller="vlm")
        make.create_draft(clip, ov_en=("happy",))
        make.create_annotation(clip, anna, make.make_body(clip.clues.all(), ov_labels={"zh": [], "en": labels}))
        make.create_annotation(clip, ben, make.make_body(clip.clues.all(), ov_labels={"zh": [], "en": ["happy"]}))
    return corpus


def browser(corpus: Corpus, role: str) -> Client:
    client = Client()
    client.force_login(make.create_member(corpus, role))
    return client


def table(answer: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))


def test_the_quality_page_shows_figures_and_names_nobody(corpus: Corpus, django_assert_max_num_queries: Any) -> None:
    client = browser(corpus, "reviewer")
    with django_assert_max_num_queries(20):
        answer = client.get("/corpora/lab/quality/?days=7")
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "vlm" in page
    assert "anna" not in page
    chart = answer.context["over_time"]
    assert chart["series"][0]["values"] == [0.5]
    assert 'id="chart-agreement" type="application/json"' in page
    assert "/dashboard/" not in page  # not for reviewers


def test_the_dashboard_is_for_managers(corpus: Corpus, django_assert_max_num_queries: Any) -> None:
    CheckingRules.objects.create(corpus=corpus, hourly_rate=20)
    client = browser(corpus, "manager")
    with django_assert_max_num_queries(30):
        page = client.get("/corpora/lab/dashboard/").content.decode()
    assert "anna" in page
    assert "0 reviews" not in page
    assert browser(corpus, "reviewer").get("/corpora/lab/dashboard/").status_code == 403
    rows = table(client.get("/corpora/lab/dashboard/people.csv"))
    assert [row["annotator"] for row in rows] == ["anna", "ben"]
    assert rows[0]["agreement"] == "0.5"
    days = table(client.get("/corpora/lab/dashboard/throughput.csv?days=7"))
    assert len(days) == 7
    assert days[-1]["annotations"] == "4"


@pytest.mark.parametrize("name", ["agreement", "over-time", "prelabellers", "anchoring"])
def test_each_table_of_quality_is_a_file(corpus: Corpus, name: str) -> None:
    answer = browser(corpus, "reviewer").get(f"/corpora/lab/quality/{name}.csv")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.content.startswith(b"\xef\xbb\xbf")  # spreadsheets read Chinese by it
    assert table(answer)


@pytest.mark.parametrize("name", ["throughput", "over-time", "queue", "people", "costs"])
def test_each_table_of_the_dashboard_is_a_file(corpus: Corpus, name: str) -> None:
    assert table(browser(corpus, "manager").get(f"/corpora/lab/dashboard/{name}.csv"))


def test_my_week_shows_me_what_came_back(corpus: Corpus, django_assert_max_num_queries: Any) -> None:
    client = Client()
    claim = Claim.objects.filter(user__username="anna").first()
    assert claim is not None
    Claim.objects.filter(pk=claim.pk).update(state="returned", return_reason="请再看一遍")
    client.force_login(claim.user)
    with django_assert_max_num_queries(15):
        page = client.get("/corpora/lab/my-week/").content.decode()
    assert "请再看一遍" in page
    assert claim.clip.name in page
    assert ">ben<" not in page
    rows = table(client.get("/corpora/lab/my-week/days.csv?days=28"))
    assert len(rows) == 28
    assert rows[-1]["clips"] == "2"


def test_a_corpus_without_work_has_pages_too() -> None:
    corpus = make.create_corpus("lab")
    admin = Client()
    admin.force_login(make.create_user("root", is_superuser=True, is_staff=True))
    for address in ("quality", "dashboard", "my-week"):
        for days in ("7", "0", "x", "9" * 5000):
            assert admin.get(f"/corpora/{corpus.slug}/{address}/?days={days}").status_code == 200


def test_what_is_being_counted_is_said(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "LARGE", 1)
    monkeypatch.setattr("annotator.celery.app.send_task", lambda *_args, **_more: None)
    client = browser(corpus, "manager")
    for address in ("quality", "dashboard"):
        page = client.get(f"/corpora/lab/{address}/")
        assert page.status_code == 200
        assert b'hx-trigger="every 4s"' in page.content
        waiting = client.get(f"/corpora/lab/{address}/over-time.csv")
        assert (waiting.status_code, waiting["Retry-After"]) == (503, "10")
        reports.count(corpus.pk, address, 30)
        assert b"every 4s" not in client.get(f"/corpora/lab/{address}/").content
        assert client.get(f"/corpora/lab/{address}/over-time.csv").status_code == 200


def test_rest_answers_the_same_figures(corpus: Corpus) -> None:
    client = browser(corpus, "manager")
    quality = client.get("/api/v1/corpora/lab/quality/?days=7").json()
    assert (quality["corpus"], quality["days"], quality["counting"]) == ("lab", 7, False)
    assert quality["agreement"]["pairs"]["avg"] == 0.5
    assert "by_annotator" not in quality["agreement"]["pairs"]
    assert quality["prelabellers"][0]["kept"] == 4
    dashboard = client.get("/api/v1/corpora/lab/dashboard/").json()
    assert {row["annotator"] for row in dashboard["people"]} == {"anna", "ben"}
    assert dashboard["eta"]["annotations"]["left"] == 0
    me = Client()
    me.force_login(Claim.objects.filter(user__username="ben")[0].user)
    assert me.get("/api/v1/corpora/lab/my-week/").json()["totals"]["clips"] == 2


def test_the_command_prints_one_json_object(corpus: Corpus, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("quality", "lab", "--json", "--days", "7")
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["agreement"]["clips"] == 2
    call_command("quality", "lab", "--json", "--dashboard")
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["people"]


def test_a_page_of_a_large_corpus_asks_a_few_statements_and_counts_nothing(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    client = browser(corpus, "manager")
    for kind in ("quality", "dashboard"):
        reports.count(corpus.pk, kind, 30)
    monkeypatch.setattr(reports, "LARGE", 1)
    monkeypatch.setattr(reports, "counted", lambda *_asked: pytest.fail("counted while somebody waits"))
    for address in ("quality/", "dashboard/", "dashboard/people.csv"):
        with django_assert_max_num_queries(10):
            assert client.get(f"/corpora/lab/{address}").status_code == 200
