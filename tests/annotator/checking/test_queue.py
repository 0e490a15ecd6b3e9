"""The queue: its order, who may have what, and that it costs the same wherever somebody stands in it."""

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from annotator.accounts.models import ApiToken, User
from annotator.accounts.services import issue_token
from annotator.checking import leases, payload, queue, services
from annotator.checking.models import Annotation, CheckingRules, Claim, Draft, QueuePlace, Record, Slot, Standing
from annotator.core import invariants
from annotator.core.errors import Conflict
from annotator.core.models import AuditEntry
from tests.support import factories as make

pytestmark = pytest.mark.django_db


def taken(user: Any, corpus: Any, **asked: Any) -> Any:
    claim, _created = services.claim_next(user, corpus, **asked)
    return claim and claim.clip


def test_of_one_priority_the_higher_score_comes_first_then_age() -> None:
    corpus = make.create_corpus()
    plain, sure, unsure, urgent = (make.create_clip(corpus, priority=p) for p in (0, 0, 0, 3))
    Slot.objects.filter(clip=sure).update(score=0.2)
    Slot.objects.filter(clip=unsure).update(score=0.9)
    order = [taken(make.create_member(corpus), corpus) for _ in range(4)]
    assert order == [urgent, unsure, sure, plain]


def test_somebody_gets_clips_in_the_languages_that_they_want() -> None:
    corpus = make.create_corpus()
    chinese = make.create_clip(corpus, en="")
    english = make.create_clip(corpus, zh="")
    both = make.create_clip(corpus)
    CheckingRules.objects.create(corpus=corpus)
    wanted = {1: [chinese, both], 2: [english, both], 3: [both]}
    for languages, clips in wanted.items():
        person = make.create_member(corpus)
        Standing.objects.create(corpus=corpus, user=person, stage="passed", languages=languages)
        for clip in [*clips, None]:
            found = taken(person, corpus)
            assert found == clip
            if found:
                services.release(person, Claim.objects.get(user=person, state="live").pk)


def test_a_person_far_ahead_goes_on_from_where_they_are_without_looking_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "HEAD_OF_QUEUE", 2)
    corpus = make.create_corpus(overlap=3)
    clips = [make.create_clip(corpus) for _ in range(30)]
    ahead = make.create_member(corpus)
    for clip in clips[:25]:
        claim, _ = services.claim_next(ahead, corpus)
        assert claim.clip == clip
        services.submit(ahead, claim.pk, make.make_body())
    place = QueuePlace.objects.get(user=ahead, corpus=corpus)
    assert place.slot_id == Slot.objects.filter(clip=clips[24]).order_by("number")[0].pk
    with connection.cursor() as cursor:  # the range that is searched holds nothing of what they did
        cursor.execute(
            "SELECT count(*) FROM checking_slot WHERE corpus_id = %s AND state = 'open' AND id > %s AND EXISTS"
            " (SELECT 1 FROM checking_claim known WHERE known.user_id = %s AND known.clip_id = checking_slot.clip_id)",
            [corpus.pk, place.slot_id, ahead.pk],
        )
        assert cursor.fetchone()[0] == 2  # the two other slots of the clip done last
    assert taken(ahead, corpus) == clips[25]


def test_what_lies_behind_a_place_is_found_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "HEAD_OF_QUEUE", 1)
    corpus = make.create_corpus(overlap=2)
    first, given_back, last = (make.create_clip(corpus) for _ in range(3))
    others = [make.create_member(corpus) for _ in range(2)]
    for other in others:  # both slots of the second clip are away while the person passes
        services.claim_clip(other, given_back)
    person = make.create_member(corpus)
    for clip in (first, last):
        assert taken(person, corpus) == clip
        services.submit(person, Claim.objects.get(user=person, state="live").pk, make.make_body())
    assert taken(person, corpus) is None
    services.release(others[0], Claim.objects.get(user=others[0]).pk)
    assert taken(person, corpus) == given_back


def test_a_new_order_is_followed_at_once() -> None:
    corpus = make.create_corpus()
    clips = [make.create_clip(corpus) for _ in range(4)]
    person = make.create_member(corpus)
    assert taken(person, corpus) == clips[0]
    services.release(person, Claim.objects.get(user=person).pk)
    Slot.objects.filter(clip=clips[3]).update(score=5)
    queue.forget_places(corpus.pk)
    assert not QueuePlace.objects.exists()
    assert taken(person, corpus) == clips[3]


def test_leaving_frees_the_slot_at_once_and_its_author_may_take_it_back(client: Client) -> None:
    corpus = make.create_corpus(overlap=1)
    clip = make.create_clip(corpus)
    person, other = make.create_member(corpus), make.create_member(corpus)
    client.force_login(person)
    claim, _ = services.claim_next(person, corpus)
    services.save_draft(person, claim.pk, {"label": "生气"}, '"0"')
    assert client.post(reverse("accounts:sign-out")).status_code == 302
    claim.refresh_from_db()
    assert (claim.state, Slot.objects.get(clip=clip).state) == ("expired", "open")
    assert AuditEntry.objects.filter(action="claim.sign-out", actor=person).count() == 1
    again, created = services.claim_next(person, corpus)
    assert (again.pk, created) == (claim.pk, True)
    leases.let_go(person)
    assert taken(other, corpus) == clip
    with pytest.raises(Conflict) as lost:
        services.submit(person, claim.pk, make.make_body())
    assert lost.value.code == "claim-lost"
    assert invariants.broken() == []


def test_a_saved_draft_renews_the_lease_of_a_live_claim_only() -> None:
    corpus = make.create_corpus()
    make.create_clip(corpus)
    person = make.create_member(corpus)
    claim, _ = services.claim_next(person, corpus)
    soon = Now() + timedelta(seconds=5)
    for body in (
        {"label": "a"},
        {"label": "a"},
        {"label": "a", "work": {"keys": 3}},
    ):  # unchanged is a sign of life too
        Claim.objects.filter(pk=claim.pk).update(lease_end=soon)
        version = Draft.objects.filter(claim=claim).count()
        saved = services.save_draft(person, claim.pk, body, f'"{version}"')
        assert saved.lease_end > leases.database_now() + timedelta(minutes=29)
    assert Draft.objects.filter(claim=claim).count() == 1
    Claim.objects.filter(pk=claim.pk).update(state="lost")
    assert services.save_draft(person, claim.pk, {"label": "b"}, '"1"').lease_end is None


def test_how_it_was_made_is_stored_and_never_makes_another_body() -> None:
    clip = make.create_clip(make.create_corpus(), duration=4.0)
    clue = make.create_clue(clip)
    person = make.create_member(clip.corpus)
    claim, _ = services.claim_next(person, clip.corpus)
    Claim.objects.filter(pk=claim.pk).update(created_at=Now() - timedelta(minutes=5))
    work = {
        "active_s": 41.5,
        "played": [[0, 2]],
        "clues": {str(clue.pk): {"active_s": 7.25, "played": True}},
        "keys": 9,
    }
    body = {**make.make_body([clue]), "work": work}
    first = services.submit(person, claim.pk, body, key="k")
    annotation = Annotation.objects.get()
    check = annotation.checks.get()
    assert (annotation.active_seconds, annotation.played_share, annotation.work["keys"]) == (41.5, 0.5, 9)
    assert (check.active_seconds, check.played) == (7.25, True)
    later = {**body, "work": {**work, "active_s": 99}}
    assert services.submit(person, claim.pk, later, key="k") == first
    assert services.submit(person, claim.pk, later) == first


def test_the_short_and_the_long_way_write_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A submission by one call of the database, and the same by steps: row for row alike."""
    written = []
    for short in (True, False):
        corpus = make.create_corpus(review="none", overlap=2)
        clip = make.create_clip(corpus, "同一个")
        clues = [
            make.create_clue(clip, span=(0.25, 1.5), texts={"zh": "眉头紧锁。"}, provenance={"model": "m"}),
            make.create_clue(clip, "The voice is high.", modality="audio", aspect="tone"),
        ]
        make.create_draft(clip, zh="", en="In the video: he frowns.")
        make.create_annotation(clip)
        person = make.create_member(corpus)
        claim, _ = services.claim_next(person, corpus)
        body = make.make_body(clues, description={"zh": "", "en": "In the video: he frowns. So he is angry."})
        body["clues"].append(
            {"modality": "text", "aspect": "", "language": "zh", "text": "他说慢点。", "span": None, "verdict": "added"}
        )
        body["reply"] = "好的"
        if not short:
            monkeypatch.setattr("annotator.checking.handing_in.submit", lambda *_args, **_kw: None)
        answer = services.submit(person, claim.pk, body, key="k")
        written.append(_written(claim, clues, answer))
    assert written[0] == written[1]
    assert written[0]["record"]["current"] == 1
    assert invariants.broken() == []


def _written(claim: Claim, clues: list[Any], answer: dict[str, Any]) -> dict[str, Any]:
    places = {clue.pk: place for place, clue in enumerate(clues)}
    annotation = Annotation.objects.filter(claim=claim).values().get()
    record = Record.objects.get(clip=claim.clip, grade="fine")
    own = ("id", "claim_id", "clip_id", "user_id", "submitted_at")
    claim.refresh_from_db()
    return {
        "answer": {key: value is not None for key, value in answer.items()} | {"state": answer["state"]},
        "annotation": {key: value for key, value in annotation.items() if key not in own},
        "checks": [
            {key: value for key, value in row.items() if key not in ("id", "annotation_id", "clue_id")}
            | {"place": places.get(row["clue_id"])}
            for row in Annotation.objects.get(claim=claim).checks.values()
        ],
        "states": (claim.state, claim.slot.state),
        "draft": {k: v for k, v in claim.drafts.get().body.items() if k != "clues"},
        "record": {"line": record.current.line, "sha256": record.current.sha256, "current": record.current.number},
        "said": [link["by"] for link in record.current.provenance["sentences"]["en"]],
        "sources": [clue["source"] and clue["source"]["prelabeller"] for clue in record.current.provenance["clues"]],
        "audit": list(AuditEntry.objects.filter(target=f"claim {claim.pk}").values_list("action", flat=True)),
    }


@pytest.mark.parametrize("mode", ["visual", "audio", "text"])
def test_an_isolated_claim_shows_and_asks_for_its_own_modality(mode: str) -> None:
    corpus = make.create_corpus()
    CheckingRules.objects.create(corpus=corpus, modes=[mode])
    clip = make.create_clip(corpus)
    clues = {m: make.create_clue(clip, modality=m, aspect=a) for m, a in (("visual", ""), ("audio", ""), ("text", ""))}
    make.create_draft(clip)
    person = make.create_member(corpus)
    claim, _ = services.claim_next(person, corpus)
    shown = payload.claim_payload(claim, person)
    assert (shown["mode"], [c["id"] for c in shown["clues"]]) == (mode, [clues[mode].pk])
    assert (shown["subtitle"]["zh"] is not None) == (mode == "text")
    assert shown["suggestion"] is None
    assert services.submit(person, claim.pk, make.make_body([clues[mode]]))["state"] == "submitted"


@pytest.mark.parametrize("arm", ["none", "blind", "shown"])
def test_an_arm_decides_what_is_shown_of_the_pre_labels(arm: str) -> None:
    corpus = make.create_corpus()
    shares = {"none": {"none_share": 1}, "blind": {"blind_share": 1}, "shown": {}}[arm]
    CheckingRules.objects.create(corpus=corpus, **shares)
    clip = make.create_clip(corpus)
    clue = make.create_clue(clip)
    make.create_draft(clip)
    person = make.create_member(corpus)
    claim, _ = services.claim_next(person, corpus)
    shown = payload.claim_payload(claim, person)
    assert Claim.objects.get().arm == arm
    assert [c["id"] for c in shown["clues"]] == ([] if arm == "none" else [clue.pk])
    assert (shown["suggestion"] is not None) == (arm == "shown")
    assert shown["blind"] == (arm == "blind")
    assert all((c["source"] is None) == (arm == "blind") for c in shown["clues"])
    body = make.make_body([] if arm == "none" else [clue])
    assert services.submit(person, claim.pk, body)["state"] == "submitted"


def test_a_claim_by_token_is_one_statement_and_a_submission_two(client: Client) -> None:
    """Of a submission: the token with what the annotation is checked against, the write. The first call of a minute
    notes the token's use, too."""
    corpus = make.create_corpus("demo", review="none")
    for _ in range(3):
        make.create_clue(make.create_clip(corpus))
    token = issue_token(None, make.create_member(corpus))[1]
    headers = {"Authorization": f"Bearer {token}"}
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as claiming:
            answer = client.post("/api/v1/corpora/demo/claims/", "{}", "application/json", headers=headers)
        claim = answer.json()
        body = json.dumps(make.make_body(claim["clues"]))
        address = f"/api/v1/claims/{claim['id']}/"
        with CaptureQueriesContext(connection) as saving:
            client.put(f"{address}draft/", body, "application/json", headers={**headers, "If-Match": '"0"'})
        with CaptureQueriesContext(connection) as submitting:
            done = client.post(f"{address}submit/", body, "application/json", headers=headers)
        assert done.json()["state"] == "recorded"
        counts.append((len(claiming), len(saving), len(submitting)))
    assert counts[1] == (1, 2, 2)


@pytest.mark.parametrize(
    ("spoil", "body", "status"),
    [
        ("revoked", "{}", 401),
        ("expired", "{}", 401),
        ("secret", "{}", 401),
        ("inactive", "{}", 401),
        ("scope", "{}", 403),
        ("role", "{}", 403),
        ("stranger", "{}", 404),
        ("", '{"kind": ', 400),
        ("", '{"kind": "gold"}', 422),
        ("", '{"kind": "review"}', 403),
        ("", '{"ahead": "perhaps"}', 422),
    ],
)
def test_a_call_that_is_refused_takes_no_claim(client: Client, spoil: str, body: str, status: int) -> None:
    """Token, right and claim are one statement: nothing of it may happen where one of them is wanting."""
    corpus = make.create_corpus("demo")
    make.create_clue(make.create_clip(corpus))
    person = make.create_member(corpus, "viewer" if spoil == "role" else "annotator")
    if spoil == "stranger":
        person.memberships.all().delete()
    row, token = issue_token(None, person, scopes=["clip.view"] if spoil == "scope" else [])
    if spoil == "revoked":
        ApiToken.objects.update(revoked_at=timezone.now())
    if spoil == "expired":
        ApiToken.objects.update(expires_at=timezone.now())
    if spoil == "inactive":
        User.objects.update(is_active=False)
    token = f"{row.prefix}.wrong" if spoil == "secret" else token
    headers = {"Authorization": f"Bearer {token}"}
    answer = client.post("/api/v1/corpora/demo/claims/", body, "application/json", headers=headers)
    assert answer.status_code == status, answer.content
    assert not Claim.objects.exists()


def test_a_claim_that_was_told_by_the_database_is_the_row(django_assert_num_queries: Callable[[int], Any]) -> None:
    corpus = make.create_corpus(guideline="# 指南")
    clip = make.create_clip(corpus, source="电影", duration=2.5)
    person = make.create_member(corpus)
    claim, _ = queue.claim_here(person, corpus.slug)
    with django_assert_num_queries(0):
        shown = payload.claim_payload(claim, person)
        assert (claim.clip.name, claim.slot.kind, claim.corpus.overlap) == (clip.name, "annotate", 1)
    row = Claim.objects.get(pk=claim.pk)
    for field in Claim._meta.concrete_fields:
        assert getattr(claim, field.attname) == getattr(row, field.attname), field.attname
    assert shown["guideline"] == "# 指南"


@pytest.mark.django_db(transaction=True)
def test_two_hundred_claims_of_the_last_ten_clips_make_ten_holders() -> None:
    corpus = make.create_corpus(overlap=1)
    for _ in range(10):
        make.create_clip(corpus)
    people = [make.create_member(corpus) for _ in range(200)]
    barrier = threading.Barrier(40)
    held: list[int] = []

    def ask(share: list[Any]) -> None:
        try:
            barrier.wait(60)
            for person in share:
                claim, _created = queue.claim_here(person, corpus.slug)
                if claim is not None:
                    held.append(claim.slot_id)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask, args=(people[n::40],)) for n in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(held) == len(set(held)) == Claim.objects.filter(state="live").count() == 10
    assert invariants.broken() == []


@pytest.mark.django_db(transaction=True)
def test_who_is_killed_amid_a_claim_leaves_nothing_behind() -> None:
    corpus = make.create_corpus()
    first, second = make.create_clip(corpus), make.create_clip(corpus)
    killed, other, third = (make.create_member(corpus) for _ in range(3))
    backend: list[int] = []
    claimed, ended = threading.Event(), threading.Event()
    errors: list[Exception] = []

    def die() -> None:
        try:
            with transaction.atomic():
                assert queue.claim_next(killed, corpus)[0].clip == first
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_backend_pid()")
                    backend.append(cursor.fetchone()[0])
                claimed.set()
                ended.wait(60)
        except Exception as error:  # noqa: BLE001 - the connection is gone, as it should be
            errors.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=die)
    thread.start()
    assert claimed.wait(60)
    assert taken(other, corpus) == second  # what is in somebody's hand is stepped over, not waited for
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 10000)", backend)
    ended.set()
    thread.join(60)
    assert errors
    assert not Claim.objects.filter(user=killed).exists()
    assert taken(third, corpus) == first
    assert invariants.broken() == []
