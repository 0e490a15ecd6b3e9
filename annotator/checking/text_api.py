"""REST of description and labels: summaries that are read along, translation, vocabulary."""

from typing import Any

from django.urls import path
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotator.clips.access import corpus_for

from . import leases, summaries, vocabulary
from .canonical import LANGUAGES
from .schemas import Body, Summarised

_PROBLEM = OpenApiResponse(description="problem+json (RFC 9457)")


class SummaryBegun(serializers.Serializer):
    """`id` is that of `/stream/summaries/{id}/`; where no model may be asked, the result stands here already."""

    id = serializers.IntegerField(allow_null=True)
    result = Summarised(allow_null=True)


class TranslateRequest(serializers.Serializer):
    to = serializers.ChoiceField(choices=LANGUAGES)
    text = serializers.CharField(trim_whitespace=False, allow_blank=True)

    def get_fields(self) -> dict[str, Any]:
        return {"from": serializers.ChoiceField(choices=LANGUAGES), **super().get_fields()}  # a keyword of Python


class Translated(serializers.Serializer):
    text = serializers.CharField()
    model = serializers.CharField(allow_null=True)


class VocabularyWord(serializers.Serializer):
    word = serializers.CharField()
    count = serializers.IntegerField(help_text="clips whose fine record has it")


class VocabularyGroup(serializers.Serializer):
    """Words that mean the same, in both languages, the most used first."""

    name = serializers.CharField(help_text="empty: a word that the lexicon does not know, alone")
    zh = VocabularyWord(many=True)
    en = VocabularyWord(many=True)


class VocabularyShape(serializers.Serializer):
    records = serializers.IntegerField(help_text="how many were counted")
    groups = VocabularyGroup(many=True)


class ClaimSummaries(APIView):
    @extend_schema(request=Body, responses={201: SummaryBegun, 200: SummaryBegun, 409: _PROBLEM})
    def post(self, request: Request, pk: int) -> Response:
        """Ask for a description from the clues as checked so far, to be read at `/stream/summaries/{id}/` while it is
        written (text/event-stream). 200 with the result where no model may be asked. The annotation does not change."""
        leases.find_claim(request.user, pk)
        begun = summaries.begin(request.user, pk, request.data)
        return Response(begun, status=201 if begun["id"] else 200)


class ClaimTranslate(APIView):
    @extend_schema(request=TranslateRequest, responses={200: Translated, 409: _PROBLEM, 502: _PROBLEM})
    def post(self, request: Request, pk: int) -> Response:
        """A description in the other language. Nothing of the annotation changes."""
        leases.find_claim(request.user, pk)
        form = TranslateRequest(data=request.data)
        form.is_valid(raise_exception=True)
        asked = form.validated_data
        return Response(summaries.translated(request.user, pk, asked["from"], asked["to"], asked["text"]))


class CorpusVocabulary(APIView):
    @extend_schema(responses={200: VocabularyShape, 304: None})
    def get(self, request: Request, slug: str) -> Response:
        """The OV labels of the corpus' fine records, with their synonyms. They tell nothing of clips that still wait
        for an annotator."""
        corpus = corpus_for(request.user, slug, "corpus.view")
        found = vocabulary.of_corpus(corpus)
        headers = {"ETag": found.etag, "Cache-Control": "private, no-cache"}
        if found.etag in request.headers.get("If-None-Match", ""):
            return Response(status=304, headers=headers)
        return Response(found.words, headers=headers)


urlpatterns = [
    path("claims/<int:pk>/summaries/", ClaimSummaries.as_view(), name="api-claim-summaries"),
    path("claims/<int:pk>/translate/", ClaimTranslate.as_view(), name="api-claim-translate"),
    path("corpora/<slug:slug>/vocabulary/", CorpusVocabulary.as_view(), name="api-vocabulary"),
]
