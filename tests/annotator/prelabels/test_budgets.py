"""Limits of a run: it pauses with its reason, goes on when told to, and repeats nothing; estimates from real jobs."""

from collections.abc import Callable
from typing import Any

import pytest

from annotator.clips.models import Clip
from annotator.core.errors import Conflict, Forbidden, Invalid
from annotator.core.models import AuditEntry
from annotator.prelabels import budgets, services, tallies, waiting
from annotator.prelabels.models import Job, PreLabeller, Run
from tests.support.factories import create_clip, create_corpus, create_member
from tests.support.scripted_server import Running

pytestmark = pytest.mark.django_db
MakeClip = Callable[..., Clip]
TEXT_STEP = ["disambiguate"]


@pytest.fixture(autouse=True)
def _nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever worker runs on the shared broker does not know this test's database."""
    monkeypatch.setattr(waiting, "workers_answer", lambda: False)
    monkeypatch.setattr(budgets, "FRESH_SECONDS", 0.0)


def done(run: Run, **fields: Any) -> None:
    """End a run's jobs with these figures."""
    run.jobs.update(state="done", finished_at=run.created_at, **fields)


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("tokens=1000", {"tokens": 1000}),
        ("tokens=1e6, money=2.5,gpu-seconds=30", {"tokens": 1_000_000, "money": 2.5, "gpu_seconds": 30.0}),
        ("", {}),
        ("tokens=", {}),
    ],
)
def test_a_budget_is_read_from_words(text: str, limits: dict[str, float]) -> None:
    assert budgets.from_words(text) == limits


@pytest.mark.parametrize(
    ("text", "says"),
    [("yen=3", "yen"), ("tokens", "name=number"), ("tokens=0", "above 0"), ("money=-1", "above 0"),
     ("money=nan", "nan"), ("gpu-seconds=inf", "inf"), ("tokens=many", "many")],
)  # fmt: skip
def test_a_wrong_budget_is_named(text: str, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        budgets.from_words(text)


def test_a_limit_is_reached_by_what_was_spent_not_before() -> None:
    run = services.create_run(None, create_clip().corpus, prelabellers=TEXT_STEP, budget={"tokens": 100, "money": 5})
    assert budgets.exceeded(run) == ""
    done(run, prompt_tokens=60, completion_tokens=39, cost=4.0)
    assert budgets.exceeded(run) == ""
    run.jobs.update(completion_tokens=40)
    assert budgets.exceeded(run) == "budget reached: 100 of 100 tokens"
    run.budget = {"tokens": 200}
    assert budgets.exceeded(run) == "", "another budget is judged anew"


def test_asking_about_the_budget_is_cheap(django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "FRESH_SECONDS", 60.0)
    free = services.create_run(None, create_clip().corpus, prelabellers=TEXT_STEP)
    limited = services.create_run(None, free.corpus, prelabellers=TEXT_STEP, budget={"tokens": 1})
    with django_assert_num_queries(0):
        assert budgets.exceeded(free) == ""
    with django_assert_num_queries(1):
        for _ in range(5):
            assert budgets.exceeded(limited) == ""


def test_a_run_stops_at_its_budget_and_goes_on_with_a_larger_one_without_repeating_a_step(
    whole_clip: MakeClip, scripted: Running
) -> None:
    corpus = create_corpus()
    for n in range(3):
        whole_clip(corpus, f"片段{n}", zh=f"第{n}句，你怎么才来？")
    run = services.create_run(None, corpus, "emer", budget={"tokens": 1})
    run = services.wait_for(run)
    assert run.state == "paused"
    assert "of 1 tokens" in run.reason
    assert run.finished_at is None
    spent = tallies.spent(run.pk)["tokens"]
    calls = Job.objects.filter(run=run, calls__gt=0).values_list("id", flat=True)
    paid = set(calls)
    assert spent >= 1
    assert paid
    assert run.jobs.filter(state="queued").exists(), "nothing is lost"
    with pytest.raises(Invalid, match="The budget is spent") as caught:
        services.resume_run(None, run, {"tokens": 1})
    assert caught.value.code == "budget-spent"
    services.resume_run(None, run, {"tokens": 10_000_000})
    run = services.wait_for(run)
    assert (run.state, run.reason) == ("done", "")
    assert set(run.jobs.filter(state="done").values_list("attempts", flat=True)) == {1}
    assert run.jobs.filter(calls__gt=1, pk__in=paid).count() == 0


def test_a_run_is_paused_by_hand_takes_no_job_and_goes_on(whole_clip: MakeClip) -> None:
    corpus = create_corpus()
    whole_clip(corpus, "c")
    manager, viewer = create_member(corpus, "manager"), create_member(corpus, "viewer")
    run = services.create_run(manager, corpus, "measured")
    with pytest.raises(Forbidden):
        services.pause_run(viewer, run)
    run = services.pause_run(manager, run)
    assert (run.state, run.reason) == ("paused", f"paused by {manager.username}")
    assert services.wait_for(run).state == "paused"
    assert set(run.jobs.values_list("state", flat=True)) == {"queued"}
    with pytest.raises(Conflict):
        services.pause_run(manager, run)
    with pytest.raises(Forbidden):
        services.resume_run(viewer, run)
    services.resume_run(manager, run)
    assert services.wait_for(run).state == "done"
    with pytest.raises(Conflict):
        services.resume_run(manager, run)
    actions = AuditEntry.objects.filter(target=str(run.pk)).order_by("id").values_list("action", flat=True)
    assert list(actions) == ["run.start", "run.pause", "run.resume"]


def test_a_paused_run_can_be_cancelled() -> None:
    run = services.create_run(None, create_clip().corpus)
    services.pause_run(None, run)
    run = services.cancel_run(None, run)
    assert (run.state, run.reason) == ("cancelled", "")
    assert run.finished_at is not None


def figures(found: dict[str, Any]) -> dict[str, Any]:
    return {row["step"]: row for row in found["steps"]}


def test_without_an_earlier_run_no_number_is_made_up(scripted: Running) -> None:
    corpus = create_clip().corpus
    found = services.estimate(corpus, "emer")
    rows = figures(found)
    assert {row["note"] for row in rows.values()} == {"no earlier run to estimate from"}
    assert rows["merge"]["prompt_tokens"] is None
    assert rows["merge"]["seconds"] is None
    assert found["unknown"] == list(rows)
    assert found["totals"] == {"tokens": 0, "money": 0, "gpu_seconds": 0, "seconds": 0}


def test_an_estimate_is_the_median_of_what_the_same_step_and_model_really_took(
    scripted: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = create_corpus()
    for n in range(5):
        create_clip(corpus, f"c{n}")
    run = services.create_run(None, corpus, prelabellers=TEXT_STEP)
    for n, job in enumerate(run.jobs.order_by("id")):
        took: dict[str, Any] = {"prompt_tokens": 100 * (n + 1), "completion_tokens": 10, "seconds": 2.0, "calls": 1}
        provenance = {"model": "scripted"}
        Job.objects.filter(pk=job.pk).update(
            state="done", finished_at=job.run.created_at, provenance=provenance, **took
        )
    row = figures(services.estimate(corpus, prelabellers=TEXT_STEP))["disambiguate"]
    assert (row["prompt_tokens"], row["completion_tokens"]) == (5 * 300, 5 * 10)
    assert (row["seconds"], row["measured_on"], row["note"]) == (10.0, 5, "")
    found = services.estimate(corpus, prelabellers=TEXT_STEP, only={"sample": 2}, budget={"tokens": 600})
    assert found["totals"]["tokens"] == 620
    assert found["over_budget"] == ["tokens"]
    Job.objects.filter(pk=run.jobs.first().pk).update(cached=True)
    assert figures(services.estimate(corpus, prelabellers=TEXT_STEP))["disambiguate"]["measured_on"] == 4
    monkeypatch.setenv("LLM_MODEL", "another")
    assert figures(services.estimate(corpus, prelabellers=TEXT_STEP))["disambiguate"]["note"]


def test_money_is_estimated_by_the_prices_of_the_pre_labeller(scripted: Running) -> None:
    corpus = create_clip().corpus
    model = PreLabeller.objects.create(
        name="cheap", kind="server", modality="text", model="scripted", base_url=scripted.base_url, trust="inside",
        price_in=2.0, price_out=8.0,
    )  # fmt: skip
    run = services.create_run(None, corpus, prelabellers=["cheap"])
    took = {"prompt_tokens": 1000, "completion_tokens": 500, "calls": 1, "provenance": {"model": "scripted"}}
    done(run, **took)
    row = figures(services.estimate(corpus, prelabellers=["cheap"]))[f"disambiguate@{model.pk}"]
    assert row["money"] == pytest.approx(0.002 + 0.004)


def test_an_estimate_writes_nothing_even_when_it_counts_clips() -> None:
    corpus = create_clip(name="c").corpus
    found = services.estimate(corpus, "measured", clip_names=["c"], only={"sample": 1})
    assert (found["clips"], found["jobs"]) == (1, 3)
    assert not Run.objects.exists()
    with pytest.raises(Invalid):
        services.estimate(corpus, "measured", clip_names=["nobody"])
    assert not Run.objects.exists()


def test_the_estimate_of_a_real_run_is_what_the_run_took(whole_clip: MakeClip, scripted: Running) -> None:
    corpus = create_corpus()
    whole_clip(corpus, "c")
    run = services.wait_for(services.create_run(None, corpus, "emer"))
    assert run.state == "done"
    found = services.estimate(corpus, "emer")
    assert found["unknown"] == ["visual_clue"], "the clip has no picture: that step was skipped"
    assert found["totals"]["tokens"] == tallies.spent(run.pk)["tokens"]
