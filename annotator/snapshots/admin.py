"""Admin of snapshots (read only), and what the admin of records gains from this room: exports and freezing."""

import json
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from annotator.checking.admin import RecordAdmin
from annotator.checking.models import Record
from annotator.core import audit
from annotator.core.errors import WorkbenchError

from . import exports, services
from .models import Snapshot


def _export(request: HttpRequest, queryset: QuerySet[Record], name: str) -> StreamingHttpResponse:
    chosen = exports.known_format(name)
    lines = (
        queryset.filter(current__isnull=False, clip__withdrawn_at=None)
        .order_by("clip__name", "grade")
        .values_list("current__line", flat=True)
    )
    audit.record(request.user, "record.export", target=name, records=lines.count())
    response = StreamingHttpResponse(
        chosen.write(json.loads(line) for line in lines.iterator(chunk_size=2000)), content_type=chosen.content_type
    )
    response["Content-Disposition"] = f'attachment; filename="records-{name}.{chosen.extension}"'
    return response


@admin.action(description=_("Export the chosen records as CSV"))
def export_csv(modeladmin: Any, request: HttpRequest, queryset: QuerySet[Record]) -> HttpResponse:
    return _export(request, queryset, "csv")  # type: ignore[return-value]


@admin.action(description=_("Export the chosen records as JSONL"))
def export_jsonl(modeladmin: Any, request: HttpRequest, queryset: QuerySet[Record]) -> HttpResponse:
    return _export(request, queryset, "jsonl")  # type: ignore[return-value]


@admin.action(description=_("Export the chosen records as EMER-V2 CSV"))
def export_emer_v2(modeladmin: Any, request: HttpRequest, queryset: QuerySet[Record]) -> HttpResponse:
    return _export(request, queryset, "emer-v2")  # type: ignore[return-value]


@admin.action(description=_("Freeze a snapshot of the chosen records' corpus and grade"))
def freeze(modeladmin: Any, request: HttpRequest, queryset: QuerySet[Record]) -> HttpResponse | None:
    """All current records of the one corpus and grade that the choice names; the name is the time."""
    chosen = list(queryset.order_by().values_list("corpus", "grade").distinct()[:2])
    record = queryset.select_related("corpus").first()
    if len(chosen) != 1 or record is None:
        messages.error(request, _("Choose records of one corpus and one grade."))
        return None
    name = f"admin-{timezone.now():%Y%m%d-%H%M%S}"
    try:
        snapshot = services.freeze_snapshot(request.user, record.corpus, name, grade=record.grade)
    except WorkbenchError as error:
        messages.error(request, error.message)
        return None
    return redirect("snapshots:detail", pk=snapshot.pk)


admin.site.unregister(Record)


@admin.register(Record)
class ExportingRecordAdmin(RecordAdmin):
    """Records with their exports; snapshots stand above checking, so the actions are added here."""

    actions = [export_csv, export_jsonl, export_emer_v2, freeze]


@admin.register(Snapshot)
class SnapshotAdmin(admin.ModelAdmin):
    list_display = ["name", "corpus", "grade", "digest", "created_at", "created_by"]
    list_filter = ["corpus", "grade"]
    list_select_related = ["corpus", "created_by"]
    search_fields = ["name", "digest"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
