"""Which clips a look is worth most: by formula, the same every time, followed by the queue."""

import math
from typing import Any

import pytest
from django.core.management import call_command

from annotator.checking import rules, scores, services, tasks
from annotator.checking.models import Slot
from annotator.clips.models import Clip
from tests.support import factories as make

pytestmark = pytest.mark.django_db


def verdict(claim: str, ruling: str) -> dict[str, Any]:
    return {"claim": claim, "negated": False, "who": "target", "verdict": ruling}


def clip_with(corpus: Any, *texts: str, **fields: Any) -> Clip:
    """A clip on whose face each of these pre-labellers' clues speaks."""
    clip = make.create_clip(corpus)
    for number, text in enumerate(texts):
        make.create_clue(clip, text, prelabeller=f"model-{number}", **fields)
    return clip


def test_pre_labellers_that_say_opposite_things_disagree_wholly() -> None:
    corpus = make.create_corpus()
    assert scores.parts_for(clip_with(corpus, "She smiles.", "She frowns.")).disagreement == 1
    assert scores.parts_for(clip_with(corpus, "She smiles.", "He is smiling.")).disagreement == 0
    half = scores.parts_for(clip_with(corpus, "She smiles.", "She smiles, her eyebrows are raised."))
    assert half.disagreement == pytest.approx(1 - (1 + 0.5) / 2)  # 1 of 1 and 1 of 2


def test_emotion_words_count_by_their_group_and_in_either_language() -> None:
    corpus = make.create_corpus()
    assert scores.parts_for(clip_with(corpus, "She is angry.", "她很生气。")).disagreement == 0
    assert scores.parts_for(clip_with(corpus, "She is angry.", "她很开心。")).disagreement == 1


def test_one_pre_labeller_or_nothing_said_is_not_known() -> None:
    corpus = make.create_corpus()
    assert scores.parts_for(clip_with(corpus, "She smiles.")) == scores.Parts()
    assert scores.parts_for(clip_with(corpus, "A man.", "A coat.")) == scores.Parts()
    assert scores.parts_for(make.create_clip(corpus)).score == 0
    two_aspects = make.create_clip(corpus)
    make.create_clue(two_aspects, "She smiles.", prelabeller="a")
    make.create_clue(two_aspects, "She frowns.", prelabeller="b", aspect="gesture")
    assert scores.parts_for(two_aspects).disagreement is None


def test_contradiction_is_the_share_of_what_could_be_measured() -> None:
    corpus = make.create_corpus()
    gate = [verdict("smile", "contradicted"), verdict("loud", "supported"), verdict("fast", "not_measurable")]
    clip = clip_with(corpus, "x", gate=gate)
    assert scores.parts_for(clip).contradiction == 0.5
    assert scores.parts_for(clip_with(corpus, "x", gate=[])).contradiction is None


def test_uncertainty_is_there_only_where_a_model_said_it() -> None:
    corpus = make.create_corpus()
    assert scores.parts_for(clip_with(corpus, "x", provenance={"confidence": 0.75})).uncertainty == 0.25
    found = scores.parts_for(clip_with(corpus, "x", provenance={"logprob": -0.1})).uncertainty
    assert found == pytest.approx(1 - math.exp(-0.1))
    for wrong in ({}, {"confidence": 7}, {"confidence": "high"}, {"logprob": 3}, {"confidence": True}):
        assert scores.parts_for(clip_with(corpus, "x", provenance=wrong)).uncertainty is None


def test_the_score_is_the_mean_of_what_is_known() -> None:
    assert scores.Parts(1.0, 0.5, None).score == 0.75
    assert scores.Parts(None, None, 0.2).score == 0.2
    assert scores.Parts(1.0, 0.0, 0.5).score == 0.5


def test_the_queue_goes_by_priority_then_score_then_age() -> None:
    corpus = make.create_corpus()
    same = clip_with(corpus, "She smiles.", "He smiles.")
    urgent = make.create_clip(corpus, priority=1)
    torn = clip_with(corpus, "She smiles.", "She frowns.")
    half = clip_with(corpus, "She smiles.", "She smiles, her eyebrows are raised.")
    rules.change(None, corpus, {"order": "active"})
    assert scores.score_corpus(corpus) == (None, 2)
    order = []
    for _ in range(4):
        order.append(services.claim_next(make.create_member(corpus), corpus)[0].clip)
    assert order == [urgent, torn, half, same]


def test_back_to_age_clears_every_score() -> None:
    corpus = make.create_corpus()
    torn = clip_with(corpus, "She smiles.", "She frowns.")
    rules.change(None, corpus, {"order": "active"})
    scores.score_corpus(corpus)
    assert torn.slots.get().score == 1
    assert scores.score_corpus(corpus) == (None, 0)  # the same clues give the same score
    rules.change(None, corpus, {"order": "age"})
    assert set(Slot.objects.values_list("score", flat=True)) == {0}


def test_it_goes_on_chunk_by_chunk_in_few_statements(django_assert_max_num_queries: Any) -> None:
    corpus = make.create_corpus(overlap=2)
    clips = [clip_with(corpus, "She smiles.", "She frowns.") for _ in range(7)]
    assert scores.score_chunk(corpus, size=3) == (clips[2].pk, 6)
    assert scores.score_chunk(corpus, clips[2].pk, size=3) == (clips[5].pk, 6)
    with django_assert_max_num_queries(6):
        assert scores.score_chunk(corpus, clips[5].pk, size=3) == (None, 2)


def test_the_task_scores_where_it_is_switched_on_and_the_scheduler_follows_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[int] = []
    monkeypatch.setattr(scores, "send", lambda corpus_id, after=0: sent.append(corpus_id))
    corpus, other = make.create_corpus(), make.create_corpus()
    torn = clip_with(corpus, "She smiles.", "She frowns.")
    for each in (corpus, other):
        make.create_run(each)
    tasks.score(corpus.pk)
    assert torn.slots.get().score == 0
    rules.change(None, corpus, {"order": "active"})
    tasks.score_after_runs()
    assert sent == [corpus.pk]
    tasks.score(corpus.pk)
    assert torn.slots.get().score == 1
    tasks.score(0)


def test_the_command_scores_and_refuses_where_it_is_off() -> None:
    corpus = make.create_corpus("scoring")
    clip_with(corpus, "She smiles.", "She frowns.")
    with pytest.raises(Exception, match="order=active"):
        call_command("score", "scoring")
    rules.change(None, corpus, {"order": "active"})
    call_command("score", "scoring", "--json")
    assert Slot.objects.get().score == 1
