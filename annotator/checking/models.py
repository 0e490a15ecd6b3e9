"""Slots, claims, drafts, annotations and their checks, reviews, and the records that come out."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from annotator.clips.models import LANGUAGES, Clip, Corpus
from annotator.prelabels.models import ASPECTS, MODALITIES, Clue, DescriptionDraft

VERDICTS = ("kept", "corrected", "rejected", "added")
CLAIM_STATES = ("live", "submitted", "skipped", "released", "expired", "returned", "lost", "reopened")


class Slot(models.Model):
    """One piece of work on a clip that one person does: an annotation, a review, a gold check."""

    export_class = "internal"

    KINDS = [(k, k) for k in ("annotate", "review", "gold")]
    STATES = [(s, s) for s in ("open", "claimed", "done", "closed")]

    corpus = models.ForeignKey(Corpus, on_delete=models.CASCADE, related_name="slots")
    clip = models.ForeignKey(Clip, on_delete=models.CASCADE, related_name="slots")
    kind = models.CharField(max_length=10, choices=KINDS)
    number = models.PositiveSmallIntegerField()
    state = models.CharField(max_length=10, choices=STATES, default="open")
    priority = models.SmallIntegerField(default=0)

    class Meta:
        ordering = ["id"]
        constraints = [
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
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="claims")
    state = models.CharField(max_length=10, choices=STATES, default="live")
    lease_end = models.DateTimeField()
    offered = models.JSONField(default=list, help_text="Ids of the clues that were offered, in order.")
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
        ]
        indexes = [
            models.Index(fields=["corpus", "lease_end"], name="claim_leases", condition=Q(state="live")),
            models.Index(fields=["user", "corpus", "-id"], name="claim_latest"),
            models.Index(
                fields=["user", "corpus"],
                name="claim_mine",
                condition=Q(state__in=["live", "returned", "expired", "lost", "reopened"]),
            ),
        ]

    def __str__(self) -> str:
        return f"claim {self.pk} of {self.user_id} ({self.state})"


class Draft(models.Model):
    """A saved version of the work on a claim; the highest version is the current one. Append-only."""

    export_class = "internal"

    claim = models.ForeignKey(Claim, on_delete=models.CASCADE, related_name="drafts")
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

    claim = models.ForeignKey(Claim, on_delete=models.PROTECT, related_name="annotations")
    clip = models.ForeignKey(Clip, on_delete=models.PROTECT, related_name="annotations")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="annotations")
    revision = models.PositiveSmallIntegerField(default=1)
    description_zh = models.TextField(blank=True)
    description_en = models.TextField(blank=True)
    ov_zh = models.JSONField(default=list)
    ov_en = models.JSONField(default=list)
    label = models.CharField(max_length=80, blank=True)
    submitted_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["claim", "revision"], name="annotation_revision_once"),
            models.CheckConstraint(
                condition=~Q(description_zh="", description_en=""), name="annotation_says_something"
            ),
        ]
        indexes = [models.Index(fields=["clip"], name="annotation_clip")]

    def __str__(self) -> str:
        return f"annotation {self.pk} of clip {self.clip_id}"


class Check(models.Model):
    """An annotator's verdict on a clue, or a clue that they added. Append-only."""

    export_class = "public"

    annotation = models.ForeignKey(Annotation, on_delete=models.CASCADE, related_name="checks")
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


class Review(models.Model):
    """A reviewer's decision over a clip's annotations. Append-only."""

    export_class = "public"

    claim = models.ForeignKey(Claim, on_delete=models.PROTECT, related_name="reviews")
    clip = models.ForeignKey(Clip, on_delete=models.PROTECT, related_name="reviews")
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="reviews")
    decision = models.CharField(max_length=10, choices=[("accept", "accept"), ("return", "return")])
    annotation = models.ForeignKey(Annotation, on_delete=models.PROTECT, related_name="reviews")
    edited = models.JSONField(null=True, blank=True, help_text="The body as the reviewer changed it, if they did.")
    reason = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(condition=Q(decision="accept") | ~Q(reason=""), name="review_return_has_reason"),
            models.CheckConstraint(condition=Q(decision__in=["accept", "return"]), name="review_decision_known"),
        ]

    def __str__(self) -> str:
        return f"{self.decision} of clip {self.clip_id}"


class Record(models.Model):
    """The curated result of a clip in one grade; its text is its current revision's."""

    export_class = "public"

    GRADES = [("coarse", "coarse"), ("fine", "fine")]

    corpus = models.ForeignKey(Corpus, on_delete=models.PROTECT, related_name="records")
    clip = models.ForeignKey(Clip, on_delete=models.PROTECT, related_name="records")
    grade = models.CharField(max_length=10, choices=GRADES)
    current = models.OneToOneField(
        "RecordRevision",
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Null only inside the write.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["clip", "grade"], name="record_one_current_per_grade"),
            models.CheckConstraint(condition=Q(grade__in=["coarse", "fine"]), name="record_grade_known"),
        ]
        indexes = [models.Index(fields=["corpus", "grade", "id"], name="record_page")]

    def __str__(self) -> str:
        return f"{self.grade} record of clip {self.clip_id}"


class RecordRevision(models.Model):
    """One version of a record: its canonical line and sha256, written when it was accepted. Append-only.

    `line` is the JSON line of records.jsonl (docs/snapshots.md) without the newline; `sha256` is over line + newline.
    """

    export_class = "public"

    SOURCES = [(s, s) for s in ("review", "submission", "run", "import")]

    record = models.ForeignKey(Record, on_delete=models.PROTECT, related_name="revisions")
    number = models.PositiveIntegerField()
    line = models.TextField()
    sha256 = models.CharField(max_length=64)
    source = models.CharField(max_length=12, choices=SOURCES)
    source_detail = models.CharField(max_length=120, blank=True)
    annotation = models.ForeignKey(Annotation, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    review = models.ForeignKey(Review, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    draft = models.ForeignKey(DescriptionDraft, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    provenance = models.JSONField(default=dict)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.DO_NOTHING, db_constraint=False
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["record", "number"]
        constraints = [
            models.UniqueConstraint(fields=["record", "number"], name="revision_number_once"),
            models.UniqueConstraint(
                fields=["review"], name="revision_once_per_review", condition=Q(review__isnull=False)
            ),
            models.UniqueConstraint(fields=["draft"], name="revision_once_per_draft", condition=Q(draft__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"revision {self.number} of record {self.record_id}"
