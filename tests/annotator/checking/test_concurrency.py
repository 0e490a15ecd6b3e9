"""Many people at once, each with a connection of their own: the database decides."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now

from annotator.checking import services
from annotator.checking.models import Annotation, Claim, Record, RecordRevision, Slot
from annotator.core import invariants
from annotator.core.errors import Conflict, Stale
from tests.support import factories as make

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Start all calls together; their results or errors, in order."""
    barrier, results = threading.Barrier(len(calls)), [None] * len(calls)

    def run(index: int) -> None:
        try:
            barrier.wait(20)
            results[index] = calls[index]()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_forty_people_and_ten_clips_make_ten_holders() -> None:
    corpus = make.create_corpus()
    for _ in range(10):
        make.create_clip(corpus)
    people = [make.create_member(corpus) for _ in range(40)]
    results = at_once(*(lambda person=person: services.claim_next(person, corpus) for person in people))
    claims = [result[0] for result in results if result[0]]
    assert len(results) == 40
    assert len(claims) == 10
    assert len({claim.slot_id for claim in claims}) == 10
    assert Claim.objects.filter(state="live").count() == 10
    assert invariants.broken() == []


def test_one_person_clicking_ten_times_holds_one_clip_and_one_ahead() -> None:
    corpus = make.create_corpus()
    for _ in range(5):
        make.create_clip(corpus)
    person = make.create_member(corpus)
    results = at_once(*(lambda: services.claim_next(person, corpus) for _ in range(10)))
    assert sum(created for _claim, created in results) == 1
    results = at_once(*(lambda: services.claim_next(person, corpus, ahead=True) for _ in range(10)))
    assert sum(created for _claim, created in results) == 1
    assert Claim.objects.filter(state="live").count() == 2


@pytest.mark.parametrize("key", ["one-key", None])
def test_a_double_submit_gives_one_annotation(key: str | None) -> None:
    clip = make.create_clip(make.create_corpus(review="none"))
    make.create_clue(clip)
    person = make.create_member(clip.corpus)
    claim, _ = services.claim_next(person, clip.corpus)
    body = make.make_body(clip.clues.all())
    results = at_once(*(lambda: services.submit(person, claim.pk, body, key=key) for _ in range(6)))
    assert all(result == results[0] for result in results)
    assert results[0]["state"] == "recorded"
    assert Annotation.objects.count() == RecordRevision.objects.count() == 1
    assert invariants.broken() == []


def test_two_last_submissions_at_once_open_one_review() -> None:
    clip = make.create_clip(make.create_corpus(overlap=2))
    people = [make.create_member(clip.corpus) for _ in range(2)]
    claims = [services.claim_next(person, clip.corpus)[0] for person in people]
    body = make.make_body()
    at_once(
        lambda: services.submit(people[0], claims[0].pk, body), lambda: services.submit(people[1], claims[1].pk, body)
    )
    assert Annotation.objects.count() == 2
    assert Slot.objects.filter(kind="review", state="open").count() == 1
    assert invariants.broken() == []


def test_of_two_tabs_that_save_one_is_told_that_it_is_stale() -> None:
    clip = make.create_clip()
    person = make.create_member(clip.corpus)
    claim, _ = services.claim_next(person, clip.corpus)
    results = at_once(*(lambda n=n: services.save_draft(person, claim.pk, {"label": str(n)}, '"0"') for n in range(4)))
    assert sum(isinstance(result, Stale) for result in results) == 3
    assert claim.drafts.count() == 1


def test_whoever_is_first_gets_the_expired_slot_and_the_other_keeps_a_draft() -> None:
    for _ in range(5):
        clip = make.create_clip()
        late, other = make.create_member(clip.corpus), make.create_member(clip.corpus)
        claim, _ = services.claim_next(late, clip.corpus)
        Claim.objects.filter(pk=claim.pk).update(lease_end=Now() - timedelta(seconds=1))
        body = make.make_body()
        submitted, taken = at_once(
            lambda late=late, claim=claim, body=body: services.submit(late, claim.pk, body),
            lambda other=other, clip=clip: services.claim_next(other, clip.corpus),
        )
        if isinstance(submitted, Conflict):
            assert (submitted.code, taken[1]) == ("claim-lost", True)
            assert claim.drafts.get().body == body
        else:
            assert taken == (None, False)
        assert invariants.broken() == []


def test_runs_and_submissions_at_once_never_block_each_other_for_good() -> None:
    clip = make.create_clip(make.create_corpus(review="none", overlap=3))
    people = [make.create_member(clip.corpus) for _ in range(3)]
    claims = [services.claim_next(person, clip.corpus)[0] for person in people]
    calls = [
        lambda person=person, claim=claim: services.submit(person, claim.pk, make.make_body())
        for person, claim in zip(people, claims, strict=True)
    ]
    drafts = [make.create_draft(clip, announce=False) for _ in range(3)]
    results = at_once(*calls, *(lambda draft=draft: services.record_draft(draft) for draft in drafts))
    assert not [result for result in results if isinstance(result, Exception)]
    assert Record.objects.get(grade="coarse").current.number == 3
    assert Record.objects.get(grade="fine").current.number == 1
    assert invariants.broken() == []
