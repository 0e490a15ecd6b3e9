"""Summaries that are read along while the model writes them."""

from django.db import models
from django.db.models import Q

from .work import Claim, Summary

REQUEST_STATES = ("waiting", "asked", "done", "failed")


class SummaryRequest(models.Model):
    """What a person asked to have summarised. The model is asked once for it, when the first reader comes.

    waiting (nobody reads yet) -> asked (the call is under way in one process of the streams) -> done | failed.
    """

    export_class = "internal"

    claim = models.ForeignKey(Claim, on_delete=models.CASCADE, related_name="summary_requests")
    evidence = models.JSONField(help_text="Clues as they were checked, and the subtitle.")
    state = models.CharField(max_length=8, choices=[(s, s) for s in REQUEST_STATES], default="waiting")
    summary = models.OneToOneField(Summary, null=True, blank=True, on_delete=models.CASCADE, related_name="request")
    code = models.CharField(max_length=40, blank=True, help_text="Of a failure.")
    reason = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=REQUEST_STATES), name="summary_request_state_known"),
            models.CheckConstraint(
                condition=Q(state="done", summary__isnull=False) | (~Q(state="done") & Q(summary=None)),
                name="summary_request_done_has_it",
            ),
        ]

    def __str__(self) -> str:
        return f"summary request {self.pk} ({self.state})"
