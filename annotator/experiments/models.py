"""Training runs, their checkpoints and evaluation reports, and what a run was estimated to take."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotator.prelabels.models import PreLabeller
from annotator.snapshots.models import Snapshot


class TrainingRun(models.Model):
    """A `training fit`: launched here (queued -> running -> ...), or found by its run folder.

    Of a launched run the row decides: whoever holds attempt number n of a running one may end it, nobody else.
    """

    export_class = "internal"

    STATES = [(s, s) for s in ("queued", "running", "done", "failed", "cancelled")]

    snapshot = models.ForeignKey(
        Snapshot, null=True, blank=True, on_delete=models.PROTECT, related_name="training_runs"
    )
    snapshot_digest = models.CharField(max_length=64, blank=True)
    name = models.CharField(max_length=120)
    config = models.CharField(max_length=120)
    overrides = models.JSONField(default=dict, blank=True)
    init = models.ForeignKey(
        "Checkpoint", null=True, blank=True, on_delete=models.PROTECT, related_name="used_by", help_text="Started from."
    )
    text_only = models.BooleanField(default=False, help_text="Clips without media are trained on by their text.")
    folder = models.CharField(max_length=1000, unique=True)
    launched = models.BooleanField(default=False, help_text="By this workbench, whose trainer runs it.")
    state = models.CharField(max_length=10, choices=STATES, default="queued")
    reason = models.CharField(max_length=1000, blank=True)
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    attempts = models.PositiveIntegerField(default=0, help_text="Times that a trainer took it.")
    losses = models.PositiveSmallIntegerField(
        default=0, help_text="Attempts that were killed, since a person started or resumed it."
    )
    host = models.CharField(max_length=255, blank=True, help_text="Where its folder is: the last trainer's host.")
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
            models.CheckConstraint(
                condition=~Q(launched=True, state="running") | Q(lease_end__isnull=False),
                name="training_running_has_lease",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Trainer(models.Model):
    """A trainer process that said it is there."""

    export_class = "internal"

    name = models.CharField(max_length=255, unique=True, help_text="Host and process.")
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class Checkpoint(models.Model):
    """The trained weights of a run after so many steps: a folder, known by the sha256 of its `trainable.safetensors`.

    A row outlives its folder (`removed_at`): what was made with the weights still says with which.
    """

    export_class = "internal"

    training_run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="checkpoints")
    name = models.CharField(max_length=40, help_text="Of its folder below checkpoints/.")
    step = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)
    file_stamp = models.CharField(max_length=60, help_text="Size and time of the file that was hashed.")
    lineage = models.JSONField(
        default=list, help_text="The stages of training, oldest first: snapshot, split, number of clips."
    )
    made_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True, blank=True)
    prelabeller = models.OneToOneField(
        PreLabeller, null=True, blank=True, on_delete=models.SET_NULL, related_name="checkpoint"
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["training_run", "name"], name="checkpoint_one_kept", condition=Q(removed_at=None)
            ),
            models.UniqueConstraint(fields=["training_run", "name", "sha256"], name="checkpoint_once"),
            models.CheckConstraint(condition=Q(sha256__length=64), name="checkpoint_sha256_whole"),
        ]

    def __str__(self) -> str:
        return f"{self.training_run} {self.name}"


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


class Estimate(models.Model):
    """What `training estimate` said a config would take; the same question is asked once."""

    export_class = "internal"

    STATES = [(s, s) for s in ("queued", "done", "failed")]

    key = models.CharField(max_length=64, unique=True, help_text="sha256 of config, overrides, clips, GPU and code.")
    config = models.CharField(max_length=120)
    overrides = models.JSONField(default=dict, blank=True)
    clips = models.PositiveIntegerField()
    gpu = models.CharField(max_length=80, blank=True)
    state = models.CharField(max_length=10, choices=STATES, default="queued")
    reason = models.CharField(max_length=1000, blank=True)
    answer = models.JSONField(null=True, blank=True)
    asked_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=["queued", "done", "failed"]), name="estimate_state_known"),
            models.CheckConstraint(condition=~Q(state="done") | Q(answer__isnull=False), name="estimate_done_answers"),
        ]

    def __str__(self) -> str:
        return f"{self.config} on {self.clips} clips"
