"""A shift: one worker process takes jobs of one queue in batches, for a while, over all runs in turn.

`media` and `cpu` jobs are done one after another in the process; `llm` and `gpu` jobs by a crew of threads (`crew.py`).
"""

import time
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from annotator.celery import stopping

from . import budgets, claims, demand, dispatch, work
from .database import patiently
from .leases import keeper
from .models import Job, Run
from .outcomes import Outcome
from .runs import close_ended

# How long a shift takes jobs. Of the queues that share workers a shift ends soon, so that the other one gets its turn;
# a crew's shift only ends so that its process may be replaced.
SECONDS = {"media": 10.0, "cpu": 10.0, "gpu": 300.0, "llm": 300.0}
BATCH_SECONDS = 0.5  # of work are taken at once: what a killed process has begun and not written
LARGEST_BATCH = 500
GROUP_SECONDS = 0.05  # what ends within it is written together
logger = structlog.get_logger(__name__)


def shift(queue: str, *, seconds: float | None = None, run_id: int | None = None) -> int:
    """Work in this queue until nothing is left to take or the time is over; how many jobs were ended.

    `run_id`: only jobs of this run. What was taken and not begun is given back at the end, and the next call is sent.
    """
    from .crew import Crew

    until = time.monotonic() + (SECONDS[queue] if seconds is None else seconds)
    ended = _suspects(queue, run_id)
    if queue in ("llm", "gpu"):
        ended += Crew(queue, run_id).run(until)
    else:
        ended += _one_after_another(queue, run_id, until)
    dispatch.call(patiently(demand.queues_with_work))
    return ended


def runs_in_turn(queue: str, run_id: int | None) -> list[Run]:
    """The runs that have work in this queue and money left; those whose budget is spent are paused."""
    found = patiently(partial(demand.runs_with_work, queue))
    if run_id is not None:
        found = [pk for pk in found if pk == run_id]
    runs = patiently(partial(Run.objects.select_related("pipeline").in_bulk, found))
    within = []
    for pk in found:
        if reason := patiently(partial(budgets.exceeded, runs[pk])):
            patiently(partial(budgets.pause, pk, reason))
        else:
            within.append(runs[pk])
    return within


def steps_of(run: Run, queue: str) -> list[str]:
    """The keys of the run's steps in this queue, the last first: clips that are under way are finished first."""
    return [step["key"] for step in reversed(run.pipeline.definition["steps"]) if step["queue"] == queue]


def _suspects(queue: str, run_id: int | None) -> int:
    """Work on jobs that lost many workers, each alone: nothing else is in danger with it."""
    ended = 0
    while not stopping():
        runs = [run.pk for run in runs_in_turn(queue, run_id)]
        job = patiently(partial(claims.take_suspect, runs, queue)) if runs else None
        if job is None:
            break
        ended += work_through([job], lambda: False)
    return ended


def _one_after_another(queue: str, run_id: int | None, until: float) -> int:
    ended, size = 0, 16
    while not _over(until):
        batch = _batch(queue, run_id, size)
        if not batch:
            break
        if len(batch) >= size:
            dispatch.call_soon([queue])  # there is more than this process can do at once
        began = time.monotonic()
        ended += work_through(batch, stopping)
        each = (time.monotonic() - began) / len(batch)
        size = max(1, min(LARGEST_BATCH, 2 * size, int(BATCH_SECONDS / max(each, 1e-6))))
    return ended


def _over(until: float) -> bool:
    return stopping() or time.monotonic() > until


def _batch(queue: str, run_id: int | None, size: int) -> list[Job]:
    """About `size` jobs, equally many of each run."""
    runs = runs_in_turn(queue, run_id)
    jobs: list[Job] = []
    for run in runs:
        share = max(1, size // len(runs))
        for step in steps_of(run, queue):
            taken = patiently(partial(claims.take, run.pk, queue, {step: share}))
            jobs += taken
            share -= len(taken)
            if share <= 0:
                break
    return jobs


def work_through(jobs: Sequence[Job], enough: Callable[[], bool]) -> int:
    """Do claimed jobs one after another and write their ends in groups; give back what is left when it is enough."""
    keeper.add(jobs)
    ended: list[tuple[Job, Outcome]] = []
    open_jobs = {job.pk: job for job in jobs}
    done, written = 0, time.monotonic()

    def write() -> int:
        states = work.finish_all(ended)
        keeper.drop([job for job, _outcome in ended])
        for job, _outcome in ended:
            open_jobs.pop(job.pk)
        ended.clear()
        return sum(state not in (None, "queued") for state in states.values())

    try:
        work.begin_runs(jobs)
        for each in work.prepare(jobs):
            if enough():
                break
            if keeper.lost(each.job):
                open_jobs.pop(each.job.pk)
                continue
            structlog.contextvars.bind_contextvars(job=each.job.pk, step=each.job.step)
            ended.append((each.job, work.perform(each)))
            if time.monotonic() - written > GROUP_SECONDS:
                done += write()
                written = time.monotonic()
    finally:
        structlog.contextvars.unbind_contextvars("job", "step")
        if ended:
            done += write()
        if left := list(open_jobs.values()):
            keeper.drop(left)
            patiently(partial(claims.give_back, left))
    for run_id in {job.run_id for job in jobs}:
        patiently(partial(close_ended, run_id))
    return done


__all__ = ["runs_in_turn", "shift", "steps_of", "work_through"]
