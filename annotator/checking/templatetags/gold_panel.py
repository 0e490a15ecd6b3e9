"""On a record's page: whether it is a gold clip's answer, and the form that makes it one."""

from typing import Any

from django import template

from annotator.checking import gold_views
from annotator.checking.models import GoldItem
from annotator.clips.access import may

register = template.Library()


@register.inclusion_tag("checking/rules_mark.html", takes_context=True)
def gold_panel(context: dict[str, Any], record: Any) -> dict[str, Any]:
    """Nothing for a coarse record, and for who may not manage gold clips."""
    request = context["request"]
    if record.grade != "fine" or not may(request.user, record.corpus, "gold.manage"):
        return {"may_mark": False}
    item = GoldItem.objects.filter(clip_id=record.clip_id, active=True).first()
    return {
        "may_mark": True,
        "record": record,
        "item": item,
        "purpose": gold_views.short_purposes()[item.purpose] if item else "",
        "purposes": gold_views.purposes(),
        "csrf_token": context.get("csrf_token"),
        "request": request,
    }
