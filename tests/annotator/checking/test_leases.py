"""Leases: one holder, two at most, nothing offered twice, nothing lost when time runs out."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from annotator.checking import queries, services
from annotator.checking.leases import database_now, is_live
from annotator.checking.models import Claim, Slot
from annotator.clips.signals import clip_withdrawn
from annotator.core import invariants
from annotator.core.errors import Conflict, Gone, Invalid
from tests.support import factories as make

pytestmark = pytest.mark.django_db


def expire(claim: Claim) -> None:
    Claim.objects.filter(pk=claim.pk).update(lease_end=Now() - timedelta(seconds=1))


def test_while_i_hold_one_i_get_the_same_again_and_ahead_one_more() -> None:
    corpus = make.create_corpus()
    for _ in range(4):
        make.create_clip(corpus)
    annotator = make.create_member(corpus)
    first, created = services.claim_next(annotator, corpus)
    assert created
    assert services.claim_next(annotator, corpus) == (first, False)
    second, created = services.claim_next(annotator, corpus, ahead=True)
    assert created
    assert second.clip != first.clip
    assert services.claim_next(annotator, corpus, ahead=True) == (second, False)
    assert services.claim_next(annotator, corpus) == (first, False)
    assert Claim.objects.filter(user=annotator, state="live").count() == 2


def test_nothing_is_left_when_every_slot_is_taken() -> None:
    corpus = make.create_corpus()
    make.create_clip(corpus)
    one, other = make.create_member(corpus), make.create_member(corpus)
    assert services.claim_next(one, corpus)[1]
    assert services.claim_next(other, corpus) == (None, False)
    assert services.claim_next(one, corpus, ahead=True) == (None, False)


def test_the_queue_goes_by_priority_then_age() -> None:
    corpus = make.create_corpus()
    old, urgent, new = make.create_clip(corpus), make.create_clip(corpus, priority=5), make.create_clip(corpus)
    order = []
    for _ in range(3):
        annotator = make.create_member(corpus)
        order.append(services.claim_next(annotator, corpus)[0].clip)
    assert order == [urgent, old, new]


@pytest.mark.parametrize("verb", ["skip", "release"])
def test_a_skipped_or_released_clip_is_not_offered_to_me_again(verb: str) -> None:
    corpus = make.create_corpus()
    make.create_clip(corpus)
    one, other = make.create_member(corpus), make.create_member(corpus)
    claim, _ = services.claim_next(one, corpus)
    services.skip(one, claim.pk, "看不清脸") if verb == "skip" else services.release(one, claim.pk)
    assert services.claim_next(one, corpus) == (None, False)
    assert services.claim_next(other, corpus)[1]
    with pytest.raises(Conflict) as ended:
        services.submit(one, claim.pk, make.make_body())
    assert ended.value.code == "claim-closed"
    assert invariants.broken() == []


def test_an_expired_clip_goes_back_to_the_queue() -> None:
    corpus = make.create_corpus()
    make.create_clip(corpus)
    one, other = make.create_member(corpus), make.create_member(corpus)
    claim, _ = services.claim_next(one, corpus)
    expire(claim)
    taken, created = services.claim_next(other, corpus)
    assert (taken.clip, created) == (claim.clip, True)
    claim.refresh_from_db()
    assert claim.state == "expired"
    assert invariants.broken() == []


def test_my_own_expired_work_comes_back_to_me_with_its_draft() -> None:
    corpus = make.create_corpus()
    make.create_clip(corpus)
    make.create_clip(corpus)
    annotator = make.create_member(corpus)
    claim, _ = services.claim_next(annotator, corpus)
    services.save_draft(annotator, claim.pk, {"label": "生气"}, '"0"')
    expire(claim)
    again, created = services.claim_next(annotator, corpus)
    assert (again.pk, created) == (claim.pk, True)
    assert queries.claim_payload(again, annotator)["draft"] == {"label": "生气"}


def test_an_expired_lease_submits_when_nobody_took_the_slot() -> None:
    corpus = make.create_corpus()
    make.create_clip(corpus)
    annotator = make.create_member(corpus)
    for sweep in (False, True):
        make.create_clip(corpus)
        claim, _ = services.claim_next(annotator, corpus)
        expire(claim)
        if sweep:
            assert services.sweep(corpus.pk) == 1
        assert services.submit(annotator, claim.pk, make.make_body())["state"] == "submitted"
    assert invariants.broken() == []


def test_a_lost_claim_keeps_what_was_sent_as_a_draft() -> None:
    corpus = make.create_corpus()
    make.create_clip(corpus)
    one, other = make.create_member(corpus), make.create_member(corpus)
    claim, _ = services.claim_next(one, corpus)
    expire(claim)
    services.claim_next(other, corpus)
    body = make.make_body(label="worried")
    with pytest.raises(Conflict) as lost:
        services.submit(one, claim.pk, body, key="k1")
    assert lost.value.code == "claim-lost"
    claim.refresh_from_db()
    assert claim.state == "lost"
    assert claim.drafts.get().body == body
    with pytest.raises(Conflict):
        services.renew(one, claim.pk)
    assert invariants.broken() == []


def test_with_another_slot_of_the_clip_free_nothing_is_lost() -> None:
    clip = make.create_clip(make.create_corpus(overlap=2))
    one, other = make.create_member(clip.corpus), make.create_member(clip.corpus)
    claim, _ = services.claim_next(one, clip.corpus)
    expire(claim)
    taken, _ = services.claim_next(other, clip.corpus)
    assert taken.slot_id == claim.slot_id
    assert services.submit(one, claim.pk, make.make_body())["state"] == "submitted"
    assert invariants.broken() == []


def test_renewing_moves_the_end_by_the_database_clock() -> None:
    corpus = make.create_corpus()
    make.create_clip(corpus)
    annotator = make.create_member(corpus)
    claim, _ = services.claim_next(annotator, corpus)
    assert is_live(claim.pk, annotator.pk)
    expire(claim)
    assert not is_live(claim.pk, annotator.pk)
    renewed = services.renew(annotator, claim.pk)
    assert renewed.lease_end > database_now() + timedelta(minutes=29)
    assert is_live(claim.pk, annotator.pk)
    assert not is_live(claim.pk, annotator.pk + 1)


def test_withdrawing_a_clip_ends_all_work_on_it() -> None:
    corpus = make.create_corpus(overlap=2)
    clip = make.create_clip(corpus)
    annotator = make.create_member(corpus)
    claim, _ = services.claim_next(annotator, corpus)
    clip.withdrawn_at = database_now()
    clip.save()
    clip_withdrawn.send(sender=type(clip), clip=clip)
    assert set(Slot.objects.values_list("state", flat=True)) == {"closed"}
    for call in (services.submit, services.summarise):
        with pytest.raises(Gone):
            call(annotator, claim.pk, make.make_body())
    assert services.claim_next(annotator, corpus) == (None, False)
    assert make.create_draft(clip).pk
    assert not clip.records.exists()
    assert invariants.broken() == []


def test_unknown_kinds_are_refused() -> None:
    corpus = make.create_corpus()
    with pytest.raises(Invalid):
        services.claim_next(make.create_member(corpus), corpus, kind="gold")


def test_claiming_costs_few_statements(django_assert_max_num_queries: CaptureQueriesContext) -> None:
    corpus = make.create_corpus()
    for _ in range(3):
        make.create_clue(make.create_clip(corpus))
    annotator = make.create_member(corpus)
    with django_assert_max_num_queries(13):  # savepoints of the test included
        claim, _ = services.claim_next(annotator, corpus)
    with django_assert_max_num_queries(9):
        queries.claim_payload(claim, annotator)
    body = make.make_body(claim.clip.clues.all())
    with django_assert_max_num_queries(20):
        services.submit(annotator, claim.pk, body)


def test_who_works_ahead_of_the_others_gets_the_next_clip_and_what_was_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("annotator.checking.leases.HEAD_OF_QUEUE", 4)
    corpus = make.create_corpus(overlap=3)
    clips = [make.create_clip(corpus) for _ in range(6)]
    ahead, behind = make.create_member(corpus), make.create_member(corpus)
    order = []
    while (claim := services.claim_next(ahead, corpus)[0]) is not None:
        order.append(claim.clip)
        services.submit(ahead, claim.pk, make.make_body())
        if len(order) == 4:
            order.append(make.create_clip(corpus, priority=1))
            assert services.claim_next(ahead, corpus)[0].clip == order[-1]
            services.submit(ahead, services.claim_next(ahead, corpus)[0].pk, make.make_body())
    assert order == [*clips[:4], order[4], *clips[4:]]
    assert services.claim_next(behind, corpus)[0].clip == order[4]
