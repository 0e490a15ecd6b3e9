"""What the page of a run and the terminal show of its progress: a fixed number of queries, however large the run is."""

import json
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import Count, Min, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from . import budgets, tallies
from .keys import step_name
from .models import Job, Run
from .tallies import OPEN, STATES

RATE_WINDOW = timedelta(seconds=60)
RATE_JOBS = 2000  # the most that are looked at
GOING = ("queued", "running")
BAR = ("done", "skipped", "failed", "cancelled", "running")  # the rest of a bar is what is queued, or not made yet
GROUPS_SHOWN = 30
FAILURES_SHOWN = 10
EXCHANGE_SHOWN = 4000  # characters of a request or response


def run_progress(run: Run) -> dict[str, Any]:
    """Counts by state and step, rate in jobs/s, seconds to go, what was spent, in two queries.

    `{"counts", "jobs" (all that the run will have), "made", "clips_made", "ended", "percent", "rate", "eta_seconds",
    "steps": [{"step", "step_name", **states, "bar": [(state, from, width in %)]}], "codes" (each with "step_name"),
    "spent", "budget": [{"name", "spent", "limit", "percent"}], …sums of `tallies.totals`}`.
    """
    found = tallies.totals(run)
    definition = run.pipeline.definition
    keys = [step["key"] for step in definition.get("steps", [])]
    clips = run.clips if run.planned_at is None and run.clips else 0
    steps = []
    for key in [*keys, *sorted(set(found["steps"]) - set(keys))]:
        row = found["steps"].get(key) or dict.fromkeys((*STATES, *tallies.SUMS), 0)
        made = sum(row[state] for state in STATES)
        bar = _bar(row, max(made, clips if key in keys else 0))
        steps.append({"step": key, "step_name": step_name(key, definition), **row, "bar": bar})
    made = found["jobs"]
    jobs = max(made, clips * len(keys))
    ended = made - sum(found["counts"][state] for state in OPEN)
    rate = _rate(run) if run.state in GOING and run.finished_at is None else None
    first = found["steps"].get(keys[0], {}) if keys else {}
    spent = budgets.spent_of(found)
    return {
        **found,
        "jobs": jobs,
        "made": made,
        "clips_made": sum(first.get(state, 0) for state in STATES),
        "ended": ended,
        "percent": round(100 * ended / jobs, 1) if jobs else 100.0,
        "rate": rate,
        "eta_seconds": round((jobs - ended) / rate) if rate else None,
        "steps": steps,
        "codes": [{**code, "step_name": step_name(code["step"], definition)} for code in found["codes"]],
        "spent": spent,
        "budget": [
            {"name": name, "spent": spent[name], "limit": limit, "percent": round(100 * spent[name] / limit, 1)}
            for name, limit in run.budget.items()
            if name in budgets.LIMITS
        ],
    }


def _bar(row: dict[str, Any], jobs: int) -> list[tuple[str, float, float]]:
    """Where each state's part of a step's bar begins, and how wide it is, in %."""
    parts, at = [], 0.0
    for state in BAR:
        if row[state] and jobs:
            width = 100 * row[state] / jobs
            parts.append((state, round(at, 2), round(width, 2)))
            at += width
    return parts


def _rate(run: Run) -> float | None:
    """Jobs per second over the last minute (or since the start, where that is shorter); of a fast run over its last
    RATE_JOBS jobs, since to count all that ended in a minute would cost more than the rest of the page."""
    ended = run.jobs.filter(finished_at__gte=Now() - RATE_WINDOW).order_by("-finished_at")
    seen = ended.values("finished_at")[:RATE_JOBS].aggregate(n=Count("*"), first=Min("finished_at"))
    since = max(run.created_at, seen["first"]) if seen["n"] == RATE_JOBS else run.created_at
    seconds = min(RATE_WINDOW.total_seconds(), max(1.0, (timezone.now() - since).total_seconds()))
    return seen["n"] / seconds if seen["n"] else None


def reasons(run: Run, codes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What failed and was skipped, by step and code with its number, and the reason of one such job, in one query."""
    codes = codes[:GROUPS_SHOWN]
    if not codes:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT asked.n, (SELECT job.reason FROM prelabels_job job WHERE job.run_id = %s"
            " AND job.state IN ('failed', 'skipped') AND job.state = asked.state AND job.step = asked.step"
            " AND job.error_code = asked.code LIMIT 1) FROM unnest(%s::text[], %s::text[], %s::text[])"
            " WITH ORDINALITY AS asked(state, step, code, n)",
            [run.pk, *([code[key] for code in codes] for key in ("state", "step", "error_code"))],
        )
        samples = {n: reason or "" for n, reason in cursor.fetchall()}
    return [code | {"reason": samples.get(number, "")} for number, code in enumerate(codes, 1)]


def latest_failures(run: Run, limit: int = FAILURES_SHOWN) -> QuerySet[Job]:
    """The failed jobs that ended last, with their clips."""
    failed = run.jobs.filter(state="failed").select_related("clip").defer("provenance", "result")
    return failed.order_by("-finished_at")[:limit]


def exchange_of(job: Job) -> list[tuple[str, str]]:
    """Request and response of a failed call as text, [] where none was kept."""
    shown = []
    for name in ("status", "request", "response"):
        value = (job.exchange or {}).get(name)
        if value not in (None, ""):
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)
            shown.append((name, text if len(text) <= EXCHANGE_SHOWN else text[:EXCHANGE_SHOWN] + " …"))
    return shown


def line(run: Run) -> str:
    """The progress of a run as one line of a terminal."""
    found = run_progress(run)
    states = ", ".join(f"{found['counts'][state]} {state}" for state in STATES if found["counts"][state])
    parts = [f"run {run.pk} {run.state}: {found['ended']}/{found['jobs']} jobs ({found['percent']} %)", states]
    if run.planned_at is None and run.clips:
        parts.append(f"still making jobs: {found['clips_made']} of {run.clips} clips")
    if found["rate"]:
        parts.append(f"{found['rate']:.3g} jobs/s, {timedelta(seconds=found['eta_seconds'])} to go")
    for name in budgets.LIMITS:
        limit = f" of {budgets.show(run.budget[name])}" if run.budget.get(name) else ""
        if found["spent"][name] or limit:
            parts.append(f"{budgets.show(found['spent'][name])}{limit} {name.replace('_', ' ')}")
    if found["cached"]:
        parts.append(f"{found['cached']} from the cache")
    return " · ".join(part for part in parts if part)
