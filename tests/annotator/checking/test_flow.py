"""From a clip to a fine record, by the services alone."""

import json

import pytest

from annotator.checking import services
from annotator.checking.models import Claim, Record, Slot
from annotator.core import invariants
from annotator.core.errors import Conflict, Invalid
from tests.support import factories as make

pytestmark = pytest.mark.django_db


def test_a_new_clip_has_as_many_slots_as_annotations_are_wanted() -> None:
    clip = make.create_clip(make.create_corpus(overlap=3))
    assert list(clip.slots.values_list("kind", "number", "state")) == [("annotate", n, "open") for n in (1, 2, 3)]
    assert services.open_slots(clip.corpus) == 0


def test_without_review_the_completing_submission_becomes_the_fine_record() -> None:
    clip = make.create_clip(make.create_corpus(review="none", overlap=2))
    make.create_clue(clip)
    make.create_annotation(clip)
    assert not Record.objects.exists()
    second = make.create_annotation(clip)
    record = Record.objects.get(clip=clip, grade="fine")
    assert record.current.source == "submission"
    assert record.current.annotation == second
    assert invariants.broken() == []


def test_a_review_opens_when_the_overlap_is_complete_and_writes_the_record() -> None:
    clip = make.create_clip(make.create_corpus(overlap=2))
    clue = make.create_clue(clip, "眉头紧锁。", language="zh")
    reviewer = make.create_member(clip.corpus, "reviewer")
    make.create_annotation(clip)
    assert services.claim_next(reviewer, clip.corpus, kind="review") == (None, False)
    annotation = make.create_annotation(clip)
    claim, created = services.claim_next(reviewer, clip.corpus, kind="review")
    assert created
    answer = services.decide(reviewer, claim.pk, decision="accept", annotation_id=annotation.pk)
    record = Record.objects.get(pk=answer["record"])
    line = json.loads(record.current.line)
    assert line["clues"][0]["text"] == clue.text
    assert line["grade"] == "fine"
    assert record.current.review_id == answer["review"]
    assert invariants.broken() == []


def test_a_returned_annotation_comes_first_to_its_author_and_reopens_the_review() -> None:
    corpus = make.create_corpus()
    clip, other = make.create_clip(corpus), make.create_clip(corpus)
    annotator = make.create_member(corpus, "annotator")
    reviewer = make.create_member(corpus, "reviewer")
    first = make.create_annotation(clip, annotator)
    review, _ = services.claim_next(reviewer, corpus, kind="review")
    services.decide(reviewer, review.pk, decision="return", reason="请补充语气线索。")
    assert invariants.broken() == []
    claim, created = services.claim_next(annotator, corpus)
    assert (claim.clip, created, claim.return_reason) == (clip, True, "请补充语气线索。")
    body = make.make_body(description={"zh": "他提高了声音。", "en": ""})
    answer = services.submit(annotator, claim.pk, body)
    assert answer["annotation"] != first.pk
    again, created = services.claim_next(reviewer, corpus, kind="review")
    assert (again.pk, created) == (review.pk, True)
    answer = services.decide(reviewer, again.pk, decision="accept")
    assert json.loads(Record.objects.get().current.line)["description"] == {"zh": "他提高了声音。", "en": None}
    assert services.claim_next(annotator, corpus)[0].clip == other
    assert invariants.broken() == []


def test_who_annotated_a_clip_cannot_review_it() -> None:
    clip = make.create_clip()
    both = make.create_member(clip.corpus, ("annotator", "reviewer"))
    make.create_annotation(clip, both)
    assert Slot.objects.get(clip=clip, kind="review").state == "open"
    assert services.claim_next(both, clip.corpus, kind="review") == (None, False)


def test_a_reviewer_may_edit_what_they_accept() -> None:
    clip = make.create_clip()
    clue = make.create_clue(clip)
    reviewer = make.create_member(clip.corpus, "reviewer")
    annotation = make.create_annotation(clip)
    claim, _ = services.claim_next(reviewer, clip.corpus, kind="review")
    body = make.make_body([clue], ov_labels={"zh": ["愤怒"], "en": ["furious"]})
    answer = services.decide(reviewer, claim.pk, decision="accept", annotation_id=annotation.pk, body=body)
    assert services.decide(reviewer, claim.pk, decision="accept", annotation_id=annotation.pk, body=body) == answer
    with pytest.raises(Conflict) as conflict:
        services.decide(reviewer, claim.pk, decision="return", annotation_id=annotation.pk, reason="no")
    assert conflict.value.code == "already-decided"
    assert json.loads(Record.objects.get().current.line)["ov_labels"]["en"] == ["furious"]
    annotation.refresh_from_db()
    assert annotation.ov_en == ["angry"]


def test_returning_needs_a_reason() -> None:
    clip = make.create_clip()
    make.create_annotation(clip)
    reviewer = make.create_member(clip.corpus, "reviewer")
    claim, _ = services.claim_next(reviewer, clip.corpus, kind="review")
    with pytest.raises(Invalid) as refused:
        services.decide(reviewer, claim.pk, decision="return", reason="  ")
    assert set(refused.value.extra["errors"]) == {"reason"}
    assert Claim.objects.get(pk=claim.pk).state == "live"


def test_a_run_writes_coarse_and_review_leaves_it_alone() -> None:
    clip = make.create_clip()
    make.create_clue(clip)
    make.create_draft(clip)
    coarse = Record.objects.get(clip=clip, grade="coarse")
    before = coarse.current.sha256
    make.create_annotation(clip)
    reviewer = make.create_member(clip.corpus, "reviewer")
    claim, _ = services.claim_next(reviewer, clip.corpus, kind="review")
    services.decide(reviewer, claim.pk, decision="accept")
    coarse.refresh_from_db()
    assert (coarse.current.number, coarse.current.sha256) == (1, before)
    make.create_draft(clip, en="Another run says more.")
    coarse.refresh_from_db()
    assert (coarse.current.number, coarse.current.source) == (2, "run")
    assert invariants.broken() == []
