"""Admin of checking: everything can be read, nothing rewritten here. Changes go through the services."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from .models import (
    Annotation,
    AutoDecision,
    Check,
    CheckingRules,
    Claim,
    Comment,
    GoldItem,
    PlantedError,
    QualityReport,
    Record,
    RecordRevision,
    Review,
    Slot,
    Standing,
    SummaryRequest,
    TermsAcceptance,
)


class ReadOnlyAdmin(admin.ModelAdmin):
    """Rows that services write: shown, searched, never edited by hand."""

    list_per_page = 50
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Slot)
class SlotAdmin(ReadOnlyAdmin):
    list_display = ("id", "clip", "kind", "number", "state", "priority")
    list_filter = ("kind", "state", "corpus")
    list_select_related = ("clip",)


@admin.register(Claim)
class ClaimAdmin(ReadOnlyAdmin):
    list_display = ("id", "clip", "user", "state", "lease_end", "updated_at")
    list_filter = ("state", "corpus")
    list_select_related = ("clip", "user")


class CheckInline(admin.TabularInline):
    model = Check
    extra = 0
    can_delete = False
    fields = ("position", "verdict", "modality", "aspect", "language", "text", "reason")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Annotation)
class AnnotationAdmin(ReadOnlyAdmin):
    list_display = ("id", "clip", "user", "revision", "submitted_at")
    list_filter = ("clip__corpus",)
    list_select_related = ("clip", "user")
    search_fields = ("clip__name",)
    inlines = (CheckInline,)


@admin.register(Review)
class ReviewAdmin(ReadOnlyAdmin):
    list_display = ("id", "clip", "reviewer", "decision", "reason", "created_at")
    list_filter = ("decision", "clip__corpus")
    list_select_related = ("clip", "reviewer")


class RevisionInline(admin.TabularInline):
    model = RecordRevision
    fk_name = "record"
    extra = 0
    can_delete = False
    fields = ("number", "source", "source_detail", "sha256", "created_at")
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Record)
class RecordAdmin(ReadOnlyAdmin):
    """Records; snapshots add the actions that freeze and export a selection."""

    list_display = ("id", "clip", "grade", "source", "revision", "created_at")
    list_filter = ("corpus", "grade")
    list_select_related = ("clip", "current")
    search_fields = ("clip__name",)
    readonly_fields = ("line",)
    inlines = (RevisionInline,)

    @admin.display(description="source")
    def source(self, record: Record) -> str:
        return record.current.source if record.current else ""

    @admin.display(description="revision")
    def revision(self, record: Record) -> int | None:
        return record.current.number if record.current else None

    @admin.display(description="canonical line")
    def line(self, record: Record) -> str:
        return record.current.line if record.current else ""


class PlantedInline(admin.TabularInline):
    model = PlantedError
    extra = 0
    can_delete = False
    fields = ("clue", "rule", "language", "text", "created_at")
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(GoldItem)
class GoldItemAdmin(ReadOnlyAdmin):
    list_display = ("id", "clip", "purpose", "active", "made_by", "created_at")
    list_filter = ("purpose", "active", "corpus")
    list_select_related = ("clip", "made_by")
    search_fields = ("clip__name",)
    inlines = (PlantedInline,)


@admin.register(Comment)
class CommentAdmin(ReadOnlyAdmin):
    list_display = ("id", "clip", "user", "role", "created_at", "resolved_at")
    list_filter = ("role", "clip__corpus")
    list_select_related = ("clip", "user")
    search_fields = ("clip__name", "text")


@admin.register(CheckingRules)
class CheckingRulesAdmin(ReadOnlyAdmin):
    """Set on the corpus' own page of rules, which keeps what they touch in step."""

    list_display = ("corpus", "order", "gold_share", "none_share", "auto_accept", "updated_at")
    list_select_related = ("corpus",)


@admin.register(TermsAcceptance)
class TermsAcceptanceAdmin(ReadOnlyAdmin):
    list_display = ("id", "corpus", "user", "version", "accepted_at")
    list_filter = ("corpus",)
    list_select_related = ("corpus", "user")
    search_fields = ("user__username",)


@admin.register(Standing)
class StandingAdmin(ReadOnlyAdmin):
    list_display = ("id", "corpus", "user", "stage", "score", "updated_at")
    list_filter = ("stage", "corpus")
    list_select_related = ("corpus", "user")
    search_fields = ("user__username",)


@admin.register(AutoDecision)
class AutoDecisionAdmin(ReadOnlyAdmin):
    list_display = ("id", "clip", "accepted", "agreement", "threshold", "created_at")
    list_filter = ("accepted", "clip__corpus")
    list_select_related = ("clip",)
    search_fields = ("clip__name",)


@admin.register(QualityReport)
class QualityReportAdmin(ReadOnlyAdmin):
    list_display = ("id", "corpus", "kind", "days", "seconds", "counted_at")
    list_filter = ("kind", "corpus")
    list_select_related = ("corpus",)


@admin.register(SummaryRequest)
class SummaryRequestAdmin(ReadOnlyAdmin):
    list_display = ("id", "claim", "state", "code", "created_at")
    list_filter = ("state", "code")
    list_select_related = ("claim__clip", "claim__user")
