"""REST of experiments."""

from typing import Any

from django.urls import path
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotator.clips.access import require, require_scope
from annotator.core.errors import NotFound
from annotator.snapshots.queries import find_snapshot

from . import queries, services
from .models import Checkpoint, Evaluation, TrainingRun


class TrainingRunSerializer(serializers.ModelSerializer):
    class Meta:
        model = TrainingRun
        fields = [
            *("id", "name", "config", "overrides", "snapshot", "snapshot_digest", "init", "text_only", "launched"),
            *("state", "reason", "attempts", "losses", "result", "created_at", "started_at", "finished_at"),
        ]


class CheckpointSerializer(serializers.ModelSerializer):
    prelabeller = serializers.CharField(source="prelabeller.name", allow_null=True, default=None)

    class Meta:
        model = Checkpoint
        fields = ["id", "training_run", "name", "step", "sha256", "made_at", "removed_at", "prelabeller"]


class TrainingProgressSerializer(serializers.Serializer):
    """As far as the run's folder says it; the rest is null."""

    step = serializers.IntegerField(allow_null=True)
    steps = serializers.IntegerField(allow_null=True)
    epoch = serializers.FloatField(allow_null=True)
    loss = serializers.FloatField(allow_null=True)
    lr = serializers.FloatField(allow_null=True)
    samples_per_second = serializers.FloatField(allow_null=True)
    eta_seconds = serializers.FloatField(allow_null=True)


PROGRESS = ("step", "steps", "epoch", "loss", "lr", "samples_per_second", "eta_seconds")


class OneTrainingRunSerializer(TrainingRunSerializer):
    progress = TrainingProgressSerializer()
    checkpoints = CheckpointSerializer(many=True)

    class Meta(TrainingRunSerializer.Meta):
        fields = [*TrainingRunSerializer.Meta.fields, "progress", "checkpoints"]


class LaunchSerializer(serializers.Serializer):
    snapshot = serializers.CharField(help_text="id, corpus/name, or at least 12 hex digits of the digest")
    config = serializers.CharField(default="tiny")
    name = serializers.CharField(max_length=80)
    overrides = serializers.DictField(required=False, default=dict)
    init = serializers.IntegerField(required=False, allow_null=True, help_text="id of a checkpoint to start from")
    text_only = serializers.BooleanField(default=False)


class EvaluationSerializer(serializers.ModelSerializer):
    class Meta:
        model = Evaluation
        fields = ["id", "training_run", "split", "report", "created_at"]


class PromoteSerializer(serializers.Serializer):
    name = serializers.CharField(max_length=120, required=False, default="")


class PromotedSerializer(serializers.Serializer):
    checkpoint = serializers.IntegerField()
    prelabeller = serializers.CharField()


def _nothing() -> NotFound:
    return NotFound(_("There is no such object, or you may not see it."))


def _visible(request: Request, pk: int) -> TrainingRun:
    run = queries.visible_to(request.user).filter(pk=pk).first()
    if run is None:
        raise _nothing()
    return run


def _startable(request: Request, pk: int) -> TrainingRun:
    run = _visible(request, pk)
    if run.snapshot is None:
        raise NotFound(_("This run was not launched here."))
    require(request.user, run.snapshot.corpus, "training.start")
    return run


def _checkpoint(request: Request, pk: Any) -> Checkpoint:
    row = queries.checkpoints_visible_to(request.user).filter(pk=pk).first()
    if row is None:
        raise _nothing()
    return row


def _told(run: TrainingRun) -> dict[str, Any]:
    known = queries.progress(run)
    return {
        **TrainingRunSerializer(run).data,
        "progress": {name: known.get(name) for name in PROGRESS},
        "checkpoints": CheckpointSerializer(run.checkpoints.select_related("prelabeller"), many=True).data,
    }


class TrainingRuns(generics.ListAPIView):
    serializer_class = TrainingRunSerializer
    queryset = TrainingRun.objects.none()

    def get_queryset(self) -> Any:
        require_scope(self.request.user, "training.view")
        return queries.visible_to(self.request.user)

    @extend_schema(request=LaunchSerializer, responses={201: TrainingRunSerializer})
    def post(self, request: Request) -> Response:
        """Queue a run; the trainer takes it up."""
        form = LaunchSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        data = form.validated_data
        snapshot = find_snapshot(request.user, data["snapshot"])
        if snapshot is None:
            raise _nothing()
        require(request.user, snapshot.corpus, "training.start")
        init = _checkpoint(request, data["init"]) if data.get("init") is not None else None
        run = services.launch(
            request.user, snapshot, data["config"], data["name"], data["overrides"], init, text_only=data["text_only"]
        )
        return Response(TrainingRunSerializer(run).data, status=201)


class TrainingRunDetail(APIView):
    @extend_schema(responses=OneTrainingRunSerializer)
    def get(self, request: Request, pk: int) -> Response:
        """A run with its progress and checkpoints."""
        return Response(_told(_visible(request, pk)))


class CancelTraining(APIView):
    @extend_schema(request=None, responses=OneTrainingRunSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """Stop it: at once where it waits, else when its trainer has saved a checkpoint."""
        return Response(_told(services.cancel(request.user, _startable(request, pk))))


class ResumeTraining(APIView):
    @extend_schema(request=None, responses=OneTrainingRunSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """Let a failed or cancelled run go on from its last checkpoint."""
        return Response(_told(services.resume(request.user, _startable(request, pk))))


class Evaluations(generics.ListAPIView):
    serializer_class = EvaluationSerializer
    queryset = Evaluation.objects.none()

    @extend_schema(
        parameters=[
            OpenApiParameter("training_run", int, description="only of this run"),
            OpenApiParameter("split", str, description="only on this split"),
        ]
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Evaluation reports of all runs that I may see."""
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> Any:
        require_scope(self.request.user, "training.view")
        found = queries.evaluations_visible_to(self.request.user)
        run, split = (self.request.query_params.get(name, "") for name in ("training_run", "split"))
        if run:
            found = found.filter(training_run=int(run)) if run.isdecimal() and len(run) < 19 else found.none()
        if split:
            found = found.filter(split=split) if "\x00" not in split else found.none()
        return found


class CheckpointDetail(APIView):
    @extend_schema(responses=CheckpointSerializer)
    def get(self, request: Request, pk: int) -> Response:
        """A checkpoint: its digest, whether its weights are still there, the pre-labeller that it became."""
        return Response(CheckpointSerializer(_checkpoint(request, pk)).data)


class PromoteCheckpoint(APIView):
    @extend_schema(request=PromoteSerializer, responses={200: PromotedSerializer})
    def post(self, request: Request, pk: int) -> Response:
        """Make it a pre-labeller; a second time the same one."""
        row = _checkpoint(request, pk)
        if row.training_run.snapshot is None:
            raise NotFound(_("The snapshot of this run is not known here."))
        require(request.user, row.training_run.snapshot.corpus, "checkpoint.promote")
        form = PromoteSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        made = services.promote(request.user, row, form.validated_data["name"])
        return Response({"checkpoint": row.pk, "prelabeller": made.name})


class Lineage(APIView):
    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, pk: int) -> Response:
        """A checkpoint back to the snapshots and records that it was trained on, stage by stage."""
        return Response(queries.lineage(_checkpoint(request, pk), request.user))


urlpatterns = [
    path("training-runs/", TrainingRuns.as_view()),
    path("training-runs/<int:pk>/", TrainingRunDetail.as_view()),
    path("training-runs/<int:pk>/cancel/", CancelTraining.as_view()),
    path("training-runs/<int:pk>/resume/", ResumeTraining.as_view()),
    path("evaluations/", Evaluations.as_view()),
    path("checkpoints/<int:pk>/", CheckpointDetail.as_view()),
    path("checkpoints/<int:pk>/promote/", PromoteCheckpoint.as_view()),
    path("checkpoints/<int:pk>/lineage/", Lineage.as_view()),
]
