"""One audit entry per service call."""

from typing import Any

import structlog
from django.contrib.auth.models import AnonymousUser

from .models import AuditEntry


def record(actor: Any, action: str, *, corpus: str = "", target: object = "", **detail: Any) -> AuditEntry:
    """Write who did what to which object; call it inside the transaction of the change itself."""
    if isinstance(actor, AnonymousUser):
        actor = None
    context = structlog.contextvars.get_contextvars()
    return AuditEntry.objects.create(
        actor=actor,
        actor_name=getattr(actor, "username", "") or "system",
        action=action,
        corpus=corpus,
        target=str(target)[:120],
        request_id=context.get("request_id", ""),
        detail=detail,
    )


def from_admin(instance: Any, created: bool, **_signal: Any) -> None:
    """What somebody typed into the admin passes no service: its own log entry is copied into the trail."""
    if created:
        verb = {1: "add", 2: "change", 3: "delete"}.get(instance.action_flag, "touch")
        kind = instance.content_type.model if instance.content_type else "object"
        text = instance.get_change_message()
        record(instance.user, f"admin.{verb}", target=f"{kind} {instance.object_repr}", message=text)
