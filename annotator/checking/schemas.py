"""The shapes of checking's REST, for the OpenAPI schema and for reading requests."""

from rest_framework import serializers

from annotator.prelabels.models import ASPECTS, MODALITIES

from .models import VERDICTS


class TextPair(serializers.Serializer):
    zh = serializers.CharField(allow_null=True)
    en = serializers.CharField(allow_null=True)


class LabelPair(serializers.Serializer):
    zh = serializers.ListField(child=serializers.CharField())
    en = serializers.ListField(child=serializers.CharField())


class MediaUrls(serializers.Serializer):
    video = serializers.CharField(allow_null=True)
    audio = serializers.CharField(allow_null=True)
    poster = serializers.CharField(allow_null=True)
    peaks = serializers.CharField(allow_null=True)
    tracks = serializers.CharField(allow_null=True, help_text="curves for the timeline")
    expires = serializers.DateTimeField()


class ClaimClip(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    duration = serializers.FloatField(allow_null=True)
    source = serializers.CharField(allow_null=True)  # type: ignore[assignment]
    speaker = serializers.CharField(allow_null=True)
    synthetic = serializers.BooleanField()
    media = MediaUrls()


class ClueSource(serializers.Serializer):
    prelabeller = serializers.CharField()
    model = serializers.CharField(allow_null=True)
    prompt = serializers.CharField(allow_null=True)


class GateVerdict(serializers.Serializer):
    """One claim of a clue, held against a measurement (docs/gate.md)."""

    claim = serializers.CharField()
    text = serializers.CharField(help_text="the words that the claim stands on")
    at = serializers.ListField(child=serializers.IntegerField(), help_text="their place in the clue, in characters")
    negated = serializers.BooleanField()
    hedged = serializers.BooleanField()
    who = serializers.ChoiceField(choices=("target", "other"))
    verdict = serializers.ChoiceField(choices=("supported", "contradicted", "not_measurable"))
    measure = serializers.CharField(allow_null=True)
    value = serializers.FloatField(allow_null=True)
    unit = serializers.CharField(allow_null=True)
    threshold = serializers.FloatField(allow_null=True)
    span = serializers.ListField(child=serializers.FloatField(), allow_null=True, help_text="seconds")
    reason = serializers.CharField()
    said = TextPair(help_text="the verdict in a sentence")


class OfferedClue(serializers.Serializer):
    id = serializers.IntegerField()
    modality = serializers.ChoiceField(choices=MODALITIES)
    aspect = serializers.ChoiceField(choices=ASPECTS)
    language = serializers.CharField(help_text="zh | en")
    text = serializers.CharField()
    span = serializers.ListField(child=serializers.FloatField(), allow_null=True)
    source = ClueSource(allow_null=True)  # type: ignore[assignment]
    gate = GateVerdict(many=True)
    texts = serializers.JSONField(allow_null=True)
    codes = serializers.JSONField(allow_null=True)


class CheckedClue(serializers.Serializer):
    id = serializers.IntegerField(required=False, allow_null=True)
    modality = serializers.ChoiceField(choices=MODALITIES)
    aspect = serializers.ChoiceField(choices=ASPECTS)
    language = serializers.CharField(help_text="zh | en")
    text = serializers.CharField()
    span = serializers.ListField(child=serializers.FloatField(), allow_null=True)
    verdict = serializers.ChoiceField(choices=VERDICTS)
    reason = serializers.CharField(required=False)


class Body(serializers.Serializer):
    """Of draft and submit. Every offered clue needs a verdict; one description language may be empty, not both."""

    clues = CheckedClue(many=True)
    description = TextPair()
    ov_labels = LabelPair()
    label = serializers.CharField(required=False)  # type: ignore[assignment]


class Returned(serializers.Serializer):
    reason = serializers.CharField()


class Answered(serializers.Serializer):
    reason = serializers.CharField()
    at = serializers.DateTimeField()
    reply = serializers.CharField(help_text="the annotator's, empty before they gave one")


class Suggestion(serializers.Serializer):
    description = TextPair()
    ov_labels = LabelPair()
    source = serializers.CharField()  # type: ignore[assignment]


class ReviewableAnnotation(serializers.Serializer):
    id = serializers.IntegerField()
    annotator = serializers.CharField(help_text="A1, A2 …: the same over returns")
    body = Body()
    submitted_at = serializers.DateTimeField()
    revision = serializers.IntegerField()
    mode = serializers.CharField(help_text="what the annotator saw of the clip; empty: all of it")
    reply = serializers.CharField(help_text="to the reviewer who returned it")
    previous = Body(allow_null=True, help_text="the revision that was returned")


class ReviewTurn(Answered):
    decision = serializers.ChoiceField(choices=("accept", "return"))
    annotator = serializers.CharField(allow_null=True)
    mine = serializers.BooleanField(help_text="whether the holder of this claim decided so")


class StandingRecord(serializers.Serializer):
    id = serializers.IntegerField()
    revision = serializers.IntegerField()
    origin = serializers.CharField()


class ClaimShape(serializers.Serializer):
    id = serializers.IntegerField()
    kind = serializers.CharField(help_text="annotate | review")
    mode = serializers.CharField(help_text='what is shown of the clip: visual | audio | text, "" for all')
    blind = serializers.BooleanField(help_text="nobody says which pre-labeller wrote a clue: `source` is null")
    state = serializers.CharField()
    corpus = serializers.CharField()
    lease_end = serializers.DateTimeField()
    clip = ClaimClip()
    subtitle = TextPair()
    clues = OfferedClue(many=True)
    draft = Body(allow_null=True)
    version = serializers.IntegerField()
    returned = Returned(allow_null=True)
    exchange = Answered(many=True, help_text="why it was returned, and the answers; oldest first")
    guideline = serializers.CharField()
    suggestion = Suggestion(allow_null=True)
    au = serializers.JSONField(allow_null=True)
    people = serializers.IntegerField(help_text="Seen in the clip; from two on somebody says whom it is about.")
    annotations = ReviewableAnnotation(many=True, required=False)
    label_groups = serializers.DictField(
        child=serializers.CharField(), required=False, help_text="OV label in lower case -> its group of synonyms"
    )
    thread = ReviewTurn(many=True, required=False)
    record = StandingRecord(required=False, allow_null=True)


class ClaimRequest(serializers.Serializer):
    kind = serializers.ChoiceField(choices=("annotate", "review"), default="annotate")
    ahead = serializers.BooleanField(default=False)


class SkipRequest(serializers.Serializer):
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=300)


class Skipped(serializers.Serializer):
    id = serializers.IntegerField()
    state = serializers.CharField()


class SavedDraft(serializers.Serializer):
    version = serializers.IntegerField()
    saved_at = serializers.DateTimeField()
    lease_end = serializers.DateTimeField(allow_null=True, help_text="of a live claim; null otherwise")


class Submitted(serializers.Serializer):
    annotation = serializers.IntegerField()
    record = serializers.IntegerField(allow_null=True)
    state = serializers.CharField(help_text="submitted | recorded")


class DecideRequest(serializers.Serializer):
    decision = serializers.ChoiceField(choices=("accept", "return"))
    annotation = serializers.IntegerField(required=False, allow_null=True, default=None)
    reason = serializers.CharField(required=False, allow_blank=True, default="", trim_whitespace=False)
    body = serializers.JSONField(required=False, allow_null=True, default=None)


class Decided(serializers.Serializer):
    review = serializers.IntegerField()
    record = serializers.IntegerField(allow_null=True)


class Summarised(serializers.Serializer):
    description = TextPair()
    ov_labels = LabelPair()
    source = serializers.ChoiceField(choices=("llm", "template"))  # type: ignore[assignment]
    note = serializers.CharField(allow_null=True)


class RecordShape(serializers.Serializer):
    id = serializers.IntegerField()
    clip_id = serializers.IntegerField()
    grade = serializers.CharField()
    revision = serializers.IntegerField()
    sha256 = serializers.CharField()
    origin = serializers.CharField()
    created_at = serializers.DateTimeField()
    record = serializers.JSONField()


class RevisionShape(serializers.Serializer):
    number = serializers.IntegerField()
    sha256 = serializers.CharField()
    origin = serializers.CharField()
    detail = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()


class RecordDetailShape(RecordShape):
    revisions = RevisionShape(many=True)


class ProvenanceShape(serializers.Serializer):
    record = serializers.IntegerField()
    clip = serializers.CharField()
    grade = serializers.CharField()
    revision = serializers.IntegerField()
    sha256 = serializers.CharField()
    origin = serializers.CharField()
    detail = serializers.CharField(allow_null=True)
    annotation = serializers.IntegerField(allow_null=True)
    annotator = serializers.CharField(allow_null=True)
    reviewer = serializers.CharField(allow_null=True)
    review_reason = serializers.CharField(allow_null=True)
    edited_by_reviewer = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    media_sha256 = serializers.CharField(allow_null=True)
    clues = serializers.JSONField()
    sentences = serializers.JSONField()
    description = serializers.JSONField(allow_null=True)


class PeopleDid(serializers.Serializer):
    kept = serializers.IntegerField()
    corrected = serializers.IntegerField()
    rejected = serializers.IntegerField()


class PeopleByVerdict(serializers.Serializer):
    contradicted = PeopleDid()
    supported = PeopleDid()
    not_measurable = PeopleDid()


class PeopleByAlarm(serializers.Serializer):
    alarm = PeopleDid()
    quiet = PeopleDid()


class Detector(serializers.Serializer):
    """How well "contradicted" finds what people remove, with Wilson's 95 % intervals."""

    decided = serializers.IntegerField()
    precision = serializers.FloatField(allow_null=True)
    precision_low = serializers.FloatField(allow_null=True)
    precision_high = serializers.FloatField(allow_null=True)
    recall = serializers.FloatField(allow_null=True)
    recall_low = serializers.FloatField(allow_null=True)
    recall_high = serializers.FloatField(allow_null=True)
    few = serializers.BooleanField(help_text="too few decisions for the shares to say much")


class GateRow(Detector):
    claim = serializers.CharField(help_text="a code of docs/gate.md; empty in the row over all")
    claims = serializers.IntegerField(help_text="in current clues")
    contradicted = serializers.IntegerField()
    supported = serializers.IntegerField()
    not_measurable = serializers.IntegerField()
    contradicted_removed = serializers.IntegerField()
    contradicted_left = serializers.IntegerField()
    supported_removed = serializers.IntegerField()
    supported_left = serializers.IntegerField()
    not_measurable_removed = serializers.IntegerField()
    not_measurable_left = serializers.IntegerField()
    people = PeopleByVerdict()


class WholeClues(Detector):
    people = PeopleByAlarm()


class GateShape(serializers.Serializer):
    corpus = serializers.CharField()
    version = serializers.CharField()
    clues = serializers.IntegerField()
    judged = serializers.IntegerField(help_text="by this version")
    measured = serializers.IntegerField(help_text="of these, measured themselves")
    failed = serializers.IntegerField(help_text="of these, the gate could not judge")
    left = serializers.IntegerField(help_text="all others")
    waiting = serializers.IntegerField(help_text="of these, for a worker")
    older = serializers.IntegerField(help_text="of these, judged by an older version")
    percent = serializers.FloatField()
    rows = GateRow(many=True)
    all = GateRow()
    whole_clues = WholeClues()
