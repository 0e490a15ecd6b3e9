"""The shapes of the REST of rules, terms, gold clips, standings and held claims."""

from rest_framework import serializers

from . import gold
from .models import MODES, PURPOSES, STAGES


class RulesShape(serializers.Serializer):
    """How a corpus is checked. Shares go from 0 to 1."""

    terms = serializers.CharField(
        required=False, allow_blank=True, help_text="accepted before the first clip; empty: none"
    )
    training_items = serializers.IntegerField(required=False, help_text="gold clips with feedback that come first")
    test_items = serializers.IntegerField(required=False, help_text="gold clips of the qualification test")
    pass_mark = serializers.FloatField(required=False, help_text="mean score from which the test is passed")
    order = serializers.ChoiceField(required=False, choices=("age", "active"))
    modes = serializers.ListField(
        required=False,
        child=serializers.ChoiceField(choices=MODES, allow_blank=True),
        help_text="annotation n of a clip shows modes[(n - 1) % length] of it",
    )
    blind_sources = serializers.BooleanField(required=False)
    none_share = serializers.FloatField(required=False)
    blind_share = serializers.FloatField(required=False)
    gold_share = serializers.FloatField(required=False)
    planted_share = serializers.FloatField(required=False)
    auto_accept = serializers.FloatField(required=False, allow_null=True)
    hourly_rate = serializers.DecimalField(required=False, allow_null=True, max_digits=8, decimal_places=2)
    currency = serializers.CharField(required=False)
    idle_after = serializers.IntegerField(required=False, help_text="seconds without a sign of work")
    terms_version = serializers.CharField(read_only=True, allow_null=True, help_text="sha256 of the terms")


class TermsShape(serializers.Serializer):
    terms = serializers.CharField(allow_null=True)
    version = serializers.CharField(allow_null=True, help_text="sha256 of the terms")
    accepted_at = serializers.DateTimeField(allow_null=True)


class AcceptRequest(serializers.Serializer):
    version = serializers.CharField(max_length=64)


class StageCount(serializers.Serializer):
    done = serializers.IntegerField()
    of = serializers.IntegerField()


class MyStanding(serializers.Serializer):
    stage = serializers.ChoiceField(choices=STAGES)
    score = serializers.FloatField(allow_null=True)
    pass_mark = serializers.FloatField()
    languages = serializers.IntegerField(help_text="clips with these subtitles: 1 zh, 2 en, 3 both; 0 whatever comes")
    training = StageCount()
    test = StageCount()


class LanguagesRequest(serializers.Serializer):
    languages = serializers.IntegerField(min_value=0, max_value=3)


class PersonStanding(serializers.Serializer):
    user = serializers.CharField()
    stage = serializers.ChoiceField(choices=STAGES)
    score = serializers.FloatField(allow_null=True)
    languages = serializers.IntegerField()
    decided_by = serializers.CharField(allow_null=True)
    training = serializers.IntegerField(help_text="training clips done")
    test = serializers.IntegerField(help_text="test clips done")


class StandingRequest(serializers.Serializer):
    decision = serializers.ChoiceField(choices=("pass", "reset"), required=False)
    languages = serializers.IntegerField(min_value=0, max_value=3, required=False)


class FeedbackShape(serializers.Serializer):
    """Your answer beside the gold one. `clues[].right`: null where the gold answer does not judge the clue."""

    claim = serializers.IntegerField()
    clip = serializers.CharField()
    note = serializers.CharField()
    score = serializers.FloatField()
    labels = serializers.DictField(child=serializers.FloatField(), allow_null=True)
    clues = serializers.ListField(child=serializers.DictField())
    added = serializers.ListField(child=serializers.DictField())
    said = serializers.DictField()
    gold = serializers.DictField()
    planted = serializers.DictField(allow_null=True)


class GoldShape(serializers.Serializer):
    id = serializers.IntegerField()
    clip = serializers.CharField()
    clip_id = serializers.IntegerField()
    purpose = serializers.ChoiceField(choices=PURPOSES)
    note = serializers.CharField()
    active = serializers.BooleanField()
    revision = serializers.IntegerField(help_text="of the fine record that is the answer")
    planted = serializers.ListField(child=serializers.DictField())


class GoldRequest(serializers.Serializer):
    record = serializers.IntegerField(min_value=1)
    purpose = serializers.ChoiceField(choices=PURPOSES)
    note = serializers.CharField(required=False, allow_blank=True, default="", max_length=gold.MAX_NOTE)


class ProposalShape(serializers.Serializer):
    key = serializers.CharField()
    clue = serializers.IntegerField()
    rule = serializers.CharField()
    before = serializers.CharField()
    after = serializers.CharField()


class PlantRequest(serializers.Serializer):
    key = serializers.CharField(required=False, default="", help_text="of a proposal; without one the clip's own draw")


class PlantedShape(serializers.Serializer):
    id = serializers.IntegerField()
    clue = serializers.IntegerField()
    rule = serializers.CharField()
    text = serializers.CharField()


class HeldShape(serializers.Serializer):
    id = serializers.IntegerField()
    user = serializers.CharField()
    kind = serializers.CharField()
    state = serializers.CharField()
    clip = serializers.CharField()
    since = serializers.DateTimeField()
    lease_end = serializers.DateTimeField(allow_null=True, help_text="null: a returned one waits for its author")
    last_saved = serializers.DateTimeField(allow_null=True)


class PlanShape(serializers.Serializer):
    priority = serializers.IntegerField(required=False, help_text="the higher comes first")
    overlap = serializers.IntegerField(
        required=False, allow_null=True, help_text="annotations wanted; null: as the corpus"
    )
