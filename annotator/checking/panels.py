"""What the clip's page shows of checking: records, annotations, and who holds which slot."""

import json
from typing import Any

from django.http import HttpRequest
from django.template.loader import render_to_string

from annotator.clips.access import may
from annotator.clips.models import Clip

from . import queries
from .models import Record, Slot


def clip_panel(request: HttpRequest, clip: Clip) -> str:
    """The panel's HTML; "" for who may not read records."""
    if not may(request.user, clip.corpus, "record.view"):
        return ""
    blind = queries.blind_to(request.user, clip)
    # Who annotates could tell by a gold slot, or by an answer to it, that the clip is one.
    hidden = [] if may(request.user, clip.corpus, "gold.manage") and not blind else ["gold"]
    records = Record.objects.filter(clip=clip, current__isnull=False).select_related("current").order_by("grade")
    annotations = queries.annotations_of(clip).select_related("claim__slot").exclude(claim__slot__kind__in=hidden)
    context: dict[str, Any] = {
        "clip": clip,
        "blind": blind,
        "records": [
            {"id": record.pk, "grade": record.grade, "current": record.current, "line": json.loads(record.current.line)}
            for record in records
            if record.current and not (blind and record.grade == "fine")
        ],
        "annotations": []
        if blind
        else [
            {
                "row": annotation,
                "name": queries.pseudonym(clip.corpus, annotation.user_id),
                "gold": annotation.claim.slot.kind == "gold",
                "planted": annotation.claim.planted_id is not None,
            }
            for annotation in annotations
        ],
        "slots": Slot.objects.filter(clip=clip).exclude(kind__in=hidden).order_by("kind", "number"),
    }
    return render_to_string("checking/_clip_panel.html", context, request=request)
