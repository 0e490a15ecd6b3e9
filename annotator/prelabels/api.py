"""REST of prelabels: runs and their jobs."""

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

from . import budgets, progress, queries, services, tallies
from .keys import step_name
from .models import Job, Run
from .pipeline_api import urlpatterns as pipeline_urls

RUN_STATES = [state for state, _label in Run.STATES]
JOB_STATES = [state for state, _label in Job.STATES]


class BudgetSerializer(serializers.Serializer):
    """Limits of a run; a missing one is none."""

    tokens = serializers.IntegerField(required=False, min_value=1)
    money = serializers.FloatField(required=False, min_value=0)
    gpu_seconds = serializers.FloatField(required=False, min_value=0)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if isinstance(data, dict):  # a misspelt limit left out would be no limit
            budgets.parse(dict.fromkeys(data.keys() - self.fields.keys()))
        return super().to_internal_value(data)


class RunRequestSerializer(serializers.Serializer):
    """What to run; without `clips` and `filter`, over all clips of the corpus.

    `pipeline` is `measured` unless `prelabellers` are named. With both, the models named take the place of the
    configured servers in the pipeline's steps, and steps named leave out the others. `filter`: `without` (a step not
    done yet), `without_record` (coarse, fine), `speaker`, `source`, `label` (text or list), `min_duration`,
    `max_duration` (seconds), `sample` and `seed`.
    """

    pipeline = serializers.CharField(default=None, max_length=80)
    prelabellers = serializers.ListField(child=serializers.CharField(max_length=120), required=False, max_length=50)
    clips = serializers.ListField(child=serializers.CharField(max_length=200), required=False)
    filter = serializers.DictField(required=False)
    budget = BudgetSerializer(required=False)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        # A misspelt "filter" left out would be a run over everything; `repeat` changes no estimate.
        unknown = sorted(data.keys() - self.fields.keys() - {"repeat"}) if isinstance(data, dict) else []
        if unknown:
            message = _("There is no setting “%(name)s” of a run. There are: %(known)s.")
            raise Invalid(
                message % {"name": str(unknown[0])[:60], "known": ", ".join(dict.fromkeys([*self.fields, "repeat"]))}
            )
        return super().to_internal_value(data)

    def wanted(self) -> dict[str, Any]:
        """The keyword arguments of `create_run` and `estimate`."""
        data = self.validated_data
        return {
            "pipeline_name": data["pipeline"],
            "prelabellers": data.get("prelabellers"),
            "clip_names": data.get("clips"),
            "only": data.get("filter"),
            "budget": data.get("budget"),
        }


class StartRequestSerializer(RunRequestSerializer):
    """What to run, and which repetition: identical requests of one repetition are paid once."""

    repeat = serializers.IntegerField(default=0, min_value=0, max_value=32_767)


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
    filter = serializers.DictField(source="selection")
    budget = BudgetSerializer()
    jobs = serializers.SerializerMethodField()

    class Meta:
        model = Run
        fields = ["id", "corpus", "pipeline", "pipeline_version", "state", "reason", "jobs", "clips", "filter",
                  "budget", "repeat", "parameters", "started_by", "created_at", "planned_at",
                  "finished_at"]  # fmt: skip

    @extend_schema_field(JobCountsSerializer)
    def get_jobs(self, run: Run) -> dict[str, int]:
        known = self.context.get("counts")
        return known[run.pk] if known is not None else tallies.counts_of([run])[run.pk]


class SpentSerializer(serializers.Serializer):
    tokens = serializers.IntegerField()
    money = serializers.FloatField()
    gpu_seconds = serializers.FloatField()


class RunProgressSerializer(serializers.Serializer):
    """`jobs`: all that the run will have; `rate` in jobs per second; `cached`: jobs whose answer was in the cache."""

    jobs = serializers.IntegerField()
    made = serializers.IntegerField()
    ended = serializers.IntegerField()
    percent = serializers.FloatField()
    rate = serializers.FloatField(allow_null=True)
    eta_seconds = serializers.IntegerField(allow_null=True)
    calls = serializers.IntegerField()
    cached = serializers.IntegerField()
    losses = serializers.IntegerField()
    spent = SpentSerializer()
    codes = serializers.ListField(child=serializers.DictField(), help_text="Failed and skipped jobs by step and code.")


class RunDetailSerializer(RunSerializer):
    progress = serializers.SerializerMethodField()

    class Meta(RunSerializer.Meta):
        fields = [*RunSerializer.Meta.fields, "progress"]

    @extend_schema_field(RunProgressSerializer)
    def get_progress(self, run: Run) -> dict[str, Any]:
        return dict(RunProgressSerializer(progress.run_progress(run)).data)


class StepEstimateSerializer(serializers.Serializer):
    """A figure is null where there is nothing to estimate it from; `note` says why."""

    step = serializers.CharField()
    step_name = serializers.CharField()
    jobs = serializers.IntegerField()
    calls = serializers.IntegerField()
    prompt_tokens = serializers.IntegerField(allow_null=True)
    completion_tokens = serializers.IntegerField(allow_null=True)
    money = serializers.FloatField(allow_null=True)
    gpu_seconds = serializers.FloatField(allow_null=True)
    seconds = serializers.FloatField(allow_null=True)
    concurrency = serializers.IntegerField(allow_null=True)
    measured_on = serializers.IntegerField()
    note = serializers.CharField()


class EstimateTotalsSerializer(SpentSerializer):
    seconds = serializers.FloatField()


class EstimateSerializer(serializers.Serializer):
    pipeline = serializers.CharField()
    clips = serializers.IntegerField()
    jobs = serializers.IntegerField()
    calls = serializers.IntegerField()
    obstacles = serializers.ListField(child=serializers.DictField())
    steps = StepEstimateSerializer(many=True)
    totals = EstimateTotalsSerializer()
    unknown = serializers.ListField(child=serializers.CharField())
    over_budget = serializers.ListField(child=serializers.CharField())


class JobSerializer(serializers.ModelSerializer):
    clip = serializers.CharField(source="clip.name")
    step_name = serializers.SerializerMethodField(help_text="The step with its pre-labeller's name, as people read it.")
    state = serializers.ChoiceField(choices=JOB_STATES)

    class Meta:
        model = Job
        fields = ["id", "clip", "clip_id", "step", "step_name", "state", "reason", "error_code", "attempts", "losses",
                  "calls", "prompt_tokens", "completion_tokens", "seconds", "gpu_seconds", "cost", "cached",
                  "started_at", "finished_at", "provenance", "exchange"]  # fmt: skip

    def get_step_name(self, job: Job) -> str:
        return step_name(job.step, job.run.pipeline.definition)


class CorpusRuns(generics.ListAPIView):
    """Runs of a corpus; POST starts one."""

    serializer_class = RunSerializer
    queryset = Run.objects.none()

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        corpus = corpus_for(request.user, kwargs["slug"], "run.view")
        page = self.paginate_queryset(queries.runs_of(corpus)) or []
        counts = tallies.counts_of(page)
        return self.get_paginated_response(RunSerializer(page, many=True, context={"counts": counts}).data)

    @extend_schema(request=StartRequestSerializer, responses={201: RunSerializer})
    def post(self, request: Request, slug: str) -> Response:
        corpus = corpus_for(request.user, slug, "run.start")
        asked = StartRequestSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        run = services.create_run(request.user, corpus, **asked.wanted(), repeat=asked.validated_data["repeat"])
        return Response(RunSerializer(run).data, status=status.HTTP_201_CREATED)


class EstimateRun(APIView):
    """What such a run would do and cost, by what its steps really took before; nothing is written."""

    @extend_schema(request=RunRequestSerializer, responses=EstimateSerializer)
    def post(self, request: Request, slug: str) -> Response:
        corpus = corpus_for(request.user, slug, "run.start")
        asked = RunRequestSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return Response(services.estimate(corpus, **asked.wanted()))


class RunDetail(APIView):
    """One run with its jobs by state and its progress."""

    @extend_schema(responses=RunDetailSerializer)
    def get(self, request: Request, pk: int) -> Response:
        return Response(RunDetailSerializer(queries.run_for(request.user, pk)).data)


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
        run = queries.run_for(self.request.user, self.kwargs["pk"])
        jobs = run.jobs.select_related("clip")  # each job's `run` is this one, with its pipeline
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


class PauseRun(APIView):
    """Take no more jobs until the run is resumed. 409 where it does not go on."""

    @extend_schema(request=None, responses=RunSerializer)
    def post(self, request: Request, pk: int) -> Response:
        run = queries.run_for(request.user, pk, "run.start")
        return Response(RunSerializer(services.pause_run(request.user, run)).data)


class ResumeRequestSerializer(serializers.Serializer):
    """With `budget`, the run's limits are replaced."""

    budget = BudgetSerializer(required=False, allow_null=True)


class ResumeRun(APIView):
    """Let a paused run go on. 409 where it is not paused, 422 where its budget is spent."""

    @extend_schema(request=ResumeRequestSerializer, responses=RunSerializer)
    def post(self, request: Request, pk: int) -> Response:
        run = queries.run_for(request.user, pk, "run.start")
        asked = ResumeRequestSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        budget = asked.validated_data.get("budget")
        return Response(RunSerializer(services.resume_run(request.user, run, budget)).data)


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
    path("corpora/<slug:slug>/runs/estimate/", EstimateRun.as_view(), name="api-runs-estimate"),
    path("runs/<int:pk>/", RunDetail.as_view(), name="api-run"),
    path("runs/<int:pk>/jobs/", RunJobs.as_view(), name="api-run-jobs"),
    path("runs/<int:pk>/cancel/", CancelRun.as_view(), name="api-run-cancel"),
    path("runs/<int:pk>/pause/", PauseRun.as_view(), name="api-run-pause"),
    path("runs/<int:pk>/resume/", ResumeRun.as_view(), name="api-run-resume"),
    path("runs/<int:pk>/retry/", RetryRun.as_view(), name="api-run-retry"),
    *pipeline_urls,
]
