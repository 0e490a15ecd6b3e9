"""New annotators: training with feedback, then the test, then the work."""

import pytest
from django.test import Client

from annotator.checking import gold, rules, services, standings
from annotator.checking.models import Claim, Standing
from annotator.clips.models import Corpus
from annotator.core import invariants
from annotator.core.errors import Forbidden, Invalid, NotFound
from tests.support import factories as make

pytestmark = pytest.mark.django_db
ANGRY = {"zh": ["生气"], "en": ["angry"]}
HAPPY = {"zh": ["开心"], "en": ["happy"]}


def school(training: int = 1, test: int = 2, **values: object) -> Corpus:
    """A corpus with gold clips for both stages (two more of each than are asked for) and one ordinary clip."""
    corpus = make.create_corpus()
    for purpose, number in (("training", training), ("test", test)):
        for _ in range(number + 2):
            make.create_gold(corpus, purpose, clues=("She smiles.",), ov_labels=ANGRY)
    make.create_clip(corpus, "ordinary")
    rules.change(None, corpus, {"training_items": training, "test_items": test, **values})
    return corpus


def hand_in(person: object, corpus: Corpus, labels: dict[str, list[str]] = ANGRY, verdict: str = "kept") -> dict:
    claim, _created = services.claim_next(person, corpus)
    assert claim is not None
    body = make.make_body(claim.clip.clues.all(), ov_labels=labels)
    for clue in body["clues"]:
        clue["verdict"] = verdict
    return services.submit(person, claim.pk, body)


def purposes_met(person: object) -> list[str]:
    claims = Claim.objects.filter(user=person).order_by("id").select_related("clip__gold_item", "slot")
    return [claim.clip.gold_item.purpose if claim.slot.kind == "gold" else "work" for claim in claims]


def test_training_comes_first_then_the_test_then_the_work() -> None:
    corpus = school(2, 2)
    person = make.create_member(corpus)
    answers = [hand_in(person, corpus) for _ in range(5)]
    assert purposes_met(person) == ["training", "training", "test", "test", "work"]
    assert ["feedback" in answer for answer in answers] == [True, True, False, False, False]
    standing = Standing.objects.get(user=person)
    assert (standing.stage, standing.score) == ("passed", 1.0)
    assert invariants.broken() == []


def test_who_fails_gets_no_clip_until_a_manager_decides() -> None:
    corpus = school(0, 2, pass_mark=0.8)
    person, manager = make.create_member(corpus), make.create_member(corpus, "manager")
    hand_in(person, corpus)
    hand_in(person, corpus, HAPPY, "rejected")  # half of it wrong: 0.5 on the whole
    standing = Standing.objects.get(user=person)
    assert standing.stage == "failed"
    assert standing.score == pytest.approx(0.5)
    with pytest.raises(Forbidden) as refused:
        services.claim_next(person, corpus)
    assert refused.value.code == "not-qualified"
    assert refused.value.extra["score"] == pytest.approx(0.5)
    standings.decide(manager, corpus, person, "pass")
    assert services.claim_next(person, corpus)[0].slot.kind == "annotate"


def test_beginning_anew_brings_other_clips_and_forgets_the_old_score() -> None:
    corpus = school(1, 2, pass_mark=0.8)
    person, manager = make.create_member(corpus), make.create_member(corpus, "manager")
    for _ in range(3):
        hand_in(person, corpus, HAPPY, "rejected")
    assert Standing.objects.get(user=person).stage == "failed"
    before = set(Claim.objects.filter(user=person).values_list("clip_id", flat=True))
    standings.decide(manager, corpus, person, "reset")
    for _ in range(3):
        hand_in(person, corpus)
    assert Standing.objects.get(user=person).stage == "passed"
    assert Standing.objects.get(user=person).score == 1.0
    clips = list(Claim.objects.filter(user=person).order_by("id").values_list("clip_id", flat=True))
    assert before.isdisjoint(clips[3:])


def test_a_test_clip_that_is_given_back_counts_as_wrong() -> None:
    corpus = school(0, 2, pass_mark=0.8)
    person = make.create_member(corpus)
    hand_in(person, corpus)
    claim, _created = services.claim_next(person, corpus)
    services.skip(person, claim.pk, "太难")
    standing = Standing.objects.get(user=person)
    assert (standing.stage, standing.score) == ("failed", 0.5)


def test_no_more_than_asked_are_handed_out_ahead() -> None:
    corpus = school(1, 1)
    person = make.create_member(corpus)
    claim, _created = services.claim_next(person, corpus)
    assert services.claim_next(person, corpus, ahead=True) in [(claim, False), (None, False)]
    assert purposes_met(person) == ["training"]


def test_with_no_test_clip_left_the_message_says_so() -> None:
    corpus = school(0, 1)
    person, manager = make.create_member(corpus), make.create_member(corpus, "manager")
    for _ in range(3):  # the three clips there are
        hand_in(person, corpus)
        standings.decide(manager, corpus, person, "reset")
    with pytest.raises(Forbidden) as refused:
        services.claim_next(person, corpus)
    assert refused.value.code == "not-qualified"


def test_a_corpus_that_asks_for_neither_has_no_standings() -> None:
    corpus = make.create_corpus()
    make.create_clip(corpus)
    rules.change(None, corpus, {"blind_sources": True})
    person = make.create_member(corpus)
    assert services.claim_next(person, corpus)[1]
    assert not Standing.objects.exists()
    assert standings.mine(person, corpus)["stage"] == "passed"


def test_feedback_shows_each_clue_right_or_wrong_and_the_labels() -> None:
    corpus = school(1, 0)
    person = make.create_member(corpus)
    answer = hand_in(person, corpus, {"zh": [], "en": ["furious", "happy"]}, "rejected")
    claim = Claim.objects.get(user=person)
    assert answer["feedback"] == f"/corpora/{corpus.slug}/training/{claim.pk}/"
    _claim, found = standings.feedback(person, claim.pk)
    assert [clue["right"] for clue in found["clues"]] == [False]
    assert found["clues"][0]["gold_verdict"] == "kept"
    assert found["labels"] == {"accuracy": 0.5, "recall": 1.0, "avg": 0.75}  # furious and angry are of one group
    assert found["score"] == pytest.approx((0.75 + 0) / 2)


def test_feedback_is_its_authors_and_only_of_training() -> None:
    corpus = school(1, 1)
    person, other = make.create_member(corpus), make.create_member(corpus)
    hand_in(person, corpus)
    hand_in(person, corpus)
    training, test = Claim.objects.filter(user=person).order_by("id")
    standings.feedback(make.create_member(corpus, "manager"), training.pk)
    for someone, claim in ((other, training), (person, test), (make.create_member(corpus, "viewer"), training)):
        with pytest.raises(NotFound):
            standings.feedback(someone, claim.pk)


def test_the_training_page_leads_on(client: Client) -> None:
    corpus = school(2, 1)
    person = make.create_member(corpus)
    client.force_login(person)
    for words in ("Next training clip", "On to the test"):
        answer = hand_in(person, corpus)
        page = client.get(answer["feedback"]).content.decode()
        assert words in page
        assert "right" in page


def test_languages_are_wished_by_the_person_and_set_by_a_manager() -> None:
    corpus = make.create_corpus()
    english, chinese = make.create_clip(corpus, zh=""), make.create_clip(corpus, en="")
    person, manager = make.create_member(corpus), make.create_member(corpus, "manager")
    standings.set_languages(person, corpus, person, 1)
    assert services.claim_next(person, corpus)[0].clip == chinese
    second = make.create_member(corpus)
    standings.set_languages(manager, corpus, second, 2)
    assert services.claim_next(second, corpus)[0].clip == english
    with pytest.raises(Invalid):
        standings.set_languages(manager, corpus, second, 4)
    with pytest.raises(Forbidden):
        standings.set_languages(person, corpus, second, 1)
    with pytest.raises(NotFound):
        standings.set_languages(manager, corpus, make.create_member(corpus, "viewer"), 1)


def test_pages_and_rest_of_standings(client: Client) -> None:
    corpus = school(1, 1)
    person, manager = make.create_member(corpus), make.create_member(corpus, "manager")
    hand_in(person, corpus)
    client.force_login(manager)
    base = f"/corpora/{corpus.slug}"
    assert person.username in client.get(f"{base}/standings/").content.decode()
    assert client.post(f"{base}/standings/", {"person": person.username, "decision": "pass"}).status_code == 302
    assert Standing.objects.get(user=person).decided_by == manager
    assert client.post(f"{base}/standings/", {"person": "nobody", "decision": "pass"}).status_code == 404
    assert client.post(f"{base}/standings/", {"person": person.username, "decision": "fail"}).status_code == 422
    rows = client.get(f"/api/v1{base}/standings/").json()
    assert [(row["user"], row["stage"], row["training"]) for row in rows] == [(person.username, "passed", 1)]
    url = f"/api/v1{base}/standings/{person.username}/"
    changed = client.patch(url, {"decision": "reset", "languages": 3}, content_type="application/json")
    assert (changed.json()["stage"], changed.json()["languages"]) == ("training", 3)
    client.force_login(person)
    mine = client.get(f"/api/v1{base}/standing/").json()
    assert mine["training"] == {"done": 0, "of": 1}
    assert client.post(f"{base}/standing/", {"languages": "2"}).status_code == 302
    assert client.get(f"/api/v1{base}/standing/").json()["languages"] == 2
    assert client.post(f"{base}/standing/", {"languages": "x"}).status_code == 422


def test_lists_of_people_cost_the_same_for_two_and_for_twenty(
    client: Client, django_assert_max_num_queries: object
) -> None:
    corpus = school(1, 1)
    for _ in range(20):
        hand_in(make.create_member(corpus), corpus)
    client.force_login(make.create_member(corpus, "manager"))
    with django_assert_max_num_queries(18):  # type: ignore[operator]
        client.get(f"/corpora/{corpus.slug}/standings/")
    assert gold.given(0, corpus.pk, "test").count() == 0
