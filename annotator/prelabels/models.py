"""Pre-labellers, pipelines, runs, jobs, clues and description drafts."""

import copy

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q

from annotator.clips.models import LANGUAGES, Clip, Corpus

MODALITIES = ("visual", "audio", "text")
ASPECTS = ("expression", "gesture", "scene", "tone", "prosody", "content", "")


class PreLabeller(models.Model):
    """What drafted a clue: a signal measurement, a model behind a server, a template, or an import."""

    export_class = "public"

    # server: behind an OpenAI-compatible server (a served adapter too); local: transformers in a gpu worker;
    # checkpoint: trained here, promoted under Experiments (with an address: one behind `models_ml.serve`).
    KINDS = [(k, k) for k in ("measurement", "template", "server", "local", "checkpoint", "import")]

    name = models.CharField(max_length=120, unique=True)
    kind = models.CharField(max_length=12, choices=KINDS)
    modality = models.CharField(max_length=10, blank=True)
    language = models.CharField(max_length=2, blank=True)
    model = models.CharField(max_length=200, blank=True)
    base_url = models.CharField(max_length=500, blank=True)
    api_key_env = models.CharField(max_length=80, blank=True, help_text="Name of an environment variable.")
    trust = models.CharField(max_length=10, choices=[("inside", "inside"), ("outside", "outside")], default="outside")
    concurrency = models.PositiveIntegerField(
        null=True, blank=True, help_text="Requests at a time, over all workers together. Empty: no limit."
    )
    rate_per_minute = models.PositiveIntegerField(
        null=True, blank=True, help_text="Requests a minute, over all workers together. Empty: no limit."
    )
    price_in = models.FloatField(null=True, blank=True, help_text="Money per million prompt tokens.")
    price_out = models.FloatField(null=True, blank=True, help_text="Money per million completion tokens.")
    gpus = models.FloatField(default=0.0, help_text="GPUs that one request keeps busy; for the budget of GPU seconds.")
    parameters = models.JSONField(
        default=dict, blank=True, help_text="Options of the model, such as device, dtype, timeout_s, video."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=(Q(concurrency=None) | Q(concurrency__gte=1))
                & (Q(rate_per_minute=None) | Q(rate_per_minute__gte=1)),
                name="prelabeller_limits_allow_something",
            ),
            models.CheckConstraint(
                condition=(Q(price_in=None) | Q(price_in__gte=0)) & (Q(price_out=None) | Q(price_out__gte=0)),
                name="prelabeller_prices_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """What no run could ask is refused when it is written, not when the run has begun."""
        from models_ml.llm import NotConfigured

        from .reach import reach

        unkeyed = copy.copy(self)
        unkeyed.api_key_env = ""  # the worker has the key, not the server of this form
        try:
            if self.base_url or self.kind in ("local", "checkpoint"):
                reach(unkeyed)
        except NotConfigured as error:
            raise ValidationError(str(error)) from error


class Pipeline(models.Model):
    """A versioned list of steps. A changed definition is a new version; history is never rewritten."""

    export_class = "public"

    name = models.CharField(max_length=80)
    version = models.PositiveIntegerField()
    definition = models.JSONField(help_text="The steps as they are run, prompts with their hashes.")
    declaration = models.JSONField(
        null=True, blank=True, help_text="What somebody wrote: a list of steps; null for the pipelines of the library."
    )
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "version"]
        constraints = [
            models.UniqueConstraint(fields=["name", "version"], name="pipeline_version_once"),
        ]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"


class Run(models.Model):
    """One pipeline over many clips. Its jobs in the database are the truth; the broker only carries."""

    export_class = "internal"

    STATES = [(s, s) for s in ("queued", "running", "paused", "done", "failed", "cancelled")]

    corpus = models.ForeignKey(Corpus, on_delete=models.PROTECT, related_name="runs")
    pipeline = models.ForeignKey(Pipeline, on_delete=models.PROTECT, related_name="runs")
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL)
    state = models.CharField(max_length=10, choices=STATES, default="queued")
    reason = models.CharField(max_length=1000, blank=True, help_text="Why it is paused.")
    parameters = models.JSONField(default=dict)
    selection = models.JSONField(default=dict, help_text="Which clips: a filter; {} for all, {named: n} for RunClip.")
    budget = models.JSONField(default=dict, help_text="Limits: tokens, money, gpu_seconds; a missing one is none.")
    repeat = models.PositiveSmallIntegerField(
        default=0, help_text="Which repetition: answers are taken from the cache of the same repetition only."
    )
    clips = models.PositiveIntegerField(null=True, blank=True, help_text="Clips chosen, counted when it was started.")
    # Jobs are made clip by clip, in chunks; the cursor says how far, so that a killed maker goes on where it was.
    cursor_priority = models.IntegerField(null=True, blank=True)
    cursor_clip = models.BigIntegerField(null=True, blank=True)
    planned_at = models.DateTimeField(null=True, blank=True, help_text="When all its jobs were there.")
    retry_before = models.DateTimeField(
        null=True, blank=True, help_text="Jobs that failed before then are being queued again."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["queued", "running", "paused", "done", "failed", "cancelled"]),
                name="run_state_known",
            ),
            models.CheckConstraint(condition=~Q(state="paused") | ~Q(reason=""), name="run_pause_has_reason"),
        ]
        indexes = [models.Index(fields=["id"], name="run_open", condition=Q(finished_at=None))]

    def __str__(self) -> str:
        return f"run {self.pk}: {self.pipeline}"


class RunClip(models.Model):
    """One of the clips that a run was given by name."""

    export_class = "internal"

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="chosen", db_index=False)
    clip = models.ForeignKey(Clip, on_delete=models.CASCADE)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "clip"], name="run_clip_once")]

    def __str__(self) -> str:
        return f"clip {self.clip_id} of run {self.run_id}"


class RunTally(models.Model):
    """Changes to the numbers of a run's jobs, written by a trigger on the table of jobs; their sum is the truth.

    Rows are only added and, by `tallies.compact`, summed up: workers that finish at once never wait for each other.
    """

    export_class = "internal"

    # Without a constraint: the trigger also writes while a run and its jobs are being deleted.
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="tallies", db_index=False, db_constraint=False)
    step = models.CharField(max_length=40)
    state = models.CharField(max_length=10)
    error_code = models.CharField(max_length=40, blank=True)
    n = models.BigIntegerField()
    calls = models.BigIntegerField(default=0)
    losses = models.BigIntegerField(default=0)
    cached = models.BigIntegerField(default=0)
    prompt_tokens = models.BigIntegerField(default=0)
    completion_tokens = models.BigIntegerField(default=0)
    seconds = models.FloatField(default=0.0)
    gpu_seconds = models.FloatField(default=0.0)
    cost = models.FloatField(default=0.0)

    class Meta:
        verbose_name_plural = "run tallies"
        indexes = [models.Index(fields=["run"], name="tally_run")]

    def __str__(self) -> str:
        return f"{self.n:+d} {self.state} of {self.step}"


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
    ready = models.BooleanField(default=False, help_text="Nothing that it comes after is open; kept by a trigger.")
    not_before = models.DateTimeField(null=True, blank=True, help_text="Put off until then, by a server that is busy.")
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
    gpu_seconds = models.FloatField(default=0.0)
    cost = models.FloatField(default=0.0, help_text="Money, by the prices of the pre-labeller when it was called.")
    cached = models.BooleanField(default=False, help_text="Answered from the cache: nothing was paid.")
    exchange = models.JSONField(
        null=True, blank=True, help_text="Of a failed call: request (media as hashes), response, status."
    )
    lease_end = models.DateTimeField(null=True, blank=True)
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
            models.Index(fields=["run", "finished_at"], name="job_ended", condition=Q(finished_at__isnull=False)),
            models.Index(
                fields=["run", "state", "step", "error_code"],
                name="job_reasons",
                condition=Q(state__in=["failed", "skipped"]),
            ),
            models.Index(fields=["run", "clip"], name="job_open", condition=Q(state__in=["queued", "running"])),
            models.Index(
                fields=["run", "queue", "step", "id"], name="job_free", condition=Q(state="queued", ready=True)
            ),
            models.Index(fields=["queue", "run"], name="job_suspect", condition=Q(state="queued", losses__gte=3)),
            models.Index(fields=["run", "-finished_at"], name="job_failed", condition=Q(state="failed")),
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
    # Verdicts of the evidence gate, as models_ml.gate.judge gives them; null: not judged yet.
    gate = models.JSONField(null=True, blank=True)
    gate_version = models.CharField(max_length=20, blank=True)
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
        indexes = [
            models.Index(fields=["clip"], name="clue_current", condition=Q(superseded_at=None)),
            models.Index(fields=["id"], name="clue_unjudged", condition=Q(superseded_at=None, gate_version="")),
        ]

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
    dropped = models.CharField(max_length=1000, blank=True, help_text="Why it was left out by thinning; empty: kept.")
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


class CachedAnswer(models.Model):
    """A model's answer under the hash of the whole request (media included), the model's address and the repetition.

    Rows go with the media that they speak of when a clip is withdrawn.
    """

    export_class = "internal"

    key = models.CharField(max_length=64, primary_key=True)
    model = models.CharField(max_length=200)
    media_sha256 = models.CharField(max_length=64, blank=True, db_index=True)
    answer = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"answer of {self.model}"
