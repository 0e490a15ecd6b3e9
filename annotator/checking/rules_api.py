"""REST of how a corpus is checked: rules, terms, gold clips, standings, claims of others."""

from typing import Any

from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotator.accounts.models import User
from annotator.clips.access import corpus_for, require
from annotator.clips.models import Clip, Corpus
from annotator.core.errors import Gone, Invalid, NotFound

from . import gold, leases, planting, rules, standings, terms
from . import rules_schemas as shapes
from .models import GoldItem, PlantedError, Record
from .queries import iso

_PROBLEM = OpenApiResponse(OpenApiTypes.OBJECT, "problem+json (RFC 9457)")


def read(schema: Any, request: Request) -> dict[str, Any]:
    """The request's body by its schema. Raises Invalid by field."""
    form = schema(data=request.data)
    form.is_valid(raise_exception=True)
    return dict(form.validated_data)


def planted_json(error: PlantedError) -> dict[str, Any]:
    return {"id": error.pk, "clue": error.clue_id, "rule": error.rule, "text": error.text}


def gold_json(item: GoldItem) -> dict[str, Any]:
    return {
        "id": item.pk,
        "clip": item.clip.name,
        "clip_id": item.clip_id,
        "purpose": item.purpose,
        "note": item.note,
        "active": item.active,
        "revision": item.revision_id,
        "planted": [planted_json(error) for error in item.planted.all()],
    }


def gold_for(user: Any, pk: int) -> GoldItem:
    """The gold clip, for those who may manage it. Raises NotFound, Forbidden."""
    rows = GoldItem.objects.select_related("clip", "corpus", "revision").prefetch_related("planted")
    item = rows.filter(pk=pk if 0 < pk < 2**63 else 0).first()
    if item is None:
        raise NotFound(_("There is no such object, or you may not see it."))
    require(user, item.corpus, "gold.manage")
    return item


def person_of(corpus: Corpus, username: str) -> User:
    """An annotator of the corpus by name. Raises NotFound."""
    person = User.objects.filter(username=username).first()
    standings.require_annotator(person, corpus)
    assert person is not None  # noqa: S101 - require_annotator raises
    return person


class CorpusRules(APIView):
    @extend_schema(responses=shapes.RulesShape)
    def get(self, request: Request, slug: str) -> Response:
        """The rules by which the corpus is checked."""
        return Response(rules.as_json(rules.of(corpus_for(request.user, slug, "rules.edit"))))

    @extend_schema(request=shapes.RulesShape, responses={200: shapes.RulesShape, 422: _PROBLEM})
    def put(self, request: Request, slug: str) -> Response:
        """All rules: what is not named goes back to its default."""
        return self._change(request, slug, replace=True)

    @extend_schema(request=shapes.RulesShape, responses={200: shapes.RulesShape, 422: _PROBLEM})
    def patch(self, request: Request, slug: str) -> Response:
        """Some of the rules."""
        return self._change(request, slug, replace=False)

    @staticmethod
    def _change(request: Request, slug: str, *, replace: bool) -> Response:
        corpus = corpus_for(request.user, slug, "rules.edit")
        return Response(rules.as_json(rules.change(request.user, corpus, request.data, replace=replace)))


class CorpusTerms(APIView):
    @extend_schema(responses=shapes.TermsShape)
    def get(self, request: Request, slug: str) -> Response:
        """The terms of use as they are now, and when I accepted them."""
        corpus = corpus_for(request.user, slug)
        found = terms.state(request.user, corpus)
        return Response({**found, "accepted_at": iso(found["accepted_at"])})

    @extend_schema(request=shapes.AcceptRequest, responses={200: shapes.TermsShape, 409: _PROBLEM})
    def post(self, request: Request, slug: str) -> Response:
        """Accept the terms of this version; 409 `terms-changed` where they are other ones by now."""
        corpus = corpus_for(request.user, slug)
        terms.accept(request.user, corpus, read(shapes.AcceptRequest, request)["version"])
        return self.get(request, slug)


class CorpusStanding(APIView):
    @extend_schema(responses=shapes.MyStanding)
    def get(self, request: Request, slug: str) -> Response:
        """How I stand: in training, in the test, through; and which clips I want."""
        return Response(standings.mine(request.user, corpus_for(request.user, slug, "claim.annotate")))

    @extend_schema(request=shapes.LanguagesRequest, responses=shapes.MyStanding)
    def patch(self, request: Request, slug: str) -> Response:
        """Say which clips I want."""
        corpus = corpus_for(request.user, slug, "claim.annotate")
        standings.set_languages(request.user, corpus, request.user, read(shapes.LanguagesRequest, request)["languages"])
        return Response(standings.mine(request.user, corpus))


class CorpusStandings(APIView):
    @extend_schema(responses=shapes.PersonStanding(many=True))
    def get(self, request: Request, slug: str) -> Response:
        """Every annotator's standing."""
        corpus = corpus_for(request.user, slug, "rules.edit")
        return Response([{key: row[key] for key in row if key != "person"} for row in standings.people(corpus)])


class PersonStandingView(APIView):
    @extend_schema(request=shapes.StandingRequest, responses=shapes.PersonStanding)
    def patch(self, request: Request, slug: str, username: str) -> Response:
        """Pass somebody, let them begin anew, or say which clips they get."""
        corpus = corpus_for(request.user, slug, "rules.edit")
        asked, person = read(shapes.StandingRequest, request), person_of(corpus, username)
        if "languages" in asked:
            standings.set_languages(request.user, corpus, person, asked["languages"])
        if "decision" in asked:
            standings.decide(request.user, corpus, person, asked["decision"])
        row = next(row for row in standings.people(corpus) if row["person"].pk == person.pk)
        return Response({key: row[key] for key in row if key != "person"})


class ClaimFeedback(APIView):
    @extend_schema(responses={200: shapes.FeedbackShape, 404: _PROBLEM})
    def get(self, request: Request, pk: int) -> Response:
        """My training clip beside its gold answer."""
        _claim, found = standings.feedback(request.user, pk)
        return Response(found)


class CorpusGold(APIView):
    @extend_schema(responses=shapes.GoldShape(many=True))
    def get(self, request: Request, slug: str) -> Response:
        """The gold clips of a corpus with what is planted in them."""
        corpus = corpus_for(request.user, slug, "gold.manage")
        rows = GoldItem.objects.filter(corpus=corpus).select_related("clip").prefetch_related("planted").order_by("id")
        return Response([gold_json(item) for item in rows])

    @extend_schema(request=shapes.GoldRequest, responses={201: shapes.GoldShape, 409: _PROBLEM, 422: _PROBLEM})
    def post(self, request: Request, slug: str) -> Response:
        """Make a fine record the answer of a gold clip, or change its purpose, note and answer."""
        corpus = corpus_for(request.user, slug, "gold.manage")
        asked = read(shapes.GoldRequest, request)
        record = Record.objects.filter(pk=asked["record"], corpus=corpus, current__isnull=False)
        found = record.select_related("corpus", "clip", "current").first()
        if found is None:
            message = _("There is no such record on this corpus.")
            raise Invalid(message, errors={"record": message})
        item = gold.mark(request.user, found, asked["purpose"], asked["note"])
        return Response(gold_json(gold_for(request.user, item.pk)), status=201)


class GoldDetail(APIView):
    @extend_schema(responses=shapes.GoldShape)
    def get(self, request: Request, pk: int) -> Response:
        """One gold clip."""
        return Response(gold_json(gold_for(request.user, pk)))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: int) -> Response:
        """Take it out of use; what people answered stays."""
        gold.retire(request.user, gold_for(request.user, pk))
        return Response(status=204)


class GoldPlanted(APIView):
    @extend_schema(responses=shapes.ProposalShape(many=True))
    def get(self, request: Request, pk: int) -> Response:
        """The errors that could be planted in a gold clip, before and after."""
        found = planting.proposals(gold_for(request.user, pk))
        return Response(
            [{"key": p.key, "clue": p.clue.pk, "rule": p.rule, "before": p.clue.text, "after": p.text} for p in found]
        )

    @extend_schema(request=shapes.PlantRequest, responses={201: shapes.PlantedShape, 409: _PROBLEM})
    def post(self, request: Request, pk: int) -> Response:
        """Plant one of them; 409 `nothing-to-swap` where there is none."""
        item = gold_for(request.user, pk)
        return Response(
            planted_json(planting.plant(request.user, item, read(shapes.PlantRequest, request)["key"])), status=201
        )


class CorpusHeld(APIView):
    @extend_schema(responses=shapes.HeldShape(many=True))
    def get(self, request: Request, slug: str) -> Response:
        """Who holds what, since when and until when. A claim is released by DELETE /claims/{id}/."""
        corpus = corpus_for(request.user, slug, "claim.manage")
        return Response([held_json(claim) for claim in leases.held(corpus)])


def held_json(claim: Any) -> dict[str, Any]:
    return {
        "id": claim.pk,
        "user": claim.user.username,
        "kind": claim.slot.kind,
        "state": claim.state,
        "clip": claim.clip.name,
        "since": iso(claim.created_at),
        "lease_end": iso(claim.lease_end) if claim.state == "live" else None,
        "last_saved": iso(claim.last_saved),
    }


def clip_for(user: Any, pk: int) -> Clip:
    """The clip, for those who may plan it. Raises NotFound, Forbidden, Gone."""
    clip = Clip.objects.select_related("corpus").filter(pk=pk if 0 < pk < 2**63 else 0).first()
    if clip is None:
        raise NotFound(_("There is no such object, or you may not see it."))
    require(user, clip.corpus, "rules.edit")
    if clip.withdrawn_at:
        raise Gone(_("The clip “%(name)s” was withdrawn.") % {"name": clip.name})
    return clip


class ClipPlan(APIView):
    @extend_schema(responses=shapes.PlanShape)
    def get(self, request: Request, pk: int) -> Response:
        """When the clip comes and how many annotations of it are wanted."""
        clip = clip_for(request.user, pk)
        return Response({"priority": clip.priority, "overlap": clip.overlap})

    @extend_schema(request=shapes.PlanShape, responses={200: shapes.PlanShape, 422: _PROBLEM})
    def patch(self, request: Request, pk: int) -> Response:
        """Set either; the clip's open slots follow."""
        clip = clip_for(request.user, pk)
        if not isinstance(request.data, dict):
            message = _("The body must be a JSON object.")
            raise Invalid(message, errors={"": message})
        clip = rules.plan_clip(request.user, clip, request.data)
        return Response({"priority": clip.priority, "overlap": clip.overlap})


urlpatterns: list[URLPattern] = [
    path("corpora/<slug:slug>/rules/", CorpusRules.as_view(), name="api-rules"),
    path("corpora/<slug:slug>/terms/", CorpusTerms.as_view(), name="api-terms"),
    path("corpora/<slug:slug>/standing/", CorpusStanding.as_view(), name="api-standing"),
    path("corpora/<slug:slug>/standings/", CorpusStandings.as_view(), name="api-standings"),
    path("corpora/<slug:slug>/standings/<str:username>/", PersonStandingView.as_view(), name="api-person-standing"),
    path("corpora/<slug:slug>/gold/", CorpusGold.as_view(), name="api-gold"),
    path("corpora/<slug:slug>/held/", CorpusHeld.as_view(), name="api-held"),
    path("gold/<int:pk>/", GoldDetail.as_view(), name="api-gold-item"),
    path("gold/<int:pk>/planted/", GoldPlanted.as_view(), name="api-gold-planted"),
    path("claims/<int:pk>/feedback/", ClaimFeedback.as_view(), name="api-claim-feedback"),
    path("clips/<int:pk>/plan/", ClipPlan.as_view(), name="api-clip-plan"),
]
