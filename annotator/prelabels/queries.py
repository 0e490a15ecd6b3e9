"""Every non-trivial read of pre-labelling."""

from datetime import timedelta
from typing import Any

from django.db.models import Case, Count, F, IntegerField, QuerySet, Sum, Value, When
from django.db.models.functions import Coalesce, Now
from django.utils import timezone
from django.utils.translation import gettext as _

from annotator.clips.access import require
from annotator.clips.models import Clip, Corpus
from annotator.core.errors import NotFound

from . import tallies
from .models import MODALITIES, Clue, Job, Run

STATES = ("queued", "running", "done", "failed", "skipped", "cancelled")
RATE_WINDOW = timedelta(seconds=60)


def clues_for(clip: Clip) -> QuerySet[Clue]:
    """The clip's current clues in canonical order: modality, aspect, start of the span, language, text."""
    return in_order(Clue.objects.filter(clip=clip, superseded_at=None)).select_related("prelabeller")


def in_order(clues: QuerySet[Clue]) -> QuerySet[Clue]:
    """Canonical order (docs/snapshots.md): visual < audio < text, aspect, span start or -1, language, text."""
    rank = Case(
        *(When(modality=name, then=Value(position)) for position, name in enumerate(MODALITIES)),
        output_field=IntegerField(),
    )
    return clues.order_by(rank, "aspect", Coalesce("span_start", -1.0), "language", "text", "id")


def run_for(user: Any, pk: int, action: str = "run.view") -> Run:
    """The run if `user` may do `action` on its corpus; NotFound or Forbidden otherwise."""
    run = Run.objects.select_related("corpus", "pipeline", "started_by").filter(pk=pk).first()
    if run is None:
        raise NotFound(_("There is no such object, or you may not see it."))
    require(user, run.corpus, action)
    return run


def runs_of(corpus: Corpus) -> QuerySet[Run]:
    return Run.objects.filter(corpus=corpus).select_related("pipeline", "started_by", "corpus")


def run_counts(run: Run) -> dict[str, int]:
    """Jobs by state; every state is there."""
    return tallies.totals(run)["counts"]


def counts_of_runs(runs: list[Run]) -> dict[int, dict[str, int]]:
    """Jobs by state for several runs in one query."""
    return tallies.counts_of(runs)


def run_progress(run: Run) -> dict[str, Any]:
    """What the run's page shows: counts by step and state, tokens, calls, rate in jobs/s and seconds to go."""
    rows = (
        run.jobs.order_by()
        .values("step", "state")
        .annotate(
            n=Count("id"),
            calls=Sum("calls"),
            prompt_tokens=Sum("prompt_tokens"),
            completion_tokens=Sum("completion_tokens"),
            seconds=Sum("seconds"),
            losses=Sum("losses"),
        )
    )
    order = [step["key"] for step in run.pipeline.definition.get("steps", [])]
    steps: dict[str, dict[str, Any]] = {key: {"step": key, **dict.fromkeys(STATES, 0)} for key in order}
    total = {"jobs": 0, "calls": 0, "prompt_tokens": 0, "completion_tokens": 0, "seconds": 0.0, "losses": 0}
    counts = dict.fromkeys(STATES, 0)
    for row in rows:
        step = steps.setdefault(row["step"], {"step": row["step"], **dict.fromkeys(STATES, 0)})
        step[row["state"]] += row["n"]
        counts[row["state"]] += row["n"]
        total["jobs"] += row["n"]
        for key in ("calls", "prompt_tokens", "completion_tokens", "seconds", "losses"):
            total[key] += row[key] or 0
    waiting = counts["queued"] + counts["running"]
    rate = _rate(run) if waiting else None
    return {
        "counts": counts,
        "steps": list(steps.values()),
        "ended": total["jobs"] - waiting,
        "percent": round(100 * (total["jobs"] - waiting) / total["jobs"], 1) if total["jobs"] else 100.0,
        "rate": rate,
        "eta_seconds": round(waiting / rate) if rate else None,
        **total,
    }


def _rate(run: Run) -> float | None:
    """Jobs per second over the last minute (or since the start, where that is shorter)."""
    ended = run.jobs.filter(finished_at__gte=Now() - RATE_WINDOW).count()
    seconds = min(RATE_WINDOW.total_seconds(), max(1.0, (timezone.now() - run.created_at).total_seconds()))
    return ended / seconds if ended else None


def failures(run: Run, limit: int = 50) -> QuerySet[Job]:
    return run.jobs.filter(state="failed").select_related("clip").order_by("id")[:limit]


def failure_groups(run: Run, limit: int = 20) -> list[dict[str, Any]]:
    """Failed and skipped jobs by step and reason, the most frequent first: what one mends at one place."""
    rows = run.jobs.filter(state__in=["failed", "skipped"]).order_by()
    groups = rows.values("state", "step", "error_code", "reason").annotate(n=Count("id"))
    return [dict(row) for row in groups.order_by("state", F("n").desc(), "step")[:limit]]


def failed_for_report(run: Run) -> list[dict[str, Any]]:
    """`[{"name", "step", "code", "reason"}]` of every failed job, for the command's JSON."""
    rows = run.jobs.filter(state="failed").order_by("id")
    return [
        {"name": name, "step": step, "code": code, "reason": reason}
        for name, step, code, reason in rows.values_list("clip__name", "step", "error_code", "reason").iterator()
    ]


def skipped_for_report(run: Run) -> list[dict[str, Any]]:
    """`[{"name", "step", "reason"}]` of every skipped job: warnings."""
    rows = run.jobs.filter(state="skipped").order_by("id")
    return [
        {"name": name, "step": step, "reason": reason}
        for name, step, reason in rows.values_list("clip__name", "step", "reason").iterator()
    ]
