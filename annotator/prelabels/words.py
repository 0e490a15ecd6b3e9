"""What is stored about runs in codes and in English, in the reader's language."""

import re
from typing import Any

from django.utils.translation import gettext as _

from models_ml.steps import STEPS

from . import budgets
from .keys import base_step
from .models import Run
from .reach import how_to

_BY_HAND = re.compile(r"paused by (.+)")


def selection(chosen: dict[str, Any]) -> list[tuple[str, str]]:
    """Which clips a run is about: (label, value) pairs; [] for all."""
    labels = {
        "named": _("Clips named"),
        "without": _("Without this step so far"),
        "without_record": _("Without a record of grade"),
        "speaker": _("Speaker"),
        "source": _("Source"),
        "label": _("Label"),
        "min_duration": _("At least, seconds"),
        "max_duration": _("At most, seconds"),
        "sample": _("Random sample of"),
        "seed": _("Seed"),
    }
    shown = {key: value if isinstance(value, list) else [value] for key, value in chosen.items()}
    return [(labels.get(key, key), ", ".join(map(str, shown[key]))) for key in {**labels, **shown} if key in shown]


def limit(name: str) -> str:
    """A limit of a budget."""
    return {"tokens": _("Tokens"), "money": _("Money"), "gpu_seconds": _("GPU seconds")}[name]


def pause_reason(run: Run, spent: dict[str, float]) -> str:
    """Why a run is paused; "" when it is not."""
    if run.state != "paused":
        return ""
    if by_hand := _BY_HAND.fullmatch(run.reason):
        return _("Paused by %(name)s.") % {"name": by_hand[1]}
    if run.reason.startswith("budget reached") and (over := budgets.reached(run.budget, spent)):
        return " ".join(
            _("The budget is reached: %(spent)s of %(limit)s (%(name)s).")
            % {"spent": budgets.show(now), "limit": budgets.show(most), "name": limit(name)}
            for name, now, most in over
        )
    return run.reason


def reason(step: str, code: str, text: str) -> str:
    """A job's stored reason; how to configure a server is said in the reader's language."""
    spec = None if "@" in step else STEPS.get(base_step(step))  # a registered pre-labeller names its own setting
    return how_to(spec.endpoint) if code == "not-configured" and spec and spec.endpoint else text
