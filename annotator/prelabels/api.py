"""REST of prelabels."""

from typing import Any

from django.urls import path
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotator.clips.access import corpus_for
from annotator.core.errors import Invalid

from . import queries, services
from .models import Job, Run

RUN_STATES = [state for state, _label in Run.STATES]
JOB_STATES = [state for state, _label in Job.STATES]


class RunRequestSerializer(serializers.Serializer):
    """What to run; without `clips`, over all clips of the corpus."""

    pipeline = serializers.CharField(default=None, max_length=80)
    prelabellers = serializers.ListField(child=serializers.CharField(max_length=120), required=False, max_length=50)
    clips = serializers.ListField(child=serializers.CharField(max_length=200), required=False)


class JobCountsSerializer(serializers.Serializer):
    queued = serializers.IntegerField()
    running = serializers.IntegerField()
    done = serializers.IntegerField()
    failed = serializers.IntegerField()
    skipped = serializers.IntegerField()
    cancelled = serializers.IntegerField()


class RunSerializer(serializers.ModelSerializer):
    corpus = serializers.CharField(source="corpus.slug")
    pipeline = serializers.CharField(source="pipeline.name")
    pipeline_version = serializers.IntegerField(source="pipeline.version")
    started_by = serializers.CharField(source="started_by.username", default=None, allow_null=True)
    state = serializers.ChoiceField(choices=RUN_STATES)
    jobs = serializers.SerializerMethodField()

    class Meta:
        model = Run
        fields = ["id", "corpus", "pipeline", "pipeline_version", "state", "jobs", "parameters", "started_by",
                  "created_at", "finished_at"]  # fmt: skip

    @extend_schema_field(JobCountsSerializer)
    def get_jobs(self, run: Run) -> dict[str, int]:
        known = self.context.get("counts")
        return known[run.pk] if known is not None else queries.run_counts(run)


class JobSerializer(serializers.ModelSerializer):
    clip = serializers.CharField(source="clip.name")
    state = serializers.ChoiceField(choices=JOB_STATES)

    class Meta:
        model = Job
        fields = ["id", "clip", "clip_id", "step", "state", "reason", "error_code", "attempts", "losses", "calls",
                  "prompt_tokens", "completion_tokens", "seconds", "started_at", "finished_at",
                  "provenance"]  # fmt: skip


class CorpusRuns(generics.ListAPIView):
    """Runs of a corpus; POST starts one."""

    serializer_class = RunSerializer
    queryset = Run.objects.none()

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        corpus = corpus_for(request.user, kwargs["slug"], "run.view")
        page = self.paginate_queryset(queries.runs_of(corpus)) or []
        counts = queries.counts_of_runs(page)
        return self.get_paginated_response(RunSerializer(page, many=True, context={"counts": counts}).data)

    @extend_schema(request=RunRequestSerializer, responses={201: RunSerializer})
    def post(self, request: Request, slug: str) -> Response:
        corpus = corpus_for(request.user, slug, "run.start")
        wanted = RunRequestSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        run = services.create_run(
            request.user,
            corpus,
            wanted.validated_data["pipeline"],
            prelabellers=wanted.validated_data.get("prelabellers"),
            clip_names=wanted.validated_data.get("clips"),
        )
        return Response(RunSerializer(run).data, status=status.HTTP_201_CREATED)


class RunDetail(APIView):
    """One run with its jobs by state."""

    @extend_schema(responses=RunSerializer)
    def get(self, request: Request, pk: int) -> Response:
        return Response(RunSerializer(queries.run_for(request.user, pk)).data)


class RunJobs(generics.ListAPIView):
    """The jobs of a run, filtered by `state` and `step`."""

    serializer_class = JobSerializer
    queryset = Job.objects.none()

    @extend_schema(
        parameters=[
            OpenApiParameter("state", str, enum=JOB_STATES),
            OpenApiParameter("step", str),
        ]
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.list(request, *args, **kwargs)

    def get_queryset(self) -> Any:
        if getattr(self, "swagger_fake_view", False):
            return self.queryset
        jobs = queries.run_for(self.request.user, self.kwargs["pk"]).jobs.select_related("clip")
        chosen = self.request.query_params
        if state := chosen.get("state"):
            if state not in JOB_STATES:
                message = _("One of %(choices)s is wanted here.") % {"choices": ", ".join(JOB_STATES)}
                raise Invalid(message, errors={"state": message})
            jobs = jobs.filter(state=state)
        return jobs.filter(step=chosen["step"]) if chosen.get("step") else jobs


class CancelRun(APIView):
    """Cancel what is queued; what a worker is at is finished. 409 once the run has ended."""

    @extend_schema(request=None, responses=RunSerializer)
    def post(self, request: Request, pk: int) -> Response:
        run = queries.run_for(request.user, pk, "run.start")
        return Response(RunSerializer(services.cancel_run(request.user, run)).data)


class RetryRun(APIView):
    """Queue the failed jobs again. 409 where nothing has failed or the run was cancelled."""

    @extend_schema(request=None, responses=RunSerializer)
    def post(self, request: Request, pk: int) -> Response:
        run = queries.run_for(request.user, pk, "run.start")
        services.retry_run(request.user, run)
        run.refresh_from_db()
        return Response(RunSerializer(run).data)


urlpatterns = [
    path("corpora/<slug:slug>/runs/", CorpusRuns.as_view(), name="api-runs"),
    path("runs/<int:pk>/", RunDetail.as_view(), name="api-run"),
    path("runs/<int:pk>/jobs/", RunJobs.as_view(), name="api-run-jobs"),
    path("runs/<int:pk>/cancel/", CancelRun.as_view(), name="api-run-cancel"),
    path("runs/<int:pk>/retry/", RetryRun.as_view(), name="api-run-retry"),
]
