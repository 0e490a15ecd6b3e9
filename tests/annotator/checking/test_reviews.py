"""Review: merging, returning and answering, the rule that accepts by itself, adjudicating again."""

import json
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotator.checking import autoaccept, queries, review_reading, reviews, services
from annotator.checking.models import AutoDecision, CheckingRules, Claim, Record, RecordRevision, Review, Slot
from annotator.core import invariants
from annotator.core.errors import Conflict, Forbidden, Invalid, NotFound
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


# -- merging


def turn(clip: Any, reviewer: Any = None) -> tuple[Any, Any]:
    reviewer = reviewer or make.create_member(clip.corpus, "reviewer")
    claim, _created = services.claim_next(reviewer, clip.corpus, kind="review")
    assert claim is not None
    return reviewer, claim


def test_a_merge_takes_each_part_from_whom_it_likes_and_says_from_whom() -> None:
    clip = pair(None)
    one = make.create_annotation(
        clip,
        body=body(
            clip,
            ("kept", "rejected"),
            description={"zh": "她生气。", "en": ""},
            ov_labels={"zh": [], "en": ["angry", "tired"]},
        ),
    )
    two = make.create_annotation(
        clip,
        body=body(
            clip,
            ("corrected", "kept"),
            description={"zh": "", "en": "She is angry."},
            ov_labels={"zh": [], "en": ["angry"]},
        ),
    )
    reviewer, claim = turn(clip)
    first, second = queries.claim_payload(claim, reviewer)["annotations"]
    assert [first["annotator"], second["annotator"]] == ["A1", "A2"]
    merged = {
        **first["body"],
        "clues": [first["body"]["clues"][0], second["body"]["clues"][1]],
        "description": {"zh": "她生气。", "en": "She is angry."},
        "ov_labels": {"zh": ["恼火"], "en": ["angry", "tired"]},
    }
    services.decide(reviewer, claim.pk, decision="accept", annotation_id=one.pk, body=merged)
    review = Review.objects.get()
    assert review.sources == {
        "clues": [[one.pk], [two.pk]],
        "description": {"zh": [one.pk], "en": [two.pk]},
        "ov_labels": {"zh": {"恼火": []}, "en": {"angry": [one.pk, two.pk], "tired": [one.pk]}},
    }
    line = json.loads(Record.objects.get().current.line)
    assert [clue["verdict"] for clue in line["clues"]] == ["kept", "kept"]
    assert line["description"] == {"zh": "她生气。", "en": "She is angry."}
    assert invariants.broken() == []


def test_an_accepted_annotation_as_it_is_has_no_sources_but_itself() -> None:
    clip = pair(None, overlap=1)
    made = make.create_annotation(clip)
    reviewer, claim = turn(clip)
    shown = queries.claim_payload(claim, reviewer)["annotations"][0]["body"]
    services.decide(reviewer, claim.pk, decision="accept", annotation_id=made.pk, body=shown)
    assert (Review.objects.get().edited, Review.objects.get().sources) == (None, {})


def test_a_merge_over_different_offers_needs_a_verdict_on_every_clue_of_anybody() -> None:
    clip = pair(None)
    one = make.create_annotation(clip)
    late = make.create_clue(clip, "She looks down.", aspect="gesture")
    later = make.create_clue(clip, "The words complain.", modality="text", aspect="content")
    two = make.create_annotation(clip)
    reviewer, claim = turn(clip)
    payload = queries.claim_payload(claim, reviewer)
    assert {late.pk, later.pk} <= {clue["id"] for clue in payload["clues"]}
    first, second = (each["body"] for each in payload["annotations"])
    taken = next(item for item in second["clues"] if item["id"] == late.pk)
    half = {**first, "clues": [*first["clues"], taken]}
    with pytest.raises(Invalid) as refused:
        services.decide(reviewer, claim.pk, decision="accept", annotation_id=one.pk, body=half)
    assert list(refused.value.extra["errors"]) == [f"clues[id={later.pk}].verdict"]
    stranger = make.create_clue(make.create_clip(clip.corpus))
    with pytest.raises(Invalid):
        wrong = {**first, "clues": [*first["clues"], {"id": stranger.pk, "verdict": "kept"}]}
        services.decide(reviewer, claim.pk, decision="accept", annotation_id=one.pk, body=wrong)
    whole = {**first, "clues": second["clues"]}
    answer = services.decide(reviewer, claim.pk, decision="accept", annotation_id=one.pk, body=whole)
    assert services.decide(reviewer, claim.pk, decision="accept", annotation_id=one.pk, body=whole) == answer
    assert Review.objects.get().sources["clues"][-1] == [two.pk]
    edited = Review.objects.get().edited
    assert edited is not None
    assert [clue["id"] for clue in edited["clues"]] == [clue["id"] for clue in whole["clues"]]
    assert invariants.broken() == []


# -- returning and answering


def test_a_returned_annotation_is_answered_and_the_second_look_shows_answer_and_difference() -> None:
    clip = pair(None, overlap=1)
    author = make.create_member(clip.corpus)
    make.create_annotation(clip, author)
    reviewer, claim = turn(clip)
    services.decide(reviewer, claim.pk, decision="return", reason="语气呢？")
    back, _created = services.claim_next(author, clip.corpus)
    shown_back = queries.claim_payload(back, author)
    assert shown_back["returned"] == {"reason": "语气呢？"}
    assert [(said["reason"], said["reply"]) for said in shown_back["exchange"]] == [("语气呢？", "")]
    services.submit(author, back.pk, body(clip, ("kept", "rejected"), reply="The voice is flat; I heard it again."))
    again, _created = services.claim_next(reviewer, clip.corpus, kind="review")
    payload = queries.claim_payload(again, reviewer)
    (shown,) = payload["annotations"]
    assert (shown["revision"], shown["reply"]) == (2, "The voice is flat; I heard it again.")
    assert [item["verdict"] for item in shown["previous"]["clues"]] == ["kept", "kept"]
    assert [item["verdict"] for item in shown["body"]["clues"]] == ["kept", "rejected"]
    (said_before,) = payload["thread"]
    assert (said_before["annotator"], said_before["mine"], said_before["reply"]) == ("A1", True, shown["reply"])
    answer = services.decide(reviewer, again.pk, decision="accept", body=shown["body"])
    assert answer["record"]
    assert Review.objects.get(decision="accept").edited is None  # the reply is no part of the record
    assert invariants.broken() == []


def test_what_a_reviewer_reads_costs_the_same_for_two_annotations_as_for_four() -> None:
    counts = []
    for overlap in (2, 4):
        clip = pair(None, overlap=overlap)
        for _number in range(overlap):
            make.create_annotation(clip)
        _reviewer, claim = turn(clip)
        with CaptureQueriesContext(connection) as captured:
            review_reading.for_review(claim, reviews.current_annotations(clip.pk))
        counts.append(len(captured))
    assert counts[0] == counts[1] <= 6


# -- adjudicating again


def test_a_decided_clip_is_adjudicated_again_and_nothing_is_overwritten() -> None:
    clip = pair()
    make.create_annotation(clip, body=body(clip))
    make.create_annotation(clip, body=body(clip))
    record = Record.objects.get()
    old = record.current
    reviewer = make.create_member(clip.corpus, "reviewer")
    opened = reviews.adjudicate(reviewer, clip.pk)
    assert reviews.adjudicate(reviewer, clip.pk) == opened
    claim = Claim.objects.get(pk=opened["claim"])
    payload = queries.claim_payload(claim, reviewer)
    assert payload["record"] == {"id": record.pk, "revision": 1, "origin": "agreement"}
    changed = {**payload["annotations"][0]["body"], "description": {"zh": "她恼火。", "en": ""}}
    annotation = payload["annotations"][0]["id"]
    services.decide(reviewer, claim.pk, decision="accept", annotation_id=annotation, body=changed, reason="The voice.")
    record.refresh_from_db()
    assert (record.current.number, record.current.source) == (2, "review")
    assert RecordRevision.objects.get(pk=old.pk).line == old.line
    again = reviews.adjudicate(reviewer, clip.pk)
    assert again["claim"] == claim.pk  # the same reviewer takes their own claim up again
    services.decide(reviewer, claim.pk, decision="accept", annotation_id=annotation, reason="Rather as it was.")
    record.refresh_from_db()
    assert record.current.number == 3
    assert json.loads(record.current.line) == json.loads(old.line)
    kinds = [event["kind"] for event in review_reading.history(clip)]
    assert kinds == ["accepted", "accepted", "agreed", "submitted", "submitted"]
    assert invariants.broken() == []


def test_who_may_adjudicate_again_and_what_refuses() -> None:
    clip = pair(None)
    author = make.create_member(clip.corpus, ("annotator", "reviewer"))
    make.create_annotation(clip, author)
    reviewer, manager = (make.create_member(clip.corpus, role) for role in ("reviewer", "manager"))
    with pytest.raises(Conflict) as conflict:
        reviews.adjudicate(manager, clip.pk)
    assert conflict.value.code == "not-complete"
    make.create_annotation(clip)
    assert reviews.adjudicate(manager, clip.pk)["claim"] is None
    assert reviews.adjudicate(author, clip.pk)["claim"] is None  # nobody reviews what they annotated
    reviews.adjudicate(reviewer, clip.pk)
    with pytest.raises(Conflict) as conflict:
        reviews.adjudicate(make.create_member(clip.corpus, "reviewer"), clip.pk)
    assert conflict.value.code == "under-review"
    for role, error in (("viewer", Forbidden), ("annotator", Forbidden)):
        with pytest.raises(error):
            reviews.adjudicate(make.create_member(clip.corpus, role), clip.pk)
    with pytest.raises(NotFound):
        reviews.adjudicate(make.create_user(), clip.pk)
    imported = make.create_record(make.create_clip(make.create_corpus())).clip
    with pytest.raises(Conflict) as conflict:
        reviews.adjudicate(make.create_member(imported.corpus, "reviewer"), imported.pk)
    assert conflict.value.code == "nothing-to-review"


def test_the_log_is_read_by_rest(client: Any) -> None:
    clip = pair()
    make.create_annotation(clip, body=body(clip))
    make.create_annotation(clip, body=body(clip))
    client.force_login(make.create_member(clip.corpus, "manager"))
    (row,) = client.get(f"/api/v1/corpora/{clip.corpus.slug}/auto-decisions/?accepted=true").json()["results"]
    assert (row["clip"], row["agreement"], row["record"]) == (clip.name, 1.0, Record.objects.get().pk)
    assert client.get(f"/api/v1/corpora/{clip.corpus.slug}/auto-decisions/?accepted=false").json()["results"] == []
    assert client.get(f"/api/v1/corpora/{clip.corpus.slug}/auto-decisions/?accepted=1").status_code == 422
    answer = client.post(f"/api/v1/clips/{clip.pk}/review/")
    assert (answer.status_code, answer.json()["claim"]) == (201, None)


def test_the_record_page_tells_who_did_what_and_opens_the_review_anew(client: Any) -> None:
    clip = pair()
    authors = [make.create_annotation(clip, body=body(clip)).user for _number in range(2)]
    record = Record.objects.get()
    reviewer = make.create_member(clip.corpus, "reviewer")
    client.force_login(reviewer)
    page = client.get(f"/records/{record.pk}/").content.decode()
    assert "accepted by agreement" in page
    for author in authors:
        assert queries.pseudonym(clip.corpus, author.pk) in page
        assert author.username not in page
    answer = client.post(f"/records/{record.pk}/adjudicate/")
    claim = Claim.objects.get(user=reviewer, clip=clip)
    assert answer["Location"] == f"/corpora/{clip.corpus.slug}/review/?claim={claim.pk}"
    services.decide(
        reviewer, claim.pk, decision="accept", annotation_id=clip.annotations.first().pk, reason="声音很平。"
    )
    page = client.get(f"/records/{record.pk}/").content.decode()
    assert "声音很平。" in page
    assert queries.pseudonym(clip.corpus, reviewer.pk) in page
    client.force_login(make.create_member(clip.corpus, "manager"))
    assert client.post(f"/records/{record.pk}/adjudicate/")["Location"] == f"/records/{record.pk}/"


def test_the_pages_cost_the_same_however_long_the_history(client: Any) -> None:
    clip = pair()
    for _number in range(2):
        make.create_annotation(clip, body=body(clip))
    reviewer = make.create_member(clip.corpus, "reviewer")
    client.force_login(reviewer)
    record, annotation = Record.objects.get(), clip.annotations.first()
    addresses = (f"/records/{record.pk}/", f"/corpora/{clip.corpus.slug}/auto-decisions/")
    counts = []
    for _again in range(3):
        found = []
        for address in addresses:
            with CaptureQueriesContext(connection) as captured:
                assert client.get(address).status_code == 200
            found.append(len(captured))
        counts.append(found)
        claim = reviews.adjudicate(reviewer, clip.pk)["claim"]
        services.decide(reviewer, claim, decision="accept", annotation_id=annotation.pk)
    assert counts[1] == counts[2]
    assert counts[2][0] <= 20


def test_the_log_page_names_the_clip_and_both_parts_of_the_agreement(client: Any) -> None:
    clip = pair()
    make.create_annotation(clip, body=body(clip))
    make.create_annotation(clip, body=body(clip, ("kept", "rejected")))
    client.force_login(make.create_member(clip.corpus, "manager"))
    address = f"/corpora/{clip.corpus.slug}/auto-decisions/"
    page = client.get(address).content.decode()
    assert clip.name in page
    assert "sent to review" in page
    assert "0.75" in page
    assert clip.name not in client.get(f"{address}?shown=accepted").content.decode()
