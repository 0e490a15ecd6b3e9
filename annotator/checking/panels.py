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
    records = Record.objects.filter(clip=clip, current__isnull=False).select_related("current").order_by("grade")
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
            {"row": annotation, "name": queries.pseudonym(clip.corpus, annotation.user_id)}
            for annotation in queries.annotations_of(clip)
        ],
        "slots": Slot.objects.filter(clip=clip).order_by("kind", "number"),
    }
    return render_to_string("checking/_clip_panel.html", context, request=request)
