"""The forms of runs and pipelines."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from annotator.clips.models import Corpus
from annotator.core.errors import Invalid
from models_ml.steps import PIPELINES, STEPS

from . import budgets, plans, selection

LABELS = {
    "measured": _("Measured: voice and face measurements, a description by template. Asks no model."),
    "emer": _("EMER: measurements, audio and video models, then a text model merges them."),
    "emer-open": _("EMER with open models: clues, what the words mean, merging, translation and labels one by one."),
    "merr": _("MERR: face measurements, the scene, the tone, a description by template, then a text model refines it."),
}
GRADES = {"coarse": _("no coarse record yet"), "fine": _("no fine record yet")}


class BudgetForm(forms.Form):
    """Limits of a run; an empty one is none."""

    tokens = forms.IntegerField(label=_("Tokens"), required=False, min_value=1, max_value=10**14)
    money = forms.FloatField(label=_("Money"), required=False, min_value=0, max_value=1e12)
    gpu_seconds = forms.FloatField(label=_("GPU seconds"), required=False, min_value=0, max_value=1e12)

    def budget(self) -> dict[str, float]:
        """The limits that were given. Raises Invalid."""
        return budgets.parse({name: self.cleaned_data[name] for name in budgets.LIMITS})


class RunForm(BudgetForm):
    """Which pipeline (or which single pre-labellers) over which clips, at what cost at most."""

    pipeline = forms.ChoiceField(
        label=_("Pipeline"), initial=plans.DEFAULT, required=False, widget=forms.RadioSelect, choices=[]
    )
    prelabellers = forms.MultipleChoiceField(
        label=_("Registered models"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("They take the place of the configured server in the steps that they are for."),
    )
    clips = forms.CharField(
        label=_("Only these clips"),
        required=False,
        help_text=_("One name a line. Empty: all clips of the corpus."),
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=2_000_000,
    )
    without = forms.ChoiceField(label=_("Without this step so far"), required=False)
    without_record = forms.ChoiceField(label=_("Record"), required=False)
    speaker = forms.CharField(label=_("Speaker"), required=False, max_length=200)
    source = forms.CharField(label=_("Source"), required=False, max_length=200)
    label = forms.CharField(label=_("Label"), required=False, max_length=80)
    min_duration = forms.FloatField(label=_("At least, seconds"), required=False, min_value=0)
    max_duration = forms.FloatField(label=_("At most, seconds"), required=False, min_value=0)
    sample = forms.IntegerField(label=_("Random sample of"), required=False, min_value=1, max_value=10**8)
    seed = forms.IntegerField(label=_("Seed"), required=False, min_value=0, max_value=10**8)
    repeat = forms.IntegerField(
        label=_("Repetition"),
        required=False,
        min_value=0,
        max_value=32_767,
        help_text=_("Identical requests of one repetition are paid once. Another number asks the models anew."),
    )

    FILTER = (
        "without",
        "without_record",
        "speaker",
        "source",
        "label",
        "min_duration",
        "max_duration",
        "sample",
        "seed",
    )
    BUDGET = budgets.LIMITS

    def __init__(self, corpus: Corpus, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.corpus = corpus
        models = list(plans.registered_models().values_list("name", flat=True))
        own = plans.own_pipelines().order_by("name").values_list("name", flat=True).distinct()
        pipelines = [*((name, LABELS.get(name, name)) for name in PIPELINES), *((name, name) for name in own)]
        choices: dict[str, list[tuple[str, Any]]] = {
            "pipeline": pipelines + ([("", _("None: only the models chosen below"))] if models else []),
            "prelabellers": [(name, name) for name in models],
            "without": [("", "—"), *((name, name) for name in STEPS)],
            "without_record": [("", "—"), *GRADES.items()],
        }
        for name, values in choices.items():
            self.fields[name].choices = values  # type: ignore[attr-defined]

    def clean_clips(self) -> list[str] | None:
        names = [line.strip() for line in self.cleaned_data["clips"].splitlines() if line.strip()]
        return names or None

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not cleaned.get("pipeline") and not cleaned.get("prelabellers") and "pipeline" not in self.errors:
            self.add_error("pipeline", _("Choose a pipeline, or models."))
        if self.errors:
            return cleaned
        try:
            cleaned["only"] = selection.parse({name: cleaned[name] for name in self.FILTER})
            cleaned["budget"] = self.budget()
        except Invalid as error:
            self.add_error(None, error.message)
        return cleaned

    def wanted(self) -> dict[str, Any]:
        """The keyword arguments of `create_run` and `estimate`."""
        cleaned = self.cleaned_data
        return {
            "pipeline_name": cleaned["pipeline"] or None,
            "prelabellers": cleaned["prelabellers"] or None,
            "clip_names": cleaned["clips"],
            "only": cleaned["only"],
            "budget": cleaned["budget"],
        }

    def limited(self) -> bool:
        """Whether anything below "Only some clips" was filled in, or refused."""
        return any(self[name].errors or self[name].value() not in (None, "") for name in (*self.FILTER, "clips"))

    def budgeted(self) -> bool:
        """Whether anything below "Budget" was filled in, or refused."""
        return any(self[name].errors or self[name].value() not in (None, "") for name in (*self.BUDGET, "repeat"))


class PipelineForm(forms.Form):
    """A name and a list of steps in YAML."""

    name = forms.CharField(label=_("Name"), max_length=80)
    declaration = forms.CharField(
        label=_("List of steps"),
        help_text=_(
            "YAML or JSON: a list of steps. A step is its name, or a mapping with step, prelabeller, options, tag."
        ),
        widget=forms.Textarea(attrs={"rows": 14, "spellcheck": "false", "class": "mono"}),
        max_length=100_000,
    )
