"""REST of pipelines: those of the library and those that people wrote."""

from typing import Any

from django.urls import path
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotator.core.errors import Forbidden, NotFound
from models_ml.steps import PIPELINES

from . import pipelines, plans
from .models import Pipeline


class PipelineSerializer(serializers.ModelSerializer):
    """One version: what somebody wrote (`declaration`) and what is done (`definition`)."""

    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True)
    declaration = serializers.ListField(child=serializers.JSONField())
    definition = serializers.DictField()

    class Meta:
        model = Pipeline
        fields = ["id", "name", "version", "sha256", "declaration", "definition", "created_by", "created_at"]


class PipelineRequestSerializer(serializers.Serializer):
    """`declaration`: a list of steps (each a name, or an object of step, prelabeller, options, tag), or YAML text."""

    name = serializers.CharField(max_length=80)
    declaration = serializers.JSONField()


class CurrentPipelineSerializer(serializers.Serializer):
    name = serializers.CharField()
    version = serializers.IntegerField(allow_null=True, help_text="Null where no run took it in this form yet.")
    builtin = serializers.BooleanField()
    definition = serializers.DictField()


class AllPipelines(generics.ListAPIView):
    """All versions of the pipelines that people wrote; POST writes the next version of one."""

    serializer_class = PipelineSerializer
    queryset = Pipeline.objects.none()

    def get_queryset(self) -> Any:
        if getattr(self, "swagger_fake_view", False):
            return self.queryset
        _readable(self.request)
        return plans.own_pipelines().select_related("created_by")

    @extend_schema(request=PipelineRequestSerializer, responses={201: PipelineSerializer})
    def post(self, request: Request) -> Response:
        if not pipelines.may(request.user, "pipeline.define"):
            raise Forbidden(_("Only managers of a corpus write pipelines."))
        asked = PipelineRequestSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        row = pipelines.define(request.user, asked.validated_data["name"], asked.validated_data["declaration"])
        return Response(PipelineSerializer(row).data, status=status.HTTP_201_CREATED)


class OnePipeline(APIView):
    """A pipeline as a run would take it now."""

    @extend_schema(responses=CurrentPipelineSerializer)
    def get(self, request: Request, name: str) -> Response:
        _readable(request)
        if name not in PIPELINES and not plans.own_pipelines().filter(name=name).exists():
            raise NotFound(_("There is no such object, or you may not see it."))
        plan = plans.plan_for(name)
        known = plans.known_row(plan)
        return Response(
            {
                "name": plan.name,
                "version": known.version if known else None,
                "builtin": name in PIPELINES,
                "definition": plan.definition,
            }
        )


def _readable(request: Request) -> None:
    if not pipelines.may(request.user, "pipeline.view"):
        raise Forbidden(_("Your roles do not allow you to see pipelines."))


urlpatterns = [
    path("pipelines/", AllPipelines.as_view(), name="api-pipelines"),
    path("pipelines/<str:name>/", OnePipeline.as_view(), name="api-pipeline"),
]
