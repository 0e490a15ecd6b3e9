"""REST of experiments."""

from typing import Any

from django.urls import path
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotator.clips.access import require, require_scope
from annotator.core.errors import NotFound
from annotator.snapshots.queries import find_snapshot

from . import queries, services
from .models import Evaluation, TrainingRun


class TrainingRunSerializer(serializers.ModelSerializer):
    class Meta:
        model = TrainingRun
        fields = [
            *("id", "name", "config", "overrides", "snapshot", "snapshot_digest", "state", "reason"),
            *("result", "created_at", "started_at", "finished_at"),
        ]


class LaunchSerializer(serializers.Serializer):
    snapshot = serializers.CharField(help_text="id, corpus/name, or at least 12 hex digits of the digest")
    config = serializers.CharField(default="tiny")
    name = serializers.CharField(max_length=80)
    overrides = serializers.DictField(required=False, default=dict)


class EvaluationSerializer(serializers.ModelSerializer):
    class Meta:
        model = Evaluation
        fields = ["id", "training_run", "split", "report", "created_at"]


def _visible(request: Request, pk: int) -> TrainingRun:
    run = queries.visible_to(request.user).filter(pk=pk).first()
    if run is None:
        raise NotFound(_("There is no such object, or you may not see it."))
    return run


class TrainingRuns(generics.ListAPIView):
    serializer_class = TrainingRunSerializer
    queryset = TrainingRun.objects.none()

    def get_queryset(self) -> Any:
        require_scope(self.request.user, "training.view")
        return queries.visible_to(self.request.user)

    @extend_schema(request=LaunchSerializer, responses={201: TrainingRunSerializer})
    def post(self, request: Request) -> Response:
        form = LaunchSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        data = form.validated_data
        snapshot = find_snapshot(request.user, data["snapshot"])
        if snapshot is None:
            raise NotFound(_("There is no such object, or you may not see it."))
        require(request.user, snapshot.corpus, "training.start")
        run = services.launch(request.user, snapshot, data["config"], data["name"], data["overrides"])
        return Response(TrainingRunSerializer(run).data, status=201)


class TrainingRunDetail(APIView):
    @extend_schema(responses=TrainingRunSerializer)
    def get(self, request: Request, pk: int) -> Response:
        return Response(TrainingRunSerializer(_visible(request, pk)).data)


class Evaluations(generics.ListAPIView):
    serializer_class = EvaluationSerializer
    queryset = Evaluation.objects.none()

    def get_queryset(self) -> Any:
        require_scope(self.request.user, "training.view")
        return Evaluation.objects.filter(training_run__in=queries.visible_to(self.request.user).values("pk"))


class Lineage(APIView):
    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, pk: int) -> Response:
        """A checkpoint (by its training run) back to its snapshot and what it was initialised from."""
        return Response(queries.lineage(_visible(request, pk)))


urlpatterns = [
    path("training-runs/", TrainingRuns.as_view()),
    path("training-runs/<int:pk>/", TrainingRunDetail.as_view()),
    path("evaluations/", Evaluations.as_view()),
    path("checkpoints/<int:pk>/lineage/", Lineage.as_view()),
]
