"""REST of quality: agreement, figures of pre-labellers and annotators, dashboards."""

from typing import Any

from django.urls import URLPattern, path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotator.clips.access import corpus_for

from .models import ARMS
from .quality import reports, said, week


class Alpha(serializers.Serializer):
    """Krippendorff's alpha; null where nothing is pairable or nothing varies."""

    alpha = serializers.FloatField(allow_null=True)
    ci95 = serializers.ListField(child=serializers.FloatField(), allow_null=True, help_text="percentile bootstrap")
    units = serializers.IntegerField()
    values = serializers.IntegerField()
    observed = serializers.FloatField(allow_null=True)
    expected = serializers.FloatField(allow_null=True)


class Scores(serializers.Serializer):
    """The set-level metric (arXiv 2407.07653)."""

    accuracy = serializers.FloatField(allow_null=True)
    recall = serializers.FloatField(allow_null=True)
    avg = serializers.FloatField(allow_null=True)
    ci95 = serializers.ListField(child=serializers.FloatField(), allow_null=True)


class PairScores(Scores):
    clips = serializers.IntegerField()
    pairs = serializers.IntegerField()


class GoldScores(Scores):
    n = serializers.IntegerField()
    label_same = serializers.FloatField(allow_null=True, help_text="share with the gold answer's discrete label")


class OverTime(serializers.Serializer):
    date = serializers.DateField()
    clips = serializers.IntegerField()
    avg = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)


class AgreementShape(serializers.Serializer):
    clips = serializers.IntegerField(help_text="that several people answered")
    sampled = serializers.IntegerField()
    label = Alpha()  # type: ignore[assignment]
    raw = Alpha(help_text="MASI over the OV labels as written")
    grouped = Alpha(help_text="MASI over the OV labels grouped by the lexicon")
    pairs = PairScores()
    gold = GoldScores()
    over_time = OverTime(many=True)


class PreLabellerRow(serializers.Serializer):
    prelabeller = serializers.CharField()
    modality = serializers.CharField()
    aspect = serializers.CharField(allow_blank=True)
    judged = serializers.IntegerField()
    kept = serializers.IntegerField()
    corrected = serializers.IntegerField()
    rejected = serializers.IntegerField()
    unseen = serializers.IntegerField(help_text="kept though neither played nor at work, where the page told")
    kept_share = serializers.FloatField(allow_null=True)
    kept_low = serializers.FloatField(allow_null=True)
    kept_high = serializers.FloatField(allow_null=True)
    corrected_share = serializers.FloatField(allow_null=True)
    rejected_share = serializers.FloatField(allow_null=True)
    edits = serializers.IntegerField(help_text="corrections whose distance was measured, the latest")
    characters = serializers.FloatField(allow_null=True)
    characters_share = serializers.FloatField(allow_null=True)
    words = serializers.FloatField(allow_null=True)
    words_share = serializers.FloatField(allow_null=True)
    reasons = serializers.DictField(child=serializers.IntegerField(), help_text="of rejections, by code")


class ArmRow(serializers.Serializer):
    arm = serializers.ChoiceField(choices=ARMS)
    annotations = serializers.IntegerField()
    compared = serializers.IntegerField()
    similarity = serializers.FloatField(allow_null=True, help_text="set-level Avg against the coarse record's labels")
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)
    kept = serializers.IntegerField()
    corrected = serializers.IntegerField()
    rejected = serializers.IntegerField()
    added = serializers.IntegerField()
    kept_share = serializers.FloatField(allow_null=True)
    active_median_s = serializers.FloatField(allow_null=True)


class Pull(serializers.Serializer):
    of = serializers.ChoiceField(choices=ARMS)
    against = serializers.ChoiceField(choices=ARMS)
    difference = serializers.FloatField()
    low = serializers.FloatField()
    high = serializers.FloatField()
    few = serializers.BooleanField(help_text="too few to say")


class Anchoring(serializers.Serializer):
    arms = ArmRow(many=True)
    pull = Pull(many=True)


class ReportHead(serializers.Serializer):
    """Of a large corpus a worker counts the figures; without any yet `counted_at` is null and they are absent."""

    corpus = serializers.CharField()
    days = serializers.IntegerField(help_text="0: from the beginning")
    counted_at = serializers.DateTimeField(allow_null=True)
    counting = serializers.BooleanField(help_text="newer figures are on their way")


class QualityShape(ReportHead):
    agreement = AgreementShape(required=False)
    prelabellers = PreLabellerRow(many=True, required=False)
    anchoring = Anchoring(required=False)


class ThroughputDay(serializers.Serializer):
    date = serializers.DateField()
    annotations = serializers.IntegerField()
    reviews = serializers.IntegerField()
    records = serializers.IntegerField()


class PersonRow(serializers.Serializer):
    user_id = serializers.IntegerField()
    annotator = serializers.CharField()
    annotations = serializers.IntegerField()
    gold = serializers.IntegerField()
    kept = serializers.IntegerField()
    corrected = serializers.IntegerField()
    rejected = serializers.IntegerField()
    added = serializers.IntegerField()
    untouched_share = serializers.FloatField(allow_null=True)
    played_share = serializers.FloatField(allow_null=True)
    active_median_s = serializers.FloatField(allow_null=True)
    active_hours = serializers.FloatField(allow_null=True)
    returned = serializers.IntegerField()
    planted = serializers.IntegerField()
    caught = serializers.IntegerField()
    catch = serializers.FloatField(allow_null=True)
    catch_low = serializers.FloatField(allow_null=True)
    catch_high = serializers.FloatField(allow_null=True)
    unplayed = serializers.FloatField(allow_null=True)
    speed = serializers.FloatField(allow_null=True)
    stamp = serializers.FloatField(allow_null=True, help_text="untouched_share x unplayed x speed")
    flags = serializers.ListField(child=serializers.ChoiceField(choices=("stamp", "catch")))


class CostRow(serializers.Serializer):
    prelabeller = serializers.CharField(allow_blank=True, help_text='"" for all records, "-" for those without any')
    records = serializers.IntegerField()
    told = serializers.IntegerField(help_text="of these, those whose active time is known")
    minutes = serializers.FloatField(allow_null=True)
    people_money = serializers.FloatField(allow_null=True)
    prelabel_money = serializers.FloatField(allow_null=True)
    money = serializers.FloatField(allow_null=True)
    currency = serializers.CharField()


class Costs(serializers.Serializer):
    rate = serializers.FloatField(allow_null=True, help_text="money an hour")
    currency = serializers.CharField()
    all = CostRow()
    prelabellers = CostRow(many=True)


class DashboardShape(ReportHead):
    progress = serializers.DictField(required=False, help_text="slots by kind and state, fine records, clips")
    throughput = ThroughputDay(many=True, required=False)
    eta = serializers.DictField(
        required=False, help_text="annotations and reviews: left, per_day, days, date, basis_days"
    )
    queue = serializers.DictField(required=False, help_text="what is held, overdue, returned, skipped, flagged")
    agreement = AgreementShape(required=False, help_text="with by_annotator and by_pair, user ids as keys")
    people = PersonRow(many=True, required=False)
    costs = Costs(required=False)


class MyWeekShape(serializers.Serializer):
    since = serializers.DateField()
    days = serializers.ListField(child=serializers.DictField(), help_text="date, clips, minutes")
    totals = serializers.DictField(help_text="clips, minutes, active_days")
    agreement = serializers.DictField(help_text="with the accepted records of my clips: n, accuracy, recall, avg, ci95")
    returned = serializers.ListField(child=serializers.DictField(), help_text="claim, clip, reason, since")


_DAYS = OpenApiParameter("days", OpenApiTypes.INT, enum=list(said.PERIODS), default=said.DEFAULT)


class CorpusQuality(APIView):
    @extend_schema(parameters=[_DAYS], responses=QualityShape)
    def get(self, request: Request, slug: str) -> Response:
        """Agreement between annotators and with gold, what becomes of each pre-labeller's clues, anchoring."""
        corpus = corpus_for(request.user, slug, "quality.view")
        return _answer(reports.report(corpus, "quality", _period(request)))


class CorpusDashboard(APIView):
    @extend_schema(parameters=[_DAYS], responses=DashboardShape)
    def get(self, request: Request, slug: str) -> Response:
        """For managers: progress, throughput, estimate, queue, each annotator, time and money."""
        corpus = corpus_for(request.user, slug, "people.view")
        return _answer(reports.report(corpus, "dashboard", _period(request)))


class MyWeek(APIView):
    @extend_schema(
        parameters=[OpenApiParameter("days", OpenApiTypes.INT, enum=list(week.DAYS), default=week.DAYS[0])],
        responses=MyWeekShape,
    )
    def get(self, request: Request, slug: str) -> Response:
        """My own work on the corpus, by day."""
        corpus = corpus_for(request.user, slug, "claim.annotate")
        days = week.days_of(request.query_params.get("days", week.DAYS[0]))
        return _answer(week.figures(request.user, corpus, days))


def _period(request: Request) -> int:
    return said.period(request.query_params.get("days", said.DEFAULT))


def _answer(found: dict[str, Any]) -> Response:
    return Response(found, headers={"Cache-Control": "no-store"})


urlpatterns: list[URLPattern] = [
    path("corpora/<slug:slug>/quality/", CorpusQuality.as_view(), name="api-quality"),
    path("corpora/<slug:slug>/dashboard/", CorpusDashboard.as_view(), name="api-dashboard"),
    path("corpora/<slug:slug>/my-week/", MyWeek.as_view(), name="api-my-week"),
]
