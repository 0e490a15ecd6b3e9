"""Gold clips: made from fine records, handed out like any other clip, never given away."""

import pytest
from django.test import Client

from annotator.checking import gold, planting, queries, rules, services
from annotator.checking.models import Annotation, Claim, GoldItem, Record, RecordRevision, Review, Slot
from annotator.core import invariants
from annotator.core.errors import Conflict, Forbidden, Invalid
from tests.support import factories as make

pytestmark = pytest.mark.django_db


def test_a_fine_record_becomes_gold_and_its_clip_leaves_the_queue() -> None:
    corpus = make.create_corpus(overlap=2)
    reviewer = make.create_member(corpus, "reviewer")
    clip = make.create_clip(corpus)
    record = make.create_record(clip)
    item = gold.mark(reviewer, record, "check", " 看嘴角。 ")
    assert (item.note, item.revision, item.made_by) == ("看嘴角。", record.current, reviewer)
    assert set(clip.slots.values_list("state", flat=True)) == {"closed"}
    assert services.claim_next(make.create_member(corpus), corpus) == (None, False)
    corpus.overlap = 3
    corpus.save()  # refits the slots
    assert not clip.slots.filter(state="open").exists()
    assert services.open_slots(corpus) == 0


def test_what_is_annotated_just_now_does_not_become_gold() -> None:
    clip = make.create_clip()
    services.claim_next(make.create_member(clip.corpus), clip.corpus)
    with pytest.raises(Conflict) as refused:
        gold.mark(None, make.create_record(clip), "check")
    assert refused.value.code == "in-work"


def test_only_fine_records_known_purposes_and_those_who_may() -> None:
    clip = make.create_clip()
    fine, coarse = make.create_record(clip), make.create_record(clip, "coarse")
    for record, purpose, note in ((coarse, "check", ""), (fine, "chek", ""), (fine, "check", "a\x00b")):
        with pytest.raises(Invalid):
            gold.mark(None, record, purpose, note)
    for role in ("annotator", "viewer"):
        with pytest.raises(Forbidden):
            gold.mark(make.create_member(clip.corpus, role), fine, "check")
    assert not GoldItem.objects.exists()


def test_marking_again_changes_purpose_and_takes_the_record_as_it_reads_now() -> None:
    corpus = make.create_corpus()
    item = make.create_gold(corpus, "check")
    newer = make.create_record(item.clip, ov_labels={"zh": ["难过"], "en": []})
    newer.refresh_from_db()
    again = gold.mark(None, newer, "test")
    assert (again.pk, again.purpose, again.revision_id) == (item.pk, "test", newer.current_id)
    assert again.revision_id != item.revision_id


def test_they_are_mixed_in_at_the_rate_and_look_like_any_other_clip() -> None:
    corpus = make.create_corpus()
    item = make.create_gold(corpus, clues=("She smiles.",))
    make.create_clip(corpus)
    rules.change(None, corpus, {"gold_share": 1.0})
    annotator = make.create_member(corpus)
    claim, created = services.claim_next(annotator, corpus)
    assert created
    assert (claim.clip, claim.slot.kind) == (item.clip, "gold")
    payload = queries.claim_payload(claim, annotator)
    assert payload["kind"] == "annotate"
    assert "gold" not in str({key: payload[key] for key in payload if key != "clues"}).lower()
    assert services.claim_next(annotator, corpus)[0] == claim
    services.submit(annotator, claim.pk, make.make_body(item.clip.clues.all()))
    ordinary, _created = services.claim_next(annotator, corpus)  # no gold is left for them
    assert ordinary.slot.kind == "annotate"


def test_without_a_share_none_is_mixed_in() -> None:
    corpus = make.create_corpus()
    make.create_gold(corpus)
    clip = make.create_clip(corpus)
    rules.change(None, corpus, {"blind_sources": True})
    assert services.claim_next(make.create_member(corpus), corpus)[0].clip == clip


def test_the_rate_holds_over_many_claims() -> None:
    corpus = make.create_corpus()
    annotator = make.create_member(corpus)
    given = rules.change(None, corpus, {"gold_share": 0.25})
    make.create_gold(corpus)
    found = 0
    clips = [make.create_clip(corpus) for _ in range(2)]
    for _turn in range(200):  # each turn a new latest claim: what is drawn follows it
        found += gold.next_item(annotator, corpus, given, "passed") is not None
        assert gold.next_item(annotator, corpus, given, "passed") == gold.next_item(annotator, corpus, given, "passed")
        Claim.objects.filter(user=annotator).delete()
        slot = clips[0].slots.get()
        Claim.objects.create(
            slot=slot, clip=clips[0], corpus=corpus, user=annotator, state="released", lease_end=corpus.created_at
        )
    assert 25 <= found <= 75  # 50 expected, four standard errors


def test_a_gold_submission_completes_nothing() -> None:
    corpus = make.create_corpus(review="required")
    item = make.create_gold(corpus)
    rules.change(None, corpus, {"gold_share": 1.0})
    annotator = make.create_member(corpus)
    before = RecordRevision.objects.count()
    claim, _created = services.claim_next(annotator, corpus)
    answer = services.submit(annotator, claim.pk, make.make_body())
    assert answer["record"] is None
    assert "feedback" not in answer  # a check is never told
    assert RecordRevision.objects.count() == before
    assert not Slot.objects.filter(clip=item.clip, kind="review").exists()
    assert not Review.objects.exists()
    assert Annotation.objects.filter(claim=claim).count() == 1
    assert invariants.broken() == []


def test_two_people_get_the_same_gold_clip_each_on_a_slot_of_their_own() -> None:
    corpus = make.create_corpus()
    item = make.create_gold(corpus)
    rules.change(None, corpus, {"gold_share": 1.0})
    claims = [services.claim_next(make.create_member(corpus), corpus)[0] for _ in range(3)]
    assert {claim.clip_id for claim in claims} == {item.clip_id}
    assert sorted(claim.slot.number for claim in claims) == [1, 2, 3]
    assert invariants.broken() == []


def test_who_made_it_or_annotated_its_clip_does_not_get_it() -> None:
    corpus = make.create_corpus(review="none")
    both = make.create_member(corpus, ("annotator", "reviewer"))
    author = make.create_member(corpus)
    clip = make.create_clip(corpus)
    make.create_annotation(clip, author)
    gold.mark(both, Record.objects.get(clip=clip, grade="fine"), "check")
    rules.change(None, corpus, {"gold_share": 1.0})
    assert services.claim_next(both, corpus) == (None, False)
    assert services.claim_next(author, corpus) == (None, False)
    assert services.claim_next(make.create_member(corpus), corpus)[1]


def test_its_answer_is_hidden_from_annotators_who_may_still_get_it(client: Client) -> None:
    corpus = make.create_corpus()
    item = make.create_gold(corpus, "test")
    example = make.create_gold(corpus, "example")
    person = make.create_member(corpus, ("annotator", "viewer"))
    record = item.revision.record
    assert queries.blind_to(person, item.clip)
    assert not queries.blind_to(person, example.clip)
    assert record not in queries.records_of(corpus, user=person)
    assert example.revision.record in queries.records_of(corpus, user=person)
    client.force_login(person)
    assert client.get(f"/records/{record.pk}/").status_code == 404
    assert not queries.blind_to(make.create_member(corpus, "viewer"), item.clip)


def test_examples_are_examples_only() -> None:
    corpus = make.create_corpus()
    example = make.create_gold(corpus, "example")
    for purpose in ("check", "training", "test"):
        make.create_gold(corpus, purpose)
    assert list(gold.examples(corpus)) == [example]
    gold.retire(None, example)
    assert not gold.examples(corpus).exists()


def test_out_of_use_it_is_handed_to_nobody_and_what_was_answered_stays() -> None:
    corpus = make.create_corpus()
    item = make.create_gold(corpus)
    rules.change(None, corpus, {"gold_share": 1.0})
    annotator, other = make.create_member(corpus), make.create_member(corpus)
    claim, _created = services.claim_next(annotator, corpus)
    gold.retire(make.create_member(corpus, "manager"), item)
    services.submit(annotator, claim.pk, make.make_body())
    assert services.claim_next(other, corpus) == (None, False)
    assert item.clip.annotations.count() == 1


def test_pages_mark_list_change_and_retire(client: Client) -> None:
    corpus = make.create_corpus()
    client.force_login(make.create_member(corpus, "reviewer"))
    record = make.create_record(make.create_clip(corpus, "片段_一"))
    base = f"/corpora/{corpus.slug}/gold/"
    assert "make" in client.get(f"/records/{record.pk}/").content.decode().lower()
    made = client.post(base, {"record": record.pk, "purpose": "training", "note": "看眉毛。"})
    item = GoldItem.objects.get()
    assert made["Location"] == f"{base}{item.pk}/"
    assert "片段_一" in client.get(base).content.decode()
    page = client.get(f"{base}{item.pk}/").content.decode()
    assert "看眉毛。" in page
    client.post(f"{base}{item.pk}/", {"act": "change", "purpose": "example", "note": ""})
    assert GoldItem.objects.get().purpose == "example"
    client.post(f"{base}{item.pk}/", {"act": "retire"})
    assert not GoldItem.objects.get().active
    assert client.post(base, {"record": "999999", "purpose": "check"}).status_code == 404
    assert client.post(base, {"record": record.pk, "purpose": "nonsense"}).status_code == 422


def test_the_list_costs_the_same_for_two_and_for_twenty(client: Client, django_assert_max_num_queries: object) -> None:
    corpus = make.create_corpus()
    client.force_login(make.create_member(corpus, "manager"))
    for _ in range(20):
        make.create_gold(corpus)
    with django_assert_max_num_queries(16):  # type: ignore[operator]
        client.get(f"/corpora/{corpus.slug}/gold/")


def test_the_admin_shows_gold_clips_and_remarks_and_changes_none(client: Client) -> None:
    corpus = make.create_corpus()
    item = make.create_gold(corpus, clues=("She smiles.",))
    planting.plant(None, item)
    remark = item.clip.comments.create(user=make.create_member(corpus), role="annotator", text="谁？")
    client.force_login(make.create_user(is_superuser=True, is_staff=True))
    for name, row in (("golditem", item), ("comment", remark)):
        address = f"/admin/checking/{name}/"
        statuses = [
            client.get(address + tail).status_code for tail in ("", f"{row.pk}/change/", "add/", f"{row.pk}/delete/")
        ]
        assert statuses == [200, 200, 403, 403]
        assert client.post(f"{address}{row.pk}/change/", {"purpose": "test", "text": "x"}).status_code == 403
    assert "She frowns." in client.get(f"/admin/checking/golditem/{item.pk}/change/").content.decode()
