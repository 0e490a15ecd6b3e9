"""Two things happening to one claim at once: one of them wins, nothing is lost, no promise breaks."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from annotator.checking import gold, leases, services
from annotator.checking.models import Annotation, Claim, GoldItem, Slot
from annotator.clips.services import withdraw_clip
from annotator.core import invariants
from annotator.core.errors import Conflict, Gone, WorkbenchError
from tests.annotator.checking.test_concurrency import at_once
from tests.support import factories as make

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = range(6)


def begun() -> tuple[Claim, dict[str, Any]]:
    clip = make.create_clip()
    claim, _ = services.claim_next(make.create_member(clip.corpus), clip.corpus)
    return claim, make.make_body()


@pytest.mark.parametrize("end", ["release", "skip", "let_go"])
def test_a_submission_and_the_end_of_its_claim(end: str) -> None:
    ends = {
        "release": lambda claim: services.release(claim.user, claim.pk),
        "skip": lambda claim: services.skip(claim.user, claim.pk, "later"),
        "let_go": lambda claim: leases.let_go(claim.user),
    }
    for _round in ROUNDS:
        claim, body = begun()
        sent, ended = at_once(lambda c=claim, b=body: services.submit(c.user, c.pk, b), lambda c=claim: ends[end](c))
        claim.refresh_from_db()
        if isinstance(sent, dict):
            assert (claim.state, Annotation.objects.filter(claim=claim).count()) == ("submitted", 1)
            assert end == "let_go" or isinstance(ended, Conflict)
        else:
            assert isinstance(sent, Conflict)
            assert sent.code == "claim-closed"
            assert (claim.state, Annotation.objects.filter(claim=claim).count()) == (f"{end}d".replace("pd", "pped"), 0)
        assert invariants.broken() == []


def test_a_submission_and_the_sweep_after_its_lease_and_somebody_who_waits_for_the_slot() -> None:
    for _round in ROUNDS:
        claim, body = begun()
        Claim.objects.filter(pk=claim.pk).update(lease_end=Now() - timedelta(minutes=1))
        other = make.create_member(claim.corpus)
        sent, _swept, taken = at_once(
            lambda c=claim, b=body: services.submit(c.user, c.pk, b),
            lambda c=claim: services.sweep(c.corpus_id),
            lambda c=claim, o=other: services.claim_next(o, c.corpus),
        )
        claim.refresh_from_db()
        if isinstance(sent, dict):
            assert claim.state == "submitted"
            assert taken == (None, False)
        else:
            assert isinstance(sent, Conflict)
            assert (sent.code, claim.state) == ("claim-lost", "lost")
            assert claim.drafts.get().body["description"] == body["description"]
            assert taken[1]
        assert invariants.broken() == []


def test_a_withdrawal_while_the_clip_is_claimed_and_submitted() -> None:
    for _round in ROUNDS:
        claim, body = begun()
        clip, other = claim.clip, make.create_member(claim.corpus)
        Slot.objects.create(corpus=claim.corpus, clip=clip, kind="annotate", number=2)
        results = at_once(
            lambda c=clip: withdraw_clip(None, c, "consent"),
            lambda c=clip, o=other: services.claim_next(o, c.corpus),
            lambda c=claim, b=body: services.submit(c.user, c.pk, b),
        )
        assert not [each for each in results if isinstance(each, Exception) and not isinstance(each, WorkbenchError)]
        assert isinstance(results[2], dict | Gone | Conflict)
        assert not Slot.objects.filter(clip=clip, state__in=["open", "claimed"]).exists()
        assert not Claim.objects.filter(clip=clip, state="live").exists()
        assert invariants.broken() == []


def test_a_clip_becomes_gold_or_is_taken_never_both() -> None:
    for _round in ROUNDS:
        clip = make.create_clip()
        record, person = make.create_record(clip), make.create_member(clip.corpus)
        marked, (claim, _new) = at_once(
            lambda r=record: gold.mark(None, r, "check"), lambda c=clip, p=person: services.claim_next(p, c.corpus)
        )
        assert isinstance(marked, GoldItem) != (claim is not None)
        assert invariants.broken() == []


def test_two_requests_for_the_next_clip_ahead_hold_two_at_most() -> None:
    for _round in ROUNDS:
        corpus = make.create_corpus()
        for _ in range(4):
            make.create_clip(corpus)
        person = make.create_member(corpus)
        results = at_once(*(lambda c=corpus, p=person: services.claim_next(p, c, ahead=True) for _ in range(4)))
        assert sum(created for _claim, created in results) == 2
        assert Claim.objects.filter(user=person, state="live").count() == 2
