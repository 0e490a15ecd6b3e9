"""What a run would do and cost: counted where it can be counted, and measured on what such steps really took before.

A figure is the median over finished jobs of the same step, model and options in this workbench, times the number of
clips. Where there are none, nothing is said: no number here is guessed.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import connection, transaction
from django.utils.translation import gettext as _

from annotator.clips.models import Corpus
from models_ml.llm import NotConfigured

from . import budgets, plans, selection
from .keys import step_name
from .models import Job, Run

RUNS_SEEN = 20  # the newest runs that did such a step
JOBS_SEEN = 500  # the newest jobs of these, by their end
FIGURES = ("prompt_tokens", "completion_tokens", "calls", "seconds", "gpu_seconds")


def estimate(
    corpus: Corpus,
    pipeline_name: str | None = None,
    *,
    prelabellers: Iterable[str] | None = None,
    clip_names: Iterable[str] | None = None,
    only: Mapping[str, Any] | None = None,
    budget: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What `create_run` would do; nothing is written.

    `{"pipeline", "clips", "jobs", "calls", "obstacles", "steps": [{"step", "step_name", "jobs", "calls",
    "prompt_tokens", "completion_tokens", "money", "gpu_seconds", "seconds", "concurrency", "measured_on", "note"}],
    "totals": {"tokens", "money", "gpu_seconds", "seconds"}, "unknown": [step…], "over_budget": [limit…]}`.
    `calls` is the most requests that models would get, not counting repetitions; `seconds` are of work, one call after
    another; a figure is None where there is nothing to estimate it from, and `totals` leave the steps under `unknown`
    out. Raises as `create_run` does.
    """
    plan = plans.plan_for(pipeline_name, prelabellers)
    chosen, limits = selection.parse(only), budgets.parse(budget)
    clips = _count(corpus, chosen, clip_names)
    restricted = corpus.licence == "restricted" or corpus.clips.filter(licence="restricted").exists()
    steps = [_step(step, clips) for step in plan.steps]
    totals = {
        "tokens": sum((row["prompt_tokens"] or 0) + (row["completion_tokens"] or 0) for row in steps),
        **{name: round(sum(row[name] or 0 for row in steps), 4) for name in ("money", "gpu_seconds", "seconds")},
    }
    return {
        "pipeline": plan.name,
        "clips": clips,
        "jobs": clips * len(steps),
        "calls": clips * sum(1 for step in plan.steps if step["endpoint"]),
        "obstacles": plans.obstacles(plan.definition, restricted=restricted),
        "steps": steps,
        "totals": totals,
        "unknown": [row["step"] for row in steps if row["note"]],
        "over_budget": [name for name, _spent, _limit in budgets.reached(limits, totals)],
    }


def _count(corpus: Corpus, chosen: dict[str, Any], names: Iterable[str] | None) -> int:
    """How many clips a run would have: chosen as a run chooses them, in a transaction that is undone."""
    if not chosen and names is None:
        return corpus.clips.present().count()
    with transaction.atomic():
        nothing = plans.pipeline_row(plans.Plan("dry-run", {"steps": []}))
        run = Run.objects.create(corpus=corpus, pipeline=nothing, selection=chosen, parameters={})
        selection.choose(run, names)
        transaction.set_rollback(True)
    return run.clips or 0


def _step(step: dict[str, Any], clips: int) -> dict[str, Any]:
    """One step's row. A step that asks no model costs no money; its time is estimated all the same."""
    row: dict[str, Any] = {
        "step": step["key"], "step_name": step_name(step["key"], {"steps": [step]}), "jobs": clips,
        "calls": clips if step["endpoint"] else 0, "prompt_tokens": None, "completion_tokens": None, "money": None,
        "gpu_seconds": None, "seconds": None, "concurrency": None, "measured_on": 0, "note": "",
    }  # fmt: skip
    try:
        model = plans.endpoint_for(step["key"])
    except NotConfigured:
        model = None
    if step["endpoint"] and model is None:
        return row | {"note": _("not configured")}
    row["concurrency"] = getattr(model, "concurrency", None)
    seen = _medians(step, model.model if model else None)
    if seen is None:
        return row | {"note": _("no earlier run to estimate from")}
    row |= {
        "prompt_tokens": round(clips * seen["prompt_tokens"]),
        "completion_tokens": round(clips * seen["completion_tokens"]),
        "gpu_seconds": round(clips * seen["gpu_seconds"], 2),
        "seconds": round(clips * seen["seconds"], 2),
        "measured_on": seen["n"],
    }
    if model is None:
        return row | {"money": 0.0}
    prices = (getattr(model, "price_in", None), getattr(model, "price_out", None))
    if prices != (None, None):
        tokens = (row["prompt_tokens"], row["completion_tokens"])
        money = sum(price * number for price, number in zip(prices, tokens, strict=True) if price)
        row["money"] = round(money / 1_000_000, 4)
    return row


def _medians(step: dict[str, Any], model: str | None) -> dict[str, float] | None:
    """Medians over the newest finished jobs of this step, model and options, whatever run they belong to."""
    runs = Run.objects.filter(pipeline__definition__steps__contains=[{"key": step["key"], "options": step["options"]}])
    newest = list(runs.order_by("-id").values_list("pk", flat=True)[:RUNS_SEEN])
    if not newest:
        return None
    jobs = Job.objects.filter(run__in=newest, step=step["key"], state="done", cached=False, finished_at__isnull=False)
    if model is not None:
        jobs = jobs.filter(provenance__model=model, calls__gt=0)
    sql, params = jobs.order_by("-finished_at").values(*FIGURES)[:JOBS_SEEN].query.sql_with_params()
    medians = ", ".join(f"percentile_cont(0.5) WITHIN GROUP (ORDER BY {name})" for name in FIGURES)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*), {medians} FROM ({sql}) seen", params)  # noqa: S608 - the ORM's own text
        n, *values = cursor.fetchone()
    return {"n": n, **dict(zip(FIGURES, values, strict=True))} if n else None
