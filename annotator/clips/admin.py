"""Clips in the admin: to look, to flag and to withdraw. Clips are made by ingest, never typed here."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from . import services
from .models import (
    AuTrack,
    Clip,
    Corpus,
    DerivedMedia,
    Flag,
    Membership,
    SeenPerson,
    Subtitle,
    TargetPerson,
    Upload,
    UploadedFile,
)


class ReadOnly:
    """No adding, changing or deleting here: services do that."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class MembershipInline(admin.TabularInline):
    model = Membership
    extra = 0
    autocomplete_fields = ["user"]


@admin.register(Corpus)
class CorpusAdmin(admin.ModelAdmin):
    list_display = ["slug", "name", "overlap", "review", "licence", "synthetic", "created_at"]
    list_filter = ["licence", "review", "synthetic"]
    search_fields = ["slug", "name"]
    inlines = [MembershipInline]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class SubtitleInline(ReadOnly, admin.TabularInline):
    model = Subtitle
    extra = 0


class DerivedInline(ReadOnly, admin.TabularInline):
    model = DerivedMedia
    extra = 0


class TrackInline(ReadOnly, admin.StackedInline):
    model = AuTrack
    extra = 0


class PeopleInline(ReadOnly, admin.TabularInline):
    model = SeenPerson
    fields = ["number", "source", "place", "span_start", "span_end", "presence", "area"]
    extra = 0


class TargetInline(ReadOnly, admin.StackedInline):
    model = TargetPerson
    extra = 0


@admin.register(Clip)
class ClipAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["name", "corpus", "duration", "has_video", "has_audio", "derived", "synthetic", "withdrawn_at"]
    list_filter = ["corpus", "derived", "media", "has_audio", "synthetic", ("withdrawn_at", admin.EmptyFieldListFilter)]
    search_fields = ["name", "media_sha256"]
    list_select_related = ["corpus"]
    show_full_result_count = False
    inlines = [SubtitleInline, TrackInline, PeopleInline, TargetInline, DerivedInline]
    actions = ["withdraw"]

    @admin.action(description=gettext_lazy("Withdraw the selected clips for good"))
    def withdraw(self, request: HttpRequest, queryset: QuerySet[Clip]) -> None:
        clips = list(queryset.filter(withdrawn_at=None).select_related("corpus"))
        reason = _("withdrawn by an administrator")
        for clip in clips:
            services.withdraw_clip(request.user, clip, reason)
        text = ngettext("%(n)d clip was withdrawn.", "%(n)d clips were withdrawn.", len(clips)) % {"n": len(clips)}
        self.message_user(request, text, messages.SUCCESS)


@admin.register(Flag)
class FlagAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["clip", "reason", "user", "created_at", "resolved_at"]
    list_filter = ["reason", ("resolved_at", admin.EmptyFieldListFilter)]
    list_select_related = ["clip", "user"]
    actions = ["resolve"]

    @admin.action(description=gettext_lazy("Mark the selected flags as dealt with"))
    def resolve(self, request: HttpRequest, queryset: QuerySet[Flag]) -> None:
        for flag in queryset.filter(resolved_at=None).select_related("clip__corpus"):
            services.resolve_flag(request.user, flag)


class UploadedFileInline(ReadOnly, admin.TabularInline):
    model = UploadedFile
    fields = ["name", "bytes", "state", "reason", "attempts"]
    extra = 0


@admin.register(Upload)
class UploadAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["id", "corpus", "user", "created_at"]
    list_filter = ["corpus"]
    list_select_related = ["corpus", "user"]
    inlines = [UploadedFileInline]
