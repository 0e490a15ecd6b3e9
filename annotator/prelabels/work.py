"""Jobs from claim to result. Whatever is killed or delivered twice, a job's effect happens exactly once.

1. `claims.take` takes rows (SKIP LOCKED), counts the attempt, starts a lease.
2. `perform` works outside any transaction and, for steps that ask a model, without the database; `leases` renews.
3. `endings.finish` writes clues, drafts and states of all jobs that have ended meanwhile in one transaction, each if
   it is still running *in this attempt*.

A killed worker's leases run out and the sweeper queues its jobs again; an attempt that was overtaken finds another
attempt number at 3 and its result is dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from billiard.exceptions import SoftTimeLimitExceeded
from django.db import InterfaceError, OperationalError

from annotator.core.errors import Gone, WorkbenchError
from models_ml.face import AuTrackError
from models_ml.llm import ModelFailure, NotConfigured, excerpt
from models_ml.llm.traffic import Deferred, Spent, using
from models_ml.media import MediaError
from models_ml.steps import StepResult, run_step

from . import claims, dispatch, endings, evidence, gating, plans, traffic
from .database import patiently
from .leases import held
from .models import Job, Run
from .outcomes import Model, Outcome
from .runs import close_ended

MAX_LOSSES = 10  # a clip that takes every worker down with it must not go round for ever
logger = structlog.get_logger(__name__)


@dataclass
class Work:
    """A claimed job with all that its step needs, the database's part of it in memory."""

    job: Job
    facts: evidence.Facts
    endpoint: Model | None = None
    ended: Outcome | None = None  # there is nothing to do: why


def run_job(job_id: int) -> str | None:
    """Do one job; its new state, or None when there was nothing to do (taken, ended, or waiting for others)."""
    job = patiently(lambda: claims.take_one(job_id))
    if job is None:
        return None
    structlog.contextvars.bind_contextvars(job=job.pk, step=job.step)
    try:
        with held(job):
            begin_runs([job])
            (work,) = prepare([job])
            state = finish(job, perform(work))
    finally:
        structlog.contextvars.unbind_contextvars("job", "step")
    patiently(lambda: close_ended(job.run_id))
    return state


def claim(job_id: int) -> Job | None:
    """Take the job if it is ready and nobody works on it; None otherwise."""
    job = claims.take_one(job_id)
    if job is not None:
        begin_runs([job])
    return job


def begin_runs(jobs: Sequence[Job]) -> None:
    """Mark the runs of claimed jobs as running. Not in the claim: a cancellation locks a run first, its jobs after."""
    if fresh := {job.run_id for job in jobs if job.run.state == "queued"}:
        patiently(lambda: Run.objects.filter(pk__in=fresh, state="queued").update(state="running"))


def prepare(jobs: Sequence[Job]) -> list[Work]:
    """What each claimed job works on, in a fixed number of queries; those that have nothing to do have ended."""
    facts = patiently(lambda: evidence.gather_many(jobs))
    endpoints: dict[str, Model | None | Outcome] = {}
    works = []
    for job in jobs:
        work = Work(job, facts[job.pk])
        work.ended = _nothing_to_do(job, work.facts)
        if work.ended is None:
            if job.step not in endpoints:
                endpoints[job.step] = _endpoint(job.step)
            found = endpoints[job.step]
            if isinstance(found, Outcome):
                work.ended = found
            else:
                work.endpoint = found
                work.ended = _refused(job, found)
        works.append(work)
    return works


def _nothing_to_do(job: Job, facts: evidence.Facts) -> Outcome | None:
    if job.run.state == "cancelled":
        return Outcome("cancelled")
    if job.clip.withdrawn_at is not None:
        return Outcome("skipped", "the clip was withdrawn")
    if job.losses >= MAX_LOSSES:
        reason = f"the worker was lost {job.losses} times while it worked on this clip"
        return Outcome("failed", reason, "worker-lost")
    if reason := evidence.missing_input(job.clip, plans.spec_of(job.step), facts):
        return Outcome("skipped", reason, "no-input")
    return None


def _endpoint(step: str) -> Model | None | Outcome:
    try:
        return patiently(lambda: plans.endpoint_for(step))
    except NotConfigured as error:
        return Outcome("failed", str(error), "not-configured")


def _refused(job: Job, endpoint: Model | None) -> Outcome | None:
    restricted = job.clip.effective_licence == "restricted"
    if endpoint and (reason := plans.refusal(endpoint, job.step, restricted=restricted)):
        return Outcome("failed", reason, "outside", endpoint=endpoint)
    return None


def perform(work: Work | Job) -> Outcome:
    """Run the step outside any transaction. Every failure becomes an outcome with a code and a reason."""
    if isinstance(work, Job):
        (work,) = prepare([work])
    job, endpoint = work.job, work.endpoint
    if work.ended is not None:
        return work.ended
    spec = plans.spec_of(job.step)
    try:
        found = evidence.build(job, spec, work.facts)
        options = options_of(job)
        if spec.endpoint and spec.produces == "clue":
            # A model writes in the corpus's language; measurements are rendered in both anyway.
            options = {"language": job.clip.corpus.language} | options
        if endpoint is None:
            result = run_step(spec.name, found, **options)
        else:
            with using(traffic.for_job(job)):
                result = run_step(spec.name, found, endpoint, idempotency_key=idempotency_key(job), **options)
            gating.read_ahead(result.clues, job.clip, work.facts.person)
    except Deferred as error:
        return Outcome("deferred", error.reason, endpoint=endpoint, spent=error.spent, seconds=error.seconds)
    except NotConfigured as error:
        return Outcome("failed", str(error), "not-configured")
    except ModelFailure as error:
        spent = error.spent or Spent(calls=error.calls)
        return Outcome("failed", error.detail, error.code, endpoint=endpoint, spent=spent, exchange=error.exchange)
    except MediaError as error:
        return Outcome("failed", str(error), f"media-{error.code}", endpoint=endpoint)
    except AuTrackError as error:
        return Outcome("failed", str(error), "au-track", endpoint=endpoint)
    except Gone:
        return Outcome("skipped", "the clip was withdrawn")
    except WorkbenchError as error:
        return Outcome("failed", error.message, error.code, endpoint=endpoint)
    except FileNotFoundError as error:
        return Outcome("failed", f"{error.strerror or 'a file is missing'}: {error.filename or error}", "file-missing")
    except SoftTimeLimitExceeded:
        return Outcome("failed", "the work took longer than a task may take", "time-limit", endpoint=endpoint)
    except (OperationalError, InterfaceError) as error:
        # An outage that outlived our patience: the job comes back.
        return Outcome("deferred", f"the database does not answer: {excerpt(str(error))}", endpoint=endpoint)
    except Exception as error:  # noqa: BLE001 - a bug in one step must not stop a batch; it is logged and shown
        logger.exception("a step failed unexpectedly", job=job.pk)
        return Outcome("failed", f"{type(error).__name__}: {excerpt(str(error))}", "internal", endpoint=endpoint)
    return of_result(result, endpoint)


def options_of(job: Job) -> dict[str, Any]:
    """The options that the run's pipeline gives to the job's step."""
    for step in job.run.pipeline.definition.get("steps", []):
        if step["key"] == job.step:
            return dict(step.get("options") or {})
    return {}


def of_result(result: StepResult, endpoint: Model | None) -> Outcome:
    """A step's own word, as an outcome."""
    source = result.provenance
    spent = Spent(
        calls=int(source.get("calls") or 0),
        prompt_tokens=int(source.get("prompt_tokens") or 0),
        completion_tokens=int(source.get("completion_tokens") or 0),
        gpu_seconds=float(source.get("gpu_seconds") or 0.0),
        cost=float(source.get("cost") or 0.0),
    )
    reason, code = result.filtered or "", "filtered" if result.filtered else ""
    if result.state == "skipped":
        return Outcome("skipped", reason or result.reason or "nothing to say", code, result, endpoint, spent)
    return Outcome("done", reason, code, result, endpoint, spent)


def idempotency_key(job: Job) -> str:
    """The same for every attempt at this job, so that a server (or its log) can tell a repetition."""
    return f"run-{job.run_id}-job-{job.pk}-{job.step}"


def finish(job: Job, outcome: Outcome) -> str | None:
    """`finish_all` for one job; the state written, or None."""
    return finish_all([(job, outcome)])[job.pk]


def finish_all(ended: Sequence[tuple[Job, Outcome]]) -> dict[int, str | None]:
    """Write what has ended, through an outage of the database, and call workers to the steps that became ready.

    The state written by job id, None where another attempt took over or the job was ended meanwhile, `queued` where
    the job was put off.
    """
    states = patiently(lambda: endings.finish_each(ended))
    dispatch.wake_after([job for job, _outcome in ended])
    return states


__all__ = [
    "MAX_LOSSES",
    "Outcome",
    "Work",
    "begin_runs",
    "claim",
    "finish",
    "finish_all",
    "held",
    "perform",
    "prepare",
    "run_job",
]
