"""Errors are planted by rule in what the gold answer kept, are offered in the clue's place, and reach no record."""

import pytest
from django.core.management import call_command
from django.test import Client

from annotator.checking import gold, planting, queries, records, rules, services, standings
from annotator.checking.models import Claim, GoldItem, PlantedError
from annotator.core import invariants
from annotator.core.errors import Conflict, Forbidden, NotFound
from annotator.prelabels.gating import facts_for
from models_ml.gate import find
from tests.support import factories as make

pytestmark = pytest.mark.django_db


def test_a_kept_clue_is_turned_over_and_the_gate_reads_the_opposite() -> None:
    item = make.create_gold(make.create_corpus(), clues=("She smiles warmly at him.", "The weather is grey."))
    found = planting.proposals(item)
    assert [(each.rule, each.text) for each in found] == [("smile>brows_lowered", "She frowns warmly at him.")]
    assert [claim.claim for claim in find(found[0].text, "visual")] == ["brows_lowered"]


def test_both_renderings_of_a_measured_clue_are_turned_over() -> None:
    item = make.create_gold(make.create_corpus(), clues=("She smiles.",))
    clue = item.clip.clues.get()
    clue.texts = {"en": "She smiles.", "zh": "她露出微笑。"}
    clue.save()
    assert planting.proposals(item)[0].texts == {"en": "She frowns.", "zh": "她皱起眉头。"}
    clue.texts = {"en": "She smiles.", "zh": "她很好。"}
    clue.save()
    assert planting.proposals(item) == []  # what cannot be said in both is left alone


def test_what_the_gold_answer_did_not_keep_is_left_alone() -> None:
    corpus = make.create_corpus()
    clip = make.create_clip(corpus)
    clue = make.create_clue(clip, "She smiles.")
    body = make.make_body([clue])
    body["clues"][0]["verdict"] = "rejected"
    record = records.write(clip, "fine", records.checked_content(body), source="import").record
    record.refresh_from_db()
    assert planting.proposals(gold.mark(None, record, "check")) == []


def test_what_the_measurements_bear_out_is_no_error() -> None:
    corpus = make.create_corpus()
    item = make.create_gold(corpus)
    clue = make.create_clue(item.clip, "The voice is loud.", modality="audio", aspect="prosody")
    record = records.write(item.clip, "fine", records.checked_content(make.make_body([clue])), source="import").record
    record.refresh_from_db()
    item = gold.mark(None, record, "check")
    assert [each.rule for each in planting.proposals(item)] == ["loud>soft"]
    facts = facts_for([item.clip_id])[item.clip_id]
    facts.measures = {"intensity_re_baseline_db": -8.0, "duration_s": 3.0}
    assert planting.proposals(item, facts) == []  # it is soft indeed


def test_it_is_drawn_once_and_again_is_the_same() -> None:
    item = make.create_gold(make.create_corpus(), clues=("She smiles.", "His eyebrows are raised.", "Her eyes narrow."))
    error = planting.plant(None, item)
    assert planting.plant(None, item) == error
    chosen = planting.proposals(item)[-1]
    assert planting.plant(None, item, chosen.key).rule == chosen.rule
    with pytest.raises(NotFound):
        planting.plant(None, item, "1 smile>loud")


def test_where_nothing_can_be_swapped_it_is_refused() -> None:
    item = make.create_gold(make.create_corpus(), clues=("A man in a coat.",))
    with pytest.raises(Conflict) as refused:
        planting.plant(None, item)
    assert refused.value.code == "nothing-to-swap"


def planted_claim() -> tuple[Claim, PlantedError]:
    corpus = make.create_corpus()
    item = make.create_gold(corpus, "training", clues=("She smiles.",))
    error = planting.plant(None, item)
    rules.change(None, corpus, {"training_items": 1, "planted_share": 1.0})
    claim, _created = services.claim_next(make.create_member(corpus), corpus)
    return claim, error


def test_it_is_offered_in_the_clues_place() -> None:
    claim, error = planted_claim()
    assert claim.planted == error
    [clue] = queries.claim_payload(claim, claim.user)["clues"]
    assert (clue["id"], clue["text"]) == (error.clue_id, "She frowns.")


@pytest.mark.parametrize(("verdict", "caught"), [("kept", False), ("rejected", True), ("corrected", True)])
def test_who_keeps_it_missed_it_and_who_rejects_or_corrects_it_caught_it(verdict: str, caught: bool) -> None:
    claim, error = planted_claim()
    body = make.make_body(queries.claim_payload(claim, claim.user)["clues"])
    body["clues"][0]["verdict"] = verdict
    if verdict == "corrected":
        body["clues"][0]["text"] = "She smiles."
    services.submit(claim.user, claim.pk, body)
    _claim, found = standings.feedback(claim.user, claim.pk)
    assert [clue["right"] for clue in found["clues"]] == [caught]
    assert found["clues"][0]["offered"] == error.text
    assert found["clues"][0]["gold_text"] == "She smiles."
    assert invariants.broken() == []
    with pytest.raises(Conflict):
        planting.remove(make.create_member(claim.corpus, "manager"), error)


def test_the_command_plants_one_in_each_and_names_what_it_cannot(capsys: pytest.CaptureFixture[str]) -> None:
    corpus = make.create_corpus("planting")
    able = make.create_gold(corpus, clues=("她眉头紧锁。", "She smiles."))
    unable = make.create_gold(corpus, clues=("A man.",))
    make.create_gold(corpus, "example", clues=("She smiles.",))
    call_command("plant", "planting", "--dry-run")
    assert not PlantedError.objects.exists()
    call_command("plant", "planting", "--json")
    out = capsys.readouterr().out
    assert unable.clip.name in out
    assert PlantedError.objects.get().gold == able
    call_command("plant", "planting")
    assert PlantedError.objects.count() == 1


def test_the_page_shows_before_and_after_and_plants(client: Client) -> None:
    corpus = make.create_corpus()
    item = make.create_gold(corpus, clues=("She smiles.", "A man."))
    client.force_login(make.create_member(corpus, "reviewer"))
    url = f"/corpora/{corpus.slug}/gold/{item.pk}/"
    page = client.get(url).content.decode()
    assert "She smiles." in page
    assert "She frowns." in page
    [proposal] = client.get(f"/api/v1/gold/{item.pk}/planted/").json()
    assert (proposal["before"], proposal["after"]) == ("She smiles.", "She frowns.")
    assert client.post(url, {"act": "plant", "key": proposal["key"]}).status_code == 302
    error = PlantedError.objects.get()
    assert client.get(f"/api/v1/gold/{item.pk}/").json()["planted"][0]["id"] == error.pk
    assert client.post(url, {"act": "remove", "error": error.pk}).status_code == 302
    assert not PlantedError.objects.exists()
    assert client.post(f"/corpora/{corpus.slug}/gold/plant/").status_code == 302
    assert PlantedError.objects.count() == 1
    assert client.post(url, {"act": "nonsense"}).status_code == 404
    with pytest.raises(Forbidden):
        planting.plant(make.create_member(corpus, "annotator"), GoldItem.objects.get())
