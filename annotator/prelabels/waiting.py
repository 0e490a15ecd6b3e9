"""Waiting for a run to end; where no worker takes its jobs, this process works the shifts."""

import time
from collections.abc import Callable

import structlog
from django.db.models.functions import Now

from annotator.celery import app

from . import creation, demand, dispatch, shifts, tallies
from .models import Job, Run
from .runs import close_ended
from .work import run_job

QUIET_SECONDS = 10.0  # without any job starting or ending, the workers are taken to be gone
POLL_SECONDS = 0.5
SWEEP_SECONDS = 5.0
SHIFT_SECONDS = 2.0  # of work between two looks at the run
logger = structlog.get_logger(__name__)


def wait_for(run: Run, *, say: Callable[[str], None] | None = None, tick: Callable[[Run], None] | None = None) -> Run:
    """Return when the run has ended or is paused. Workers do its jobs; if none answers, or they fall silent, this
    process does them, which is said. Both at once is safe: each job is claimed by one of them. `tick` is told of the
    run at every turn."""
    say = say or (lambda _line: None)
    here = not workers_answer()
    if here:
        say("No worker answers; doing the jobs in this process.")
    last, quiet_since, swept = None, time.monotonic(), 0.0
    while True:
        close_ended(run.pk)
        run.refresh_from_db()
        if tick:
            tick(run)
        if run.finished_at is not None or run.state == "paused":
            return run
        if here and work_here(run):
            continue
        if time.monotonic() - swept > SWEEP_SECONDS:
            dispatch.sweep()
            swept = time.monotonic()
        counts = tallies.totals(run)["counts"]
        now = (counts["queued"] + counts["running"], run.jobs.filter(state="running", lease_end__gte=Now()).count())
        if now != last or now[1]:
            last, quiet_since = now, time.monotonic()
        elif not here and time.monotonic() - quiet_since > QUIET_SECONDS:
            here = True
            say("The workers have fallen silent; doing the jobs in this process.")
        time.sleep(POLL_SECONDS)


def work_here(run: Run) -> int:
    """Do what can be done of the run in this process for some seconds; how many jobs were ended."""
    if run.planned_at is None:
        creation.extend(run.pk, SHIFT_SECONDS)
    elif run.state == "cancelled":
        creation.wind_up(run.pk, SHIFT_SECONDS)
    return sum(shifts.shift(queue, seconds=SHIFT_SECONDS, run_id=run.pk) for queue in demand.queues_with_work(run.pk))


def do_one(run: Run) -> bool:
    """Do one job of the run in this process; False when none is free now."""
    free = demand.ready(Job.objects.filter(run=run, state="queued"))
    lost = Job.objects.filter(run=run, state="running", lease_end__lt=Now())
    for pk in [*free.order_by("id").values_list("id", flat=True)[:20], *lost.values_list("id", flat=True)[:20]]:
        if run_job(pk) is not None:
            return True
    return False


def workers_answer() -> bool:
    """Whether any worker answers a ping within two seconds."""
    try:
        with dispatch.broker() as connection:
            return bool(app.control.ping(timeout=2.0, limit=1, connection=connection))
    except dispatch.broker_errors() as error:
        logger.warning("broker does not answer", error=str(error))
        return False
