"""Review: merging, returning and answering, the rule that accepts by itself, adjudicating again."""

from typing import Any

import pytest

from annotator.checking import autoaccept, services
from annotator.checking.models import AutoDecision, CheckingRules, Record, Slot
from annotator.core import invariants
from annotator.core.models import AuditEntry
from tests.support import factories as make

pytestmark = pytest.mark.django_db


def pair(threshold: float | None = 0.8, overlap: int = 2, **fields: Any) -> Any:
    """A clip that wants two annotations, with two clues; its corpus accepts by itself from the threshold on."""
    corpus = make.create_corpus(overlap=overlap, **fields)
    if threshold is not None:
        CheckingRules.objects.create(corpus=corpus, auto_accept=threshold)
    clip = make.create_clip(corpus)
    make.create_clue(clip, "眉头紧锁。", language="zh")
    make.create_clue(clip, "The voice is loud.", modality="audio", aspect="tone")
    return clip


def body(clip: Any, verdicts: tuple[str, ...] = ("kept", "kept"), **fields: Any) -> dict[str, Any]:
    """One verdict a clue, in order of their ids; a corrected one says something else."""
    made = make.make_body(clip.clues.order_by("id"), **fields)
    for item, verdict in zip(made["clues"], verdicts, strict=True):
        item["verdict"] = verdict
        if verdict == "corrected":
            item["text"] += " Indeed."
    return made


# -- the rule that accepts by itself


def test_where_annotators_agree_the_rule_accepts_and_logs_it() -> None:
    clip = pair()
    first = make.create_annotation(clip, body=body(clip))
    assert not AutoDecision.objects.exists()
    author = make.create_member(clip.corpus)
    claim = services.claim_clip(author, clip)
    sent = body(clip, ov_labels={"zh": [], "en": ["furious"]})  # of one group with 生气 and angry
    answer = services.submit(author, claim.pk, sent)
    record = Record.objects.get(clip=clip, grade="fine")
    assert answer["state"] == "recorded"
    assert answer["record"] == record.pk
    assert services.submit(author, claim.pk, sent) == answer
    assert (record.current.source, record.current.annotation) == ("agreement", first)
    decision = AutoDecision.objects.get()
    assert (decision.accepted, decision.threshold, decision.agreement) == (True, 0.8, 1.0)
    assert (decision.annotation, decision.revision) == (first, record.current)
    assert decision.parts["verdicts"] == decision.parts["labels"] == 1.0
    assert not Slot.objects.filter(clip=clip, kind="review").exists()
    assert AuditEntry.objects.filter(action="review.auto-accept").count() == 1
    assert invariants.broken() == []


def test_where_they_differ_the_rule_sends_it_to_review_and_logs_that_too() -> None:
    clip = pair()
    make.create_annotation(clip, body=body(clip))
    make.create_annotation(clip, body=body(clip, ("kept", "rejected"), ov_labels={"zh": ["开心"], "en": ["happy"]}))
    decision = AutoDecision.objects.get()
    assert (decision.accepted, decision.revision, decision.agreement) == (False, None, 0.25)
    assert Slot.objects.get(clip=clip, kind="review").state == "open"
    assert not Record.objects.exists()
    assert invariants.broken() == []


@pytest.mark.parametrize("without", ["rule", "second annotation", "review", "whole clips"])
def test_the_rule_is_not_asked(without: str) -> None:
    clip = pair(None if without == "rule" else 0.1, overlap=1 if without == "second annotation" else 2)
    if without == "review":
        clip.corpus.review = "none"
        clip.corpus.save()
    if without == "whole clips":
        Slot.objects.filter(clip=clip, number=2).update(mode="audio")
    make.create_annotation(clip, body=body(clip))
    if without != "second annotation":
        make.create_annotation(clip)
    assert not AutoDecision.objects.exists()
    if without != "review":
        assert Slot.objects.get(clip=clip, kind="review").state == "open"


def test_what_a_reviewer_returned_goes_back_to_the_reviewer() -> None:
    clip = pair()
    author = make.create_member(clip.corpus)
    make.create_annotation(clip, author, body(clip, ("kept", "rejected"), ov_labels={"zh": ["开心"], "en": []}))
    make.create_annotation(clip, body=body(clip))
    reviewer = make.create_member(clip.corpus, "reviewer")
    turn, _ = services.claim_next(reviewer, clip.corpus, kind="review")
    services.decide(reviewer, turn.pk, decision="return", annotation_id=clip.annotations.first().pk, reason="声音。")
    back, _ = services.claim_next(author, clip.corpus)
    services.submit(author, back.pk, body(clip))
    assert AutoDecision.objects.count() == 1
    assert services.claim_next(reviewer, clip.corpus, kind="review")[0] == turn
    assert invariants.broken() == []


def said(labels: list[str], **verdicts: tuple[str, str]) -> dict[str, Any]:
    return {"verdicts": dict(verdicts), "labels": labels}


def test_agreement_is_the_mean_of_verdicts_and_labels_over_pairs() -> None:
    kept, rejected = ("kept", "x"), ("rejected", "x")
    rows = [
        said(["angry"], a=kept, b=kept),
        said(["furious", "sad"], a=kept, b=rejected),
        said(["happy"], a=kept, b=kept),
    ]
    found = autoaccept.agreement(rows)
    assert found["pairs"] == [[0, 1, 0.5, 0.75], [0, 2, 1.0, 0.0], [1, 2, 0.5, 0.0]]
    assert found["verdicts"] == pytest.approx(2 / 3)
    assert found["labels"] == pytest.approx(0.25)
    assert found["agreement"] == pytest.approx(11 / 24)
    assert found["central"] == 0


def test_two_corrections_are_as_alike_as_their_texts() -> None:
    rows = [said(["sad"], a=("corrected", "abcd")), said(["sad"], a=("corrected", "bcde"))]
    assert autoaccept.agreement(rows)["verdicts"] == 0.75  # 2 * |bcd| / 8, as in difflib's documentation


def test_without_a_clue_judged_by_both_or_without_any_label_a_person_decides() -> None:
    assert autoaccept.agreement([said(["sad"], a=("kept", "")), said(["sad"], b=("kept", ""))])["agreement"] is None
    assert autoaccept.agreement([said([], a=("kept", "")), said([], a=("kept", ""))])["agreement"] is None
    assert autoaccept.agreement([said(["sad"], a=("kept", "")), said([], a=("kept", ""))])["agreement"] == 0.5
