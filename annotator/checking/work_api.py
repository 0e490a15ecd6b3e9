"""REST beside the checking page: the thread of a clip, one's own keys, examples, the versions of a draft."""

import json

from django.db.models import Case, CharField, F, Func, IntegerField, QuerySet, Value, When
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Coalesce, Length
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotator.clips.access import corpus_for, require_scope
from annotator.core.errors import Invalid, NotFound
from annotator.core.paging import CursorPages

from . import comments, gold, preferences, queries
from .models import Draft

_PROBLEM = OpenApiResponse(OpenApiTypes.OBJECT, "problem+json (RFC 9457)")
EXAMPLES = 50


class CommentShape(serializers.Serializer):
    id = serializers.IntegerField()
    author = serializers.CharField(help_text="a pseudonym, stable within the corpus")
    mine = serializers.BooleanField()
    role = serializers.CharField()
    text = serializers.CharField()
    created_at = serializers.DateTimeField()
    resolved_at = serializers.DateTimeField(allow_null=True)
    may_resolve = serializers.BooleanField()


class ThreadShape(serializers.Serializer):
    results = CommentShape(many=True)


class CommentRequest(serializers.Serializer):
    text = serializers.CharField(max_length=comments.LONGEST)


class ResolveRequest(serializers.Serializer):
    resolved = serializers.BooleanField(default=True)


class PreferencesShape(serializers.Serializer):
    keys = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))
    settings = serializers.DictField()


class DraftRow(serializers.Serializer):
    version = serializers.IntegerField()
    saved_at = serializers.DateTimeField()
    clues = serializers.IntegerField(help_text="with a verdict")
    characters = serializers.IntegerField(help_text="of the description in both languages")


class DraftShape(serializers.Serializer):
    version = serializers.IntegerField()
    saved_at = serializers.DateTimeField()
    body = serializers.DictField()


class ExampleShape(serializers.Serializer):
    clip = serializers.CharField()
    note = serializers.CharField()
    record = serializers.DictField(help_text="as in records.jsonl")


class ExamplesShape(serializers.Serializer):
    results = ExampleShape(many=True)


class ClipComments(APIView):
    @extend_schema(responses={200: ThreadShape, 410: _PROBLEM})
    def get(self, request: Request, pk: int) -> Response:
        """The thread of a clip, as far as it is for me to read before I have handed in my own work on it."""
        clip = comments.clip_for(request.user, pk)
        return Response({"results": comments.shown(request.user, clip)}, headers={"Cache-Control": "no-store"})

    @extend_schema(request=CommentRequest, responses={201: ThreadShape, 410: _PROBLEM, 422: _PROBLEM})
    def post(self, request: Request, pk: int) -> Response:
        """Add a remark; the answer is the thread with it."""
        clip = comments.clip_for(request.user, pk)
        text = request.data.get("text") if isinstance(request.data, dict) else None
        if not isinstance(text, str):
            raise Invalid(_("Write something."), errors={"text": _("Write something.")})
        comments.write(request.user, clip, text)
        return Response({"results": comments.shown(request.user, clip)}, status=201)


class CommentResolve(APIView):
    @extend_schema(request=ResolveRequest, responses={200: ThreadShape, 410: _PROBLEM})
    def post(self, request: Request, pk: int) -> Response:
        """Say that a remark is dealt with (`{"resolved": false}`: that it is not); the answer is the thread."""
        asked = ResolveRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        comment = comments.resolve(request.user, pk, asked.validated_data["resolved"])
        return Response({"results": comments.shown(request.user, comment.clip)})


WORK = ("claim.annotate", "claim.review")  # what the checking pages are for


class MyPreferences(APIView):
    @extend_schema(responses={200: PreferencesShape, 403: _PROBLEM})
    def get(self, request: Request) -> Response:
        """My own keys on the checking pages, and small settings of theirs."""
        require_scope(request.user, *WORK)
        return Response(preferences.preferences_of(request.user))

    @extend_schema(request=PreferencesShape, responses={200: PreferencesShape, 403: _PROBLEM, 422: _PROBLEM})
    def put(self, request: Request) -> Response:
        """Keep these instead of what there was."""
        require_scope(request.user, *WORK)
        return Response(preferences.prefer(request.user, request.data))


class DraftPages(CursorPages):
    """Newest first."""

    page_size = 20
    ordering = "-version"


class _ArrayLength(Func):
    function = "jsonb_array_length"
    output_field = IntegerField()


class ClaimDrafts(generics.ListAPIView):
    """The versions of my draft, newest first."""

    pagination_class = DraftPages
    serializer_class = DraftRow
    queryset = Draft.objects.none()

    def get_queryset(self) -> QuerySet[Draft]:
        claim = queries.claim_to_read(self.request.user, self.kwargs["pk"])
        kind = Func(KeyTransform("clues", "body"), function="jsonb_typeof", output_field=CharField())
        length = [
            Coalesce(Length(KeyTextTransform(language, KeyTransform("description", "body"))), 0)
            for language in ("zh", "en")
        ]
        return (
            Draft.objects.filter(claim_id=claim.pk)
            .defer("body")
            .alias(kind=kind)
            .annotate(
                clues=Case(When(kind="array", then=_ArrayLength(KeyTransform("clues", F("body")))), default=Value(0)),
                characters=length[0] + length[1],
            )
        )


class ClaimDraftVersion(APIView):
    @extend_schema(responses={200: DraftShape, 410: _PROBLEM})
    def get(self, request: Request, pk: int, version: int) -> Response:
        """One version of a draft, whole."""
        claim = queries.claim_to_read(request.user, pk)
        draft = Draft.objects.filter(claim_id=claim.pk, version=version).first() if version < 2**31 else None
        if draft is None:
            raise NotFound(_("There is no such object, or you may not see it."))
        return Response({"version": draft.version, "saved_at": queries.iso(draft.saved_at), "body": draft.body})


class CorpusExamples(APIView):
    @extend_schema(responses=ExamplesShape)
    def get(self, request: Request, slug: str) -> Response:
        """How it was done: records that reviewers chose as examples. Those of clips that I may still annotate are not
        shown."""
        corpus = corpus_for(request.user, slug, "corpus.view")
        items = list(gold.examples(corpus)[:EXAMPLES])
        readable = queries.records_of(corpus, user=request.user, grade="fine")
        shown = set(readable.filter(clip_id__in=[i.clip_id for i in items]).values_list("clip_id", flat=True))
        return Response(
            {
                "results": [
                    {"clip": item.clip.name, "note": item.note, "record": json.loads(item.revision.line)}
                    for item in items
                    if item.clip_id in shown
                ]
            }
        )


urlpatterns: list[URLPattern] = [
    path("clips/<int:pk>/comments/", ClipComments.as_view(), name="api-comments"),
    path("comments/<int:pk>/resolve/", CommentResolve.as_view(), name="api-comment-resolve"),
    path("me/preferences/", MyPreferences.as_view(), name="api-preferences"),
    path("claims/<int:pk>/drafts/", ClaimDrafts.as_view(), name="api-claim-drafts"),
    path("claims/<int:pk>/drafts/<int:version>/", ClaimDraftVersion.as_view(), name="api-claim-draft-version"),
    path("corpora/<slug:slug>/examples/", CorpusExamples.as_view(), name="api-examples"),
]
