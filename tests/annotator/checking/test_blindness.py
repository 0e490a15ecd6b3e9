"""What an annotator must not be able to tell: what others said of a clip, and which clips are gold."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from annotator.checking import gate_figures, gold, payload, planting, queries, rules, services, standings, vocabulary
from annotator.checking.models import Claim, Comment, Record, Slot
from annotator.clips.manifest import ingest_manifest
from annotator.core import invariants
from annotator.core.errors import WorkbenchError
from tests.annotator.everything import World
from tests.annotator.test_every_url import TABLE
from tests.support import factories as make

pytestmark = pytest.mark.django_db

SECRETS = ("机密描述", "secretdescription", "机密词", "secretword", "secretreason", "secretclue", "secretremark")


def told(clues: Any) -> dict[str, Any]:
    """A body that says each of SECRETS."""
    body = make.make_body(clues, description={"zh": SECRETS[0], "en": SECRETS[1]})
    body["ov_labels"] = {"zh": [SECRETS[2]], "en": [SECRETS[3]]}
    body["clues"][0] |= {"verdict": "rejected", "reason": f"other:{SECRETS[4]}"}
    added = {"modality": "visual", "aspect": "", "language": "en", "text": SECRETS[5], "span": None}
    body["clues"].append({**added, "verdict": "added"})
    return body


@pytest.mark.parametrize("more", [(), ("viewer", "reviewer")])
def test_what_colleagues_said_of_a_clip_is_in_no_response_to_who_may_still_annotate_it(more: tuple[str, ...]) -> None:
    """Every address there is, as the annotator who holds the clip, with the ids of their own and the others' work."""
    world = World()
    clip, corpus = world.clip, world.corpus
    for role in more:
        make.create_member(corpus, role, world.people["annotator"])
    clip.overlap = 3
    clip.save()
    services.open_slots(corpus, [clip.pk])
    holder = world.people["annotator"]
    mine = Claim.objects.get(user=holder, clip=clip)
    before = json.dumps(payload.claim_payload(mine, holder)["clues"]), payload.claim_payload(mine, holder)["version"]

    done = make.create_annotation(clip, body=told(clip.clues.all()))
    busy = make.create_member(corpus)
    begun = services.claim_clip(busy, clip)
    services.save_draft(busy, begun.pk, told(clip.clues.all()), '"0"')
    remark = Comment.objects.create(clip=clip, user=busy, role="annotator", text=SECRETS[6])
    vocabulary._counted.clear()

    after = json.dumps(payload.claim_payload(mine, holder)["clues"]), payload.claim_payload(mine, holder)["version"]
    assert after == before
    own = dict(world.values)
    for others in ({}, {"claim": done.claim_id, "annotation": done.pk}, {"claim": begun.pk, "comment": remark.pk}):
        world.values = {**own, **others}
        for method, address, data, _expected in TABLE:
            if others and not any(f"{{{name}}}" in address for name in others):
                continue
            answer = world.ask("annotator", method, address, data)
            sent = answer.text_sent.decode("utf-8", "replace") + str(answer.headers)
            assert answer.status_code < 500, (method, address)
            found = [secret for secret in SECRETS if secret in sent or json.dumps(secret)[1:-1] in sent]
            assert not found, (method, address, others)


def test_the_secrets_would_be_seen_by_who_may_read_them() -> None:
    """The walk above looks for the right words."""
    clip = make.create_clip(make.create_corpus("lab"))
    make.create_clue(clip)
    make.create_annotation(clip, body=told(clip.clues.all()))
    reader = Client()
    reader.force_login(make.create_member(clip.corpus, "viewer"))
    page = reader.get(f"/clips/{clip.pk}/").content.decode()
    assert [secret for secret in SECRETS if secret in page] == [SECRETS[0], SECRETS[1], SECRETS[4], SECRETS[5]]


def test_a_manager_who_annotates_reads_no_colleagues_draft_of_a_clip_still_to_do() -> None:
    corpus = make.create_corpus(overlap=2)
    clip = make.create_clip(corpus)
    make.create_clue(clip)
    claim = services.claim_clip(make.create_member(corpus), clip)
    services.save_draft(claim.user, claim.pk, told(clip.clues.all()), '"0"')
    for roles, status in ((("manager", "annotator"), 404), ("manager", 200)):
        reader = Client()
        reader.force_login(make.create_member(corpus, roles))
        for tail in ("", "drafts/", "drafts/1/"):
            assert reader.get(f"/api/v1/claims/{claim.pk}/{tail}").status_code == status
        assert len(reader.get(f"/api/v1/corpora/{corpus.slug}/held/").json()) == 1


def shape(value: Any) -> Any:
    """Keys and kinds of values, without the values."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def refusal(call: Any, *args: Any, **more: Any) -> tuple[str, int, str]:
    with pytest.raises(WorkbenchError) as refused:
        call(*args, **more)
    return type(refused.value).__name__, refused.value.status, refused.value.code


def gold_and_ordinary(**fields: Any) -> tuple[Claim, Claim]:
    """One person's claim on a gold clip, submitted, and then on an ordinary one; both with one clue."""
    corpus = make.create_corpus(**fields)
    make.create_gold(corpus, clues=("She smiles.",))
    make.create_clue(make.create_clip(corpus), "He smiles.", prelabeller="gold-0")
    rules.change(None, corpus, {"gold_share": 1.0})
    person = make.create_member(corpus)
    first, _ = services.claim_next(person, corpus)
    second, _ = services.claim_next(person, corpus, ahead=True)
    assert (first.slot.kind, second.slot.kind) == ("gold", "annotate")
    return first, second


@pytest.mark.parametrize("review", ["required", "none"])
def test_a_gold_clip_answers_like_any_other(review: str, client: Client) -> None:
    claims = gold_and_ordinary(review=review)
    person = claims[0].user
    shown = [payload.claim_payload(claim, person) for claim in claims]
    assert shape(shown[0]) == shape(shown[1])
    client.force_login(person)
    for tail in ("", "context/", "drafts/", "feedback/", "drafts/1/"):
        answers = [client.get(f"/api/v1/claims/{claim.pk}/{tail}") for claim in claims]
        assert answers[0].status_code == answers[1].status_code, tail
        assert set(answers[0].headers) == set(answers[1].headers)
    for claim in claims:
        assert client.get(f"/api/v1/clips/{claim.clip_id}/comments/").json() == {"results": []}
    refused: list[Any] = [
        (services.submit, {"clues": []}),
        (services.save_draft, {}, None),
        (services.save_draft, {}, '"9"'),
    ]
    for call, *args in refused:
        said = [refusal(call, person, claim.pk, *args) for claim in claims]
        assert said[0] == said[1]
    bodies = [make.make_body(each["clues"]) for each in shown]
    answers = [services.submit(person, claim.pk, body) for claim, body in zip(claims, bodies, strict=True)]
    assert answers[0]["state"] == answers[1]["state"] == ("submitted" if review == "required" else "recorded")
    assert [answer["record"] is None for answer in answers] == [review == "required"] * 2
    assert services.submit(person, claims[0].pk, bodies[0]) == answers[0]
    assert invariants.broken() == []


def test_counts_do_not_tell_that_a_clip_is_gold() -> None:
    corpus = make.create_corpus()
    make.create_gold(corpus)
    make.create_clip(corpus)
    rules.change(None, corpus, {"gold_share": 1.0})
    person, reviewer = make.create_member(corpus), make.create_member(corpus, "reviewer")

    def counts(user: Any) -> dict[str, Any]:
        return queries.progress([corpus], user)[corpus.pk]["slots"]

    claim, _ = services.claim_next(person, corpus)
    assert claim.slot.kind == "gold"
    seen = counts(person)
    assert "gold" not in seen
    assert (seen["annotate"].get("open", 0), seen["annotate"].get("claimed", 0)) == (0, 1)  # as of an ordinary one
    assert counts(reviewer)["gold"] == {"claimed": 1}
    services.submit(person, claim.pk, make.make_body())
    assert (counts(person)["annotate"]["open"], counts(person)["annotate"]["done"]) == (1, 1)


def test_where_one_modality_is_shown_a_gold_clip_shows_one_too() -> None:
    corpus = make.create_corpus()
    item = make.create_gold(corpus, clues=("She smiles.",))
    voice = make.create_clue(item.clip, "The voice is high.", modality="audio", aspect="tone")
    rules.change(None, corpus, {"gold_share": 1.0, "modes": ["audio"]})
    claim, _ = services.claim_next(make.create_member(corpus), corpus)
    assert (claim.slot.kind, claim.slot.mode, claim.offered) == ("gold", "audio", [voice.pk])
    shown = payload.claim_payload(claim, claim.user)
    assert (shown["mode"], shown["subtitle"], shown["people"]) == ("audio", {"zh": None, "en": None}, 0)
    services.submit(claim.user, claim.pk, make.make_body(shown["clues"]))
    assert invariants.broken() == []


@pytest.mark.parametrize(("share", "arm"), [("none_share", "none"), ("blind_share", "blind")])
def test_a_gold_clip_falls_into_an_arm_like_any_other(share: str, arm: str) -> None:
    corpus = make.create_corpus()
    item = make.create_gold(corpus, clues=("She smiles.",))
    planting.plant(None, item)
    rules.change(None, corpus, {"gold_share": 1.0, "planted_share": 1.0, share: 1.0})
    claim, _ = services.claim_next(make.create_member(corpus), corpus)
    assert (claim.arm, claim.planted is None) == (arm, arm == "none")
    shown = payload.claim_payload(claim, claim.user)
    assert (len(shown["clues"]), shown["blind"]) == ((0, False) if arm == "none" else (1, True))
    services.submit(claim.user, claim.pk, make.make_body(shown["clues"]))


def test_gold_clips_come_in_the_languages_that_somebody_wants() -> None:
    corpus = make.create_corpus()
    item = make.create_gold(corpus)
    item.clip.subtitles.filter(language="zh").delete()
    rules.change(None, corpus, {"gold_share": 1.0})
    person = make.create_member(corpus)
    standings.set_languages(person, corpus, person, 1)
    assert services.claim_next(person, corpus) == (None, False)
    standings.set_languages(person, corpus, person, 2)
    assert services.claim_next(person, corpus)[0].clip == item.clip


def test_the_gate_judges_a_planted_error_like_any_draft() -> None:
    """Without verdicts it would be the one clue among others that has none."""
    corpus = make.create_corpus()
    item = make.create_gold(corpus, clues=("She smiles.",))
    error = planting.plant(None, item)
    assert [verdict["claim"] for verdict in error.gate]
    rules.change(None, corpus, {"gold_share": 1.0, "planted_share": 1.0})
    claim, _ = services.claim_next(make.create_member(corpus), corpus)
    [clue] = payload.claim_payload(claim, claim.user)["clues"]
    assert [each["claim"] for each in clue["gate"]] == [each["claim"] for each in error.gate]
    type(error).objects.update(gate=None)  # planted before they were judged
    [clue] = payload.claim_payload(Claim.objects.get(pk=claim.pk), claim.user)["clues"]
    assert clue["gate"]


def test_gold_answers_are_in_no_figure_of_the_gate_and_no_vocabulary() -> None:
    corpus = make.create_corpus()
    item = make.create_gold(corpus, clues=("She smiles.",), ov_labels={"zh": [], "en": ["zwordofgold"]})
    error = planting.plant(None, item)
    item.clip.clues.update(gate=[{**error.gate[0], "claim": "smile", "verdict": "supported"}])
    rules.change(None, corpus, {"gold_share": 1.0, "planted_share": 1.0})
    claim, _ = services.claim_next(make.create_member(corpus), corpus)
    body = make.make_body(payload.claim_payload(claim, claim.user)["clues"])
    body["clues"][0]["verdict"] = "rejected"
    services.submit(claim.user, claim.pk, body)
    rows = gate_figures.comparison(corpus)["rows"]
    assert [sum(n for did in row["people"].values() for n in did.values()) for row in rows] == [0] * len(rows) != []
    vocabulary._counted.clear()
    assert "zwordofgold" not in json.dumps(vocabulary.of_corpus(corpus).words)
    gold.mark(None, item.revision.record, "example")
    vocabulary._counted.clear()
    assert "zwordofgold" in json.dumps(vocabulary.of_corpus(corpus).words)


def test_a_training_clip_sent_again_is_answered_the_same() -> None:
    corpus = make.create_corpus(review="none")
    make.create_gold(corpus, "training")
    rules.change(None, corpus, {"training_items": 1})
    claim, _ = services.claim_next(make.create_member(corpus), corpus)
    answer = services.submit(claim.user, claim.pk, make.make_body())
    assert (answer["record"], answer["feedback"]) == (None, f"/corpora/{corpus.slug}/training/{claim.pk}/")
    assert services.submit(claim.user, claim.pk, make.make_body()) == answer


def test_a_lapsed_claim_goes_on_in_its_own_mode_only() -> None:
    corpus = make.create_corpus(overlap=2)
    rules.change(None, corpus, {"modes": ["visual", "audio"]})
    clip = make.create_clip(corpus)
    face = make.create_clue(clip)
    first, other = make.create_member(corpus), make.create_member(corpus)
    claim, _ = services.claim_next(first, corpus)
    assert claim.slot.mode == "visual"
    Claim.objects.filter(pk=claim.pk).update(state="expired")
    Slot.objects.filter(pk=claim.slot_id).update(state="open")
    assert services.claim_next(other, corpus)[0].slot_id == claim.slot_id
    assert Slot.objects.get(clip=clip, number=2).state == "open"  # the sound, which is no substitute
    name, status, code = refusal(services.submit, first, claim.pk, make.make_body([face]))
    assert (name, status, code) == ("Conflict", 409, "claim-lost")
    assert claim.drafts.get().body["description"]["en"]
    assert Slot.objects.get(clip=clip, number=2).state == "open"


def test_a_corpus_that_shows_one_modality_keeps_its_review(client: Client) -> None:
    corpus = make.create_corpus("isolated")
    rules.change(None, corpus, {"modes": ["visual"]})
    client.force_login(make.create_user(is_superuser=True, is_staff=True))
    form = {
        **{key: getattr(corpus, key) for key in ("slug", "name", "overlap", "licence", "language", "person_rule")},
        **{"guideline": "", "review": "none"},
        **{f"memberships-{key}": 0 for key in ("TOTAL_FORMS", "INITIAL_FORMS", "MIN_NUM_FORMS")},
    }
    address = f"/admin/clips/corpus/{corpus.pk}/change/"
    refused = client.post(address, form)
    assert refused.status_code == 200
    assert "one modality alone" in refused.content.decode()
    corpus.refresh_from_db()
    assert corpus.review == "required"
    rules.change(None, corpus, {"modes": [""]})
    assert client.post(address, form).status_code == 302
    corpus.refresh_from_db()
    assert corpus.review == "none"


def test_languages_follow_subtitles_that_come_later(tmp_path: Path) -> None:
    corpus = make.create_corpus()
    clip = make.create_clip(corpus, "one", zh="", en="")
    person = make.create_member(corpus)
    standings.set_languages(person, corpus, person, 1)
    assert (clip.slots.get().languages, services.claim_next(person, corpus)) == (0, (None, False))
    table = tmp_path / "more.jsonl"
    row = {"name": "one", "media": "https://example.org/one.mp4", "subtitle_zh": "你来了。"}
    table.write_text(json.dumps(row) + "\n", "utf-8")
    report = ingest_manifest(corpus, table)
    assert (report.updated, report.failed) == (1, [])
    assert clip.slots.get().languages == 1
    assert services.claim_next(person, corpus)[0].clip == clip


def test_a_further_slot_of_a_scored_clip_has_its_score() -> None:
    clip = make.create_clip()
    clip.slots.update(score=0.75)
    type(clip).objects.filter(pk=clip.pk).update(overlap=2)
    services.open_slots(clip.corpus, [clip.pk])
    assert list(clip.slots.values_list("number", "score")) == [(1, 0.75), (2, 0.75)]


def test_a_gold_record_stays_the_one_that_there_was() -> None:
    gold_claim, _ordinary = gold_and_ordinary(review="none")
    before = Record.objects.get(clip=gold_claim.clip).current_id
    shown = payload.claim_payload(gold_claim, gold_claim.user)
    services.submit(gold_claim.user, gold_claim.pk, make.make_body(shown["clues"], description={"zh": "另", "en": ""}))
    assert Record.objects.get(clip=gold_claim.clip).current_id == before
