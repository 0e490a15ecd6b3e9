"""Reviews and the records that come out."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotator.clips.models import Clip, Corpus
from annotator.prelabels.models import DescriptionDraft

from .work import EMPTY, Annotation, Claim


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
    sources = models.JSONField(
        default=dict, db_default=EMPTY, help_text="Where annotations were merged: part -> annotation id."
    )
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

    # No index of a foreign key's own where another one begins with it: each is written at every submission.
    corpus = models.ForeignKey(Corpus, on_delete=models.PROTECT, related_name="records", db_index=False)
    clip = models.ForeignKey(Clip, on_delete=models.PROTECT, related_name="records", db_index=False)
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

    SOURCES = [(s, s) for s in ("review", "submission", "agreement", "run", "import")]

    record = models.ForeignKey(Record, on_delete=models.PROTECT, related_name="revisions", db_index=False)
    number = models.PositiveIntegerField()
    line = models.TextField()
    sha256 = models.CharField(max_length=64)
    source = models.CharField(max_length=12, choices=SOURCES)
    source_detail = models.CharField(max_length=120, blank=True)
    annotation = models.ForeignKey(Annotation, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    review = models.ForeignKey(
        Review, null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    draft = models.ForeignKey(
        DescriptionDraft, null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
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


class AutoDecision(models.Model):
    """The log of the rule that accepts where annotators agree: each time it was asked, what it found. Append-only."""

    export_class = "internal"

    clip = models.ForeignKey(Clip, on_delete=models.PROTECT, related_name="auto_decisions")
    annotation = models.ForeignKey(
        Annotation, on_delete=models.PROTECT, related_name="+", help_text="The most central."
    )
    revision = models.ForeignKey(RecordRevision, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    accepted = models.BooleanField()
    threshold = models.FloatField()
    agreement = models.FloatField()
    parts = models.JSONField(default=dict, help_text="What the agreement is made of.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(accepted=False, revision=None) | Q(accepted=True, revision__isnull=False),
                name="auto_accepted_has_revision",
            ),
        ]

    def __str__(self) -> str:
        return f"clip {self.clip_id}: {self.agreement:.3f}"
