"""What people tell each other about a clip, and how each likes to work."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotator.clips.models import Clip

from .work import Annotation


class Comment(models.Model):
    """A remark in the thread of a clip. Append-only but for its being resolved.

    Until somebody has submitted the clip they read their own remarks and those of reviewers and managers only.
    """

    export_class = "internal"

    clip = models.ForeignKey(Clip, on_delete=models.CASCADE, related_name="comments")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="comments")
    role = models.CharField(max_length=10, help_text="In which role they wrote: annotator, reviewer, manager.")
    annotation = models.ForeignKey(Annotation, null=True, blank=True, on_delete=models.PROTECT, related_name="comments")
    text = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)
    resolved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.CheckConstraint(condition=~Q(text=""), name="comment_not_empty")]
        indexes = [models.Index(fields=["clip", "id"], name="comment_thread")]

    def __str__(self) -> str:
        return self.text[:60]


class WorkPreference(models.Model):
    """How a person likes the checking page: their own keys, speed, what is shown on the timeline, light or dark."""

    export_class = "internal"

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, primary_key=True, on_delete=models.CASCADE, related_name="work_preference"
    )
    keys = models.JSONField(default=dict, help_text="Action -> keys, only where they differ from the defaults.")
    settings = models.JSONField(default=dict)
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"preferences of {self.user_id}"
