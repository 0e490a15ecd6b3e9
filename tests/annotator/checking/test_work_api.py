"""What stands beside the checking page: the thread of a clip, one's own keys, versions of a draft, examples."""

from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from annotator.accounts.models import User
from annotator.accounts.services import issue_token
from annotator.checking import services
from annotator.checking.models import Comment, Draft, GoldItem, WorkPreference
from annotator.checking.shortcuts import BOTH, shortcuts
from annotator.clips.models import Clip, Corpus
from annotator.core.models import AuditEntry
from tests.support import factories as make

pytestmark = pytest.mark.django_db


def client(user: User) -> APIClient:
    api = APIClient()
    api.force_authenticate(user)
    return api


@pytest.fixture
def corpus() -> Corpus:
    return make.create_corpus("demo", overlap=2)


@pytest.fixture
def clip(corpus: Corpus) -> Clip:
    clip = make.create_clip(corpus, "一")
    make.create_clue(clip, "眉头紧锁。", language="zh")
    return clip


@pytest.fixture
def people(corpus: Corpus) -> dict[str, User]:
    roles = {"anna": "annotator", "ben": "annotator", "rui": "reviewer", "mei": "manager", "vi": "viewer"}
    return {name: make.create_member(corpus, role, make.create_user(name)) for name, role in roles.items()}


def write(user: User, clip: Clip, text: str) -> Any:
    return client(user).post(f"/api/v1/clips/{clip.pk}/comments/", {"text": text}, format="json")


def read(user: User, clip: Clip) -> list[str]:
    answer = client(user).get(f"/api/v1/clips/{clip.pk}/comments/")
    assert answer.status_code == 200, answer.json()
    return [remark["text"] for remark in answer.json()["results"]]


# -- the thread ---------------------------------------------------------------------------------------------------


def test_who_has_not_submitted_reads_no_other_annotator(clip: Clip, people: dict[str, User]) -> None:
    for name in ("anna", "ben"):
        services.claim_clip(people[name], clip)
    write(people["anna"], clip, "I take this for anger. 我觉得是生气。")
    write(people["rui"], clip, "The subtitle is from the next scene.")
    write(people["mei"], clip, "We know; it will be mended.")
    leaders = ["The subtitle is from the next scene.", "We know; it will be mended."]
    assert read(people["ben"], clip) == leaders
    assert read(people["anna"], clip) == ["I take this for anger. 我觉得是生气。", *leaders]
    assert len(read(people["rui"], clip)) == 3
    make.create_annotation(clip, people["ben"])
    assert len(read(people["ben"], clip)) == 3


def test_a_returned_annotation_is_unfinished_again(corpus: Corpus, people: dict[str, User]) -> None:
    clip = make.create_clip(make.create_corpus("single"), "二")
    for role, name in (("annotator", "anna"), ("reviewer", "rui"), ("manager", "mei")):
        make.create_member(clip.corpus, role, people[name])
    annotation = make.create_annotation(clip, people["anna"])
    Comment.objects.create(clip=clip, user=people["ben"], role="annotator", text="what another one thinks")
    assert read(people["anna"], clip) == ["what another one thinks"]
    claim, _new = services.claim_next(people["rui"], clip.corpus, kind="review")
    services.decide(people["rui"], claim.pk, decision="return", annotation_id=annotation.pk, reason="why angry?")
    assert read(people["anna"], clip) == []


def test_on_a_gold_clip_nobody_is_told_that_it_is_one(clip: Clip, people: dict[str, User]) -> None:
    write(people["rui"], clip, "a fine gold clip, this one")
    slot = clip.slots.create(corpus=clip.corpus, kind="gold", number=1, state="claimed")
    claim = services.claim_clip(people["anna"], clip)
    type(claim).objects.filter(pk=claim.pk).update(slot=slot)
    write(people["anna"], clip, "hard to hear")
    assert read(people["anna"], clip) == ["hard to hear"]


def test_an_annotator_reads_the_threads_of_the_clips_that_they_got(clip: Clip, people: dict[str, User]) -> None:
    answer = client(people["anna"]).get(f"/api/v1/clips/{clip.pk}/comments/")
    assert answer.status_code == 403
    assert write(people["anna"], clip, "x").status_code == 403
    assert client(people["vi"]).get(f"/api/v1/clips/{clip.pk}/comments/").status_code == 403
    assert client(make.create_user()).get(f"/api/v1/clips/{clip.pk}/comments/").status_code == 404
    Clip.objects.filter(pk=clip.pk).update(withdrawn_at="2026-01-01T00:00Z")
    assert client(people["rui"]).get(f"/api/v1/clips/{clip.pk}/comments/").status_code == 410


def test_authors_go_by_pseudonyms_but_for_who_manages_people(clip: Clip, people: dict[str, User]) -> None:
    services.claim_clip(people["anna"], clip)
    mine = write(people["anna"], clip, "hm").json()["results"][0]
    assert (mine["mine"], mine["role"]) == (True, "annotator")
    assert "anna" not in str(mine)
    [told] = client(people["mei"]).get(f"/api/v1/clips/{clip.pk}/comments/").json()["results"]
    assert (told["author"], told["mine"]) == ("anna", False)


def test_a_remark_is_dealt_with_by_its_author_and_those_who_lead(clip: Clip, people: dict[str, User]) -> None:
    for name in ("anna", "ben"):
        services.claim_clip(people[name], clip)
    remark = write(people["anna"], clip, "who speaks?").json()["results"][0]["id"]
    url = f"/api/v1/comments/{remark}/resolve/"
    assert client(people["ben"]).post(url).status_code == 404  # not theirs to read yet
    make.create_annotation(clip, people["ben"])
    assert client(people["ben"]).post(url).status_code == 403
    answer = client(people["rui"]).post(url)
    assert answer.json()["results"][0]["resolved_at"]
    assert client(people["rui"]).post(url).status_code == 200
    assert (
        client(people["anna"]).post(url, {"resolved": False}, format="json").json()["results"][0]["resolved_at"] is None
    )
    assert AuditEntry.objects.filter(action__startswith="comment.re").count() == 2


@pytest.mark.parametrize("text", ["", "  ", "x" * 4001, "a\x00b", 7, None])
def test_a_remark_that_cannot_be_kept_is_told(clip: Clip, people: dict[str, User], text: Any) -> None:
    services.claim_clip(people["anna"], clip)
    answer = write(people["anna"], clip, text)
    assert answer.status_code == 422
    assert "text" in answer.json()["errors"]
    assert not Comment.objects.exists()


def test_a_long_thread_takes_no_more_queries(
    clip: Clip, people: dict[str, User], django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    services.claim_clip(people["anna"], clip)
    Comment.objects.bulk_create(Comment(clip=clip, user=people["rui"], role="reviewer", text=str(n)) for n in range(40))
    with django_assert_max_num_queries(14):
        assert len(read(people["anna"], clip)) == 40


# -- keys ---------------------------------------------------------------------------------------------------------


def put(user: User, **body: Any) -> Any:
    return client(user).put("/api/v1/me/preferences/", body, format="json")


def test_own_keys_are_kept_and_stand_in_the_page(corpus: Corpus, people: dict[str, User]) -> None:
    answer = put(people["anna"], keys={"keep": ["q"], "submit": ["mod+enter"]}, settings={"rate": 1.5})
    assert answer.json() == {"keys": {"keep": ["q"]}, "settings": {"rate": 1.5}}  # the defaults need no keeping
    assert client(people["anna"]).get("/api/v1/me/preferences/").json() == answer.json()
    assert client(people["ben"]).get("/api/v1/me/preferences/").json() == {"keys": {}, "settings": {}}
    browser = Client()
    browser.force_login(people["anna"])
    page = browser.get("/corpora/demo/check/").content.decode()
    assert '<script id="work-preferences" type="application/json">{"keys": {"keep": ["q"]}' in page
    put(people["anna"], keys={})
    assert WorkPreference.objects.get(user=people["anna"]).keys == {}


def test_a_change_of_ones_keys_is_in_the_audit_trail_once(people: dict[str, User]) -> None:
    for _again in range(2):
        put(people["anna"], keys={"keep": ["q"]}, settings={"rate": 1.5})
    put(people["anna"], keys={"keep": ["q"]}, settings={"rate": 2})
    entries = AuditEntry.objects.filter(action="preferences.change", actor=people["anna"]).order_by("id")
    assert [entry.detail for entry in entries] == [
        {"keys": ["keep"], "settings": ["rate"]},
        {"keys": [], "settings": ["rate"]},
    ]


@pytest.mark.parametrize(
    ("scopes", "status"), [(["claim.annotate"], 200), (["claim.review"], 200), (["record.export"], 403), ([], 200)]
)
def test_a_token_for_something_else_reads_and_writes_no_preferences(
    people: dict[str, User], scopes: list[str], status: int
) -> None:
    _token, text = issue_token(None, people["anna"], scopes=scopes)
    bearer = APIClient(HTTP_AUTHORIZATION=f"Bearer {text}")
    assert bearer.get("/api/v1/me/preferences/").status_code == status
    assert bearer.put("/api/v1/me/preferences/", {"keys": {}}, format="json").status_code == status


@pytest.mark.parametrize(
    ("keys", "field", "words"),
    [
        ({"keep": ["j"]}, "keys.keep", "next clue"),
        ({"reject": ["1"], "next-clue": ["j"]}, "keys.reject", "keep the clue"),
        ({"nothing": ["q"]}, "keys.nothing", "no such action"),
        ({"keep": []}, "keys.keep", "From one to 3"),
        ({"keep": "q"}, "keys.keep", "From one to 3"),
        ({"keep": ["Q"]}, "keys.keep", "is no key"),
        ({"keep": ["ctrl+q"]}, "keys.keep", "is no key"),
        ({"keep": ["mod+w"]}, "keys.keep", "belongs to the browser"),
        ([], "keys", "An object"),
    ],
)
def test_a_wrong_key_is_named(people: dict[str, User], keys: Any, field: str, words: str) -> None:
    answer = put(people["anna"], keys=keys)
    assert answer.status_code == 422
    assert words in answer.json()["errors"][field]
    assert not WorkPreference.objects.exists()


def test_two_actions_may_change_places(people: dict[str, User]) -> None:
    assert put(people["anna"], keys={"keep": ["3"], "reject": ["1"]}).status_code == 200


@pytest.mark.parametrize("settings", [{"Rate": 1}, {"rate": {}}, {"rate": "x" * 201}, {f"a{n}": n for n in range(41)}])
def test_settings_are_small(people: dict[str, User], settings: Any) -> None:
    assert put(people["anna"], settings=settings).status_code == 422


def test_no_key_leads_to_two_actions_of_a_page() -> None:
    for kind in BOTH:
        keys = [key for shortcut in shortcuts(kind) for key in shortcut.keys]
        assert len(keys) == len(set(keys)), sorted(key for key in keys if keys.count(key) > 1)


# -- versions of a draft --------------------------------------------------------------------------------------------


def test_every_version_of_a_draft_can_be_read_again(clip: Clip, people: dict[str, User]) -> None:
    claim = services.claim_clip(people["anna"], clip)
    said = {"clues": [], "description": {"zh": "", "en": ""}, "ov_labels": {"zh": [], "en": []}}
    for number, words in enumerate(["He", "He is", "He is angry"]):
        services.save_draft(people["anna"], claim.pk, {**said, "description": {"zh": "", "en": words}}, f'"{number}"')
    api = client(people["anna"])
    rows = api.get(f"/api/v1/claims/{claim.pk}/drafts/").json()["results"]
    assert [(row["version"], row["characters"], row["clues"]) for row in rows] == [(3, 11, 0), (2, 5, 0), (1, 2, 0)]
    assert "body" not in rows[0]
    second = api.get(f"/api/v1/claims/{claim.pk}/drafts/2/").json()
    assert second["body"]["description"]["en"] == "He is"
    for number in (0, 4, 2**40):
        assert api.get(f"/api/v1/claims/{claim.pk}/drafts/{number}/").status_code == 404


def test_versions_come_in_pages_and_to_their_author_and_managers(clip: Clip, people: dict[str, User]) -> None:
    claim = services.claim_clip(people["anna"], clip)
    odd = [{"clues": "none"}, {"description": []}, {"description": {"zh": None}}, {}]
    Draft.objects.bulk_create(Draft(claim=claim, version=n + 1, body=odd[n % 4]) for n in range(45))
    api = client(people["anna"])
    seen, url = [], f"/api/v1/claims/{claim.pk}/drafts/"
    while url:
        page = api.get(url).json()
        seen += [row["version"] for row in page["results"]]
        url = page["next"]
    assert seen == list(range(45, 0, -1))
    codes = {name: client(people[name]).get(f"/api/v1/claims/{claim.pk}/drafts/").status_code for name in people}
    assert codes == {"anna": 200, "ben": 404, "rui": 403, "mei": 200, "vi": 403}


# -- examples -----------------------------------------------------------------------------------------------------


def test_examples_are_records_that_give_nothing_away(corpus: Corpus, clip: Clip, people: dict[str, User]) -> None:
    for name, purpose in (("二", "example"), ("三", "check")):
        other = make.create_clip(corpus, name)
        record = make.create_record(other)
        other.slots.update(state="closed")
        GoldItem.objects.create(
            corpus=corpus, clip=other, purpose=purpose, revision=record.current, note="Mind the voice.", made_by=None
        )
    record = make.create_record(clip)  # anna may still annotate this one
    GoldItem.objects.create(corpus=corpus, clip=clip, purpose="example", revision=record.current)
    [shown] = client(people["anna"]).get("/api/v1/corpora/demo/examples/").json()["results"]
    assert (shown["clip"], shown["note"]) == ("二", "Mind the voice.")
    assert shown["record"]["description"]["zh"]
    assert len(client(people["rui"]).get("/api/v1/corpora/demo/examples/").json()["results"]) == 2
