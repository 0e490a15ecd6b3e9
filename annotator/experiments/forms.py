"""The forms of experiments: launching a run, promoting a checkpoint, filtering results."""

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotator.snapshots.models import Snapshot

from . import configs
from .models import Checkpoint

MOST_INITS = 200


class SnapshotChoice(forms.ModelChoiceField):
    def label_from_instance(self, obj: Any) -> str:
        return f"{obj} · {obj.grade}"


class CheckpointChoice(forms.ModelChoiceField):
    def label_from_instance(self, obj: Any) -> str:
        stages = [str(stage.get("stage")) for stage in obj.lineage if stage.get("stage")]
        told = _("stage %s") % "+".join(stages) if stages else obj.training_run.config
        return f"{obj.training_run.name} · {_('step')} {obj.step} · {told}"


class LaunchForm(forms.Form):
    """What to train on what, from where, with which settings."""

    snapshot = SnapshotChoice(label=gettext_lazy("Snapshot"), queryset=Snapshot.objects.none(), empty_label=None)
    config = forms.ChoiceField(label=gettext_lazy("Config"))
    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=80,
        help_text=gettext_lazy("Of the run, for example tiny-v1. It is used once and for good."),
    )
    init = CheckpointChoice(
        label=gettext_lazy("Start from"),
        queryset=Checkpoint.objects.none(),
        required=False,
        empty_label=gettext_lazy("nothing: trainable parts begin as the config says"),
        help_text=gettext_lazy("Stage 2 usually starts from a checkpoint of stage 1."),
    )
    overrides = forms.CharField(
        label=gettext_lazy("Settings"),
        required=False,
        max_length=10_000,
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false", "class": "mono"}),
        help_text=gettext_lazy("key=value, one a line, like train.epochs=3; they override the config."),
    )
    gpu = forms.CharField(
        label=gettext_lazy("GPU"),
        required=False,
        max_length=80,
        help_text=gettext_lazy("For the estimate of time, for example NVIDIA H100. Empty: this host."),
    )
    text_only = forms.BooleanField(
        label=gettext_lazy("Train on the text of clips whose media is missing"), required=False
    )

    def __init__(
        self,
        snapshots: QuerySet[Snapshot],
        inits: QuerySet[Checkpoint],
        chosen: Snapshot | None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        self.fields["snapshot"].queryset = snapshots  # type: ignore[attr-defined]
        self.fields["init"].queryset = inits  # type: ignore[attr-defined]
        names = configs.fitting(chosen.grade) if chosen else configs.every()
        self.fields["config"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]

    def clean_overrides(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for number, line in enumerate(self.cleaned_data["overrides"].splitlines(), 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            key, sign, value = line.partition("=")
            key = key.strip()
            if not sign or not key:
                raise forms.ValidationError(
                    _("Line %(n)d is not key=value: “%(line)s”.") % {"n": number, "line": line[:80]}
                )
            if key in found:
                raise forms.ValidationError(_("Line %(n)d sets “%(key)s” again.") % {"n": number, "key": key[:80]})
            found[key] = value.strip()
        return found

    def show(self, error: Any) -> None:
        """A service's error at the fields that it names, else above the form."""
        named = error.extra.get("errors") if isinstance(error.extra.get("errors"), dict) else {}
        fields = [name for name in named if name in self.fields]
        for name in fields:
            self.add_error(name, named[name])
        if not fields:
            self.add_error(None, error.message)


class PromoteForm(forms.Form):
    name = forms.CharField(label=gettext_lazy("Name of the pre-labeller"), max_length=120, required=False)

    def show(self, error: Any) -> None:
        self.add_error("name" if "name" in (error.extra.get("errors") or {}) else None, error.message)
