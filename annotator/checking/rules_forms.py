"""The form of a corpus' rules: shares in per cent, one choice per annotation of a clip."""

from collections.abc import Iterator
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotator.clips.models import Corpus

from . import rules as service
from .models import CheckingRules

PERCENT = ("pass_mark", "none_share", "blind_share", "gold_share", "planted_share", "auto_accept")
REPEAT = "-"  # in a choice of modes: from here on as from the first
MODE_CHOICES = [
    ("", gettext_lazy("the whole clip")),
    ("visual", gettext_lazy("the muted picture alone")),
    ("audio", gettext_lazy("the sound alone")),
    ("text", gettext_lazy("the subtitle alone")),
]
ORDER_CHOICES = [
    ("age", gettext_lazy("The oldest first")),
    ("active", gettext_lazy("Where a look is worth most first")),
]
GROUPS = [
    ("start", gettext_lazy("Before the first clip"), ("terms", "training_items", "test_items", "pass_mark")),
    ("order", gettext_lazy("Which clip comes next"), ("order",)),
    ("shown", gettext_lazy("What is shown"), ("modes", "blind_sources", "none_share", "blind_share")),
    ("gold", gettext_lazy("Gold clips and planted errors"), ("gold_share", "planted_share")),
    ("review", gettext_lazy("Review"), ("auto_accept",)),
    ("cost", gettext_lazy("Time and money"), ("idle_after", "hourly_rate", "currency")),
]


def _percent(label: Any, help_text: Any, *, required: bool = True) -> forms.FloatField:
    widget = forms.NumberInput(attrs={"min": 0, "max": 100, "step": "any", "class": "percent"})
    return forms.FloatField(
        label=label, help_text=help_text, min_value=0, max_value=100, required=required, widget=widget
    )


class RulesForm(forms.Form):
    """Every rule of a corpus."""

    terms = forms.CharField(
        label=gettext_lazy("Terms of use"),
        help_text=gettext_lazy(
            "Everybody reads and accepts them before their first clip; who accepted which words is kept. Changed terms"
            " are asked of everybody again. Empty: none."
        ),
        required=False,
        max_length=service.MAX_TERMS,
        widget=forms.Textarea(attrs={"rows": 8}),
    )
    training_items = forms.IntegerField(
        label=gettext_lazy("Training clips"),
        help_text=gettext_lazy(
            "Gold clips that a new annotator does first; after each, their answer is shown beside the gold one."
        ),
        min_value=0,
        max_value=service.MAX_ITEMS,
    )
    test_items = forms.IntegerField(
        label=gettext_lazy("Test clips"),
        help_text=gettext_lazy("Gold clips of the qualification test that follows, without feedback."),
        min_value=0,
        max_value=service.MAX_ITEMS,
    )
    pass_mark = _percent(
        gettext_lazy("Pass mark, %"),
        gettext_lazy(
            "Mean score of the test clips: half the verdicts on the clues, half the labels (set-level metric)."
        ),
    )
    order = forms.ChoiceField(
        label=gettext_lazy("Of clips of the same priority"),
        choices=ORDER_CHOICES,
        widget=forms.RadioSelect,
        help_text=gettext_lazy(
            "Worth a look: pre-labellers disagree, measurements contradict a clue, or a model was not sure."
        ),
    )
    blind_sources = forms.BooleanField(label=gettext_lazy("Do not say which pre-labeller wrote a clue"), required=False)
    none_share = _percent(
        gettext_lazy("Without pre-labels, %"),
        gettext_lazy(
            "Share of clip and annotator pairs that see none: how far suggestions pull the answers is measured by it."
        ),
    )
    blind_share = _percent(
        gettext_lazy("Blind, %"),
        gettext_lazy("Share that sees the clues without names, and no drafted description."),
    )
    gold_share = _percent(
        gettext_lazy("Gold clips, %"),
        gettext_lazy("Share of what is handed out that is a gold clip of the purpose “check”. Nobody can tell which."),
    )
    planted_share = _percent(
        gettext_lazy("Of these with a planted error, %"),
        gettext_lazy("One clue is offered turned into its opposite, where an error is planted in the gold clip."),
    )
    auto_accept = _percent(
        gettext_lazy("Accept without review from an agreement of, %"),
        gettext_lazy(
            "Where the annotations of a clip agree so far, the most central one becomes the record; the rule keeps a"
            " log. Empty: a person reviews each clip."
        ),
        required=False,
    )
    idle_after = forms.IntegerField(
        label=gettext_lazy("Idle after, seconds"),
        help_text=gettext_lazy("Without a sign of work for so long, time counts no longer as active."),
        min_value=5,
        max_value=3_600,
    )
    hourly_rate = forms.DecimalField(
        label=gettext_lazy("Paid per hour"),
        help_text=gettext_lazy("For the cost of an accepted record. Empty: not counted."),
        required=False,
        min_value=0,
        max_value=service.MAX_RATE,
        max_digits=8,
        decimal_places=2,
    )
    currency = forms.CharField(label=gettext_lazy("Currency"), min_length=3, max_length=3)

    def __init__(self, corpus: Corpus, rules: CheckingRules, data: Any = None) -> None:
        initial = {name: getattr(rules, name) for name in service.FIELDS if name != "modes"}
        for name in PERCENT:
            value = initial[name]
            initial[name] = None if value is None else round(100 * value, 6)
        self.mode_names = [f"mode_{n}" for n in range(1, max(corpus.overlap, len(rules.modes)) + 1)]
        for number, name in enumerate(self.mode_names):
            initial[name] = rules.modes[number] if number < len(rules.modes) else REPEAT
        super().__init__(data, initial=initial)
        for number, name in enumerate(self.mode_names, 1):
            again = [(REPEAT, _("as from the first again"))] if number > 1 else []
            self.fields[name] = forms.ChoiceField(
                label=_("Annotation %(n)d shows") % {"n": number}, choices=[*MODE_CHOICES, *again], required=False
            )
        for name in PERCENT:
            if initial[name] is not None and initial[name] == int(initial[name]):
                self.initial[name] = int(initial[name])

    def groups(self) -> Iterator[tuple[str, Any, list[Any]]]:
        """(key, heading, fields) in the order of the page."""
        for key, heading, names in GROUPS:
            wanted = [each for name in names for each in (self.mode_names if name == "modes" else [name])]
            yield key, heading, [self[name] for name in wanted]

    def values(self) -> dict[str, Any]:
        """What `rules.change` takes, once the form is valid."""
        clean = dict(self.cleaned_data)
        values = {name: clean[name] for name in service.FIELDS if name != "modes"}
        for name in PERCENT:
            values[name] = None if values[name] is None else values[name] / 100
        modes: list[str] = []
        for name in self.mode_names:
            if clean[name] == REPEAT:
                break
            modes.append(clean[name])
        return {**values, "modes": modes}

    def refuse(self, errors: dict[str, str]) -> None:
        """Show what the service refused at its fields."""
        for name, message in errors.items():
            at = self.mode_names[0] if name == "modes" else name
            self.add_error(at if at in self.fields else None, message)


class PlanForm(forms.Form):
    """When a clip comes, and how many annotations of it are wanted."""

    priority = forms.IntegerField(
        label=gettext_lazy("Priority"),
        help_text=gettext_lazy("The higher comes first."),
        min_value=service.PRIORITIES[0],
        max_value=service.PRIORITIES[1],
    )
    overlap = forms.IntegerField(
        label=gettext_lazy("Annotations wanted"),
        required=False,
        min_value=service.OVERLAPS[0],
        max_value=service.OVERLAPS[1],
    )
