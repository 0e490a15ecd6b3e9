"""When a description leaves its run: the newest draft of a clip, once no step of the run can still write another.

Subscribers of `draft_written` make the clip's coarse record of it. A clip that the run has left out (filtered) has
drafts for those who look for the reason, and no record; neither has one whose newest draft was dropped.
"""

from collections.abc import Sequence

from django.db import connection

from models_ml.steps import STEPS

from . import plans
from .models import DescriptionDraft, Job
from .signals import draft_written

BASE_STEP = "split_part(split_part(split_part({}, '#', 1), '@', 1), '~', 1)"
_NEWEST = f"""SELECT DISTINCT ON (job.run_id, job.clip_id) draft.id
    FROM unnest(%(runs)s::bigint[], %(clips)s::bigint[]) AS wanted(run_id, clip_id)
    JOIN prelabels_job job ON job.run_id = wanted.run_id AND job.clip_id = wanted.clip_id
    JOIN prelabels_descriptiondraft draft ON draft.job_id = job.id
    WHERE NOT EXISTS (
      SELECT 1 FROM prelabels_job other JOIN prelabels_run run ON run.id = other.run_id
      WHERE other.run_id = wanted.run_id AND other.clip_id = wanted.clip_id AND (other.error_code = 'filtered' OR
        ((other.state = 'running' OR (other.state = 'queued' AND run.state <> 'cancelled'))
         AND {BASE_STEP.format("other.step")} = ANY(%(steps)s))))
    ORDER BY job.run_id, job.clip_id, draft.id DESC"""  # noqa: S608 - no word of anybody else's is in it


def description_steps() -> list[str]:
    """The names of all steps that write descriptions."""
    return [spec.name for spec in STEPS.values() if spec.produces == "description"]


def publish(ended: Sequence[Job]) -> int:
    """Send `draft_written` for the clips of these jobs whose description is final now; how many were sent.

    Call it in the jobs' transaction after their ends were written, with the clips locked: of two steps that end at
    once the second sees the first.
    """
    wanted = {(job.run_id, job.clip_id): job for job in ended if plans.spec_of(job.step).produces == "description"}
    if not wanted:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            _NEWEST,
            {
                "runs": [run_id for run_id, _clip in wanted],
                "clips": [clip_id for _run, clip_id in wanted],
                "steps": description_steps(),
            },
        )
        newest = [row[0] for row in cursor.fetchall()]
    drafts = DescriptionDraft.objects.filter(pk__in=newest, dropped="").select_related("job").order_by("pk")
    sent = 0
    for draft in drafts:
        job = wanted[draft.job.run_id, draft.clip_id]
        if job.clip.withdrawn_at is None:
            draft.job.run, draft.job.clip, draft.clip = job.run, job.clip, job.clip
            draft_written.send(sender=DescriptionDraft, draft=draft)
            sent += 1
    return sent
