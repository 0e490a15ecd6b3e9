"""Who works on which jobs: taken in batches, given back, and taken over from workers that were lost.

A job is taken by the statement that counts its attempt and starts its lease; whoever holds attempt number n of a
running job may end it, nobody else. Rows that another worker is taking are passed over (SKIP LOCKED), never waited for.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models.functions import Now

from annotator.clips.models import Clip, Corpus
from models_ml.llm.traffic import Spent

from . import plans
from .leases import lease
from .models import Job, Run

SUSPECT = 3  # a job that lost so many workers is worked on alone, so that no other job is lost with it
_COLUMNS = (
    "id", "run_id", "clip_id", "step", "position", "after", "queue", "state", "ready", "attempts", "losses", "calls",
    "prompt_tokens", "completion_tokens", "gpu_seconds", "cost", "lease_end", "started_at",
)  # fmt: skip
_RETURNING = ", ".join(f"job.{name}" for name in _COLUMNS)
# The trigger that keeps `ready` judges queued rows only. A job that is put back was ready when it was taken; should
# a retry have opened something before it meanwhile, this finds out.
IS_READY = """(job.after = '{}' OR NOT EXISTS (SELECT 1 FROM prelabels_job before WHERE before.run_id = job.run_id
    AND before.clip_id = job.clip_id AND before.state IN ('queued', 'running') AND before.step = ANY(job.after)))"""
_FREE = f"state = 'queued' AND ready AND (not_before IS NULL OR not_before <= statement_timestamp()) AND {IS_READY}"
_PUT_OFF = """UPDATE prelabels_job job SET state = 'queued', attempts = job.attempts - 1, lease_end = NULL,
      started_at = NULL, ready = true, calls = job.calls + back.calls, prompt_tokens = job.prompt_tokens + back.prompt,
      completion_tokens = job.completion_tokens + back.completion, gpu_seconds = job.gpu_seconds + back.gpu,
      cost = job.cost + back.cost,
      not_before = CASE WHEN back.seconds > 0 THEN statement_timestamp() + make_interval(secs => back.seconds) END
    FROM unnest(%s::bigint[], %s::int[], %s::float8[], %s::int[], %s::int[], %s::int[], %s::float8[], %s::float8[])
      AS back(id, attempts, seconds, calls, prompt, completion, gpu, cost)
    WHERE job.id = back.id AND job.state = 'running' AND job.attempts = back.attempts"""


def take(run_id: int, queue: str, wants: Mapping[str, int]) -> list[Job]:
    """At most `wants[step]` ready jobs of each of these steps, in the order of `wants`, as running jobs.

    Their `run`, `clip`, `clip.corpus` and `clip.au_track` are loaded. Jobs that lost many workers are passed over.
    """
    steps = [step for step, number in wants.items() if number > 0]
    if not steps:
        return []
    picked = f"""SELECT found.id FROM unnest(%(steps)s::text[], %(numbers)s::int[]) AS want(step, n),
          LATERAL (SELECT id FROM prelabels_job job WHERE run_id = %(run)s AND queue = %(queue)s AND {_FREE}
                   AND step = want.step AND losses < {SUSPECT} ORDER BY id LIMIT want.n
                   FOR NO KEY UPDATE SKIP LOCKED) found"""  # noqa: S608
    numbers = [wants[step] for step in steps]
    jobs = _take(picked, {"run": run_id, "queue": queue, "steps": steps, "numbers": numbers})
    rank = {step: number for number, step in enumerate(steps)}
    return sorted(jobs, key=lambda job: (rank[job.step], job.pk))


def take_suspect(run_ids: Sequence[int], queue: str) -> Job | None:
    """One ready job that lost many workers, for somebody who is at nothing else."""
    picked = f"""SELECT id FROM prelabels_job job WHERE run_id = ANY(%(runs)s) AND queue = %(queue)s AND {_FREE}
          AND losses >= {SUSPECT} ORDER BY id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED"""  # noqa: S608
    found = _take(picked, {"runs": list(run_ids), "queue": queue})
    return found[0] if found else None


def take_one(job_id: int) -> Job | None:
    """The job, if it is ready and nobody works on it; a job whose worker was lost is taken over."""
    picked = f"""SELECT id FROM prelabels_job job WHERE id = %(id)s AND state = 'queued' AND {IS_READY}
          FOR NO KEY UPDATE SKIP LOCKED"""  # noqa: S608
    found = _take(picked, {"id": job_id})
    if not found and recover(job_id=job_id):
        found = _take(picked, {"id": job_id})
    return found[0] if found else None


def _take(picked: str, values: dict[str, Any]) -> list[Job]:
    query = f"""WITH picked AS MATERIALIZED ({picked}) UPDATE prelabels_job job SET state = 'running',
          attempts = attempts + 1, not_before = NULL, started_at = statement_timestamp(), finished_at = NULL,
          lease_end = statement_timestamp() + %(lease)s
        FROM picked WHERE job.id = picked.id AND job.state = 'queued' RETURNING {_RETURNING}"""  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(query, values | {"lease": lease()})
        rows = cursor.fetchall()
    return loaded([Job.from_db("default", _COLUMNS, row) for row in rows])


def loaded(jobs: Sequence[Job]) -> list[Job]:
    """The jobs with `run` (and its pipeline), `clip`, `clip.corpus` and `clip.au_track` in memory: three queries."""
    if not jobs:
        return []
    clips = Clip.objects.select_related("au_track").in_bulk({job.clip_id for job in jobs})
    corpora = Corpus.objects.in_bulk({clip.corpus_id for clip in clips.values()})
    runs = Run.objects.select_related("pipeline").in_bulk({job.run_id for job in jobs})
    for clip in clips.values():
        clip.corpus = corpora[clip.corpus_id]
    for job in jobs:
        job.run, job.clip = runs[job.run_id], clips[job.clip_id]
    return list(jobs)


def give_back(jobs: Iterable[Job]) -> int:
    """Queue jobs again that were taken and not begun: as if they had not been taken. How many there were."""
    return put_off([(job, 0.0, Spent()) for job in jobs])


def put_off(jobs: Sequence[tuple[Job, float, Spent]]) -> int:
    """Queue jobs again whose server has no place for them now, not before so many seconds have passed; what they have
    cost so far is added. How many there were."""
    if not jobs:
        return 0
    rows = [
        (job.pk, job.attempts, seconds, spent.calls, spent.prompt_tokens, spent.completion_tokens, spent.gpu_seconds,
         spent.cost) for job, seconds, spent in sorted(jobs, key=lambda each: each[0].pk)
    ]  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_PUT_OFF, [list(column) for column in zip(*rows, strict=True)])
        return cursor.rowcount


@transaction.atomic
def recover(*, job_id: int | None = None) -> int:
    """Queue again what lost workers were at (all of it, or one job), and count the loss; how many jobs.

    A call that the worker had begun may have been paid, so it is counted, too.
    """
    lost = Job.objects.filter(state="running", lease_end__lt=Now())
    if job_id is not None:
        lost = lost.filter(pk=job_id)
    found = list(lost.order_by("pk").values_list("pk", "step")[:5000])
    if not found:
        return 0
    paid = {step: 1 if plans.spec_of(step).endpoint else 0 for _pk, step in found}
    query = """WITH picked AS MATERIALIZED (
          SELECT job.id, lost.calls FROM prelabels_job job
          JOIN unnest(%(ids)s::bigint[], %(calls)s::int[]) AS lost(id, calls) ON lost.id = job.id
          WHERE job.state = 'running' AND job.lease_end < statement_timestamp() ORDER BY job.id
          FOR NO KEY UPDATE OF job SKIP LOCKED
        ) UPDATE prelabels_job job SET state = 'queued', lease_end = NULL, started_at = NULL, losses = losses + 1,
          calls = job.calls + picked.calls, ready = true FROM picked WHERE job.id = picked.id"""  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(query, {"ids": [pk for pk, _step in found], "calls": [paid[step] for _pk, step in found]})
        return cursor.rowcount
