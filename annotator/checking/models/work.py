"""Slots, claims, drafts, annotations and their checks: what people do to a clip.

A foreign key with which another index begins has none of its own: each is written at every claim and submission.
"""

from django.conf import settings
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Q

from annotator.clips.models import LANGUAGES, Clip, Corpus
from annotator.prelabels.models import ASPECTS, MODALITIES, Clue

VERDICTS = ("kept", "corrected", "rejected", "added")
CLAIM_STATES = ("live", "submitted", "skipped", "released", "expired", "returned", "lost", "reopened")
# What a slot shows of its clip: everything, the muted picture, the sound alone, or the subtitle alone.
MODES = ("", "visual", "audio", "text")
# What a claim shows of the pre-labels: all, all without names and with no description, or nothing.
ARMS = ("shown", "blind", "none")
EMPTY = models.Value({}, models.JSONField())  # what a row written in SQL gets


class Slot(models.Model):
    """One piece of work on a clip that one person does: an annotation, a review, a gold check."""

    export_class = "internal"

    KINDS = [(k, k) for k in ("annotate", "review", "gold")]
    STATES = [(s, s) for s in ("open", "claimed", "done", "closed")]

    corpus = models.ForeignKey(Corpus, on_delete=models.CASCADE, related_name="slots")
    clip = models.ForeignKey(Clip, on_delete=models.CASCADE, related_name="slots", db_index=False)  # slot_once
    kind = models.CharField(max_length=10, choices=KINDS)
    number = models.PositiveSmallIntegerField()
    state = models.CharField(max_length=10, choices=STATES, default="open")
    priority = models.SmallIntegerField(default=0)
    score = models.FloatField(default=0, db_default=0, help_text="Of two slots of one priority the higher comes first.")
    mode = models.CharField(max_length=6, blank=True, default="", db_default="", choices=[(m, m) for m in MODES if m])
    languages = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="Of the subtitle: 1 zh, 2 en, 3 both, 0 none."
    )

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(condition=Q(mode__in=MODES), name="slot_mode_known"),
            models.UniqueConstraint(fields=["clip", "kind", "number"], name="slot_once"),
            models.CheckConstraint(condition=Q(kind__in=["annotate", "review", "gold"]), name="slot_kind_known"),
            models.CheckConstraint(
                condition=Q(state__in=["open", "claimed", "done", "closed"]), name="slot_state_known"
            ),
        ]
        indexes = [
            models.Index(
                F("corpus"),
                F("kind"),
                F("priority").desc(),
                F("score").desc(),
                F("id"),
                name="slot_next",
                condition=Q(state="open"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.number} of clip {self.clip_id}"


class Claim(models.Model):
    """A person's lease on one slot of a clip. One row per (clip, person), ever.

    live (held until lease_end) -> submitted | skipped | released | expired (free again; its holder may take it
    back) | lost (somebody else took the slot in the meantime). A review may send a submitted one back to its
    author (returned: the slot stays theirs); when they submit again, the reviewer's own claim becomes `reopened`:
    no longer held, and the same reviewer may take it again. Lease times come from the database clock.
    """

    export_class = "internal"

    STATES = [(s, s) for s in CLAIM_STATES]
    HOLDING = ("live", "returned", "submitted")

    slot = models.ForeignKey(Slot, on_delete=models.CASCADE, related_name="claims")
    clip = models.ForeignKey(Clip, on_delete=models.CASCADE, related_name="claims")
    corpus = models.ForeignKey(Corpus, on_delete=models.CASCADE, related_name="claims")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        related_name="claims",
        db_index=False,  # claim_latest
    )
    state = models.CharField(max_length=10, choices=STATES, default="live")
    lease_end = models.DateTimeField()
    offered = models.JSONField(default=list, help_text="Ids of the clues that were offered, in order.")
    arm = models.CharField(max_length=6, default="shown", db_default="shown", choices=[(a, a) for a in ARMS])
    planted = models.ForeignKey(
        "PlantedError", null=True, blank=True, on_delete=models.PROTECT, related_name="claims", db_index=False
    )
    return_reason = models.TextField(blank=True)
    skip_reason = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["slot"], name="claim_one_holder", condition=Q(state__in=["live", "returned", "submitted"])
            ),
            models.UniqueConstraint(fields=["user", "clip"], name="claim_person_once_per_clip"),
            models.CheckConstraint(condition=Q(state__in=CLAIM_STATES), name="claim_state_known"),
            models.CheckConstraint(condition=Q(arm__in=ARMS), name="claim_arm_known"),
        ]
        indexes = [
            models.Index(fields=["corpus", "lease_end"], name="claim_leases", condition=Q(state="live")),
            models.Index(fields=["corpus"], name="claim_returned", condition=Q(state="returned")),
            models.Index(fields=["user", "corpus", "-id"], name="claim_latest"),
            models.Index(fields=["planted"], name="claim_planted", condition=Q(planted__isnull=False)),
            models.Index(
                fields=["user", "corpus"],
                name="claim_mine",
                condition=Q(state__in=["live", "returned", "expired", "lost", "reopened"]),
            ),
        ]

    def __str__(self) -> str:
        return f"claim {self.pk} of {self.user_id} ({self.state})"


class QueuePlace(models.Model):
    """How far a person got in a corpus' queue of this kind: the slot that they took last, and where it stands.

    A short cut only: whoever finds nothing after it is given anything that is open. Forget it when the order changes.
    """

    export_class = "internal"

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="queue_places", db_index=False
    )
    corpus = models.ForeignKey(Corpus, on_delete=models.CASCADE, related_name="queue_places", db_index=False)
    kind = models.CharField(max_length=10)
    priority = models.SmallIntegerField()
    score = models.FloatField()
    slot_id = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "corpus", "kind"], name="place_once")]

    def __str__(self) -> str:
        return f"{self.user_id} at slot {self.slot_id}"


class Draft(models.Model):
    """A saved version of the work on a claim; the highest version is the current one. Append-only."""

    export_class = "internal"

    claim = models.ForeignKey(Claim, on_delete=models.CASCADE, related_name="drafts", db_index=False)
    version = models.PositiveIntegerField()
    body = models.JSONField()
    saved_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["claim", "version"]
        constraints = [models.UniqueConstraint(fields=["claim", "version"], name="draft_version_once")]

    def __str__(self) -> str:
        return f"draft {self.version} of claim {self.claim_id}"


class Summary(models.Model):
    """A description proposed to the holder of a claim from the clues they had checked, and what made it.

    Append-only: a sentence of a record that still reads as proposed here has this as its source.
    """

    export_class = "internal"

    claim = models.ForeignKey(Claim, on_delete=models.CASCADE, related_name="summaries")
    source = models.CharField(max_length=10, choices=[("llm", "llm"), ("template", "template")])
    description = models.JSONField()
    ov_labels = models.JSONField()
    provenance = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "summaries"

    def __str__(self) -> str:
        return f"summary {self.pk} for claim {self.claim_id}"


class Annotation(models.Model):
    """One person's checked clues, description and OV labels for one clip; a resubmission is a new revision."""

    export_class = "public"

    claim = models.ForeignKey(Claim, on_delete=models.PROTECT, related_name="annotations", db_index=False)
    clip = models.ForeignKey(Clip, on_delete=models.PROTECT, related_name="annotations", db_index=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="annotations")
    revision = models.PositiveSmallIntegerField(default=1)
    description_zh = models.TextField(blank=True)
    description_en = models.TextField(blank=True)
    ov_zh = models.JSONField(default=list)
    ov_en = models.JSONField(default=list)
    label = models.CharField(max_length=80, blank=True)
    ov_scores = models.JSONField(
        default=dict, db_default=EMPTY, help_text="By language and label {intensity, confidence}, each 1 to 5."
    )
    display = models.JSONField(null=True, blank=True, help_text="Felt versus shown: {relation, felt, shown}.")
    conflict = models.JSONField(null=True, blank=True, help_text="Modalities that disagree: {modalities, note}.")
    translation = models.JSONField(
        default=dict, db_default=EMPTY, help_text="By language: own, machine, confirmed, stale."
    )
    reply = models.TextField(blank=True, help_text="The answer to the reviewer who returned it.")
    work = models.JSONField(
        default=dict, db_default=EMPTY, help_text="How it was made: what was played, seen and for how long."
    )
    active_seconds = models.FloatField(null=True, blank=True, help_text="Without idle time; NULL = not told.")
    played_share = models.FloatField(null=True, blank=True, help_text="Share of the clip that was played, 0 to 1.")
    submitted_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["claim", "revision"], name="annotation_revision_once"),
            models.CheckConstraint(
                condition=~Q(description_zh="", description_en=""), name="annotation_says_something"
            ),
        ]
        indexes = [
            models.Index(fields=["clip"], name="annotation_clip"),
            # Rows only come at the end: a few bytes tell which blocks a period lies in, and a submission pays nothing.
            BrinIndex(fields=["submitted_at"], name="annotation_when", autosummarize=True),
        ]

    def __str__(self) -> str:
        return f"annotation {self.pk} of clip {self.clip_id}"


class Check(models.Model):
    """An annotator's verdict on a clue, or a clue that they added. Append-only."""

    export_class = "public"

    annotation = models.ForeignKey(Annotation, on_delete=models.CASCADE, related_name="checks", db_index=False)
    clue = models.ForeignKey(Clue, null=True, blank=True, on_delete=models.PROTECT, related_name="checks")
    position = models.PositiveSmallIntegerField()
    verdict = models.CharField(max_length=10, choices=[(v, v) for v in VERDICTS])
    modality = models.CharField(max_length=10, choices=[(m, m) for m in MODALITIES])
    aspect = models.CharField(max_length=12, blank=True, choices=[(a, a) for a in ASPECTS if a])
    language = models.CharField(max_length=2, choices=LANGUAGES)
    text = models.TextField()
    span_start = models.FloatField(null=True, blank=True)
    span_end = models.FloatField(null=True, blank=True)
    reason = models.CharField(max_length=300, blank=True)
    active_seconds = models.FloatField(null=True, blank=True, help_text="Spent on this clue; NULL = not told.")
    played = models.BooleanField(null=True, help_text="Whether its span (the clip, where it has none) was played.")

    class Meta:
        ordering = ["annotation", "position"]
        constraints = [
            models.UniqueConstraint(
                fields=["annotation", "clue"], name="check_once_per_clue", condition=Q(clue__isnull=False)
            ),
            models.UniqueConstraint(fields=["annotation", "position"], name="check_position_once"),
            models.CheckConstraint(condition=Q(verdict__in=VERDICTS), name="check_verdict_known"),
            models.CheckConstraint(condition=Q(modality__in=MODALITIES), name="check_modality_known"),
            models.CheckConstraint(condition=Q(aspect__in=ASPECTS), name="check_aspect_known"),
            models.CheckConstraint(
                condition=Q(verdict="added", clue=None) | (~Q(verdict="added") & Q(clue__isnull=False)),
                name="check_added_has_no_clue",
            ),
            models.CheckConstraint(condition=~Q(text=""), name="check_text_not_empty"),
            models.CheckConstraint(
                condition=Q(span_start=None, span_end=None) | Q(span_start__gte=0, span_end__gte=F("span_start")),
                name="check_span_ordered",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.verdict}: {self.text[:50]}"
