"""REST of corpora and clips."""

import io
from typing import Any

from django.db.models import QuerySet
from django.urls import path
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import generics, parsers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotator.core.errors import Gone, Invalid, NotFound
from annotator.core.middleware import in_chunks

from . import people, queries, services, uploads
from . import serializers as shapes
from .access import corpus_for, require, require_scope
from .manifest import ingest_rows, jsonl_rows
from .models import Clip, Corpus
from .reports import Report

PROBLEM = OpenApiResponse(OpenApiTypes.OBJECT, description="problem+json")


class RawParser(parsers.BaseParser):
    """The body as a stream, whatever its type says (curl sends a form by default)."""

    media_type = "*/*"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        return stream


class CorpusList(generics.ListAPIView):
    """Corpora that I may see; an admin creates one."""

    serializer_class = shapes.CorpusSerializer
    queryset = Corpus.objects.none()

    def get_queryset(self) -> QuerySet[Corpus]:
        require_scope(self.request.user, "corpus.view")
        return queries.corpora(self.request.user)

    @extend_schema(request=shapes.NewCorpusSerializer, responses={201: shapes.CorpusSerializer, 422: PROBLEM})
    def post(self, request: Request) -> Response:
        asked = shapes.NewCorpusSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        corpus = services.create_corpus(request.user, **asked.validated_data)
        shown = shapes.CorpusSerializer(corpus, context={"request": request})
        return Response(shown.data, status=status.HTTP_201_CREATED)


class CorpusDetail(APIView):
    @extend_schema(responses=shapes.CorpusSerializer)
    def get(self, request: Request, slug: str) -> Response:
        corpus = corpus_for(request.user, slug)
        return Response(shapes.CorpusSerializer(corpus, context={"request": request}).data)


class CorpusProgress(APIView):
    @extend_schema(responses=shapes.ProgressSerializer)
    def get(self, request: Request, slug: str) -> Response:
        return Response(queries.progress(corpus_for(request.user, slug), request.user))


class ClipList(generics.ListAPIView):
    """Clips of a corpus (`?search=` part of a name, `?filter=` no-media, no-audio, no-subtitle, au, people, flagged),
    and the upload of one."""

    serializer_class = shapes.ClipSerializer
    queryset = Clip.objects.none()
    parser_classes = [parsers.MultiPartParser]

    def get_queryset(self) -> QuerySet[Clip]:
        corpus = corpus_for(self.request.user, self.kwargs["slug"], "clip.view")
        asked = self.request.query_params
        which = asked.get("filter", "")
        if which not in queries.FILTERS:
            raise Invalid(_("Unknown filter."), errors={"filter": [", ".join(filter(None, queries.FILTERS))]})
        return queries.clips(corpus, search=asked.get("search", "")[:200], which=which)

    @extend_schema(
        request={"multipart/form-data": shapes.UploadSerializer},
        responses={200: shapes.StoredClipSerializer, 201: shapes.StoredClipSerializer, 422: PROBLEM},
    )
    def post(self, request: Request, slug: str) -> Response:
        """201: a new clip. 200: the corpus has this media already (`duplicate_of` names the clip that holds it,
        where that is another name) or the clip was updated. 422 names the field."""
        corpus = corpus_for(request.user, slug, "clip.ingest")
        asked = shapes.UploadSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        report = Report()
        outcome = uploads.ingest_now(request.user, corpus, asked.validated_data, report)
        clip = Clip.objects.select_related("corpus", "au_track").get(pk=outcome.clip_id or 0)
        context = {
            "request": request,
            "duplicate_of": outcome.of or None,
            "warnings": [warning["reason"] for warning in report.warnings],
        }
        created = status.HTTP_201_CREATED if outcome.state == "created" else status.HTTP_200_OK
        return Response(shapes.StoredClipSerializer(clip, context=context).data, status=created)


class _Body(io.RawIOBase):
    """A request's body by `read` alone: granian's own `readline` loses whatever follows the first line.

    One in chunks has no length to stop at; the server's own stream ends with it.
    """

    def __init__(self, request: Any) -> None:
        self._stream = request.META["wsgi.input"] if in_chunks(request) else request

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class ClipBulk(APIView):
    """A manifest as JSONL in the body, read as it comes; answers as `ingest` does."""

    parser_classes = [RawParser]
    reads_chunks = True

    @extend_schema(request={"application/x-ndjson": OpenApiTypes.STR}, responses=shapes.ReportSerializer)
    def post(self, request: Request, slug: str) -> Response:
        corpus = corpus_for(request.user, slug, "clip.ingest")
        body = io.BufferedReader(_Body(request._request), buffer_size=1 << 16)
        report = ingest_rows(corpus, jsonl_rows(body.readline), Report(), actor=request.user)
        return Response(report.as_dict())


class ClipDetail(APIView):
    @extend_schema(responses={200: shapes.ClipSerializer, 410: PROBLEM})
    def get(self, request: Request, pk: int) -> Response:
        clip = _clip(request, pk, "clip.view")
        if clip.withdrawn_at:
            raise Gone(_("This clip was withdrawn."), name=clip.name, media_sha256=clip.media_sha256)
        return Response(shapes.ClipSerializer(clip, context={"request": request}).data)


class ClipFlags(APIView):
    @extend_schema(request=shapes.FlagSerializer, responses={201: shapes.FlagSerializer, 422: PROBLEM})
    def post(self, request: Request, pk: int) -> Response:
        clip = _clip(request, pk, "clip.flag")
        asked = shapes.FlagSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        flag = services.flag_clip(request.user, clip, **asked.validated_data)
        return Response(shapes.FlagSerializer(flag).data, status=status.HTTP_201_CREATED)


class ClipPerson(APIView):
    """Who is seen in a clip, and whom it is about."""

    @extend_schema(responses={200: shapes.ClipPersonSerializer, 410: PROBLEM})
    def get(self, request: Request, pk: int) -> Response:
        return Response(self._told(self._seen(request, pk)))

    @extend_schema(request=shapes.ChosenPersonSerializer, responses={200: shapes.ClipPersonSerializer, 422: PROBLEM})
    def put(self, request: Request, pk: int) -> Response:
        """Say whom the clip is about (a reviewer or manager; an annotator on a clip that they hold)."""
        clip = self._seen(request, pk)
        asked = shapes.ChosenPersonSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        people.choose_person(request.user, clip, asked.validated_data["number"])
        return Response(self._told(clip))

    def _seen(self, request: Request, pk: int) -> Clip:
        clip = Clip.objects.select_related("corpus").filter(pk=pk).first()
        if clip is None:
            raise NotFound(_("There is no such object, or you may not see it."))
        people.check_access(request.user, clip)
        if clip.withdrawn_at:
            raise Gone(_("This clip was withdrawn."), name=clip.name, media_sha256=clip.media_sha256)
        return clip

    def _told(self, clip: Clip) -> dict[str, Any]:
        return shapes.ClipPersonSerializer(people.told(clip)).data


def _clip(request: Request, pk: int, action: str) -> Clip:
    found = Clip.objects.select_related("corpus", "au_track").prefetch_related("derivatives", "subtitles")
    clip = found.filter(pk=pk).first()
    if clip is None:
        raise NotFound(_("There is no such object, or you may not see it."))
    require(request.user, clip.corpus, action)
    return clip


urlpatterns = [
    path("corpora/", CorpusList.as_view(), name="corpus-list"),
    path("corpora/<slug:slug>/", CorpusDetail.as_view(), name="corpus-detail"),
    path("corpora/<slug:slug>/progress/", CorpusProgress.as_view(), name="corpus-progress"),
    path("corpora/<slug:slug>/clips/", ClipList.as_view(), name="clip-list"),
    path("corpora/<slug:slug>/clips/bulk/", ClipBulk.as_view(), name="clip-bulk"),
    path("clips/<int:pk>/", ClipDetail.as_view(), name="clip-detail"),
    path("clips/<int:pk>/person/", ClipPerson.as_view(), name="clip-person"),
    path("clips/<int:pk>/flags/", ClipFlags.as_view(), name="clip-flags"),
]
