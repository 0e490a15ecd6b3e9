"""Shapes of the REST API of corpora and clips."""

from datetime import datetime
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field, inline_serializer
from rest_framework import serializers

from . import media, queries
from .access import roles_on
from .models import LANGUAGES, LICENCES, Clip, Corpus, Flag

_TEXTS = inline_serializer("ClipTexts", {lang: serializers.CharField(allow_null=True) for lang, _name in LANGUAGES})
_URLS = inline_serializer(
    "ClipMediaUrls",
    {**{kind: serializers.CharField(allow_null=True) for kind in media.SHOWN}, "expires": serializers.DateTimeField()},
)


class CorpusSerializer(serializers.ModelSerializer):
    """A corpus; `roles` are mine on it."""

    roles = serializers.SerializerMethodField()
    clips = serializers.SerializerMethodField()

    class Meta:
        model = Corpus
        fields = [
            *("id", "slug", "name", "overlap", "review", "licence", "language", "guideline", "synthetic"),
            *("person_rule", "roles", "clips", "created_at"),
        ]

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_roles(self, corpus: Corpus) -> list[str]:
        user = self.context["request"].user
        if user.is_superuser:
            return ["admin"]
        mine = getattr(corpus, "mine", None)
        return sorted(roles_on(user, corpus) if mine is None else {member.role for member in mine})

    def get_clips(self, corpus: Corpus) -> int:
        counted = getattr(corpus, "n_clips", None)
        return corpus.clips.present().count() if counted is None else counted


class NewCorpusSerializer(serializers.Serializer):
    """A corpus to be created."""

    slug = serializers.CharField(max_length=80)
    name = serializers.CharField(max_length=200, required=False, allow_blank=True)
    overlap = serializers.IntegerField(min_value=1, max_value=20, default=1)
    review = serializers.ChoiceField(["required", "none"], default="required")
    licence = serializers.ChoiceField(LICENCES, default="restricted")
    language = serializers.ChoiceField(LANGUAGES, default="en")
    guideline = serializers.CharField(required=False, allow_blank=True, trim_whitespace=False)
    synthetic = serializers.BooleanField(default=False)


class SeenPersonSerializer(serializers.Serializer):
    """Somebody seen in a clip; seconds and shares."""

    number = serializers.IntegerField()
    place = serializers.DictField(child=serializers.CharField(allow_blank=True))
    span = serializers.ListField(child=serializers.FloatField())
    presence = serializers.FloatField()
    area = serializers.FloatField(allow_null=True)
    boxes = serializers.ListField(child=serializers.ListField(child=serializers.FloatField()))


class ClipPersonSerializer(serializers.Serializer):
    """Whom a clip is about: `target` is null where nobody is chosen, `by` the rule or "person"."""

    rule = serializers.CharField(help_text="The corpus's person_rule.")
    people = SeenPersonSerializer(many=True)
    target = serializers.IntegerField(allow_null=True)
    by = serializers.CharField(allow_null=True)


class ChosenPersonSerializer(serializers.Serializer):
    """The number of the person meant; null: as the corpus's rule says."""

    number = serializers.IntegerField(allow_null=True, min_value=0, max_value=9999)


def _moment(value: datetime) -> str:
    """A time as the framework's own fields write it."""
    return timezone.localtime(value).isoformat().replace("+00:00", "Z")


class ClipSerializer(serializers.ModelSerializer):
    """A clip with its subtitle and addresses of its media for the one who asks."""

    corpus = serializers.CharField(source="corpus.slug")
    licence = serializers.CharField(source="effective_licence")
    subtitle = serializers.SerializerMethodField()
    media = serializers.SerializerMethodField()
    media_state = serializers.ChoiceField(Clip.MEDIA, source="media")
    au_track = serializers.SerializerMethodField()

    class Meta:
        model = Clip
        fields = [
            *("id", "name", "corpus", "duration", "source", "speaker", "label", "licence", "synthetic"),
            *("has_video", "has_audio", "media_sha256", "media_state", "media_url", "derived", "derived_error"),
            *("subtitle", "media", "au_track", "created_at", "updated_at"),
        ]

    def to_representation(self, instance: Clip) -> dict[str, Any]:
        """As the fields say, written out: a page of many clips is asked for often."""
        same = ("id", "name", "duration", "source", "speaker", "label", "synthetic", "has_video", "has_audio")
        more = ("media_sha256", "media_url", "derived", "derived_error")
        return {
            **{name: getattr(instance, name) for name in (*same, *more)},
            "corpus": instance.corpus.slug,
            "licence": instance.effective_licence,
            "media_state": instance.media,
            "subtitle": self.get_subtitle(instance),
            "media": self.get_media(instance),
            "au_track": self.get_au_track(instance),
            **{name: _moment(getattr(instance, name)) for name in ("created_at", "updated_at")},
        }

    @extend_schema_field(_TEXTS)
    def get_subtitle(self, clip: Clip) -> dict[str, str | None]:
        return queries.texts(clip)

    @extend_schema_field(_URLS)
    def get_media(self, clip: Clip) -> dict[str, str | None]:
        return media.signed_urls(clip, self.context["request"].user, expires=queries.page_expiry())

    @extend_schema_field(serializers.JSONField(allow_null=True))
    def get_au_track(self, clip: Clip) -> dict[str, Any] | None:
        track = getattr(clip, "au_track", None)
        return None if track is None else {"producer": track.producer, "sha256": track.sha256, "peak": track.peak}


class StoredClipSerializer(ClipSerializer):
    """What an upload came to: the clip that holds the media, new or there already."""

    duplicate_of = serializers.SerializerMethodField()
    warnings = serializers.SerializerMethodField()

    class Meta(ClipSerializer.Meta):
        fields = [*ClipSerializer.Meta.fields, "duplicate_of", "warnings"]

    def to_representation(self, instance: Clip) -> dict[str, Any]:
        added = {"duplicate_of": self.get_duplicate_of(instance), "warnings": self.get_warnings(instance)}
        return super().to_representation(instance) | added

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_duplicate_of(self, clip: Clip) -> str | None:
        return self.context.get("duplicate_of")

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_warnings(self, clip: Clip) -> list[str]:
        return self.context.get("warnings", [])


class UploadSerializer(serializers.Serializer):
    """One clip by multipart. Texts keep their bytes; `name` is the file's stem where it is left out."""

    media = serializers.FileField(allow_empty_file=True, max_length=1000)
    name = serializers.CharField(required=False, trim_whitespace=False, max_length=1000)
    subtitle_zh = serializers.CharField(required=False, allow_blank=True, trim_whitespace=False, max_length=20_000)
    subtitle_en = serializers.CharField(required=False, allow_blank=True, trim_whitespace=False, max_length=20_000)
    source = serializers.CharField(  # type: ignore[assignment]
        required=False, allow_blank=True, max_length=200
    )
    speaker = serializers.CharField(required=False, allow_blank=True, max_length=200)
    label = serializers.CharField(  # type: ignore[assignment]
        required=False, allow_blank=True, max_length=80
    )
    licence = serializers.ChoiceField(LICENCES, required=False, allow_blank=True)
    au = serializers.FileField(required=False, max_length=1000)


class FlagSerializer(serializers.ModelSerializer):
    """A remark that something is wrong with a clip."""

    clip: serializers.PrimaryKeyRelatedField = serializers.PrimaryKeyRelatedField(read_only=True)
    note = serializers.CharField(required=False, allow_blank=True, max_length=4000)

    class Meta:
        model = Flag
        fields = ["id", "clip", "reason", "note", "created_at", "resolved_at"]
        read_only_fields = ["created_at", "resolved_at"]


class ReportSerializer(serializers.Serializer):
    """What an ingest did (counts), and what was not plain (names)."""

    created = serializers.IntegerField()
    updated = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    duplicates = serializers.ListField(child=serializers.DictField(child=serializers.CharField()))
    repaired = serializers.ListField(child=serializers.DictField(child=serializers.CharField()))
    warnings = serializers.ListField(child=serializers.DictField(child=serializers.CharField()))
    failed = serializers.ListField(child=serializers.DictField())


class ProgressSerializer(serializers.Serializer):
    """Counts of a corpus; every room adds its own keys."""

    slug = serializers.CharField()
    clips = serializers.DictField(child=serializers.IntegerField())
