"""Review at its edges: time worked before a return, gold on the clip's page, the rule when what is wanted changes,
people at once."""

import json
from datetime import timedelta
from typing import Any

import pytest

from annotator.checking import queries, reviews, rules, services
from annotator.checking.models import AutoDecision, CheckingRules, Claim, Record, RecordRevision, Review, Slot
from annotator.checking.submissions import body_of, fit_slots
from annotator.clips.models import Corpus
from annotator.core import invariants
from annotator.core.errors import Conflict
from tests.support import factories as make

from .test_concurrency import at_once
from .test_reviews import body, pair, turn

pytestmark = pytest.mark.django_db


def test_what_was_worked_before_a_return_is_not_forgotten() -> None:
    clip = pair(None, overlap=1)
    author = make.create_member(clip.corpus)
    claim = services.claim_clip(author, clip)
    Claim.objects.filter(pk=claim.pk).update(created_at=claim.created_at - timedelta(hours=1))
    work = {"active_s": 42.0, "played": [[0.0, 1.5]], "keys": 4}
    services.submit(author, claim.pk, body(clip, work=work))  # at once: no draft with its work was saved
    reviewer, turn_of = turn(clip)
    services.decide(reviewer, turn_of.pk, decision="return", reason="语气呢？")
    back, _created = services.claim_next(author, clip.corpus)
    shown = queries.claim_payload(back, author)
    assert shown["draft"]["work"] == work  # the page counts on from here
    later = {**shown["draft"], "label": "angry", "work": {**work, "active_s": 60.0}}
    services.save_draft(author, back.pk, later, f'"{shown["version"]}"')
    assert queries.claim_payload(back, author)["draft"]["work"]["active_s"] == 60.0


# -- the clip's page


def test_the_clip_page_tells_of_a_gold_check_only_whom_it_concerns(client: Any) -> None:
    corpus = make.create_corpus("lab")
    item = make.create_gold(corpus, clues=("She smiles.",))
    CheckingRules.objects.create(corpus=corpus, gold_share=1.0)
    author = make.create_member(corpus, ("annotator", "viewer"))
    claim, _created = services.claim_next(author, corpus)
    assert (claim.clip, claim.slot.kind) == (item.clip, "gold")
    said = make.make_body(item.clip.clues.all(), description={"zh": "", "en": "An answer to gold."})
    services.submit(author, claim.pk, said)
    pages = {}
    for role in ("viewer", "reviewer", "manager"):
        client.force_login(make.create_member(corpus, role))
        pages[role] = client.get(f"/clips/{item.clip_id}/").content.decode()
    client.force_login(author)
    pages["author"] = client.get(f"/clips/{item.clip_id}/").content.decode()
    for who in ("viewer", "author"):
        assert "gold check" not in pages[who]
        assert "An answer to gold." not in pages[who]
    for who in ("reviewer", "manager"):
        assert "An answer to gold." in pages[who]
        assert pages[who].count("gold check") == 2  # the slot, and beside the answer


# -- the rule at its edges


def test_more_annotations_wanted_after_the_rule_accepted_ask_it_anew_over_one_record() -> None:
    clip = pair()
    for _number in range(2):
        make.create_annotation(clip, body=body(clip))
    first = Record.objects.get().current
    for wanted in (3, 2, 3):  # up, back again, and up: nobody is asked twice about the same
        Corpus.objects.filter(pk=clip.corpus_id).update(overlap=wanted)
        clip.corpus.refresh_from_db()
        fit_slots(clip.corpus)
    assert AutoDecision.objects.count() == 1
    make.create_annotation(clip, body=body(clip, ("rejected", "rejected"), ov_labels={"zh": ["开心"], "en": []}))
    record = Record.objects.get()
    assert (record.current, AutoDecision.objects.count()) == (first, 2)  # referred: what was accepted stands until then
    assert Slot.objects.get(clip=clip, kind="review").state == "open"
    reviewer, claim = turn(clip)
    services.decide(reviewer, claim.pk, decision="accept", annotation_id=clip.annotations.last().pk)
    record = Record.objects.get()
    assert (record.current.number, record.current.source) == (2, "review")
    assert invariants.broken() == []


def test_fewer_annotations_wanted_midway_ask_the_rule_at_once() -> None:
    clip = pair(overlap=3)
    for _number in range(2):
        make.create_annotation(clip, body=body(clip))
    assert not AutoDecision.objects.exists()
    Corpus.objects.filter(pk=clip.corpus_id).update(overlap=2)
    clip.corpus.refresh_from_db()
    for _again in range(2):
        fit_slots(clip.corpus)
    assert AutoDecision.objects.get().accepted
    assert Record.objects.get().current.number == 1
    assert invariants.broken() == []


def test_a_new_threshold_holds_from_the_next_completion_on() -> None:
    clip = pair(0.9)
    differ = ("kept", "rejected")  # agreement (0.5 + 1) / 2
    make.create_annotation(clip, body=body(clip))
    CheckingRules.objects.update(auto_accept=0.75)
    make.create_annotation(clip, body=body(clip, differ))
    decision = AutoDecision.objects.get()
    assert (decision.accepted, decision.threshold, decision.agreement) == (True, 0.75, 0.75)
    CheckingRules.objects.update(auto_accept=0.8)  # what was decided stays decided
    fit_slots(clip.corpus)
    assert AutoDecision.objects.count() == Record.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("like", [True, False])
def test_two_who_complete_a_clip_at_once_make_one_decision(like: bool) -> None:
    clip = pair()
    authors = [make.create_member(clip.corpus) for _number in range(2)]
    claims = [services.claim_clip(author, clip) for author in authors]
    bodies = [
        body(clip),
        body(clip) if like else body(clip, ("rejected", "rejected"), ov_labels={"zh": [], "en": ["happy"]}),
    ]
    answers = at_once(
        *(
            lambda author=author, claim=claim, said=said: services.submit(author, claim.pk, said)
            for author, claim, said in zip(authors, claims, bodies, strict=True)
        )
    )
    assert sorted(answer["state"] for answer in answers) == (["recorded", "submitted"] if like else ["submitted"] * 2)
    assert AutoDecision.objects.get().accepted == like
    assert RecordRevision.objects.count() == int(like)
    assert Slot.objects.filter(clip=clip, kind="review").count() == int(not like)
    assert invariants.broken() == []


@pytest.mark.django_db(transaction=True)
def test_two_reviewers_at_once_get_one_review() -> None:
    clip = pair(None)
    for _number in range(2):
        make.create_annotation(clip)
    reviewers = [make.create_member(clip.corpus, "reviewer") for _number in range(2)]
    found = at_once(*(lambda user=user: services.claim_next(user, clip.corpus, kind="review")[0] for user in reviewers))
    assert sum(claim is not None for claim in found) == 1
    outcomes = at_once(*(lambda user=user: reviews.adjudicate(user, clip.pk) for user in reviewers))
    refused = [one for one in outcomes if isinstance(one, Conflict)]
    assert [one.code for one in refused] == ["under-review"]
    assert Claim.objects.filter(clip=clip, slot__kind="review").count() == 1


def test_who_annotated_a_clip_is_refused_its_review_however_they_ask() -> None:
    clip = pair(None, overlap=1)
    author = make.create_member(clip.corpus, ("annotator", "reviewer"))
    make.create_annotation(clip, author)
    assert services.claim_next(author, clip.corpus, kind="review")[0] is None
    with pytest.raises(Conflict):
        services.claim_clip(author, clip, kind="review")
    assert Claim.objects.filter(user=author).count() == 1


def test_a_log_without_a_decision_of_that_kind_does_not_say_that_nobody_asked(client: Any) -> None:
    clip = pair()
    for _number in range(2):
        make.create_annotation(clip, body=body(clip))
    client.force_login(make.create_member(clip.corpus, "manager"))
    address = f"/corpora/{clip.corpus.slug}/auto-decisions/"
    page = client.get(f"{address}?shown=reviewed").content.decode()
    assert "No such decision." in page
    assert "has not been asked" not in page


def test_parts_seen_and_heard_alone_are_put_together() -> None:
    corpus = make.create_corpus(overlap=3)
    rules.change(None, corpus, {"modes": ["visual", "audio", "text"]})
    clip = make.create_clip(corpus)
    clues = {
        modality: make.create_clue(clip, f"What {modality} says.", modality=modality, aspect=aspect)
        for modality, aspect in (("visual", "expression"), ("audio", "tone"), ("text", "content"))
    }
    for mode in ("visual", "audio", "text"):
        person = make.create_member(corpus)
        claim, _ = services.claim_next(person, corpus)
        assert (claim.slot.mode, claim.offered) == (mode, [clues[mode].pk])
        sent = make.make_body([clues[mode]], description={"zh": "", "en": f"By {mode}."})
        sent["clues"][0] |= {"verdict": "corrected", "text": f"What {mode} says, checked."}
        services.submit(person, claim.pk, sent)
    reviewer = make.create_member(corpus, "reviewer")
    turn, _ = services.claim_next(reviewer, corpus, kind="review")
    parts = reviews.current_annotations(clip.pk)
    assert [part.claim.slot.mode for part in parts] == ["visual", "audio", "text"]
    merged = body_of(parts[0])
    merged["clues"] = [item for part in parts for item in body_of(part)["clues"]]
    services.decide(reviewer, turn.pk, decision="accept", annotation_id=parts[0].pk, body=merged)
    record = Record.objects.get(clip=clip, grade="fine")
    assert [(clue["modality"], clue["text"]) for clue in json.loads(record.current.line)["clues"]] == [
        (mode, f"What {mode} says, checked.") for mode in ("visual", "audio", "text")
    ]
    assert Review.objects.get().sources["clues"] == [[part.pk] for part in parts]
    assert invariants.broken() == []
