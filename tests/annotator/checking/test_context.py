"""The clips around a claimed one: by name within the source, for its holder, and nothing of anybody's work."""

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from annotator.accounts.models import User
from annotator.checking.models import Slot
from annotator.clips.models import Clip, Corpus, DerivedMedia
from tests.support import factories as make

pytestmark = pytest.mark.django_db


@pytest.fixture
def corpus() -> Corpus:
    corpus = make.create_corpus("demo")
    for number in range(1, 6):
        clip = make.create_clip(corpus, f"film_{number}", source="film", duration=2.0)
        clip.subtitles.update_or_create(language="zh", defaults={"text": f"第{number}句"})
        DerivedMedia.objects.create(clip=clip, kind="proxy", path=f"x/{number}.mp4", sha256="0" * 64, bytes=1)
    make.create_clip(corpus, "film_25", source="other film")
    make.create_clip(corpus, "alone", source="")
    return corpus


@pytest.fixture
def annotator(corpus: Corpus) -> User:
    return make.create_member(corpus, "annotator")


@pytest.fixture
def api(annotator: User) -> APIClient:
    api = APIClient()
    api.force_authenticate(annotator)
    return api


def claim_on(api: APIClient, corpus: Corpus, name: str) -> dict:
    Clip.objects.filter(corpus=corpus).exclude(name=name).update(priority=0)
    Slot.objects.filter(clip__corpus=corpus, clip__name=name).update(priority=9)
    data = api.post("/api/v1/corpora/demo/claims/", {}, format="json").json()
    assert data["clip"]["name"] == name
    return data


def context(api: APIClient, claim: dict):
    return api.get(f"/api/v1/claims/{claim['id']}/context/")


def test_before_and_after_are_those_of_the_same_source(
    api: APIClient, corpus: Corpus, django_assert_max_num_queries
) -> None:
    claim = claim_on(api, corpus, "film_3")
    with django_assert_max_num_queries(12):
        answer = context(api, claim)
    found = answer.json()
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    assert [found[key]["name"] for key in ("previous", "next")] == ["film_2", "film_4"]
    assert found["previous"]["subtitle"]["zh"] == "第2句"
    assert found["previous"]["media"]["video"].startswith("/media/")
    assert set(found["next"]) == {"id", "name", "duration", "subtitle", "media"}


def test_the_first_the_last_and_one_without_a_source(api: APIClient, corpus: Corpus) -> None:
    first = claim_on(api, corpus, "film_1")
    assert context(api, first).json()["previous"] is None
    api.delete(f"/api/v1/claims/{first['id']}/")
    last = claim_on(api, corpus, "film_5")
    assert context(api, last).json()["next"] is None
    api.delete(f"/api/v1/claims/{last['id']}/")
    assert context(api, claim_on(api, corpus, "alone")).json() == {"previous": None, "next": None}


def test_neither_withdrawn_clips_nor_those_of_isolated_work(api: APIClient, corpus: Corpus) -> None:
    claim = claim_on(api, corpus, "film_3")
    corpus.clips.filter(name="film_2").update(withdrawn_at=timezone.now())
    Slot.objects.filter(clip__name="film_4").update(mode="audio")
    found = context(api, claim).json()
    assert [found[key]["name"] for key in ("previous", "next")] == ["film_1", "film_5"]


@pytest.mark.parametrize("mode", ["visual", "audio", "text"])
def test_isolated_work_has_no_context(api: APIClient, corpus: Corpus, mode: str) -> None:
    Slot.objects.filter(clip__name="film_3").update(mode=mode)
    assert context(api, claim_on(api, corpus, "film_3")).status_code == 403


def test_only_its_holder_and_only_while_it_lives(api: APIClient, corpus: Corpus) -> None:
    claim = claim_on(api, corpus, "film_3")
    other = APIClient()
    other.force_authenticate(make.create_member(corpus, "annotator"))
    assert context(other, claim).status_code == 404
    api.delete(f"/api/v1/claims/{claim['id']}/")
    ended = context(api, claim)
    assert (ended.status_code, ended.json()["code"]) == (409, "claim-lost")


def test_its_media_opens_for_the_holder_alone(api: APIClient, annotator: User, corpus: Corpus) -> None:
    claim = claim_on(api, corpus, "film_3")
    url = context(api, claim).json()["next"]["media"]["video"]
    page, other = APIClient(), APIClient()
    page.force_login(annotator)
    other.force_login(make.create_member(corpus, "manager"))
    assert page.get(url).json()["code"] == "media-lost"  # it may; there is no such file in this test
    assert other.get(url).status_code == 403
    api.delete(f"/api/v1/claims/{claim['id']}/")
    assert page.get(url).status_code == 403
