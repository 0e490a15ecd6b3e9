"""REST of the clips around a claimed clip: those before and after it in the same source, to look at, not to judge."""

from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from django.urls import path
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotator.core.errors import Conflict, Forbidden

from . import leases
from .models import Claim, Slot

_PROBLEM = OpenApiResponse(OpenApiTypes.OBJECT, "problem+json (RFC 9457)")
PLAYED = ("video", "audio", "poster", "expires")


class NeighbourMedia(serializers.Serializer):
    video = serializers.CharField(allow_null=True)
    audio = serializers.CharField(allow_null=True)
    poster = serializers.CharField(allow_null=True)
    expires = serializers.DateTimeField()


class NeighbourSubtitle(serializers.Serializer):
    zh = serializers.CharField(allow_null=True)
    en = serializers.CharField(allow_null=True)


class Neighbour(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    duration = serializers.FloatField(allow_null=True)
    subtitle = NeighbourSubtitle()
    media = NeighbourMedia()


class ContextShape(serializers.Serializer):
    previous = Neighbour(allow_null=True)
    next = Neighbour(allow_null=True)


class ClaimContext(APIView):
    @extend_schema(responses={200: ContextShape, 403: _PROBLEM, 409: _PROBLEM, 410: _PROBLEM})
    def get(self, request: Request, pk: int) -> Response:
        """The clips before and after the claimed one in its source, by name; null where there is none."""
        claim = leases.find_claim(request.user, pk)
        if claim.slot.mode:
            raise Forbidden(_("This task shows one modality of one clip; the clips around it are not shown."))
        if not leases.is_live(claim.pk, claim.user_id):
            raise Conflict(_("Your claim on this clip has ended."), code="claim-lost")
        return Response(neighbours(claim, request.user), headers={"Cache-Control": "no-store"})


def neighbours(claim: Claim, user: Any) -> dict[str, Any]:
    """`{"previous", "next"}` as ContextShape. Nothing of anybody's work on them, no withdrawn clip, and none of which
    somebody is to see one modality only: whoever has seen all of it could not do that any more."""
    clip = claim.clip
    if not clip.source:
        return {"previous": None, "next": None}
    isolated = Slot.objects.filter(clip_id=OuterRef("pk")).exclude(mode="")
    around = clip.corpus.clips.present().filter(~Exists(isolated), source=clip.source)
    before = around.filter(name__lt=clip.name).order_by("-name")
    after = around.filter(name__gt=clip.name).order_by("name")
    return {"previous": _first(before, claim, user), "next": _first(after, claim, user)}


def _first(clips: QuerySet[Any], claim: Claim, user: Any) -> dict[str, Any] | None:
    from annotator.clips import media  # decoding libraries are not wanted at start-up

    clip = clips.prefetch_related("derivatives", "subtitles").first()
    if clip is None:
        return None
    words = {row.language: row.text for row in clip.subtitles.all()}
    urls = media.signed_urls(clip, user, claim_id=claim.pk, expires=claim.lease_end)
    return {
        "id": clip.pk,
        "name": clip.name,
        "duration": clip.duration,
        "subtitle": {"zh": words.get("zh"), "en": words.get("en")},
        "media": {key: urls[key] for key in PLAYED},
    }


urlpatterns = [path("claims/<int:pk>/context/", ClaimContext.as_view(), name="api-claim-context")]
