"""Corpora and who is a member in which role; clips, subtitles, AU tracks, derived media, uploads."""

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Length

from annotator.core.permissions import ACTIONS, ROLES

LANGUAGES = [("zh", "Chinese"), ("en", "English")]
LICENCES = [("open", "open"), ("restricted", "restricted")]
# Who is meant where several people are seen in a clip and nobody said it: "none" waits for a person to say it.
PERSON_RULES = [(rule, rule) for rule in ("largest", "longest", "most_central", "leftmost", "rightmost", "none")]
models.CharField.register_lookup(Length)


class CorpusQuerySet(models.QuerySet):
    def visible_to(self, user: Any) -> "CorpusQuerySet":
        """Corpora on which `user` holds any role; all of them for an admin."""
        if user.is_superuser:
            return self
        return self.filter(pk__in=Membership.objects.filter(user_id=user.pk or 0).values("corpus_id"))


class Corpus(models.Model):
    """A body of clips under one guideline, one set of roles and one licence class."""

    export_class = "public"

    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=200)
    guideline = models.TextField(blank=True)
    overlap = models.PositiveSmallIntegerField(default=1, help_text="Annotations wanted per clip.")
    review = models.CharField(max_length=10, choices=[("required", "required"), ("none", "none")], default="required")
    licence = models.CharField(max_length=10, choices=LICENCES, default="restricted")
    language = models.CharField(max_length=2, choices=LANGUAGES, default="en", help_text="Of rendered clues.")
    synthetic = models.BooleanField(default=False, help_text="Made by code; marked wherever it is shown.")
    person_rule = models.CharField(max_length=12, choices=PERSON_RULES, default="largest")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = CorpusQuerySet.as_manager()

    class Meta:
        ordering = ["slug"]
        verbose_name_plural = "corpora"
        constraints = [
            models.CheckConstraint(condition=Q(overlap__gte=1, overlap__lte=20), name="corpus_overlap_1_to_20"),
            models.CheckConstraint(condition=Q(review__in=["required", "none"]), name="corpus_review_known"),
            models.CheckConstraint(condition=Q(licence__in=["open", "restricted"]), name="corpus_licence_known"),
            models.CheckConstraint(
                condition=Q(person_rule__in=[rule for rule, _name in PERSON_RULES]), name="corpus_person_rule_known"
            ),
        ]

    def __str__(self) -> str:
        return self.slug

    def clean(self) -> None:
        """Ask the rooms above. Raises ValidationError by field."""
        from . import hooks  # which knows this module

        problems: dict[str, str] = {}
        for speak in hooks.corpus_problems:
            problems |= speak(self)
        if problems:
            raise ValidationError(problems)


class Membership(models.Model):
    """One role of one person on one corpus; several roles add up."""

    export_class = "internal"

    corpus = models.ForeignKey(Corpus, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=[(role, role) for role in ROLES])
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "corpus", "role"], name="membership_once"),
            models.CheckConstraint(condition=Q(role__in=ROLES), name="membership_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user} is {self.role} of {self.corpus}"


class ClipQuerySet(models.QuerySet):
    def visible_to(self, user: Any) -> "ClipQuerySet":
        """The only door to clips: those of corpora where a role of `user` may browse clips.

        An annotator sees a clip through a claim, never through this door.
        """
        if user.is_superuser:
            return self
        may, _what = ACTIONS["clip.view"]
        corpora = Membership.objects.filter(user_id=user.pk or 0, role__in=may).values("corpus_id")
        return self.filter(corpus_id__in=corpora)

    def present(self) -> "ClipQuerySet":
        """Clips that were not withdrawn."""
        return self.filter(withdrawn_at=None)


class Clip(models.Model):
    """A short human-centric video with its audio and subtitle.

    `media_sha256` names the original's bytes; derived files lie in storage below that hash.
    """

    export_class = "restricted media"

    MEDIA = [
        ("stored", "copied into the workbench's storage"),
        ("reference", "a file below MEDIA_IMPORT_ROOTS"),
        ("url", "known by URL only"),
        ("missing", "no media"),
    ]
    DERIVED = [("none", "none"), ("queued", "queued"), ("ready", "ready"), ("failed", "failed")]

    corpus = models.ForeignKey(Corpus, on_delete=models.PROTECT, related_name="clips")
    name = models.CharField(max_length=200, db_collation="C")
    media = models.CharField(max_length=10, choices=MEDIA, default="missing")
    media_path = models.CharField(
        max_length=1000, blank=True, help_text="Storage name, or absolute path of a reference."
    )
    media_url = models.URLField(max_length=2000, blank=True)
    media_sha256 = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001 - NULL = unknown
    duration = models.FloatField(null=True, blank=True, help_text="Seconds.")
    has_video = models.BooleanField(default=False)
    has_audio = models.BooleanField(default=False)
    probe = models.JSONField(default=dict, blank=True)
    derived = models.CharField(max_length=10, choices=DERIVED, default="none")
    derived_error = models.CharField(max_length=500, blank=True)
    source = models.CharField(max_length=200, blank=True, help_text="The video that the clip was cut from.")
    speaker = models.CharField(max_length=200, blank=True)
    licence = models.CharField(
        max_length=10, choices=LICENCES, blank=True, help_text="Stricter than the corpus, or empty."
    )
    label = models.CharField(max_length=80, blank=True, help_text="Discrete label that came with the clip.")
    synthetic = models.BooleanField(default=False)
    overlap = models.PositiveSmallIntegerField(null=True, blank=True, help_text="Overrides the corpus.")
    priority = models.SmallIntegerField(default=0)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    withdrawn_reason = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ClipQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["corpus", "name"], name="clip_name_once"),
            models.UniqueConstraint(
                fields=["corpus", "media_sha256"],
                name="clip_media_once",
                condition=Q(media_sha256__isnull=False),
            ),
            models.CheckConstraint(condition=~Q(name=""), name="clip_name_not_empty"),
            models.CheckConstraint(condition=Q(duration=None) | Q(duration__gte=0), name="clip_duration_positive"),
            models.CheckConstraint(
                condition=Q(media_sha256=None) | Q(media_sha256__length=64), name="clip_sha256_whole"
            ),
        ]
        indexes = [
            models.Index(fields=["corpus", "id"], name="clip_page"),
            models.Index(fields=["corpus", "speaker", "name"], name="clip_speaker", condition=~Q(speaker="")),
            models.Index(fields=["corpus", "source", "name"], name="clip_source", condition=~Q(source="")),
            models.Index(F("id"), name="clip_withdrawn", condition=Q(withdrawn_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def effective_licence(self) -> str:
        """The stricter of corpus and clip."""
        return "restricted" if "restricted" in (self.licence, self.corpus.licence) else "open"

    @property
    def wanted(self) -> int:
        """Annotations wanted for this clip."""
        return self.overlap or self.corpus.overlap


class Subtitle(models.Model):
    """The words spoken, per language, byte for byte as they came."""

    export_class = "public"

    clip = models.ForeignKey(Clip, on_delete=models.CASCADE, related_name="subtitles")
    language = models.CharField(max_length=2, choices=LANGUAGES)
    text = models.TextField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["clip", "language"], name="subtitle_once"),
            models.CheckConstraint(condition=~Q(text=""), name="subtitle_not_empty"),
        ]

    def __str__(self) -> str:
        return self.text[:60]


class AuTrack(models.Model):
    """The action units of a clip over time, as an OpenFace CSV in storage, with its peak frame."""

    export_class = "public"

    clip = models.OneToOneField(Clip, on_delete=models.CASCADE, related_name="au_track")
    path = models.CharField(max_length=500)
    sha256 = models.CharField(max_length=64)
    producer = models.CharField(max_length=80, default="openface-2.2")
    peak = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"AU track of {self.clip}"


class SeenPerson(models.Model):
    """Somebody seen in a clip: the track of a face over time. Made by a detector, never typed."""

    export_class = "internal"

    clip = models.ForeignKey(Clip, on_delete=models.CASCADE, related_name="people")
    number = models.PositiveSmallIntegerField(help_text="From 1, the most present first.")
    source = models.CharField(max_length=80, help_text="The detector, with its version.")
    place = models.JSONField(help_text='{"zh", "en"}')
    span_start = models.FloatField(help_text="Seconds.")
    span_end = models.FloatField(help_text="Seconds.")
    presence = models.FloatField(help_text="Share of the frames looked at.")
    area = models.FloatField(null=True, help_text="Mean share of the picture; NULL = unknown.")
    boxes = models.JSONField(help_text="[[t, x, y, w, h], ...] in seconds and shares of the picture.")

    class Meta:
        ordering = ["clip_id", "number"]
        constraints = [models.UniqueConstraint(fields=["clip", "number"], name="person_number_once")]

    def __str__(self) -> str:
        return f"person {self.number} of {self.clip}"


class TargetPerson(models.Model):
    """Whom a clip is about: chosen by the corpus's rule, or by somebody, whose word a rule never overrides."""

    export_class = "internal"

    clip = models.OneToOneField(Clip, on_delete=models.CASCADE, related_name="target_person")
    number = models.PositiveSmallIntegerField()
    rule = models.CharField(max_length=12, blank=True, help_text="Empty where a person chose.")
    chosen_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT)
    chosen_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(rule="", chosen_by__isnull=False) | (~Q(rule="") & Q(chosen_by=None)),
                name="target_by_rule_or_person",
            )
        ]

    def __str__(self) -> str:
        return f"{self.clip} is about person {self.number}"


class DerivedMedia(models.Model):
    """A file made from a clip's original: proxy, muted, audio, wav, poster, peaks, tracks."""

    export_class = "restricted media"

    KINDS = [(kind, kind) for kind in ("proxy", "muted", "audio", "wav", "poster", "peaks", "tracks")]

    clip = models.ForeignKey(Clip, on_delete=models.CASCADE, related_name="derivatives")
    kind = models.CharField(max_length=10, choices=KINDS)
    path = models.CharField(max_length=500)
    sha256 = models.CharField(max_length=64)
    bytes = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["clip", "kind"], name="derived_once")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.clip}"


class Flag(models.Model):
    """Somebody says that something is wrong with a clip."""

    export_class = "internal"

    REASONS = [(r, r) for r in ("no-face", "wrong-subtitle", "not-consenting", "unclear-speaker", "bad-media", "other")]

    clip = models.ForeignKey(Clip, on_delete=models.CASCADE, related_name="flags")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    reason = models.CharField(max_length=20, choices=REASONS)
    note = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    resolved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.reason}: {self.clip}"


class Upload(models.Model):
    """One act of adding files in the browser; its files are ingested by a worker."""

    export_class = "internal"

    corpus = models.ForeignKey(Corpus, on_delete=models.CASCADE, related_name="uploads")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    report = models.JSONField(default=dict, help_text="Warnings and failures that belong to no single file.")
    tables = models.JSONField(default=dict, help_text="Subtitles and staged AU tracks by clip name.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"upload {self.pk}"


class UploadedFile(models.Model):
    """One file of an upload: staged in storage, then ingested exactly once."""

    export_class = "internal"

    STATES = [(s, s) for s in ("queued", "running", "created", "updated", "unchanged", "duplicate", "failed")]

    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="files")
    name = models.CharField(max_length=300)
    staged = models.CharField(max_length=500, blank=True, help_text="Storage name until the file is ingested.")
    bytes = models.BigIntegerField()
    state = models.CharField(max_length=10, choices=STATES, default="queued")
    reason = models.CharField(max_length=500, blank=True)
    warnings = models.JSONField(default=list)
    clip = models.ForeignKey(Clip, null=True, blank=True, on_delete=models.SET_NULL)
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Times that a worker took it.")
    dispatched_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(condition=Q(bytes__gte=0), name="uploaded_bytes_positive"),
            models.UniqueConstraint(fields=["upload", "name"], name="uploaded_name_once"),
        ]
        indexes = [models.Index(F("id"), name="uploaded_open", condition=Q(state__in=["queued", "running"]))]

    def __str__(self) -> str:
        return self.name
