"""REST of checking (docs/openapi.yaml): claims, drafts, submissions, decisions, records."""

import json
from typing import Any

from django.urls import path
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotator.accounts.authentication import Along
from annotator.clips.access import corpus_for
from annotator.core.errors import Invalid

from . import (
    context_api,
    gate_figures,
    leases,
    quality_api,
    queries,
    review_api,
    rules_api,
    schemas,
    services,
    text_api,
    work_api,
)
from .models import Claim, Record
from .submissions import etag

_KEY = OpenApiParameter("Idempotency-Key", OpenApiTypes.STR, OpenApiParameter.HEADER)
_IF_MATCH = OpenApiParameter("If-Match", OpenApiTypes.STR, OpenApiParameter.HEADER, required=True)
_PROBLEM = OpenApiResponse(OpenApiTypes.OBJECT, "problem+json (RFC 9457)")


def _read(schema: Any, request: Request) -> dict[str, Any]:
    form = schema(data=request.data)
    form.is_valid(raise_exception=True)
    return dict(form.validated_data)


def _regular(data: Any) -> dict[str, Any] | None:
    """A ClaimRequest that needs no serializer, which takes longer than all around it."""
    if type(data) is dict:
        asked = {"kind": "annotate", "ahead": False, **data}
        if len(asked) == 2 and asked["kind"] in ("annotate", "review") and isinstance(asked["ahead"], bool):
            return asked
    return None


def _object(request: Request) -> dict[str, Any]:
    if not isinstance(request.data, dict):
        message = _("The body must be a JSON object.")
        raise Invalid(message, errors={"": message})
    return request.data


def _claim_response(claim: Claim, user: Any, status: int = 200) -> Response:
    payload = queries.claim_payload(claim, user)
    return Response(payload, status=status, headers={"ETag": etag(payload["version"]), "Cache-Control": "no-store"})


class CorpusClaims(APIView):
    def along(self, request: Request) -> Along | None:
        """The claim, where what is asked for is regular; everything else is read, and refused, by `post`."""
        if request.content_type != "application/json" or len(request.body) > 100:
            return None
        try:
            asked = _regular(json.loads(request.body or b"{}"))
        except ValueError:
            return None
        if asked is None:
            return None
        sql, values = services.call_here(
            self.kwargs["slug"], asked["kind"], asked["ahead"], person="person.id, person.username, person.is_superuser"
        )
        action = leases.ACTION_OF[asked["kind"]]
        return Along(f"CASE WHEN token.scopes = '[]' OR token.scopes ? %s THEN {sql} END", [action, *values])

    @extend_schema(
        request=schemas.ClaimRequest,
        responses={201: schemas.ClaimShape, 200: schemas.ClaimShape, 204: OpenApiResponse(description="nothing now")},
    )
    def post(self, request: Request, slug: str) -> Response:
        """The next clip for me: 201 with a new claim, 200 with the one that I hold, 204 when nothing is left now."""
        asked = _regular(request.data) or _read(schemas.ClaimRequest, request)
        claim, created = services.claim_here(
            request.user, slug, kind=asked["kind"], ahead=asked["ahead"], told=getattr(request, "told", None)
        )
        if claim is None:
            return Response(status=204)
        return _claim_response(claim, request.user, 201 if created else 200)


class ClaimDetail(APIView):
    @extend_schema(responses={200: schemas.ClaimShape, 410: _PROBLEM})
    def get(self, request: Request, pk: int) -> Response:
        """A claim as its holder sees it; managers may read it too, with its last draft."""
        return _claim_response(queries.claim_to_read(request.user, pk), request.user)

    @extend_schema(responses={204: None, 409: _PROBLEM})
    def delete(self, request: Request, pk: int) -> Response:
        """Give the clip back; it is not offered to this person again. Managers may release anybody's claim."""
        services.release(request.user, pk)
        return Response(status=204)


class ClaimRenew(APIView):
    @extend_schema(request=None, responses={200: schemas.ClaimShape, 409: _PROBLEM})
    def post(self, request: Request, pk: int) -> Response:
        """A new lease, with new media URLs."""
        return _claim_response(services.renew(request.user, pk), request.user)


class ClaimSkip(APIView):
    @extend_schema(request=schemas.SkipRequest, responses={200: schemas.Skipped, 409: _PROBLEM})
    def post(self, request: Request, pk: int) -> Response:
        """Give the clip back for good, saying why."""
        leases.find_claim(request.user, pk)
        claim = services.skip(request.user, pk, _read(schemas.SkipRequest, request)["reason"])
        return Response({"id": claim.pk, "state": claim.state})


class ClaimDraft(APIView):
    @extend_schema(
        request=schemas.Body,
        parameters=[_IF_MATCH],
        responses={200: schemas.SavedDraft, 412: _PROBLEM, 422: _PROBLEM, 428: _PROBLEM},
    )
    def put(self, request: Request, pk: int) -> Response:
        """Save the work so far; the lease begins anew. `If-Match` is the ETag of the claim or of the last save."""
        draft = services.save_draft(request.user, pk, request.data, request.headers.get("If-Match"))
        return Response(
            {
                "version": draft.version,
                "saved_at": queries.iso(draft.saved_at),
                "lease_end": queries.iso(draft.lease_end),  # type: ignore[attr-defined]
            },
            headers={"ETag": etag(draft.version)},
        )


class ClaimSubmit(APIView):
    def along(self, request: Request) -> Along | None:
        """What the annotation is checked against."""
        pk = self.kwargs["pk"]
        return Along("checking_submission(%s, person.id)", [pk]) if 0 < pk < 2**63 else None

    @extend_schema(
        request=schemas.Body, parameters=[_KEY], responses={201: schemas.Submitted, 409: _PROBLEM, 422: _PROBLEM}
    )
    def post(self, request: Request, pk: int) -> Response:
        """Hand in the annotation; a replay is answered the same."""
        key = request.headers.get("Idempotency-Key")
        told = getattr(request, "told", None)
        return Response(services.submit(request.user, pk, request.data, key=key, facts=told), status=201)


class ClaimDecide(APIView):
    @extend_schema(
        request=schemas.DecideRequest,
        parameters=[_KEY],
        responses={201: schemas.Decided, 409: _PROBLEM, 422: _PROBLEM},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Accept an annotation into the fine record, or return it to its author with a reason."""
        leases.find_claim(request.user, pk)
        asked = _read(schemas.DecideRequest, request)
        answer = services.decide(
            request.user,
            pk,
            decision=asked["decision"],
            annotation_id=asked["annotation"],
            reason=asked["reason"],
            body=asked["body"],
            key=request.headers.get("Idempotency-Key"),
        )
        return Response(answer, status=201)


class ClaimSummarise(APIView):
    @extend_schema(request=schemas.Body, responses={200: schemas.Summarised, 409: _PROBLEM, 502: _PROBLEM})
    def post(self, request: Request, pk: int) -> Response:
        """A description proposed from the clues as checked so far. Nothing of the annotation changes."""
        leases.find_claim(request.user, pk)
        return Response(services.summarise(request.user, pk, _object(request)))


class CorpusRecords(generics.ListAPIView):
    serializer_class = schemas.RecordShape
    queryset = Record.objects.none()

    def get_queryset(self) -> Any:
        corpus = corpus_for(self.request.user, self.kwargs["slug"], "record.view")
        grade = self.request.query_params.get("grade", "")
        if grade not in ("", "coarse", "fine"):
            message = _("One of %(choices)s is wanted here.") % {"choices": "coarse, fine"}
            raise Invalid(message, errors={"grade": message})
        search = self.request.query_params.get("q", "")
        return queries.records_of(corpus, grade=grade, search=search, user=self.request.user)

    @extend_schema(
        parameters=[
            OpenApiParameter("grade", OpenApiTypes.STR, enum=["coarse", "fine"]),
            OpenApiParameter("q", OpenApiTypes.STR, description="text in the record"),
        ]
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Current records of a corpus; withdrawn clips are left out."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response([queries.record_json(record) for record in page or []])


class RecordDetail(APIView):
    @extend_schema(responses={200: schemas.RecordDetailShape, 410: _PROBLEM})
    def get(self, request: Request, pk: int) -> Response:
        """A record with its revisions; its ETag is the sha256 of its canonical line."""
        record = queries.record_for(request.user, pk)
        detail = queries.record_detail(record)
        return Response(detail, headers={"ETag": f'"{detail["sha256"]}"'})


class RecordProvenance(APIView):
    @extend_schema(responses={200: schemas.ProvenanceShape, 410: _PROBLEM})
    def get(self, request: Request, pk: int) -> Response:
        """From each sentence to the clue, the check, the model, the prompt version and the media hash."""
        return Response(queries.record_provenance(queries.record_for(request.user, pk)))


class CorpusGate(APIView):
    @extend_schema(responses=schemas.GateShape)
    def get(self, request: Request, slug: str) -> Response:
        """The evidence gate's verdicts by kind of claim, compared with what people did with the clues."""
        return Response(gate_figures.comparison(corpus_for(request.user, slug, "gate.view")))


urlpatterns = [
    path("corpora/<slug:slug>/claims/", CorpusClaims.as_view(), name="api-claims"),
    path("claims/<int:pk>/", ClaimDetail.as_view(), name="api-claim"),
    path("claims/<int:pk>/renew/", ClaimRenew.as_view(), name="api-claim-renew"),
    path("claims/<int:pk>/skip/", ClaimSkip.as_view(), name="api-claim-skip"),
    path("claims/<int:pk>/draft/", ClaimDraft.as_view(), name="api-claim-draft"),
    path("claims/<int:pk>/submit/", ClaimSubmit.as_view(), name="api-claim-submit"),
    path("claims/<int:pk>/decide/", ClaimDecide.as_view(), name="api-claim-decide"),
    path("claims/<int:pk>/summarise/", ClaimSummarise.as_view(), name="api-claim-summarise"),
    path("corpora/<slug:slug>/gate/", CorpusGate.as_view(), name="api-gate"),
    path("corpora/<slug:slug>/records/", CorpusRecords.as_view(), name="api-records"),
    path("records/<int:pk>/", RecordDetail.as_view(), name="api-record"),
    path("records/<int:pk>/provenance/", RecordProvenance.as_view(), name="api-record-provenance"),
]
for part in (rules_api, context_api, work_api, text_api, review_api, quality_api):
    urlpatterns += part.urlpatterns
