"""Training runs, evaluation reports and checkpoints, as known to the workbench."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotator.snapshots.models import Snapshot


class TrainingRun(models.Model):
    """A `training fit`: launched here (queued -> running -> ...), or found by its run folder."""

    export_class = "internal"

    STATES = [(s, s) for s in ("queued", "running", "done", "failed", "cancelled")]

    snapshot = models.ForeignKey(
        Snapshot, null=True, blank=True, on_delete=models.PROTECT, related_name="training_runs"
    )
    snapshot_digest = models.CharField(max_length=64, blank=True)
    name = models.CharField(max_length=120)
    config = models.CharField(max_length=120)
    overrides = models.JSONField(default=dict, blank=True)
    folder = models.CharField(max_length=1000, unique=True)
    state = models.CharField(max_length=10, choices=STATES, default="queued")
    reason = models.CharField(max_length=1000, blank=True)
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    lease_end = models.DateTimeField(null=True, blank=True)
    cancel_requested = models.BooleanField(default=False)
    result = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["queued", "running", "done", "failed", "cancelled"]),
                name="training_state_known",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Evaluation(models.Model):
    """One evaluation report of a training run on one split."""

    export_class = "public"

    training_run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="evaluations")
    split = models.CharField(max_length=40)
    report = models.JSONField()
    report_sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["training_run", "report_sha256"], name="evaluation_once")]

    def __str__(self) -> str:
        return f"{self.training_run} on {self.split}"
