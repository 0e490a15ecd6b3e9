"""Pre-labellers, pipelines, runs, jobs, clues and description drafts."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from annotator.clips.models import LANGUAGES, Clip, Corpus

MODALITIES = ("visual", "audio", "text")
ASPECTS = ("expression", "gesture", "scene", "tone", "prosody", "content", "")


class PreLabeller(models.Model):
    """What drafted a clue: a signal measurement, a model behind a server, a template, or an import."""

    export_class = "public"

    KINDS = [(k, k) for k in ("measurement", "template", "server", "checkpoint", "import")]

    name = models.CharField(max_length=120, unique=True)
    kind = models.CharField(max_length=12, choices=KINDS)
    modality = models.CharField(max_length=10, blank=True)
    language = models.CharField(max_length=2, blank=True)
    model = models.CharField(max_length=200, blank=True)
    base_url = models.CharField(max_length=500, blank=True)
    api_key_env = models.CharField(max_length=80, blank=True, help_text="Name of an environment variable.")
    trust = models.CharField(max_length=10, choices=[("inside", "inside"), ("outside", "outside")], default="outside")
    parameters = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Pipeline(models.Model):
    """A versioned list of steps. A changed definition is a new version; history is never rewritten."""

    export_class = "public"

    name = models.CharField(max_length=80)
    version = models.PositiveIntegerField()
    definition = models.JSONField()
    sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "version"]
        constraints = [
            models.UniqueConstraint(fields=["name", "version"], name="pipeline_version_once"),
            models.UniqueConstraint(fields=["name", "sha256"], name="pipeline_content_once"),
        ]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"


class Run(models.Model):
    """One pipeline over many clips. Its jobs in the database are the truth; the broker only carries."""

    export_class = "internal"

    STATES = [(s, s) for s in ("queued", "running", "done", "failed", "cancelled")]

    corpus = models.ForeignKey(Corpus, on_delete=models.PROTECT, related_name="runs")
    pipeline = models.ForeignKey(Pipeline, on_delete=models.PROTECT, related_name="runs")
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL)
    state = models.CharField(max_length=10, choices=STATES, default="queued")
    parameters = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["queued", "running", "done", "failed", "cancelled"]),
                name="run_state_known",
            ),
        ]

    def __str__(self) -> str:
        return f"run {self.pk}: {self.pipeline}"


class Job(models.Model):
    """A run's work on one clip for one step: exactly one row, whose effect happens exactly once."""

    export_class = "internal"

    STATES = [(s, s) for s in ("queued", "running", "done", "failed", "skipped", "cancelled")]

    # The composite indexes below begin with run: another on run alone would only cost.
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="jobs", db_index=False)
    clip = models.ForeignKey(Clip, on_delete=models.CASCADE, related_name="jobs")
    step = models.CharField(max_length=40, help_text="A step, or step@<pre-labeller id> where a run names one.")
    position = models.PositiveSmallIntegerField()
    after = ArrayField(
        models.CharField(max_length=40), default=list, help_text="Steps of this run and clip that must have ended."
    )
    queue = models.CharField(max_length=8, default="cpu")
    state = models.CharField(max_length=10, choices=STATES, default="queued")
    reason = models.CharField(max_length=1000, blank=True, help_text="Why it failed or was skipped.")
    error_code = models.CharField(max_length=40, blank=True)
    attempts = models.PositiveIntegerField(default=0, help_text="Times that a worker took it.")
    losses = models.PositiveIntegerField(default=0, help_text="Attempts whose worker was lost.")
    calls = models.PositiveIntegerField(
        default=0,
        help_text="Requests to a model, and one for each lost attempt, whose call may have been paid.",
    )
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    seconds = models.FloatField(default=0.0, help_text="Of work, in the attempt that counted.")
    lease_end = models.DateTimeField(null=True, blank=True)
    dispatched_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    provenance = models.JSONField(default=dict, blank=True)
    result = models.JSONField(null=True, blank=True, help_text="What the step returned, as stored.")

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["run", "clip", "step"], name="job_once"),
            models.CheckConstraint(
                condition=Q(state__in=["queued", "running", "done", "failed", "skipped", "cancelled"]),
                name="job_state_known",
            ),
            models.CheckConstraint(
                condition=~Q(state="running") | Q(lease_end__isnull=False), name="job_running_has_lease"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["failed", "skipped"]) | ~Q(reason=""), name="job_end_has_reason"
            ),
        ]
        indexes = [
            models.Index(fields=["run", "step", "state"], name="job_counts"),
            models.Index(fields=["run", "finished_at"], name="job_rate"),
            models.Index(fields=["run", "clip"], name="job_open", condition=Q(state__in=["queued", "running"])),
            models.Index(F("queue"), F("dispatched_at"), F("id"), name="job_send", condition=Q(state="queued")),
            models.Index(fields=["lease_end"], name="job_leases", condition=Q(state="running")),
        ]

    def __str__(self) -> str:
        return f"{self.step} of clip {self.clip_id}"


class Clue(models.Model):
    """A sentence or two of evidence from one modality, drafted by a pre-labeller. Never edited: checks are.

    Catalogue clues (AU words, prosody words) keep `codes`; `texts` holds their zh and en renderings and
    `text` the one in `language`. A later run of the same pre-labeller supersedes, it does not overwrite.
    """

    export_class = "public"

    clip = models.ForeignKey(Clip, on_delete=models.CASCADE, related_name="clues")
    prelabeller = models.ForeignKey(PreLabeller, on_delete=models.PROTECT, related_name="clues")
    job = models.ForeignKey(Job, null=True, blank=True, on_delete=models.PROTECT, related_name="clues")
    modality = models.CharField(max_length=10, choices=[(m, m) for m in MODALITIES])
    aspect = models.CharField(max_length=12, blank=True, choices=[(a, a) for a in ASPECTS if a])
    language = models.CharField(max_length=2, choices=LANGUAGES)
    text = models.TextField()
    texts = models.JSONField(null=True, blank=True)
    codes = models.JSONField(null=True, blank=True)
    span_start = models.FloatField(null=True, blank=True, help_text="Seconds.")
    span_end = models.FloatField(null=True, blank=True, help_text="Seconds.")
    provenance = models.JSONField(default=dict)
    content_sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)
    superseded_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["job", "modality", "aspect", "language"],
                name="clue_once_per_job",
                condition=Q(job__isnull=False),
            ),
            models.UniqueConstraint(
                fields=["clip", "prelabeller", "modality", "aspect", "language"],
                name="clue_one_current",
                condition=Q(superseded_at=None),
            ),
            models.CheckConstraint(condition=Q(modality__in=MODALITIES), name="clue_modality_known"),
            models.CheckConstraint(condition=Q(aspect__in=ASPECTS), name="clue_aspect_known"),
            models.CheckConstraint(condition=~Q(text=""), name="clue_text_not_empty"),
            models.CheckConstraint(
                condition=Q(span_start=None, span_end=None) | Q(span_start__gte=0, span_end__gte=F("span_start")),
                name="clue_span_ordered",
            ),
        ]
        indexes = [models.Index(fields=["clip"], name="clue_current", condition=Q(superseded_at=None))]

    def __str__(self) -> str:
        return self.text[:60]

    @property
    def span(self) -> list[float] | None:
        return None if self.span_start is None or self.span_end is None else [self.span_start, self.span_end]


class DescriptionDraft(models.Model):
    """A description and OV labels drafted by a step of a run: what a coarse record is made of."""

    export_class = "public"

    clip = models.ForeignKey(Clip, on_delete=models.CASCADE, related_name="description_drafts")
    job = models.OneToOneField(Job, on_delete=models.PROTECT, related_name="draft")
    prelabeller = models.ForeignKey(PreLabeller, on_delete=models.PROTECT)
    description_zh = models.TextField(blank=True)
    description_en = models.TextField(blank=True)
    ov_zh = models.JSONField(default=list)
    ov_en = models.JSONField(default=list)
    provenance = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(condition=~Q(description_zh="", description_en=""), name="draft_says_something"),
        ]

    def __str__(self) -> str:
        return (self.description_en or self.description_zh)[:60]


class ProsodyMeasures(models.Model):
    """The raw measures of a clip's voice, without any baseline: what a speaker's baseline is made of."""

    export_class = "public"

    clip = models.OneToOneField(Clip, on_delete=models.CASCADE, related_name="prosody_measures")
    media_sha256 = models.CharField(max_length=64, blank=True)
    version = models.CharField(max_length=20)
    measures = models.JSONField()

    class Meta:
        verbose_name_plural = "prosody measures"

    def __str__(self) -> str:
        return f"prosody of clip {self.clip_id}"
