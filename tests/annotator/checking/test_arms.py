"""Who sees which pre-labels is drawn once and for all, in the shares of the rules."""

import pytest

from annotator.checking import arms, rules, services
from annotator.checking.models import CheckingRules
from tests.support import factories as make

PAIRS = [(clip, user) for clip in range(1, 401) for user in range(1, 11)]


def drawn(**shares: float) -> list[str]:
    given = CheckingRules(**shares)
    return [arms.choose(given, clip, user) for clip, user in PAIRS]


def test_the_shares_come_out_within_three_standard_errors() -> None:
    found = drawn(none_share=0.2, blind_share=0.3)
    for arm, share in (("none", 0.2), ("blind", 0.3), ("shown", 0.5)):
        error = (share * (1 - share) / len(PAIRS)) ** 0.5
        assert abs(found.count(arm) / len(PAIRS) - share) < 3 * error


def test_what_is_drawn_never_changes_with_time_and_hardly_with_the_shares() -> None:
    assert drawn(none_share=0.2, blind_share=0.3) == drawn(none_share=0.2, blind_share=0.3)
    few, more = drawn(none_share=0.1, blind_share=0.1), drawn(none_share=0.2, blind_share=0.3)
    moved = {(before, after) for before, after in zip(few, more, strict=True) if before != after}
    assert moved == {("shown", "none"), ("shown", "blind")}


def test_none_and_all_are_exact() -> None:
    assert set(drawn()) == {"shown"}
    assert set(drawn(none_share=1.0)) == {"none"}
    assert set(drawn(blind_share=1.0)) == {"blind"}


@pytest.mark.django_db
def test_a_claim_keeps_its_arm() -> None:
    corpus = make.create_corpus()
    make.create_clue(make.create_clip(corpus))
    annotator = make.create_member(corpus)
    rules.change(None, corpus, {"none_share": 1.0})
    claim, _created = services.claim_next(annotator, corpus)
    assert (claim.arm, claim.offered) == ("none", [])
    rules.change(None, corpus, {"none_share": 0})
    assert services.claim_next(annotator, corpus)[0].arm == "none"
