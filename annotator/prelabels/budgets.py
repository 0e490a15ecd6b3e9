"""What a run may cost: limits on tokens, money and GPU seconds, and when one of them is reached.

A limit stops the taking of jobs, not the calls that are in flight: what these cost comes on top.
"""

import math
import time
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from annotator.core.errors import Invalid

from . import tallies
from .models import Run

LIMITS = ("tokens", "money", "gpu_seconds")
FRESH_SECONDS = 1.0  # how long one answer serves every batch of this process
_known: dict[int, tuple[float, dict[str, Any], str]] = {}


def parse(given: Mapping[str, Any] | None) -> dict[str, float]:
    """The limits, each a number above 0; an empty or missing one is none. Raises Invalid, which names the limit."""
    limits: dict[str, float] = {}
    for name, value in (given or {}).items():
        if name not in LIMITS:
            raise Invalid(
                _("There is no limit “%(name)s”. There are: %(known)s.") % {"name": name, "known": ", ".join(LIMITS)},
                errors={"budget": name},
            )
        if value in (None, ""):
            continue
        number = _number(value)
        if number is None:
            raise Invalid(
                _("The limit “%(name)s” must be a number above 0, not “%(value)s”.")
                % {"name": name, "value": str(value)[:80]},
                errors={"budget": name},
            )
        limits[name] = int(number) if name == "tokens" else number
    return limits


def from_words(text: str) -> dict[str, float]:
    """`tokens=1000000,money=12.5,gpu-seconds=3600` as limits. Raises Invalid."""
    given: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, equals, value = part.partition("=")
        if not equals:
            raise Invalid(_("A limit is written name=number, not “%(text)s”.") % {"text": part[:80]})
        given[name.strip().replace("-", "_")] = value.strip()
    return parse(given)


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and 1e-9 < number < 1e15 else None


def exceeded(run: Run) -> str:
    """Why the run must stop, with limit and spent, or "" when it may go on. Cheap: asked before each batch of jobs.

    The answer is at most a second old in this process. `run` needs its `pk` and `budget` only.
    """
    if not run.budget:
        return ""
    known = _known.get(run.pk)
    if known and known[1] == run.budget and time.monotonic() - known[0] < FRESH_SECONDS:
        return known[2]
    if len(_known) > 1000:
        _known.clear()
    over = reached(run.budget, tallies.spent(run.pk))
    reason = "; ".join(f"budget reached: {show(now)} of {show(limit)} {name}" for name, now, limit in over)
    _known[run.pk] = (time.monotonic(), dict(run.budget), reason)
    return reason


def spent_of(totals: Mapping[str, Any]) -> dict[str, float]:
    """What `tallies.totals` say was spent, by the names of a budget."""
    tokens = totals["prompt_tokens"] + totals["completion_tokens"]
    return {"tokens": tokens, "money": totals["cost"], "gpu_seconds": totals["gpu_seconds"]}


def reached(budget: Mapping[str, float], spent: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """(name, spent, limit) of every limit that is reached."""
    return [
        (name, spent[name], budget[name]) for name in LIMITS if budget.get(name) and spent[name] >= budget[name]
    ]  # fmt: skip


def show(number: float) -> str:
    """A figure as people read it: whole numbers whole, others with as many places as they need."""
    return f"{number:,.0f}" if number == int(number) or abs(number) >= 1000 else f"{number:,.4g}"


def pause(run_id: int, reason: str) -> bool:
    """Stop a run that goes on, with this reason; what is at work is finished. False where it does not go on."""
    going = Run.objects.filter(pk=run_id, state__in=["queued", "running"])
    return bool(going.update(state="paused", reason=(reason or "paused")[:1000]))
