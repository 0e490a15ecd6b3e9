"""Every write of pre-labelling that a person or a client asks for. The work itself is in `work.py`."""

from collections.abc import Iterable
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from psycopg import sql

from annotator.clips.access import require
from annotator.clips.models import Clip, Corpus
from annotator.core import audit
from annotator.core.errors import Conflict, Invalid

from . import dispatch, plans
from .imports import import_prelabels
from .models import Job, Run
from .queries import clues_for
from .runs import close_ended
from .waiting import wait_for
from .work import run_job

logger = structlog.get_logger(__name__)

__all__ = [
    "cancel_run",
    "clues_for",
    "create_run",
    "estimate",
    "import_prelabels",
    "retry_run",
    "run_job",
    "wait_for",
]


@transaction.atomic
def create_run(
    user: Any,
    corpus: Corpus,
    pipeline_name: str = "measured",
    *,
    prelabellers: Iterable[str] | None = None,
    clip_names: Iterable[str] | None = None,
) -> Run:
    """Start a run over the corpus's clips (or the named ones): one job per clip and step, sent on commit.

    `user` None is the system (a command). Raises Forbidden or NotFound by role; Invalid for an unknown pipeline,
    pre-labeller or clip name, and where there is no clip to work on.
    """
    if user is not None:
        require(user, corpus, "run.start")
    name, definition = plans.plan_for(pipeline_name, prelabellers)
    names = _known_names(corpus, clip_names)
    run = Run.objects.create(
        corpus=corpus,
        pipeline=plans.pipeline_row(name, definition),
        started_by=user,
        parameters={
            "pipeline": pipeline_name if not prelabellers else None,
            "prelabellers": list(prelabellers or []),
            "clips": len(names) if names is not None else None,
        },
    )
    created = _create_jobs(run, definition["steps"], names)
    if not created:
        raise Invalid(_("The corpus “%(slug)s” has no clips to pre-label.") % {"slug": corpus.slug})
    audit.record(user, "run.start", corpus=corpus.slug, target=run.pk, pipeline=str(run.pipeline), jobs=created)
    dispatch.send_on_commit(run)
    return run


def estimate(
    corpus: Corpus,
    pipeline_name: str = "measured",
    *,
    prelabellers: Iterable[str] | None = None,
    clip_names: Iterable[str] | None = None,
) -> dict[str, Any]:
    """What `create_run` would do: `{"pipeline", "clips", "jobs", "calls", "obstacles"}`; nothing is written.

    `calls` is the most requests that models would get, not counting repetitions.
    """
    name, definition = plans.plan_for(pipeline_name, prelabellers)
    names = _known_names(corpus, clip_names)
    clips = corpus.clips.present().count() if names is None else len(names)
    steps = definition["steps"]
    restricted = corpus.licence == "restricted" or corpus.clips.filter(licence="restricted").exists()
    return {
        "pipeline": name,
        "clips": clips,
        "jobs": clips * len(steps),
        "calls": clips * sum(1 for step in steps if step["endpoint"]),
        "obstacles": plans.obstacles(definition, restricted=restricted),
    }


def _known_names(corpus: Corpus, clip_names: Iterable[str] | None) -> list[str] | None:
    if clip_names is None:
        return None
    wanted = list(dict.fromkeys(name.strip() for name in clip_names if name.strip()))
    known = set(
        corpus.clips.present()
        .filter(name__in=[name for name in wanted if "\x00" not in name])
        .values_list("name", flat=True)
    )
    if unknown := [name for name in wanted if name not in known]:
        raise Invalid(
            _("The corpus “%(slug)s” has no clip “%(name)s” (%(count)s of the names given are unknown).")
            % {"slug": corpus.slug, "name": unknown[0], "count": len(unknown)},
            unknown=unknown[:100],
        )
    return wanted


def _create_jobs(run: Run, steps: list[dict[str, Any]], names: list[str] | None) -> int:
    """All jobs in one statement, clip by clip, so that the first clips are finished first; their number."""
    query = sql.SQL(
        "INSERT INTO {job} (run_id, clip_id, step, position, after, queue, ready, state, reason, error_code, attempts,"
        " losses, calls, prompt_tokens, completion_tokens, seconds, gpu_seconds, cost, cached, provenance)"
        " SELECT %(run)s, clip.id, step.key, step.position, string_to_array(step.after, ','), step.queue,"
        " step.after = '', 'queued', '', '', 0, 0, 0, 0, 0, 0, 0, 0, false, '{{}}'::jsonb"
        " FROM {clip} clip CROSS JOIN unnest(%(keys)s::text[], %(positions)s::int[], %(afters)s::text[],"
        " %(queues)s::text[]) AS step(key, position, after, queue)"
        " WHERE clip.corpus_id = %(corpus)s AND clip.withdrawn_at IS NULL"
        " AND (%(names)s::text[] IS NULL OR clip.name = ANY(%(names)s::text[]))"
        " ORDER BY clip.priority DESC, clip.id, step.position"
    ).format(job=sql.Identifier(Job._meta.db_table), clip=sql.Identifier(Clip._meta.db_table))
    values: dict[str, Any] = {
        "run": run.pk,
        "corpus": run.corpus_id,
        "keys": [step["key"] for step in steps],
        "positions": list(range(len(steps))),
        "afters": [",".join(step["after"]) for step in steps],
        "queues": [step["queue"] for step in steps],
        "names": names,
    }
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return int(cursor.rowcount)


@transaction.atomic
def cancel_run(user: Any, run: Run) -> Run:
    """Stop a run: queued jobs are cancelled, those that a worker is at are finished and kept (they may be paid).

    Raises Forbidden or NotFound by role, Conflict for a run that has ended.
    """
    if user is not None:
        require(user, run.corpus, "run.start")
    row = Run.objects.select_for_update(no_key=True).get(pk=run.pk)
    if row.state not in ("queued", "running"):
        raise Conflict(_("The run has ended already: it is %(state)s.") % {"state": row.state}, code="run-ended")
    row.state = "cancelled"
    row.save(update_fields=["state"])
    cancelled = row.jobs.filter(state="queued").update(state="cancelled", finished_at=Now())
    close_ended(row.pk)
    audit.record(user, "run.cancel", corpus=run.corpus.slug, target=row.pk, cancelled=cancelled)
    row.refresh_from_db()
    return row


@transaction.atomic
def retry_run(user: Any, run: Run) -> int:
    """Queue a run's failed jobs again, and what was skipped after them; the number of jobs queued.

    Jobs that are done stay done: their effect happened. What went on without a failed job is queued once more when
    that job is done, not before: while it goes on failing, nothing new is there to work on. Raises Forbidden or
    NotFound by role, Conflict for a cancelled run and where nothing has failed.
    """
    if user is not None:
        require(user, run.corpus, "run.start")
    row = Run.objects.select_for_update(no_key=True).get(pk=run.pk)
    if row.state == "cancelled":
        raise Conflict(_("The run was cancelled; start a new one."), code="run-ended")
    failed = row.jobs.filter(state="failed")
    clips = list(failed.values_list("clip_id", flat=True).distinct())
    again = {
        "state": "queued", "reason": "", "error_code": "", "losses": 0, "dispatched_at": None, "finished_at": None,
    }  # fmt: skip
    failed_steps = set(failed.values_list("step", flat=True))
    after_failed = row.jobs.filter(state="skipped", clip_id__in=clips, after__overlap=list(failed_steps))
    queued = after_failed.update(**again) + row.jobs.filter(state="failed").update(**again)
    if not queued:
        raise Conflict(_("No job of this run has failed."), code="nothing-failed")
    row.state, row.finished_at = "running", None
    row.save(update_fields=["state", "finished_at"])
    audit.record(user, "run.retry", corpus=run.corpus.slug, target=row.pk, jobs=queued)
    dispatch.send_on_commit(row)
    return queued
