"""REST of checking, to the letter of its schema."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from annotator.accounts.models import User
from annotator.checking.models import Annotation, Claim, Draft, Record, Review
from annotator.clips.models import Clip, Corpus
from annotator.core.models import IdempotentRequest
from annotator.core.permissions import ACTIONS, ROLES
from tests.support import factories as make

pytestmark = pytest.mark.django_db


def client(user: User | None) -> APIClient:
    api = APIClient()
    if user:
        api.force_authenticate(user)
    return api


@pytest.fixture
def corpus() -> Corpus:
    corpus = make.create_corpus("demo", guideline="# 指南")
    for name in ("一", "二", "三"):
        clip = make.create_clip(corpus, name, duration=2.5, source="电影")
        make.create_clue(clip, "眉头紧锁。", language="zh", span=(0.2, 1.0), provenance={"model": "m"})
        make.create_clue(clip, "The voice is high.", modality="audio", aspect="tone", texts={"zh": "声音很高。"})
    return corpus


@pytest.fixture
def annotator(corpus: Corpus) -> User:
    return make.create_member(corpus, "annotator")


@pytest.fixture
def api(annotator: User) -> APIClient:
    return client(annotator)


def claim(api: APIClient, **body: Any) -> Any:
    return api.post("/api/v1/corpora/demo/claims/", body, format="json")


def test_a_claim_is_what_the_interface_says(api: APIClient, corpus: Corpus) -> None:
    clip = corpus.clips.get(name="一")
    make.create_draft(clip, zh="在视频中，眉头紧锁；", en="", ov_zh=("生气",))
    answer = claim(api)
    assert answer.status_code == 201
    assert answer["ETag"] == '"0"'
    data = answer.json()
    keys = {"id", "lease_end", "clip", "subtitle", "clues", "draft", "returned"}
    assert keys <= set(data)
    assert {key: data["clip"][key] for key in ("id", "name", "duration", "source", "speaker")} == {
        "id": clip.pk,
        "name": "一",
        "duration": 2.5,
        "source": "电影",
        "speaker": None,
    }
    assert set(data["clip"]["media"]) == {"video", "audio", "poster", "peaks", "tracks", "expires"}
    assert data["subtitle"] == {"zh": "你怎么现在才来？", "en": "Why do you come only now?"}
    assert (data["draft"], data["returned"], data["guideline"]) == (None, None, "# 指南")
    visual, audio = data["clues"]
    assert visual["span"] == [0.2, 1.0]
    assert visual["source"] == {"prelabeller": "scripted", "model": "m", "prompt": None}
    assert (visual["gate"], audio["texts"]) == ([], {"zh": "声音很高。"})
    assert data["suggestion"]["ov_labels"] == {"zh": ["生气"], "en": []}
    assert data["suggestion"]["source"] == "template"


def test_claims_answer_201_then_200_then_ahead_then_204(api: APIClient, corpus: Corpus) -> None:
    first = claim(api)
    again = claim(api)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    ahead = claim(api, ahead=True)
    assert ahead.status_code == 201
    assert claim(api, ahead=True).status_code == 200
    for held in (first, ahead):
        assert api.delete(f"/api/v1/claims/{held.json()['id']}/").status_code == 204
    third = claim(api)
    assert third.status_code == 201
    skipped = api.post(f"/api/v1/claims/{third.json()['id']}/skip/", {"reason": "看不清"}, format="json")
    assert (skipped.status_code, skipped.json()["state"]) == (200, "skipped")
    assert claim(api).status_code == 204


def test_a_submission_and_its_replays(api: APIClient, annotator: User) -> None:
    data = claim(api).json()
    url, body = f"/api/v1/claims/{data['id']}/submit/", make.make_body(data["clues"])
    first = api.post(url, body, format="json", headers={"Idempotency-Key": "k-1"})
    assert first.status_code == 201
    assert set(first.json()) == {"annotation", "record", "state"}
    assert (first.json()["record"], first.json()["state"]) == (None, "submitted")
    replay = api.post(url, body, format="json", headers={"Idempotency-Key": "k-1"})
    assert (replay.status_code, replay.content) == (201, first.content)
    keyless = api.post(url, body, format="json")
    assert (keyless.status_code, keyless.json()) == (201, first.json())
    other = {**body, "label": "sad"}
    assert api.post(url, other, format="json", headers={"Idempotency-Key": "k-1"}).status_code == 422
    assert api.post(url, other, format="json").json()["code"] == "already-submitted"
    elsewhere = claim(api).json()["id"]
    reused = api.post(f"/api/v1/claims/{elsewhere}/submit/", body, format="json", headers={"Idempotency-Key": "k-1"})
    assert reused.status_code == 422
    assert Annotation.objects.count() == 1
    assert IdempotentRequest.objects.get().user == annotator


def test_a_refused_submission_is_not_remembered(api: APIClient) -> None:
    data = claim(api).json()
    url, body = f"/api/v1/claims/{data['id']}/submit/", make.make_body(data["clues"])
    missing = {**body, "clues": body["clues"][:1]}
    refused = api.post(url, missing, format="json", headers={"Idempotency-Key": "k"})
    assert refused.status_code == 422
    assert refused["Content-Type"].startswith("application/problem+json")
    assert list(refused.json()["errors"]) == [f"clues[id={data['clues'][1]['id']}].verdict"]
    assert not IdempotentRequest.objects.exists()
    assert Claim.objects.get().state == "live"
    assert api.post(url, body, format="json", headers={"Idempotency-Key": "k"}).status_code == 201


def test_drafts_need_the_version_they_were_made_from(api: APIClient) -> None:
    answer = claim(api)
    url = f"/api/v1/claims/{answer.json()['id']}/draft/"
    one, two = {"label": "一"}, {"label": "二"}
    assert api.put(url, one, format="json").status_code == 428
    saved = api.put(url, one, format="json", headers={"If-Match": answer["ETag"]})
    assert (saved.status_code, saved["ETag"]) == (200, '"1"')
    other_tab = api.put(url, two, format="json", headers={"If-Match": answer["ETag"]})
    assert (other_tab.status_code, other_tab.json()["code"]) == (412, "stale")
    assert api.put(url, two, format="json", headers={"If-Match": saved["ETag"]})["ETag"] == '"2"'
    assert claim(api).json()["draft"] == two
    assert claim(api)["ETag"] == '"2"'
    assert list(Draft.objects.values_list("body", flat=True)) == [one, two]
    nul = api.put(url, {"label": "a\x00b"}, format="json", headers={"If-Match": '"2"'})
    assert nul.status_code == 422


@pytest.mark.parametrize("body", [[], "text", 5])
def test_a_body_that_is_no_object_is_422(api: APIClient, body: Any) -> None:
    pk = claim(api).json()["id"]
    for method, name in ((api.put, "draft"), (api.post, "submit"), (api.post, "summarise"), (api.post, "decide")):
        answer = method(f"/api/v1/claims/{pk}/{name}/", body, format="json", headers={"If-Match": '"0"'})
        assert answer.status_code == 422, name
    assert api.post("/api/v1/corpora/demo/claims/", body, format="json").status_code == 422


def test_nobody_sees_anothers_work_before_submitting(api: APIClient, corpus: Corpus) -> None:
    secret = "只有我知道的描述"
    Corpus.objects.update(overlap=2)
    for clip in corpus.clips.all():
        clip.slots.create(corpus=corpus, kind="annotate", number=2, priority=1 if clip.name == "一" else 0)
    clip = corpus.clips.get(name="一")
    other = make.create_member(corpus, "annotator")
    offered = clip.clues.all()
    annotation = make.create_annotation(clip, other, make.make_body(offered, description={"zh": secret, "en": ""}))
    both = make.create_member(corpus, ("annotator", "reviewer"))
    for person in (api, client(both)):
        mine = claim(person)
        assert mine.json()["clip"]["id"] == clip.pk
        pages = [mine, person.get(f"/api/v1/claims/{mine.json()['id']}/")]
        pages += [person.get(f"/api/v1/claims/{annotation.claim_id}/")]
        pages += [person.get("/api/v1/corpora/demo/records/"), person.get(f"/clips/{clip.pk}/")]
        assert [page.status_code for page in pages[:3]] == [201, 200, 404]
        for page in pages:
            assert secret not in page.content.decode()
        assert person.delete(f"/api/v1/claims/{mine.json()['id']}/").status_code == 204


def test_a_reviewer_sees_annotations_under_pseudonyms_and_decides(corpus: Corpus) -> None:
    author = make.create_member(corpus, "annotator", make.create_user("wang-xiaoming"))
    clip = corpus.clips.get(name="一")
    annotation = make.create_annotation(clip, author)
    reviewer = client(make.create_member(corpus, "reviewer"))
    data = claim(reviewer, kind="review").json()
    assert data["kind"] == "review"
    assert [(a["id"], a["annotator"]) for a in data["annotations"]] == [(annotation.pk, "A1")]
    assert data["annotations"][0]["body"]["clues"][0]["verdict"] == "kept"
    assert "wang-xiaoming" not in str(data)
    url = f"/api/v1/claims/{data['id']}/decide/"
    asked = {"decision": "accept", "annotation": annotation.pk}
    answer = reviewer.post(url, asked, format="json", headers={"Idempotency-Key": "d"})
    assert answer.status_code == 201
    assert reviewer.post(url, asked, format="json", headers={"Idempotency-Key": "d"}).json() == answer.json()
    assert Review.objects.count() == 1
    record = reviewer.get(f"/api/v1/records/{answer.json()['record']}/")
    assert record["ETag"] == f'"{record.json()["sha256"]}"'
    assert record.json()["record"]["clip"] == "一"
    assert [r["origin"] for r in record.json()["revisions"]] == ["review"]
    origin = reviewer.get(f"/api/v1/records/{answer.json()['record']}/provenance/").json()
    assert origin["annotator"].startswith("p-")
    assert origin["reviewer"] != origin["annotator"]
    assert origin["clues"][0]["source"]["prelabeller"] == "scripted"
    assert [s["by"] for s in origin["sentences"]["en"]] == ["person"]


def test_a_returned_claim_says_why(corpus: Corpus, api: APIClient) -> None:
    data = claim(api).json()
    body = make.make_body(data["clues"])
    api.post(f"/api/v1/claims/{data['id']}/submit/", body, format="json")
    reviewer = client(make.create_member(corpus, "reviewer"))
    review = claim(reviewer, kind="review").json()["id"]
    asked = {"decision": "return", "reason": "缺少语气"}
    assert reviewer.post(f"/api/v1/claims/{review}/decide/", asked, format="json").status_code == 201
    back = claim(api).json()
    assert (back["id"], back["returned"]) == (data["id"], {"reason": "缺少语气"})
    assert back["draft"]["description"] == body["description"]


def test_record_lists_page_search_and_cost_the_same(corpus: Corpus, django_assert_max_num_queries: Any) -> None:
    for clip in corpus.clips.all():
        make.create_record(clip, "coarse", description={"zh": f"片段{clip.name}很生气", "en": ""})
    viewer = client(make.create_member(corpus, "viewer"))
    with django_assert_max_num_queries(8):
        page = viewer.get("/api/v1/corpora/demo/records/?page_size=2").json()
    assert len(page["results"]) == 2
    assert viewer.get(page["next"]).json()["next"] is None
    found = viewer.get("/api/v1/corpora/demo/records/", {"q": "片段二"}).json()["results"]
    assert [r["record"]["clip"] for r in found] == ["二"]
    assert viewer.get("/api/v1/corpora/demo/records/?grade=fine").json()["results"] == []
    assert viewer.get("/api/v1/corpora/demo/records/?grade=x").status_code == 422


def test_records_of_withdrawn_clips_are_gone(corpus: Corpus) -> None:
    clip = corpus.clips.get(name="一")
    record = make.create_record(clip, "coarse")
    Clip.objects.filter(pk=clip.pk).update(withdrawn_at=clip.created_at)
    viewer = client(make.create_member(corpus, "viewer"))
    for url in (f"/api/v1/records/{record.pk}/", f"/api/v1/records/{record.pk}/provenance/"):
        assert viewer.get(url).status_code == 410
    assert viewer.get("/api/v1/corpora/demo/records/").json()["results"] == []


def test_ids_beyond_the_database_are_not_found(api: APIClient) -> None:
    for url in (f"/api/v1/claims/{2**70}/", f"/api/v1/records/{2**70}/", "/api/v1/claims/0/"):
        assert api.get(url).status_code == 404


# (method, url, action that the role table must allow); {claim} is an annotator's live claim, {review} a reviewer's.
CALLS = [
    ("post", "/api/v1/corpora/demo/claims/", "claim.annotate", {}),
    ("post", "/api/v1/corpora/demo/claims/", "claim.review", {"kind": "review"}),
    ("get", "/api/v1/corpora/demo/records/", "record.view", None),
    ("get", "/api/v1/records/{record}/", "record.view", None),
    ("get", "/api/v1/records/{record}/provenance/", "record.view", None),
    ("get", "/corpora/demo/records/", "record.view", None),
    ("get", "/records/{record}/", "record.view", None),
]
OF_A_CLAIM = [("get", ""), ("delete", ""), ("post", "renew/"), ("post", "skip/"), ("put", "draft/")]
OF_A_CLAIM += [("post", "submit/"), ("post", "decide/"), ("post", "summarise/")]


@pytest.mark.parametrize("role", [*ROLES, "admin", "stranger", "nobody"])
@pytest.mark.parametrize(("method", "url", "action", "body"), CALLS)
def test_every_endpoint_asks_the_role_table(
    corpus: Corpus, role: str, method: str, url: str, action: str, body: Any
) -> None:
    record = make.create_record(corpus.clips.get(name="二"), "coarse")
    person = _person(corpus, role)
    browser = client(person)
    if person and not url.startswith("/api"):
        browser.force_login(person)
    answer = getattr(browser, method)(url.format(record=record.pk), body, format="json")
    if role == "nobody":
        assert answer.status_code in (401, 403) if url.startswith("/api") else answer.status_code == 302
    elif role == "stranger":
        assert answer.status_code == 404
    elif role == "admin" or role in ACTIONS[action][0]:
        assert answer.status_code in (200, 201, 204)
    else:
        assert answer.status_code == 403


@pytest.mark.parametrize("role", [*ROLES, "stranger", "nobody"])
@pytest.mark.parametrize(("method", "name"), OF_A_CLAIM)
def test_anothers_claim_is_closed_to_everybody_but_managers(
    corpus: Corpus, api: APIClient, role: str, method: str, name: str
) -> None:
    held = claim(api).json()
    url = f"/api/v1/claims/{held['id']}/{name}"
    headers = {"If-Match": '"0"'}
    answer = getattr(client(_person(corpus, role)), method)(url, make.make_body(), format="json", headers=headers)
    if role == "nobody":
        assert answer.status_code in (401, 403)
    elif role in ("stranger", "annotator"):
        assert answer.status_code == 404
    elif role == "manager" and name == "":
        assert answer.status_code in (200, 204)
    else:
        assert answer.status_code == 403
    assert Claim.objects.get(pk=held["id"]).state == ("released" if (role, method) == ("manager", "delete") else "live")


def _person(corpus: Corpus, role: str) -> User | None:
    if role == "nobody":
        return None
    if role == "admin":
        return make.create_user(is_superuser=True)
    return make.create_user() if role == "stranger" else make.create_member(corpus, role)


def test_a_token_narrows_what_the_roles_allow(corpus: Corpus, annotator: User) -> None:
    annotator.token_scopes = ["record.view"]
    assert claim(client(annotator)).status_code == 403


def test_record_pages_show_where_sentences_come_from(corpus: Corpus) -> None:
    Corpus.objects.update(review="none")
    clip = corpus.clips.get(name="一")
    body = make.make_body(
        clip.clues.all(), description={"zh": "他眉头紧锁。他很生气。", "en": "<script>alert(1)</script>"}
    )
    make.create_annotation(clip, body=body)
    viewer = make.create_member(corpus, "viewer")
    browser = client(None)
    browser.force_login(viewer)
    page = browser.get(f"/records/{Record.objects.get().pk}/").content.decode()
    assert "他眉头紧锁。" in page
    assert 'href="#clue-1"' in page
    assert "<script>alert" not in page
    listed = browser.get("/corpora/demo/records/", {"q": "眉头"}).content.decode()
    assert "一" in listed
    partial = browser.get("/corpora/demo/records/", {"q": "nowhere"}, headers={"HX-Request": "true"})
    assert partial["Vary"].startswith("HX-Request")
    assert "<html" not in partial.content.decode()


@pytest.mark.parametrize(
    "raw", ["[" * 100_000, '{"clues": ' + "[" * 2000 + "]" * 2000 + "}", '{"label": NaN}', b"\xff\xfe", "{"]
)
def test_what_is_no_json_is_400(api: APIClient, raw: Any) -> None:
    pk = claim(api).json()["id"]
    answer = api.generic("POST", f"/api/v1/claims/{pk}/submit/", raw, content_type="application/json")
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")


def test_the_clip_page_shows_records_unless_i_may_still_annotate_the_clip(corpus: Corpus) -> None:
    clip = corpus.clips.get(name="一")
    clip.slots.create(corpus=corpus, kind="annotate", number=2)
    body = make.make_body(clip.clues.all(), description={"zh": "他眉头紧锁，很生气。", "en": ""})
    make.create_annotation(clip, body=body)
    make.create_record(clip, "coarse", description={"zh": "粗略描述", "en": ""})
    for role, sees in (("viewer", True), (("viewer", "annotator"), False)):
        browser = client(None)
        browser.force_login(make.create_member(corpus, role))
        page = browser.get(f"/clips/{clip.pk}/")
        assert page.status_code == 200
        assert ("他眉头紧锁，很生气。" in page.content.decode()) is sees
        assert "粗略描述" in page.content.decode()
