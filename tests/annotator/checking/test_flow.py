"""From a clip to a fine record, by the services alone."""

import json

import pytest

from annotator.checking import queries, services
from annotator.checking.models import Claim, Record, Slot
from annotator.clips import services as clips
from annotator.core import invariants
from annotator.core.errors import Conflict, Invalid
from annotator.prelabels.outputs import supersede
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


def test_what_was_taken_from_the_coarse_draft_or_a_summary_is_not_a_persons() -> None:
    clip = make.create_clip(make.create_corpus(review="none"))
    make.create_draft(clip, zh="", en="In the video: he frowns.")
    annotator = make.create_member(clip.corpus)
    claim = services.claim_clip(annotator, clip)
    for text in ("His voice trembles.", "His voice is high."):
        claim.summaries.create(
            source="llm", description={"zh": "", "en": text}, ov_labels={}, provenance={"model": "m"}
        )
    written = "In the video: he frowns. His voice trembles. So he is angry."
    services.submit(annotator, claim.pk, make.make_body(description={"zh": "", "en": written}))
    origin = Record.objects.get(grade="fine").current.provenance
    assert [sentence["by"] for sentence in origin["sentences"]["en"]] == ["template", "llm", "person"]
    assert origin["description"]["provenance"] == {"model": "m"}


def test_a_description_of_ones_own_names_no_model() -> None:
    clip = make.create_clip(make.create_corpus(review="none"))
    make.create_draft(clip)
    make.create_annotation(clip)
    assert Record.objects.get(grade="fine").current.provenance["description"] is None


def test_a_run_between_annotation_and_review_changes_nothing_that_is_reviewed() -> None:
    clip = make.create_clip()
    clue = make.create_clue(clip)
    annotation = make.create_annotation(clip)
    newer = {"modality": "visual", "aspect": "expression", "language": "en", "text": "The brows are raised."}
    supersede(clip, clue.prelabeller, [newer], {})
    reviewer = make.create_member(clip.corpus, "reviewer")
    claim, _ = services.claim_next(reviewer, clip.corpus, kind="review")
    shown = queries.claim_payload(claim, reviewer)["clues"]
    assert [item["id"] for item in shown] == [clue.pk]
    edited = make.make_body(shown, label="angry")
    services.decide(reviewer, claim.pk, decision="accept", annotation_id=annotation.pk, body=edited)
    assert json.loads(Record.objects.get().current.line)["label"] == "angry"


def test_a_corpus_that_is_renamed_keeps_its_clips_unlocked(django_assert_num_queries) -> None:
    corpus = make.create_corpus(overlap=2)
    make.create_clip(corpus)
    corpus.name = "另一个名字"
    with django_assert_num_queries(2):  # the overlap before, the row
        corpus.save()


def test_more_annotations_wanted_open_slots_and_the_review_again() -> None:
    corpus = make.create_corpus()
    done, fresh = make.create_clip(corpus), make.create_clip(corpus)
    make.create_annotation(done)
    corpus.overlap = 2
    corpus.save()
    assert [clip.slots.filter(kind="annotate", state="open").count() for clip in (done, fresh)] == [1, 2]
    make.create_annotation(done)
    assert Slot.objects.get(clip=done, kind="review").state == "open"
    assert invariants.broken() == []


@pytest.mark.parametrize("review", ["required", "none"])
def test_fewer_annotations_wanted_close_what_nobody_began_and_let_the_clip_go_on(review: str) -> None:
    corpus = make.create_corpus(overlap=3, review=review)
    done, begun, fresh = (make.create_clip(corpus) for _ in range(3))
    annotation = make.create_annotation(done)
    holder = make.create_member(corpus)
    claim = services.claim_clip(holder, begun)
    corpus.overlap = 1
    corpus.save()
    states = [
        sorted(clip.slots.filter(kind="annotate").values_list("state", flat=True)) for clip in (done, begun, fresh)
    ]
    assert states == [["closed", "closed", "done"], ["claimed", "closed", "closed"], ["closed", "closed", "open"]]
    if review == "required":
        assert Slot.objects.get(kind="review").clip == done
    else:
        assert Record.objects.get().current.annotation == annotation
    assert services.submit(holder, claim.pk, make.make_body())["annotation"]
    assert invariants.broken() == []
    corpus.overlap = 2
    corpus.save()
    assert fresh.slots.filter(state="open").count() == 2
    assert invariants.broken() == []


@pytest.mark.parametrize("how", ["removed", "deactivated"])
def test_what_was_returned_to_somebody_who_left_goes_to_another(how: str) -> None:
    clip = make.create_clip()
    author, reviewer = make.create_member(clip.corpus), make.create_member(clip.corpus, "reviewer")
    make.create_annotation(clip, author)
    review, _ = services.claim_next(reviewer, clip.corpus, kind="review")
    services.decide(reviewer, review.pk, decision="return", reason="请补充。")
    other = make.create_member(clip.corpus)
    assert services.claim_next(other, clip.corpus) == (None, False)
    if how == "removed":
        clips.remove_member(None, clip.corpus, author, "annotator")
    else:
        author.is_active = False
        author.save()
    taken, created = services.claim_next(other, clip.corpus)
    assert (taken.clip, created) == (clip, True)
    services.submit(other, taken.pk, make.make_body())
    assert Slot.objects.get(kind="review").state == "open"
    assert invariants.broken() == []
