"""Figures of quality that take too long to be counted while somebody waits for a page."""

from django.db import models

from annotator.clips.models import Corpus

REPORTS = ("quality", "dashboard")


class QualityReport(models.Model):
    """The figures of a large corpus over a period, as they were when a worker last counted them. A cache: may go."""

    export_class = "internal"

    corpus = models.ForeignKey(Corpus, on_delete=models.CASCADE, related_name="quality_reports", db_index=False)
    kind = models.CharField(max_length=12, choices=[(kind, kind) for kind in REPORTS])
    days = models.PositiveSmallIntegerField(help_text="How far back; 0: from the beginning.")
    body = models.JSONField(null=True, help_text="Null: being counted for the first time.")
    seconds = models.FloatField(null=True, help_text="What counting took.")
    counted_at = models.DateTimeField(null=True)
    requested_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["corpus", "kind", "days"], name="quality_report_once"),
            models.CheckConstraint(condition=models.Q(kind__in=REPORTS), name="quality_report_kind_known"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.corpus_id}, {self.days} days"
