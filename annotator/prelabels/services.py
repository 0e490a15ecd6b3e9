"""Every write of pre-labelling that a person or a client asks for. The work itself is in `work.py`."""

from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from annotator.celery import app
from annotator.clips.access import require
from annotator.clips.models import Corpus
from annotator.core import audit
from annotator.core.errors import Conflict, Invalid

from . import budgets, creation, dispatch, plans, selection, tallies, traffic
from .estimates import estimate
from .imports import import_prelabels
from .models import Run
from .queries import clues_for
from .runs import close_ended
from .waiting import wait_for
from .work import run_job

logger = structlog.get_logger(__name__)
TEND = "annotator.prelabels.tasks.tend"
GOING = ("queued", "running")

__all__ = [
    "cancel_run",
    "clues_for",
    "create_run",
    "estimate",
    "import_prelabels",
    "pause_run",
    "resume_run",
    "retry_run",
    "run_job",
    "tend_run",
    "tend_runs",
    "wait_for",
]


@transaction.atomic
def create_run(
    user: Any,
    corpus: Corpus,
    pipeline_name: str | None = None,
    *,
    prelabellers: Iterable[str] | None = None,
    clip_names: Iterable[str] | None = None,
    only: Mapping[str, Any] | None = None,
    budget: Mapping[str, Any] | None = None,
    repeat: int = 0,
) -> Run:
    """Start a run over the corpus's clips, the named ones, or those that the filter `only` chooses (of both: the named
    ones that it chooses). Returns with the jobs of the first clips; workers make the others.

    `clip_names` may be any iterator: it is read in batches. `budget` limits tokens, money and GPU seconds; `repeat`
    other than 0 asks models anew instead of taking the answers of repetition 0 from the cache. `user` None is the
    system (a command). Raises Forbidden or NotFound by role; Invalid for an unknown pipeline, pre-labeller or clip
    name, a wrong filter or budget, and where there is no clip to work on.
    """
    if user is not None:
        require(user, corpus, "run.start")
    names = list(prelabellers or [])
    plan = plans.plan_for(pipeline_name, names)
    run = Run.objects.create(
        corpus=corpus,
        pipeline=plans.pipeline_row(plan),
        started_by=user,
        selection=selection.parse(only),
        budget=budgets.parse(budget),
        repeat=_repeat(repeat),
        parameters={
            "pipeline": pipeline_name or (None if names else plans.DEFAULT),
            "prelabellers": names,
            "last_clip": corpus.clips.aggregate(last=Max("pk"))["last"] or 0,
        },
    )
    selection.choose(run, clip_names)
    if not run.clips:
        raise Invalid(
            _("No clip of the corpus “%(slug)s” is chosen.") % {"slug": corpus.slug}
            if run.selection
            else _("The corpus “%(slug)s” has no clips to pre-label.") % {"slug": corpus.slug}
        )
    creation.begin(run)
    audit.record(
        user, "run.start", corpus=corpus.slug, target=run.pk, pipeline=str(run.pipeline), clips=run.clips,
        jobs=run.clips * len(plan.steps),
    )  # fmt: skip
    _carry_on(run)
    return run


def _repeat(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 32_768:
        raise Invalid(_("A repetition is a whole number from 0 on."), errors={"repeat": str(value)[:80]})
    return value


@transaction.atomic
def cancel_run(user: Any, run: Run) -> Run:
    """Stop a run for good: queued jobs are cancelled (of a large run the first ones now, the others by a worker); those
    that a worker is at are finished and kept, they may be paid.

    Raises Forbidden or NotFound by role, Conflict for a run that has ended.
    """
    row = _locked(user, run)
    if row.finished_at or row.state not in (*GOING, "paused"):
        raise _ended(row)
    queued = tallies.totals(row)["counts"]["queued"]
    row.state, row.reason, row.retry_before = "cancelled", "", None
    row.planned_at = row.planned_at or _now()
    row.save(update_fields=["state", "reason", "planned_at", "retry_before"])
    creation.cancel_some(row.pk, creation.FIRST_JOBS)
    close_ended(row.pk)
    audit.record(user, "run.cancel", corpus=run.corpus.slug, target=row.pk, cancelled=queued)
    _tend_on_commit(row.pk)
    row.refresh_from_db()
    return row


@transaction.atomic
def retry_run(user: Any, run: Run) -> int:
    """Queue a run's failed jobs again, and what was skipped after them; the number of jobs queued (of a large run: of
    jobs that failed; a worker queues those that are not queued at once).

    Jobs that are done stay done: their effect happened. What went on without a failed job is queued once more when
    that job is done, not before: while it goes on failing, nothing new is there to work on. A paused run stays paused.
    Raises Forbidden or NotFound by role, Conflict for a cancelled run and where nothing has failed.
    """
    row = _locked(user, run)
    if row.state == "cancelled":
        raise Conflict(_("The run was cancelled; start a new one."), code="run-ended")
    if row.retry_before is not None:
        raise Conflict(_("The failed jobs of this run are being queued again already."), code="retrying")
    row.retry_before, row.planned_at = _now(), None
    row.save(update_fields=["retry_before", "planned_at"])
    queued = creation.begin_again(row)
    if not queued:
        raise Conflict(_("No job of this run has failed."), code="nothing-failed")
    row.finished_at = None
    row.state = "paused" if row.state == "paused" else "running"
    row.save(update_fields=["state", "finished_at"])
    audit.record(user, "run.retry", corpus=run.corpus.slug, target=row.pk, jobs=queued)
    transaction.on_commit(lambda: traffic.try_again(row), robust=True)
    _carry_on(row)
    return queued


@transaction.atomic
def pause_run(user: Any, run: Run, reason: str = "") -> Run:
    """Take no more jobs of this run until it is resumed; those that a worker is at are finished.

    Raises Forbidden or NotFound by role, Conflict for a run that does not go on.
    """
    row = _locked(user, run)
    if row.finished_at or row.state not in GOING:
        raise _ended(row)
    row.state, row.reason = "paused", (reason or f"paused by {getattr(user, 'username', 'the system')}")[:1000]
    row.save(update_fields=["state", "reason"])
    audit.record(user, "run.pause", corpus=run.corpus.slug, target=row.pk, reason=row.reason)
    return row


@transaction.atomic
def resume_run(user: Any, run: Run, budget: Mapping[str, Any] | None = None) -> Run:
    """Let a paused run go on; no finished step is done again. `budget` replaces the one it had; None keeps it.

    Raises Forbidden or NotFound by role, Conflict for a run that is not paused, Invalid for a wrong budget and for one
    that is spent already.
    """
    row = _locked(user, run)
    if row.state != "paused":
        raise Conflict(_("The run is not paused: it is %(state)s.") % {"state": row.state}, code="run-not-paused")
    if budget is not None:
        row.budget = budgets.parse(budget)
    if over := budgets.reached(row.budget, tallies.spent(row.pk)):
        name, spent, limit = over[0]
        raise Invalid(
            _("The budget is spent: %(spent)s of %(limit)s %(name)s. Give the run a larger one.")
            % {"spent": budgets.show(spent), "limit": budgets.show(limit), "name": name},
            code="budget-spent",
            errors={"budget": name},
        )
    row.state, row.reason = "running", ""
    row.save(update_fields=["state", "reason", "budget"])
    audit.record(user, "run.resume", corpus=run.corpus.slug, target=row.pk, budget=row.budget)
    transaction.on_commit(lambda: traffic.try_again(row), robust=True)
    _carry_on(row)
    return row


def _locked(user: Any, run: Run) -> Run:
    if user is not None:
        require(user, run.corpus, "run.start")
    return Run.objects.select_for_update(no_key=True, of=("self",)).select_related("pipeline").get(pk=run.pk)


def _ended(run: Run) -> Conflict:
    return Conflict(_("The run does not go on: it is %(state)s.") % {"state": run.state}, code="run-ended")


def _now() -> Any:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]


def tend_run(run_id: int, seconds: float = 20.0) -> bool:
    """Make the run's missing jobs, or cancel what a cancelled run still has; True when nothing is left to do."""
    if Run.objects.filter(pk=run_id, state="cancelled").exists():
        return creation.wind_up(run_id, seconds)
    done = creation.extend(run_id, seconds)
    dispatch.wake(run_id)
    return done


def tend_runs() -> int:
    """By the sweeper: send off the tending of runs that nobody tends, sum up tallies; the number of runs."""
    tallies.compact()
    untended = creation.untended()
    for run_id in untended:
        send_tending(run_id)
    return len(untended)


def send_tending(run_id: int) -> None:
    """Ask a worker to tend the run. Never raises for a broker that is down: the sweeper asks again."""
    try:
        with dispatch.broker() as broker:
            app.send_task(TEND, args=[run_id], queue="celery", producer=broker.Producer(), retry=False)
    except dispatch.broker_errors() as error:
        logger.warning("broker does not answer; the sweeper will ask again", run=run_id, error=str(error))


def _carry_on(run: Run) -> None:
    """After the commit: workers take the run's jobs, and make those that are missing."""
    dispatch.wake(run.pk)
    if run.planned_at is None:
        _tend_on_commit(run.pk)


def _tend_on_commit(run_id: int) -> None:
    def ask() -> None:
        if run_id in creation.untended(run_id):
            send_tending(run_id)

    transaction.on_commit(ask, robust=True)
