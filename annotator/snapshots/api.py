"""REST of snapshots: immutable, so PATCH, PUT and DELETE answer 405."""

import zipfile
from collections.abc import Iterator
from typing import Any

from django.http import HttpResponseBase, StreamingHttpResponse
from django.urls import path
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotator.clips.access import corpus_for, require, require_scope
from annotator.core import audit
from annotator.core.errors import Gone, Invalid, NotFound
from annotator.core.files import ranged_response

from . import exports, queries, services, splits
from .models import Snapshot

_TYPES = {"json": "application/json", "jsonl": "application/x-ndjson", "md": "text/markdown; charset=utf-8"}
# What holds a withdrawn clip's words; hashes, names and the manifest stay readable as its tombstone.
_WITH_CONTENT = ("records.jsonl", "annotations.jsonl", "provenance.jsonl", "media.jsonl")


class SnapshotSerializer(serializers.ModelSerializer):
    corpus = serializers.CharField(source="corpus.slug")
    counts = serializers.JSONField(source="manifest.counts")
    splits = serializers.JSONField(source="manifest.splits")
    files = serializers.SerializerMethodField()

    class Meta:
        model = Snapshot
        fields = [
            "id",
            "corpus",
            "name",
            "grade",
            "digest",
            "created_at",
            "counts",
            "splits",
            "manifest_sha256",
            "files",
        ]

    def get_files(self, snapshot: Snapshot) -> list[dict[str, Any]]:
        return [{"path": f.path, "bytes": f.bytes, "sha256": f.sha256} for f in snapshot.files.all()]


class SplitField(serializers.DictField):
    """Sizes by name, or the command's way of writing them: `train=0.8,test=0.2`."""

    def to_internal_value(self, data: Any) -> dict[str, float]:
        return splits.parse_sizes(data) if isinstance(data, str) else super().to_internal_value(data)


class GroupByField(serializers.ListField):
    """Keys in a list, or the command's way of writing them: `source,speaker`, or `none`."""

    def to_internal_value(self, data: Any) -> list[str]:
        return services.parse_group_by(data) if isinstance(data, str) else super().to_internal_value(data)


class FreezeSerializer(serializers.Serializer):
    name = serializers.CharField(max_length=80)
    grade = serializers.ChoiceField(choices=["fine", "coarse"], default="fine")
    split = SplitField(child=serializers.FloatField(min_value=0), required=False, allow_null=True)
    group_by = GroupByField(child=serializers.ChoiceField(choices=list(splits.GROUP_KEYS)), required=False)
    seed = serializers.IntegerField(default=0)


class DiffSerializer(serializers.Serializer):
    to = serializers.IntegerField()
    added = serializers.ListField(child=serializers.CharField())
    removed = serializers.ListField(child=serializers.CharField())
    changed = serializers.ListField(child=serializers.CharField())
    unchanged = serializers.IntegerField()


def _visible(request: Request, pk: int) -> Snapshot:
    snapshot = queries.visible_to(request.user).filter(pk=pk).first()
    if snapshot is None:
        raise NotFound(_("There is no such object, or you may not see it."))
    return snapshot


class CorpusSnapshots(APIView):
    @extend_schema(request=FreezeSerializer, responses={201: SnapshotSerializer})
    def post(self, request: Request, slug: str) -> Response:
        """Freeze the corpus' current records."""
        corpus = corpus_for(request.user, slug, "snapshot.freeze")
        form = FreezeSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        data = form.validated_data
        sizes = dict(data["split"]) if data.get("split") else None
        if sizes:
            sizes = splits.parse_sizes(",".join(f"{name}={value!r}" for name, value in sizes.items()))
        snapshot = services.freeze_snapshot(
            request.user,
            corpus,
            data["name"],
            grade=data["grade"],
            sizes=sizes,
            group_by=data.get("group_by", splits.GROUP_KEYS),
            seed=data["seed"],
        )
        return Response(SnapshotSerializer(snapshot).data, status=201)


class SnapshotList(generics.ListAPIView):
    serializer_class = SnapshotSerializer
    queryset = Snapshot.objects.none()

    def get_queryset(self) -> Any:
        require_scope(self.request.user, "snapshot.view")
        return queries.visible_to(self.request.user).prefetch_related("files")


class SnapshotDetail(APIView):
    @extend_schema(responses=SnapshotSerializer)
    def get(self, request: Request, pk: int) -> Response:
        snapshot = _visible(request, pk)
        return Response({**SnapshotSerializer(snapshot).data, "withdrawn": queries.withdrawn_clips(snapshot)})


class SnapshotFileView(APIView):
    @extend_schema(responses={200: OpenApiTypes.BINARY, 206: OpenApiTypes.BINARY})
    def get(self, request: Request, pk: int, path: str) -> HttpResponseBase:
        """A file of the snapshot, with Range; its ETag is its sha256."""
        snapshot = _visible(request, pk)
        file = snapshot.files.filter(path=path).first()
        if file is None:
            raise NotFound(_("The snapshot has no file “%s”.") % path)
        if path in _WITH_CONTENT and (withdrawn := queries.withdrawn_clips(snapshot)):
            raise Gone(
                _("Clips of this snapshot were withdrawn: %s. Its records are no longer handed out.")
                % ", ".join(withdrawn[:5]),
                withdrawn=withdrawn,
            )
        kind = _TYPES.get(path.rpartition(".")[2], "text/plain; charset=utf-8")
        full = services.folder_of(snapshot) / file.path
        try:
            return ranged_response(request._request, full, content_type=kind, etag=file.sha256)
        except FileNotFoundError as error:
            raise services.file_lost(path) from error


class SnapshotExport(APIView):
    @extend_schema(responses={200: OpenApiTypes.BINARY})
    def get(self, request: Request, pk: int, format_name: str) -> HttpResponseBase:
        """An export as a stream; the folder comes as a zip."""
        snapshot = _visible(request, pk)
        require(request.user, snapshot.corpus, "record.export")
        name = f"{snapshot.corpus.slug}-{snapshot.name}"
        if format_name not in exports.FOLDERS:
            exports.known_format(format_name)
        audit.record(request.user, "snapshot.export", corpus=snapshot.corpus.slug, target=name, format=format_name)
        if format_name in exports.FOLDERS:
            if withdrawn := queries.withdrawn_clips(snapshot):
                raise Gone(
                    _("Clips of this snapshot were withdrawn: %s.") % ", ".join(withdrawn[:5]), withdrawn=withdrawn
                )
            services.require_files(snapshot)  # an answer that has begun cannot say what is missing
            response = StreamingHttpResponse(_zip(snapshot, name), content_type="application/zip")
            response["Content-Disposition"] = f'attachment; filename="{name}.zip"'
            return response
        chosen = exports.known_format(format_name)
        response = StreamingHttpResponse(exports.stream(snapshot, format_name), content_type=chosen.content_type)
        response["Content-Disposition"] = f'attachment; filename="{name}-{format_name}.{chosen.extension}"'
        return response


class _Pipe:
    """The unseekable end that zipfile writes to; what it wrote is taken away after each block."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self.parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def take(self) -> bytes:
        parts, self.parts = self.parts, []
        return b"".join(parts)


def _zip(snapshot: Snapshot, name: str) -> Iterator[bytes]:
    pipe = _Pipe()
    folder = services.folder_of(snapshot)
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:  # type: ignore[call-overload]
        for file in snapshot.files.all():
            with (
                archive.open(f"{name}/{file.path}", "w", force_zip64=True) as target,
                (folder / file.path).open("rb") as f,
            ):
                while block := f.read(256 * 1024):
                    target.write(block)
                    if data := pipe.take():
                        yield data
    yield pipe.take()


class SnapshotDiff(APIView):
    @extend_schema(responses=DiffSerializer)
    def get(self, request: Request, pk: int, other: int) -> Response:
        a, b = _visible(request, pk), _visible(request, other)
        if a.corpus_id != b.corpus_id:
            raise Invalid(_("Snapshots of two corpora cannot be compared."))
        return Response(queries.difference(a, b))


urlpatterns = [
    path("corpora/<slug:slug>/snapshots/", CorpusSnapshots.as_view()),
    path("snapshots/", SnapshotList.as_view()),
    path("snapshots/<int:pk>/", SnapshotDetail.as_view()),
    path("snapshots/<int:pk>/files/<path:path>", SnapshotFileView.as_view(), name="snapshot-file"),
    path("snapshots/<int:pk>/exports/<str:format_name>/", SnapshotExport.as_view(), name="snapshot-export"),
    path("snapshots/<int:pk>/diff/<int:other>/", SnapshotDiff.as_view()),
]
