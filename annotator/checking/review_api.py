"""REST of review beside the decision itself: opening one anew, the log of the rule that accepts by itself."""

from typing import Any

from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotator.clips.access import corpus_for
from annotator.core.errors import Invalid

from . import review_reading, reviews
from .models import AutoDecision

_PROBLEM = OpenApiResponse(OpenApiTypes.OBJECT, "problem+json (RFC 9457)")


class Reopened(serializers.Serializer):
    slot = serializers.IntegerField()
    claim = serializers.IntegerField(allow_null=True, help_text="yours, where you may review the clip yourself")


class AutoDecisionShape(serializers.Serializer):
    id = serializers.IntegerField()
    clip = serializers.CharField()
    clip_id = serializers.IntegerField()
    accepted = serializers.BooleanField()
    agreement = serializers.FloatField(help_text="mean of verdicts and labels; 0 where one of them is missing")
    threshold = serializers.FloatField()
    verdicts = serializers.FloatField(allow_null=True)
    labels = serializers.FloatField(allow_null=True)
    annotations = serializers.ListField(child=serializers.IntegerField())
    annotation = serializers.IntegerField(help_text="the most central of them")
    record = serializers.IntegerField(allow_null=True)
    revision = serializers.IntegerField(allow_null=True)
    created_at = serializers.DateTimeField()


class ClipReview(APIView):
    @extend_schema(request=None, responses={201: Reopened, 409: _PROBLEM, 410: _PROBLEM})
    def post(self, request: Request, pk: int) -> Response:
        """Open the review of a decided clip anew; what is accepted then is a further revision of its record."""
        return Response(reviews.adjudicate(request.user, pk), status=201)


class CorpusAutoDecisions(generics.ListAPIView):
    serializer_class = AutoDecisionShape
    queryset = AutoDecision.objects.none()

    def get_queryset(self) -> Any:
        corpus = corpus_for(self.request.user, self.kwargs["slug"], "quality.view")
        rows, accepted = review_reading.auto_decisions(corpus), self.request.query_params.get("accepted", "")
        if accepted not in ("", "true", "false"):
            message = _("One of %(choices)s is wanted here.") % {"choices": "true, false"}
            raise Invalid(message, errors={"accepted": message})
        return rows.filter(accepted=accepted == "true") if accepted else rows

    @extend_schema(parameters=[OpenApiParameter("accepted", OpenApiTypes.STR, enum=["true", "false"])])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Each time the corpus' rule was asked to accept by agreement, and what it found; oldest first."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response([review_reading.auto_decision_json(row) for row in page or []])


urlpatterns: list[URLPattern] = [
    path("clips/<int:pk>/review/", ClipReview.as_view(), name="api-clip-review"),
    path("corpora/<slug:slug>/auto-decisions/", CorpusAutoDecisions.as_view(), name="api-auto-decisions"),
]
