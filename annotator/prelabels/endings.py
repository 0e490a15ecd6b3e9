"""The ends of jobs, written in groups: whatever has ended within some milliseconds is one transaction.

If the database refuses a group, its jobs are written one by one, so that one bad result fails one job.
"""

import json
from collections.abc import Sequence
from typing import Any

import structlog
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from annotator.clips.models import Clip
from annotator.core.errors import WorkbenchError
from models_ml.llm import excerpt

from . import claims, outputs, plans, publishing
from .models import Job, Run
from .outcomes import Outcome

Ended = tuple[Job, Outcome]
logger = structlog.get_logger(__name__)

_END = """UPDATE prelabels_job job SET state = ended.state, reason = ended.reason, error_code = ended.code,
      calls = job.calls + ended.calls, prompt_tokens = job.prompt_tokens + ended.prompt,
      completion_tokens = job.completion_tokens + ended.completion, seconds = ended.seconds,
      gpu_seconds = job.gpu_seconds + ended.gpu, cost = job.cost + ended.cost, cached = ended.cached,
      provenance = ended.provenance::jsonb, result = ended.result::jsonb, exchange = ended.exchange::jsonb,
      lease_end = NULL, not_before = NULL, finished_at = statement_timestamp()
    FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::int[], %s::int[], %s::int[], %s::float8[],
                %s::float8[], %s::float8[], %s::bool[], %s::text[], %s::text[], %s::text[])
      AS ended(id, state, reason, code, calls, prompt, completion, seconds, gpu, cost, cached, provenance, result,
               exchange)
    WHERE job.id = ended.id"""


def finish_each(ended: Sequence[Ended]) -> dict[int, str | None]:
    """`finish_many`; results that the database refuses (not an outage) become failed jobs instead of lost ones."""
    try:
        return finish_many(ended)
    except (OperationalError, InterfaceError):
        raise
    except (DatabaseError, WorkbenchError, ValueError) as error:
        if len(ended) > 1:
            states: dict[int, str | None] = {}
            for each in ended:
                states |= finish_each([each])
            return states
        ((job, outcome),) = ended
        logger.exception("a result could not be stored", job=job.pk)
        reason = f"the result could not be stored: {excerpt(str(error))}"
        refused = Outcome("failed", reason, "not-stored", endpoint=outcome.endpoint, spent=outcome.spent)
        return finish_many([(job, refused)])


def finish_many(ended: Sequence[Ended]) -> dict[int, str | None]:
    """Write everything that these jobs have to say, each if this attempt is still the one that counts.

    The state written by job id, None where another attempt took over or the job was ended meanwhile; `queued` for
    those that were put off. Repeating it after an answer lost at commit is harmless: they are no longer running then.
    """
    states: dict[int, str | None] = {job.pk: None for job, _outcome in ended}
    later = [(job, outcome) for job, outcome in ended if outcome.state == "deferred"]
    now = [(job, outcome) for job, outcome in ended if outcome.state != "deferred"]
    if later:
        claims.put_off([(job, outcome.seconds, outcome.spent) for job, outcome in later])
        states |= {job.pk: "queued" for job, _outcome in later}
    if now:
        done = [(job, outcome) for job, outcome in now if outcome.state == "done" and outcome.result is not None]
        sources = outputs.prelabellers_for([(job, each.result, each.endpoint) for job, each in done if each.result])
        with transaction.atomic():
            states |= _finish(now, sources)
    return states


def _finish(ended: Sequence[Ended], sources: dict[int, Any]) -> dict[int, str | None]:
    mine = _still_running([job for job, _outcome in ended])
    for job, _outcome in ended:
        if job.pk not in mine:
            logger.warning("result dropped: the job is no longer this attempt's", job=job.pk, attempt=job.attempts)
    ended = _unless_withdrawn([(job, outcome) for job, outcome in ended if job.pk in mine])
    done = [(job, outcome) for job, outcome in ended if outcome.state == "done"]
    results = outputs.store_outputs(
        [(job, outcome.result, outcome.endpoint) for job, outcome in done if outcome.result is not None], sources
    )
    _write(ended, results)
    _leave_out([(job, outcome) for job, outcome in ended if outcome.code == "filtered"])
    _redo_what_missed([job for job, _outcome in done])
    publishing.publish([job for job, _outcome in ended])
    return {job.pk: outcome.state for job, outcome in ended}


def _still_running(jobs: Sequence[Job]) -> set[int]:
    """Lock the rows; the ids of those that are still running in this attempt."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, attempts FROM prelabels_job WHERE id = ANY(%s) AND state = 'running' ORDER BY id"
            " FOR NO KEY UPDATE",
            [sorted(job.pk for job in jobs)],
        )
        attempts = dict(cursor.fetchall())
    return {job.pk for job in jobs if attempts.get(job.pk) == job.attempts}


def _unless_withdrawn(ended: list[Ended]) -> list[Ended]:
    """Lock the clips that something is written for; what a clip that was withdrawn meanwhile would have got is left."""
    speaks = {
        job.clip_id
        for job, outcome in ended
        if outcome.state == "done" or plans.spec_of(job.step).produces == "description"
    }
    if not speaks:
        return ended
    clips = Clip.objects.select_for_update(no_key=True).filter(pk__in=speaks).order_by("pk")
    withdrawn = dict(clips.values_list("pk", "withdrawn_at"))
    for job, outcome in ended:
        if withdrawn.get(job.clip_id) is not None:
            job.clip.withdrawn_at = withdrawn[job.clip_id]
            outcome.state, outcome.reason, outcome.code = "skipped", "the clip was withdrawn", ""
    return ended


def _write(ended: Sequence[Ended], results: dict[int, dict[str, Any]]) -> None:
    rows = [_row(job, outcome, results.get(job.pk)) for job, outcome in ended]
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(_END, [list(column) for column in zip(*rows, strict=True)])


def _row(job: Job, outcome: Outcome, result: dict[str, Any] | None) -> tuple[Any, ...]:
    source, spent = provenance_of(job, outcome), outcome.spent
    return (
        job.pk, outcome.state, outcome.reason[:1000], outcome.code[:40], spent.calls, spent.prompt_tokens,
        spent.completion_tokens, source.get("seconds") or 0.0, spent.gpu_seconds, spent.cost,
        bool(source.get("cached")), _json(source), _json(result), _json(outcome.exchange),
    )  # fmt: skip


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, allow_nan=False)


def provenance_of(job: Job, outcome: Outcome) -> dict[str, Any]:
    """Where a job's output comes from; complete also where the step did not come to say it."""
    base: dict[str, Any] = {
        "prelabeller": plans.prelabeller_name(plans.base_step(job.step)),
        "model": outcome.endpoint.model if outcome.endpoint else None,
        "prompt": None,
        "parameters": {},
        "media_sha256": job.clip.media_sha256,
        "calls": outcome.spent.calls,
    }
    return base | (outcome.result.provenance if outcome.result else {})


def _leave_out(filtered: Sequence[Ended]) -> None:
    """The run leaves these clips out: what it has not begun there is skipped, with the reason."""
    for job, outcome in filtered:
        Job.objects.filter(run_id=job.run_id, clip_id=job.clip_id, state="queued").update(
            state="skipped", error_code="filtered", reason=outcome.reason[:1000], finished_at=Now()
        )


def _redo_what_missed(done: Sequence[Job]) -> None:
    """After a retry: steps of the clip that went on without this one, because it had failed, are queued once more; so
    is this one where a step before it was retried and done while it worked.

    Call it in the jobs' transaction, with the clips locked, so that of two that end at once the second sees the
    first. What a step had written stays with the job that wrote it, which keeps the step's name with a number; nothing
    of it is changed. Dependents of dependents need no second look: `after` names them all.
    """
    overtaken = _overtaken([job.pk for job in done if job.after])
    for job in done:
        missed: list[Job] = []
        if job.attempts > 1:
            siblings = Job.objects.filter(run_id=job.run_id, clip_id=job.clip_id, state="done")
            missed = list(siblings.filter(after__contains=[job.step]).exclude(step__contains="#"))
        if job.pk in overtaken:
            missed.append(job)
        if missed and Run.objects.filter(pk=job.run_id, state="cancelled").exists():
            continue
        for old in sorted(missed, key=lambda old: old.position):  # each finds those open that it comes after
            _queue_once_more(old)


def _overtaken(ids: list[int]) -> set[int]:
    """Those of these done jobs before which another was done in a later attempt after they had started."""
    if not ids:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT job.id FROM prelabels_job job WHERE job.id = ANY(%s) AND EXISTS (
                 SELECT 1 FROM prelabels_job before WHERE before.run_id = job.run_id AND before.clip_id = job.clip_id
                 AND before.step = ANY(job.after) AND before.state = 'done' AND before.attempts > 1
                 AND before.finished_at > job.started_at)""",
            [ids],
        )
        return {row[0] for row in cursor.fetchall()}


def _queue_once_more(old: Job) -> None:
    earlier = Job.objects.filter(run_id=old.run_id, clip_id=old.clip_id, step__startswith=f"{old.step}#").count()
    if not Job.objects.filter(pk=old.pk, step=old.step).update(step=f"{old.step}#{earlier + 1}"):
        return
    waits = Q(run_id=old.run_id, clip_id=old.clip_id, step__in=old.after, state__in=["queued", "running"])
    Job.objects.create(
        run_id=old.run_id,
        clip_id=old.clip_id,
        step=old.step,
        position=old.position,
        after=old.after,
        queue=old.queue,
        ready=not Job.objects.filter(waits).exists(),
    )
