"""How a corpus is checked: its rules, terms and gold clips, and where each annotator stands."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from annotator.clips.models import LANGUAGES, Clip, Corpus
from annotator.prelabels.models import Clue

from .results import RecordRevision

PURPOSES = ("check", "training", "test", "example")
STAGES = ("training", "test", "passed", "failed")


def whole_clip() -> list[str]:
    return [""]


class CheckingRules(models.Model):
    """The manager's choices for a corpus. A corpus without a row has the defaults."""

    export_class = "internal"

    ORDERS = [("age", "age"), ("active", "active")]

    corpus = models.OneToOneField(Corpus, primary_key=True, on_delete=models.CASCADE, related_name="checking_rules")
    blind_sources = models.BooleanField(default=False, help_text="Do not say which pre-labeller wrote a clue.")
    order = models.CharField(max_length=8, choices=ORDERS, default="age")
    modes = models.JSONField(default=whole_clip, help_text="Slot n shows modes[(n - 1) % length] of the clip.")
    gold_share = models.FloatField(default=0, help_text="Share of hand-outs that are gold clips.")
    planted_share = models.FloatField(default=0, help_text="Share of gold hand-outs with a planted error.")
    none_share = models.FloatField(default=0, help_text="Share of clip x annotator pairs that see no pre-label.")
    blind_share = models.FloatField(default=0, help_text="Share that sees pre-labels without names or description.")
    training_items = models.PositiveSmallIntegerField(default=0, help_text="Gold clips with feedback that come first.")
    test_items = models.PositiveSmallIntegerField(default=0, help_text="Gold clips of the qualification test.")
    pass_mark = models.FloatField(default=0.6, help_text="Mean score from which the test is passed.")
    terms = models.TextField(blank=True, help_text="To be accepted before the first clip is shown.")
    auto_accept = models.FloatField(null=True, blank=True, help_text="Agreement from which no review is needed.")
    hourly_rate = models.DecimalField(max_digits=8, decimal_places=2, null=True, blank=True)
    currency = models.CharField(max_length=3, default="USD")
    idle_after = models.PositiveSmallIntegerField(default=60, help_text="Seconds without a sign of work.")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "checking rules"
        constraints = [
            models.CheckConstraint(condition=Q(order__in=["age", "active"]), name="rules_order_known"),
            models.CheckConstraint(
                condition=Q(gold_share__gte=0, gold_share__lte=1, planted_share__gte=0, planted_share__lte=1),
                name="rules_gold_shares",
            ),
            models.CheckConstraint(
                condition=Q(none_share__gte=0, blind_share__gte=0, none_share__lte=1 - models.F("blind_share")),
                name="rules_arm_shares",
            ),
            models.CheckConstraint(
                condition=Q(auto_accept=None) | Q(auto_accept__gte=0, auto_accept__lte=1), name="rules_auto_accept"
            ),
        ]

    def __str__(self) -> str:
        return f"rules of {self.corpus_id}"


class TermsAcceptance(models.Model):
    """Somebody accepted the corpus' terms of use, in this version (sha256 of their text). Append-only."""

    export_class = "internal"

    corpus = models.ForeignKey(Corpus, on_delete=models.PROTECT, related_name="terms_accepted")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="terms_accepted")
    version = models.CharField(max_length=64)
    terms = models.TextField(help_text="As they were shown.")
    accepted_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["corpus", "user", "version"], name="terms_accepted_once")]

    def __str__(self) -> str:
        return f"{self.user_id} accepted {self.version[:12]}"


class GoldItem(models.Model):
    """A clip with a known answer: to check annotators, to train them, to test them, or to show how it was done."""

    export_class = "internal"

    corpus = models.ForeignKey(Corpus, on_delete=models.CASCADE, related_name="gold_items")
    clip = models.OneToOneField(Clip, on_delete=models.CASCADE, related_name="gold_item")
    purpose = models.CharField(max_length=8, choices=[(p, p) for p in PURPOSES])
    revision = models.ForeignKey(
        RecordRevision, on_delete=models.PROTECT, related_name="+", help_text="The fine record that is the answer."
    )
    note = models.TextField(blank=True, help_text="What an annotator can learn from it.")
    active = models.BooleanField(default=True)
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.CheckConstraint(condition=Q(purpose__in=PURPOSES), name="gold_purpose_known")]
        indexes = [
            models.Index(fields=["corpus", "purpose", "id"], name="gold_of_corpus", condition=Q(active=True)),
        ]

    def __str__(self) -> str:
        return f"gold ({self.purpose}): {self.clip_id}"


class PlantedError(models.Model):
    """A clue of a gold clip made wrong on purpose. It is offered in the clue's place and never reaches a record."""

    export_class = "internal"

    gold = models.ForeignKey(GoldItem, on_delete=models.CASCADE, related_name="planted")
    clue = models.ForeignKey(Clue, on_delete=models.CASCADE, related_name="planted")
    rule = models.CharField(max_length=40, help_text="What was altered, and how.")
    language = models.CharField(max_length=2, choices=LANGUAGES)
    text = models.TextField(help_text="The altered text, in the clue's language.")
    texts = models.JSONField(null=True, blank=True, help_text="Its renderings by language, where the clue has them.")
    gate = models.JSONField(null=True, blank=True, help_text="What the gate says of the altered text; null: not asked.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["clue", "rule"], name="planted_once"),
            models.CheckConstraint(condition=~Q(text=""), name="planted_text_not_empty"),
        ]

    def __str__(self) -> str:
        return f"{self.rule}: {self.text[:50]}"


class Standing(models.Model):
    """Where an annotator stands on a corpus: in training, in the test, through; and which clips they want."""

    export_class = "internal"

    corpus = models.ForeignKey(Corpus, on_delete=models.CASCADE, related_name="standings")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="standings")
    stage = models.CharField(max_length=8, choices=[(s, s) for s in STAGES], default="training")
    score = models.FloatField(null=True, blank=True, help_text="Of the test, 0 to 1.")
    since = models.DateTimeField(default=timezone.now, help_text="Gold clips taken before do not count any more.")
    languages = models.PositiveSmallIntegerField(default=0, help_text="1 zh, 2 en, 3 both, 0 whatever comes.")
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["corpus", "user"], name="standing_once"),
            models.CheckConstraint(condition=Q(stage__in=STAGES), name="standing_stage_known"),
            models.CheckConstraint(condition=Q(languages__lte=3), name="standing_languages_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} on {self.corpus_id}: {self.stage}"
