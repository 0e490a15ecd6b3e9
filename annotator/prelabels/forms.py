"""The form that starts a run."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from annotator.clips.models import Corpus
from models_ml.steps import PIPELINES

from . import plans

LABELS = {
    "measured": _("Measured: voice and face measurements, a description by template. Asks no model."),
    "emer": _("EMER: measurements, audio and video models, then a text model merges them."),
    "merr": _("MERR: face measurements, audio and video models, a description by template."),
}


class RunForm(forms.Form):
    """Which pipeline (or which single pre-labellers) over which clips."""

    pipeline = forms.ChoiceField(
        label=_("Pipeline"),
        choices=[(name, LABELS.get(name, name)) for name in PIPELINES],
        initial="measured",
        widget=forms.RadioSelect,
    )
    prelabellers = forms.MultipleChoiceField(
        label=_("Or only these pre-labellers"), required=False, widget=forms.CheckboxSelectMultiple
    )
    clips = forms.CharField(
        label=_("Only these clips"),
        required=False,
        help_text=_("One name a line. Empty: all clips of the corpus."),
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=2_000_000,
    )

    def __init__(self, corpus: Corpus, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.corpus = corpus
        models = plans.registered_models().values_list("name", flat=True)
        self.fields["prelabellers"].choices = [(name, name) for name in models]  # type: ignore[attr-defined]

    def clean_clips(self) -> list[str] | None:
        names = [line.strip() for line in self.cleaned_data["clips"].splitlines() if line.strip()]
        return names or None
