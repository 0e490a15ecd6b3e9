"""How an annotation was made, as the page tells it: active time, what was played, context seen, keys and edits.

A client can claim anything here. It is therefore capped by what the server knows, the wall time of the claim and the
length of the clip, and it decides nothing: the figures made of it are for coaching, not for acceptance.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _

from annotator.core.errors import Invalid

MAX_INTERVALS = 500  # after merging; a clip of a minute in steps of a tenth of a second has 600
MAX_CLUES = 1_000
MAX_COUNT = 1_000_000
JOINT = 0.05  # seconds between two stretches that count as one: players report a position now and then

Interval = tuple[float, float]


def clean_work(raw: Any, claim_seconds: float | None) -> dict[str, Any]:
    """`body["work"]` made regular: `{active_s, played, clues, context, keys, edits}`, only the keys that were told.

    Seconds are rounded to 3 decimals and capped by `claim_seconds`, the wall time since the claim was made (None: not
    known, not capped); stretches are ordered and joined. null is the same as not telling. Raises Invalid with
    `errors` by field (`work.played[2]`) for what has another type than the interface's.
    """
    if raw is None:
        return {}
    errors: dict[str, str] = {}
    if not isinstance(raw, dict):
        errors["work"] = _("An object is wanted here.")
        raise Invalid(_("Some fields are wrong."), errors=errors)
    work: dict[str, Any] = {}
    active = _seconds(raw.get("active_s"), "work.active_s", claim_seconds, errors)
    if active is not None:
        work["active_s"] = active
    if raw.get("played") is not None:
        work["played"] = [list(pair) for pair in _stretches(raw["played"], errors)]
    if raw.get("clues") is not None:
        work["clues"] = _clues(raw["clues"], claim_seconds if active is None else active, errors)
    if raw.get("context") is not None:
        work["context"] = _context(raw["context"], errors)
    for name in ("keys", "edits"):
        if (count := _count(raw.get(name), f"work.{name}", errors)) is not None:
            work[name] = count
    if errors:
        first = next(iter(errors.items()))
        raise Invalid(_("Some fields are wrong.") + f" {first[0]}: {first[1]}", errors=errors)
    return work


def joined(stretches: Iterable[Sequence[float]]) -> list[Interval]:
    """Stretches of seconds in order, those that meet or overlap made one."""
    found: list[Interval] = []
    for start, end in sorted((float(start), float(end)) for start, end in stretches):
        if found and start <= found[-1][1] + JOINT:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def played_share(work: Mapping[str, Any], duration: float | None) -> float | None:
    """The share of the clip that was played at least once, 0 to 1; None where the length or the playing is not told."""
    if "played" not in work or not duration or duration <= 0:
        return None
    heard = sum(max(0.0, min(end, duration) - max(start, 0.0)) for start, end in joined(work["played"]))
    return round(min(1.0, heard / duration), 4)


def _number(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # JSON's integers have no end, floats do
        return False


def _seconds(value: Any, where: str, most: float | None, errors: dict[str, str]) -> float | None:
    if value is None:
        return None
    if not _number(value) or value < 0:
        errors[where] = _("Seconds, 0 or more, are wanted here.")
        return None
    return round(float(value if most is None else min(value, max(most, 0.0))), 3)


def _count(value: Any, where: str, errors: dict[str, str]) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        errors[where] = _("A whole number, 0 or more, is wanted here.")
        return None
    return min(value, MAX_COUNT)


def _stretches(value: Any, errors: dict[str, str]) -> list[Interval]:
    if not isinstance(value, list):
        errors["work.played"] = _("A list is wanted here.")
        return []
    for index, item in enumerate(value):
        pair = isinstance(item, list) and len(item) == 2 and all(map(_number, item))
        if not pair or not 0 <= item[0] <= item[1]:
            errors[f"work.played[{index}]"] = _("[start, end] in seconds is wanted here.")
            return []
    found = [(round(start, 3), round(end, 3)) for start, end in joined(value)]
    # The longest are kept: together they say best how much was played.
    longest = sorted(found, key=lambda pair: pair[0] - pair[1])[:MAX_INTERVALS]
    return sorted(longest)


def _clues(value: Any, most: float | None, errors: dict[str, str]) -> dict[str, dict[str, Any]]:
    if not isinstance(value, dict) or len(value) > MAX_CLUES:
        errors["work.clues"] = _("An object with clue ids as keys is wanted here.")
        return {}
    found: dict[str, dict[str, Any]] = {}
    for key, item in value.items():
        where = f"work.clues.{key}"
        if not (key.isascii() and key.isdigit()) or not isinstance(item, dict):
            errors[where] = _("Clue ids as keys with {active_s, played} are wanted here.")
            continue
        active = _seconds(item.get("active_s"), f"{where}.active_s", most, errors)
        played = item.get("played")
        if played is not None and not isinstance(played, bool):
            errors[f"{where}.played"] = _("true or false is wanted here.")
            played = None
        found[key] = {"active_s": active, "played": played}
    return found


def _context(value: Any, errors: dict[str, str]) -> dict[str, bool]:
    if not isinstance(value, dict):
        errors["work.context"] = _("An object is wanted here.")
        return {}
    found = {}
    for name in ("previous", "next"):
        if value.get(name) is None:
            continue
        if isinstance(value[name], bool):
            found[name] = value[name]
        else:
            errors[f"work.context.{name}"] = _("true or false is wanted here.")
    return found
