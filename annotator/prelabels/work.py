"""One job from claim to result. Whatever is killed or delivered twice, its effect happens exactly once.

1. `claim`: one short transaction takes the row (SKIP LOCKED), counts the attempt, starts a lease.
2. The step works outside any transaction, while a thread renews the lease.
3. `finish`: one transaction writes clues, draft and state, if the job is still running *in this attempt*.

A killed worker's lease runs out and the sweeper sends the job again; an attempt that was overtaken finds another
attempt number at 3 and its result is dropped.
"""

from dataclasses import dataclass
from typing import Any

import structlog
from billiard.exceptions import SoftTimeLimitExceeded
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Q
from django.db.models.functions import Now

from annotator.core.errors import Gone, WorkbenchError
from models_ml.face import AuTrackError
from models_ml.llm import Endpoint, ModelFailure, NotConfigured, excerpt
from models_ml.media import MediaError
from models_ml.steps import StepResult, run_step

from . import dispatch, evidence, plans
from .database import patiently
from .leases import held, lease
from .models import Job, Run
from .outputs import store_outputs
from .runs import close_ended

MAX_LOSSES = 10  # a clip that takes every worker down with it must not go round for ever
logger = structlog.get_logger(__name__)


@dataclass
class Outcome:
    """How the work on a job ended, before anything of it is written."""

    state: str
    reason: str = ""
    code: str = ""
    result: StepResult | None = None
    endpoint: Endpoint | None = None
    calls: int = 0


def run_job(job_id: int) -> str | None:
    """Do one job; its new state, or None when there was nothing to do (taken, ended, or waiting for other steps)."""
    job = patiently(lambda: claim(job_id))
    if job is None:
        return None
    if job.state == "running":
        structlog.contextvars.bind_contextvars(job=job.pk, step=job.step)
        try:
            with held(job):
                outcome = perform(job)
            state = patiently(lambda: _finish_or_fail(job, outcome))
        finally:
            structlog.contextvars.unbind_contextvars("job", "step")
    else:
        state = job.state  # it ended at the claim: cancelled, withdrawn, or lost too often
    patiently(lambda: dispatch.send_unblocked(job))
    patiently(lambda: close_ended(job.run_id))
    return state


def claim(job_id: int) -> Job | None:
    """Take the job if it is ready and nobody works on it; count the attempt and start its lease.

    A running job whose lease ran out is taken over: its worker was lost, and with it perhaps a paid call, which is
    counted. Returns the job as `running`, or ended where there is nothing left to do, or None.
    """
    job = _take(job_id)
    if job is not None and job.state == "running":
        # Not while the job is locked: a cancellation locks the run first and its jobs after.
        Run.objects.filter(pk=job.run_id, state="queued").update(state="running")
    return job


def _take(job_id: int) -> Job | None:
    with transaction.atomic():
        free = Q(state="queued") | Q(state="running", lease_end__lt=Now())
        jobs = Job.objects.select_for_update(skip_locked=True, of=("self",), no_key=True)
        job = dispatch.ready(jobs.select_related("run", "clip__corpus").filter(free, pk=job_id)).first()
        if job is None:
            return None
        if job.state == "running":
            job.losses += 1
            job.calls += 1 if plans.spec_of(job.step).endpoint else 0
        if job.run.state == "cancelled":
            return _end(job, "cancelled")
        if job.clip.withdrawn_at is not None:
            return _end(job, "skipped", "the clip was withdrawn")
        if job.losses >= MAX_LOSSES:
            reason = f"the worker was lost {job.losses} times while it worked on this clip"
            return _end(job, "failed", reason, "worker-lost")
        job.state = "running"
        job.attempts += 1
        job.lease_end = Now() + lease()
        job.started_at = Now()
        job.finished_at = None
        job.save(update_fields=["state", "attempts", "losses", "calls", "lease_end", "started_at", "finished_at"])
        return job


def perform(job: Job) -> Outcome:
    """Run the step outside any transaction. Every failure becomes an outcome with a code and a reason."""
    spec = plans.spec_of(job.step)
    endpoint: Endpoint | None = None
    try:
        if reason := patiently(lambda: evidence.missing_input(job.clip, spec)):
            return Outcome("skipped", reason, "no-input")
        endpoint = patiently(lambda: plans.endpoint_for(job.step))
        restricted = job.clip.effective_licence == "restricted"
        if endpoint and (reason := plans.refusal(endpoint, job.step, restricted=restricted)):
            return Outcome("failed", reason, "outside", endpoint=endpoint)
        found = patiently(lambda: evidence.gather(job, spec))
        # A model writes in the corpus's language; measurements are rendered in both anyway.
        options = {"language": job.clip.corpus.language} if spec.endpoint and spec.produces == "clue" else {}
        result = run_step(spec.name, found, endpoint, idempotency_key=idempotency_key(job), **options)
    except NotConfigured as error:
        return Outcome("failed", str(error), "not-configured")
    except ModelFailure as error:
        return Outcome("failed", error.detail, error.code, endpoint=endpoint, calls=error.calls)
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
    except (OperationalError, InterfaceError):
        raise  # an outage that outlived our patience: the lease runs out and the job comes back
    except Exception as error:  # noqa: BLE001 - a bug in one step must not stop a batch; it is logged and shown
        logger.exception("a step failed unexpectedly", job=job.pk)
        return Outcome("failed", f"{type(error).__name__}: {excerpt(str(error))}", "internal", endpoint=endpoint)
    if result.state == "skipped":
        return Outcome("skipped", result.reason or "nothing to say", "", result, endpoint)
    return Outcome("done", "", "", result, endpoint, calls=int(result.provenance.get("calls") or 0))


def idempotency_key(job: Job) -> str:
    """The same for every attempt at this job, so that a server (or its log) can tell a repetition."""
    return f"run-{job.run_id}-job-{job.pk}-{job.step}"


def _finish_or_fail(job: Job, outcome: Outcome) -> str | None:
    """`finish`; a result that the database refuses (not an outage) becomes a failed job instead of a lost one."""
    try:
        return finish(job, outcome)
    except (OperationalError, InterfaceError):
        raise
    except (DatabaseError, WorkbenchError, ValueError) as error:
        logger.exception("a result could not be stored", job=job.pk)
        reason = f"the result could not be stored: {excerpt(str(error))}"
        return finish(job, Outcome("failed", reason, "not-stored", endpoint=outcome.endpoint, calls=outcome.calls))


def finish(job: Job, outcome: Outcome) -> str | None:
    """Write everything that the job has to say, in one transaction, if this attempt is still the one that counts.

    Returns the state written, or None when another attempt took over or the job was ended meanwhile. Repeating it
    after an answer lost at commit is harmless: the job is no longer running then.
    """
    with transaction.atomic():
        mine = Job.objects.select_for_update(of=("self",), no_key=True)
        row = mine.select_related("clip__corpus").filter(pk=job.pk, state="running", attempts=job.attempts).first()
        if row is None:
            logger.warning("result dropped: the job is no longer this attempt's", attempt=job.attempts)
            return None
        row.calls += outcome.calls
        row.provenance = _provenance(row, outcome)
        row.prompt_tokens = row.provenance.get("prompt_tokens") or 0
        row.completion_tokens = row.provenance.get("completion_tokens") or 0
        row.seconds = row.provenance.get("seconds") or 0.0
        if outcome.state == "done" and outcome.result is not None:
            row.result = store_outputs(row, outcome.result, outcome.endpoint)
        _end(row, outcome.state, outcome.reason, outcome.code)
        if outcome.state == "done":
            _redo_what_missed(row)
        return outcome.state


def _redo_what_missed(job: Job) -> None:
    """After a retry: steps of the clip that went on without this one, because it had failed, are queued once more; so
    is this one where a step before it was retried and done while it worked.

    Call it in the job's transaction, with the clip locked (`store_outputs`), so that of two that end at once the
    second sees the first. What a step had written stays with the job that wrote it, which keeps the step's name with
    a number; nothing of it is changed. Dependents of dependents need no second look: `after` names them all.
    """
    siblings = Job.objects.filter(run_id=job.run_id, clip_id=job.clip_id, state="done").exclude(step__contains="#")
    missed: list[Job] = []
    if job.attempts > 1:
        missed = list(siblings.filter(after__contains=[job.step]))
    if job.after and siblings.filter(step__in=job.after, attempts__gt=1, finished_at__gt=job.started_at).exists():
        missed.append(job)
    if missed and Run.objects.filter(pk=job.run_id, state="cancelled").exists():
        return
    for old in missed:
        earlier = Job.objects.filter(run_id=old.run_id, clip_id=old.clip_id, step__startswith=f"{old.step}#").count()
        Job.objects.filter(pk=old.pk).update(step=f"{old.step}#{earlier + 1}")
        Job.objects.create(
            run_id=old.run_id,
            clip_id=old.clip_id,
            step=old.step,
            position=old.position,
            after=old.after,
            queue=old.queue,
        )


def _provenance(job: Job, outcome: Outcome) -> dict[str, Any]:
    base: dict[str, Any] = {
        "prelabeller": plans.prelabeller_name(plans.base_step(job.step)),
        "model": outcome.endpoint.model if outcome.endpoint else None,
        "prompt": None,
        "parameters": {},
        "media_sha256": job.clip.media_sha256,
        "calls": outcome.calls,
    }
    return base | (outcome.result.provenance if outcome.result else {})


def _end(job: Job, state: str, reason: str = "", code: str = "") -> Job:
    job.state, job.reason, job.error_code = state, reason[:1000], code[:40]
    job.lease_end = None
    job.finished_at = Now()
    job.save()
    return job
