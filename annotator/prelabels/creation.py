"""Making a run's jobs, cancelling them and queueing them again, in chunks: 925,000 rows never stand in one transaction.

A run is there at once with the jobs of its first clips; `extend` makes the others, clip by clip in the order of their
priority, and the run's cursor says how far it got. Each chunk commits its jobs together with the cursor, so whoever is
killed at any line leaves a run that the sweeper extends from where it was. PostgreSQL makes the rows: no name and no id
of a clip comes into this process.
"""

import time
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, Sum
from django.db.models.functions import Now
from psycopg import sql

from annotator.clips.models import Clip

from . import tallies
from .models import Job, Run, RunClip, RunTally
from .runs import close_ended

FIRST_CLIPS = 200  # their jobs are made before the one who starts a run gets an answer
CHUNK_CLIPS = 2000
CHUNK_JOBS = 4000  # cancelled or queued again in one transaction
FIRST_JOBS = 500  # cancelled before the one who cancels gets an answer

_TABLES = {
    name: sql.Identifier(model._meta.db_table) for name, model in (("job", Job), ("clip", Clip), ("chosen", RunClip))
}
_MAKE = sql.SQL(
    "WITH part AS (SELECT clip.id, clip.priority FROM {clip} clip {chosen}"
    "  WHERE clip.corpus_id = %(corpus)s AND clip.withdrawn_at IS NULL {where}"
    "  ORDER BY clip.priority DESC, clip.id LIMIT %(limit)s),"
    " made AS (INSERT INTO {job} (run_id, clip_id, step, position, after, queue, ready, state, reason, error_code,"
    "  attempts, losses, calls, prompt_tokens, completion_tokens, seconds, gpu_seconds, cost, cached, provenance)"
    "  SELECT %(run)s, part.id, step.key, step.position, string_to_array(step.after, ','), step.queue,"
    "  step.after = '', 'queued', '', '', 0, 0, 0, 0, 0, 0, 0, 0, false, '{{}}'::jsonb"
    "  FROM part CROSS JOIN unnest(%(keys)s::text[], %(positions)s::int[], %(afters)s::text[], %(queues)s::text[])"
    "  AS step(key, position, after, queue)"
    "  ORDER BY part.priority DESC, part.id, step.position ON CONFLICT (run_id, clip_id, step) DO NOTHING)"
    " SELECT priority, id FROM part ORDER BY priority, id DESC LIMIT 1"
)
_CHOSEN = "JOIN {chosen} named ON named.clip_id = clip.id AND named.run_id = %(run)s"
_FROM_CURSOR = (
    " AND (clip.priority < %(priority)s OR (clip.priority = %(priority)s AND clip.id > %(cursor)s))"
    " AND clip.priority <= %(priority)s"
)
_WITHOUT_JOBS = " AND NOT EXISTS (SELECT 1 FROM {job} job WHERE job.run_id = %(run)s AND job.clip_id = clip.id)"


class Cancelled(Exception):
    """The run was cancelled while a chunk was made; the chunk is undone."""


def begin(run: Run) -> None:
    """The jobs of the run's first clips, in the transaction that makes the run."""
    _make_chunk(run, FIRST_CLIPS)


def extend(run_id: int, seconds: float) -> bool:
    """Make jobs for about `seconds`; True when none are left to make (or another process is at it).

    Killed anywhere, it goes on where the last commit was. A cancelled run gets no more; a paused one does, they wait.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            with transaction.atomic():
                if not _alone(run_id):
                    return True
                run = Run.objects.select_related("pipeline").filter(pk=run_id, planned_at=None).first()
                if run is None:
                    return True
                if run.retry_before is not None:
                    _queue_again(run, CHUNK_JOBS)
                else:
                    _make_chunk(run, CHUNK_CLIPS)
        except Cancelled:
            return True
        if run.planned_at is not None:
            close_ended(run_id)
            return True
        if time.monotonic() > deadline:
            return False


def wind_up(run_id: int, seconds: float = 20.0) -> bool:
    """Cancel the queued jobs of a cancelled run for about `seconds`; True when none is left."""
    deadline = time.monotonic() + seconds
    while cancel_some(run_id) == CHUNK_JOBS:
        if time.monotonic() > deadline:
            return False
    close_ended(run_id)
    return True


def cancel_some(run_id: int, limit: int | None = None) -> int:
    """Cancel up to `limit` queued jobs of a run that was cancelled; their number. Jobs at work are left alone."""
    limit = limit or CHUNK_JOBS
    with transaction.atomic():
        if not Run.objects.filter(pk=run_id, state="cancelled").exists():
            return 0
        queued = Job.objects.filter(run_id=run_id, state="queued").order_by("clip_id")  # as its index has them
        some = queued.select_for_update(skip_locked=True, no_key=True).values_list("id", flat=True)[:limit]
        return Job.objects.filter(pk__in=list(some)).update(state="cancelled", finished_at=Now())


def untended(run_id: int | None = None) -> list[int]:
    """Runs whose jobs are not all there yet, and cancelled ones that still have queued jobs (or only this run)."""
    runs = Run.objects.filter(finished_at=None)
    if run_id is not None:
        runs = runs.filter(pk=run_id)
    queued = Job.objects.filter(run=OuterRef("pk"), state="queued")
    return list(runs.filter(Q(planned_at=None) | Q(Exists(queued), state="cancelled")).values_list("pk", flat=True))


def begin_again(run: Run) -> int:
    """Queue failed jobs again, in the transaction of `retry_run`; how many were queued, or (when there are too many to
    do at once) will be. `extend` does the others."""
    failed = tallies.totals(run)["counts"]["failed"]
    queued = _queue_again(run, CHUNK_JOBS)
    return queued if run.planned_at else max(failed, queued)


def _queue_again(run: Run, limit: int) -> int:
    """One chunk of a retry: failed jobs, and what was skipped after them, are queued in one statement."""
    failed = run.jobs.filter(Q(finished_at__lte=run.retry_before) | Q(finished_at=None), state="failed")
    failed = failed.order_by("-finished_at")  # as their index has them
    ids = list(failed.select_for_update(no_key=True).values_list("id", flat=True)[:limit])
    queued = 0
    if ids:
        with connection.cursor() as cursor:
            cursor.execute(
                sql.SQL(
                    "UPDATE {job} again SET state = 'queued', reason = '', error_code = '', losses = 0,"
                    " not_before = NULL, finished_at = NULL WHERE again.run_id = %(run)s AND (again.id = ANY(%(ids)s)"
                    " OR (again.state = 'skipped' AND again.error_code <> 'filtered' AND again.clip_id IN"
                    " (SELECT clip_id FROM {job} WHERE id = ANY(%(ids)s)) AND EXISTS (SELECT 1 FROM {job} failed"
                    " WHERE failed.id = ANY(%(ids)s) AND failed.clip_id = again.clip_id"
                    " AND failed.step = ANY(again.after))))"
                ).format(**_TABLES),
                {"run": run.pk, "ids": ids},
            )
            queued = cursor.rowcount
    if len(ids) < limit:
        run.retry_before = None
        if not _left(run):
            run.planned_at = _now()
    _save(run, "retry_before", "planned_at")
    return queued


def _make_chunk(run: Run, clips: int) -> None:
    """The jobs of the next `clips` clips, and the cursor after them; `run.planned_at` is set when none are left."""
    last = _insert(run, clips, from_cursor=True)
    if last is not None:
        run.cursor_priority, run.cursor_clip = last
    at_the_end = last is None or (run.clips is not None and _made(run) >= run.clips)
    # A priority may have been changed while jobs were made: what the cursor has thereby passed is made at the end.
    if at_the_end and _insert(run, clips, from_cursor=False) is None:
        run.planned_at = _now()
    _save(run, "cursor_priority", "cursor_clip", "planned_at")


def _insert(run: Run, clips: int, *, from_cursor: bool) -> tuple[int, int] | None:
    """Jobs of up to `clips` clips; (priority, id) of the last one, None when there was none."""
    steps = run.pipeline.definition["steps"]
    where = " AND clip.id <= %(last)s" if not run.selection else ""
    if not from_cursor:
        where += _WITHOUT_JOBS
    elif run.cursor_clip is not None:
        where += _FROM_CURSOR
    query = _MAKE.format(
        where=sql.SQL(where).format(**_TABLES),
        chosen=sql.SQL(_CHOSEN if run.selection else "").format(**_TABLES),
        job=_TABLES["job"],
        clip=_TABLES["clip"],
    )
    values: dict[str, Any] = {
        "run": run.pk,
        "corpus": run.corpus_id,
        "limit": clips,
        "last": run.parameters.get("last_clip"),
        "priority": run.cursor_priority,
        "cursor": run.cursor_clip,
        "keys": [step["key"] for step in steps],
        "positions": list(range(len(steps))),
        "afters": [",".join(step["after"]) for step in steps],
        "queues": [step["queue"] for step in steps],
    }
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchone()


def _made(run: Run) -> int:
    """Clips that have their jobs: jobs of the first step."""
    first = [step["key"] for step in run.pipeline.definition["steps"][:1]]
    return RunTally.objects.filter(run_id=run.pk, step__in=first).aggregate(n=Sum("n"))["n"] or 0


def _left(run: Run) -> bool:
    """Whether a retry interrupted the making of jobs: a run whose cursor never reached its end."""
    return run.clips is not None and _made(run) < run.clips


def _alone(run_id: int) -> bool:
    """Whether nobody else makes jobs of this run now. Not the run's row is locked: whoever cancels must not wait."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext('prelabels.extend'), %s)", [run_id % 2**31])
        return bool(cursor.fetchone()[0])


def _save(run: Run, *fields: str) -> None:
    """Write how far the run is, last in the chunk's transaction. Raises Cancelled, which undoes the chunk."""
    going = Run.objects.filter(pk=run.pk, planned_at=None)
    if not going.update(**{field: getattr(run, field) for field in fields}):
        raise Cancelled


def _now() -> Any:
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        return cursor.fetchone()[0]
