"""Where work waits: which queues and runs have jobs that could be taken now."""

from pathlib import Path

from django.conf import settings
from django.db import connection
from django.db.models import BooleanField, Exists, F, Func, OuterRef, Q, QuerySet

from . import budgets, traffic
from .models import Job, Run

GPU_WANTED = Path("run") / "gpu-wanted"  # below the state folder; its age says when a gpu job was last seen waiting
QUEUES = ("media", "cpu", "gpu", "llm")
_WAITS = """EXISTS (SELECT 1 FROM prelabels_job job WHERE job.run_id = run.id AND job.queue = wanted.queue
    AND job.state = 'queued' AND job.ready AND (job.not_before IS NULL OR job.not_before <= statement_timestamp()))"""


def ready(jobs: QuerySet[Job]) -> QuerySet[Job]:
    """Those whose steps to wait for have all ended, in whatever way: asked of the jobs themselves."""
    is_awaited = Func(
        F("step"), OuterRef("after"), template="(%(expressions)s))", arg_joiner=" = ANY(", output_field=BooleanField()
    )
    before = Job.objects.filter(run=OuterRef("run"), clip=OuterRef("clip"), state__in=["queued", "running"])
    return jobs.filter(Q(after=[]) | ~Exists(before.filter(is_awaited)))


def queues_with_work(run_id: int | None = None) -> list[str]:
    """The queues in which jobs of this run (or of any) can be taken now."""
    query = f"""SELECT wanted.queue FROM unnest(%s::text[]) AS wanted(queue) WHERE EXISTS (
        SELECT 1 FROM prelabels_run run WHERE run.finished_at IS NULL AND run.state IN ('queued', 'running')
        AND (%s::bigint IS NULL OR run.id = %s) AND {_WAITS})"""  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(query, [list(QUEUES), run_id, run_id])
        return [row[0] for row in cursor.fetchall()]


def runs_with_work(queue: str) -> list[int]:
    """The runs that have jobs in this queue which can be taken now, the oldest first."""
    query = f"""SELECT run.id FROM prelabels_run run, (SELECT %s::text) AS wanted(queue)
        WHERE run.finished_at IS NULL AND run.state IN ('queued', 'running') AND {_WAITS} ORDER BY run.id"""  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(query, [queue])
        return [row[0] for row in cursor.fetchall()]


def note_gpu(queues: list[str]) -> None:
    """Tell the supervisor of this machine that a worker with a model of its own is wanted (it starts one then, and
    ends it when none was wanted for some minutes: such a worker holds gigabytes)."""
    wanted = settings.VAR / GPU_WANTED
    if "gpu" in queues and wanted.parent.is_dir():
        wanted.touch()


def pause_hopeless() -> int:
    """Pause runs whose server has been refusing calls for too long, so that nobody waits for them without end."""
    waiting = Job.objects.filter(run=OuterRef("pk"), queue="llm", state="queued", ready=True)
    runs = Run.objects.filter(finished_at=None, state="running").filter(Exists(waiting)).select_related("pipeline")
    return sum(budgets.pause(run.pk, reason) for run in runs if (reason := traffic.given_up(run)))
