"""How a run ends: when the last of its jobs has ended, whoever notices first."""

from django.db import transaction
from django.db.models import Case, Exists, OuterRef, Value, When
from django.db.models.functions import Now

from .models import Job, Run

OPEN = ("queued", "running")


def close_ended(run_id: int | None = None) -> int:
    """Mark runs whose jobs were all made and have all ended as done or failed; the number of runs closed.

    Safe to call from anywhere: the worker that commits last sees every other job ended, and the sweeper closes what
    that worker did not live to close. A cancelled run keeps its state and gets its end time.
    """
    jobs = Job.objects.filter(run=OuterRef("pk"))
    runs = Run.objects.filter(finished_at=None, planned_at__isnull=False).filter(~Exists(jobs.filter(state__in=OPEN)))
    if run_id is not None:
        runs = runs.filter(pk=run_id)
    if not (ended := list(runs.values_list("pk", flat=True))):
        return 0
    with transaction.atomic():
        # Locked first and judged again after: a statement that waited for a retry's lock would still see the jobs as
        # they were before it, and close the run over jobs that are queued again.
        list(Run.objects.select_for_update(no_key=True).filter(pk__in=ended).order_by("pk").values_list("pk"))
        return runs.filter(pk__in=ended).update(
            finished_at=Now(),
            reason="",
            state=Case(
                When(state="cancelled", then=Value("cancelled")),
                When(Exists(jobs.filter(state="failed")), then=Value("failed")),
                default=Value("done"),
            ),
        )
