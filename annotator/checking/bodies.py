"""The body of draft and submit: what a person sends, made regular or refused by field.

`Invalid.extra["errors"]` maps a path such as `clues[2].verdict` to a message.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _

from annotator.core.errors import Invalid
from annotator.prelabels.models import ASPECTS, MODALITIES, Clue

from . import extras
from .canonical import LANGUAGES, seconds
from .models import VERDICTS

KEYS = ("clues", "description", "ov_labels", "label", *extras.KEYS, "work")
MAX_CLUES = 200  # beside those that were offered
MAX_CLUE_TEXT = 4_000
MAX_DESCRIPTION = 20_000
MAX_REASON = 300
MAX_LABEL = 80
MAX_OV_LABELS = 50  # per language
MAX_DRAFT_BYTES = 1_000_000
_HALF_PAIR = re.compile("[\ud800-\udfff]")
SPAN_SLACK = 0.5  # seconds past the clip's end: containers and players disagree by a frame or two

Errors = dict[str, str]


def text_problem(value: str, limit: int) -> str | None:
    """Why PostgreSQL or a reader could not take this text; None when it can."""
    if len(value) > limit:
        return _("At most %(limit)s characters.") % {"limit": limit}
    if "\x00" in value:
        return _("A NUL character cannot be stored.")
    if _HALF_PAIR.search(value):
        return _("Half a surrogate pair is no character.")
    return None


def draft(raw: Any) -> dict[str, Any]:
    """A draft is kept as it is, however unfinished, as long as it can be stored at all."""
    if not isinstance(raw, dict):
        raise Invalid(_("The body must be a JSON object."), errors={"": _("The body must be a JSON object.")})
    try:
        packed = json.dumps(raw, ensure_ascii=False, allow_nan=False)
        problem = text_problem(packed, MAX_DRAFT_BYTES)
        if problem is None and "\\u0000" in packed:  # a NUL, or a text that spells one
            problem = next(filter(None, map(_unstorable, _texts(raw))), None)
    except (ValueError, RecursionError):
        problem = _("NaN, Infinity and bottomless nesting are no JSON.")
    if problem:
        raise Invalid(problem, errors={"": problem})
    if unknown := sorted(set(raw) - set(KEYS)):
        raise Invalid(_("Some fields are wrong."), errors=dict.fromkeys(unknown, _("There is no such field.")))
    return raw


def _texts(value: Any) -> Iterator[str]:
    """Every string in a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _unstorable(text: str) -> str | None:
    return text_problem(text, MAX_DRAFT_BYTES)


def final(raw: Any, offered: Sequence[Clue], *, duration: float | None = None) -> dict[str, Any]:
    """The regular body of a submission over the clues that were offered: every key there but `work`, which tells how it
    was made and not what it says; clues in the order sent.

    Raises Invalid with `errors` by field and clue: a missing or unknown verdict, an unknown clue, `kept` with changed
    text or span, an empty description, a text that is too long or cannot be stored.
    """
    draft(raw)
    errors: Errors = {}
    body: dict[str, Any] = {
        "clues": _clues(raw.get("clues"), {clue.pk: clue for clue in offered}, duration, errors),
        "description": _description(raw.get("description"), errors),
        "ov_labels": _ov_labels(raw.get("ov_labels"), errors),
        "label": _text(raw.get("label") or "", "label", MAX_LABEL, errors).strip(),
    }
    body |= extras.read(raw, body["ov_labels"], errors)
    if errors:
        first = next(iter(errors.items()))
        raise Invalid(_("Some fields are wrong.") + f" {first[0]}: {first[1]}", errors=errors)
    return body


def _text(value: Any, where: str, limit: int, errors: Errors) -> str:
    if not isinstance(value, str):
        errors[where] = _("A text is wanted here.")
        return ""
    if problem := text_problem(value, limit):
        errors[where] = problem
        return ""
    return value


def _clues(raw: Any, offered: Mapping[int, Clue], duration: float | None, errors: Errors) -> list[dict[str, Any]]:
    items: list[Any] = [] if raw is None else raw
    if not isinstance(items, list):
        errors["clues"] = _("A list is wanted here.")
        return []
    if len(items) > (most := MAX_CLUES + len(offered)):
        errors["clues"] = _("At most %(limit)s clues.") % {"limit": most}
        return []
    checked: list[dict[str, Any]] = []
    seen: set[int] = set()
    for index, item in enumerate(items):
        where = f"clues[{index}]"
        if not isinstance(item, dict):
            errors[where] = _("An object is wanted here.")
            continue
        checked.append(_clue(item, where, offered, seen, duration, errors))
    for pk in offered:
        if pk not in seen:
            name = " ".join(filter(None, (offered[pk].modality, offered[pk].aspect)))
            errors[f"clues[id={pk}].verdict"] = _("Clue %(id)s (%(name)s) has no verdict.") % {"id": pk, "name": name}
    return checked


def _clue(
    item: dict[str, Any],
    where: str,
    offered: Mapping[int, Clue],
    seen: set[int],
    duration: float | None,
    errors: Errors,
) -> dict[str, Any]:
    verdict, pk = item.get("verdict"), item.get("id")
    origin: Clue | None = None
    if verdict not in VERDICTS:
        errors[f"{where}.verdict"] = _("The verdict is one of %(choices)s.") % {"choices": ", ".join(VERDICTS)}
    if pk is not None:
        origin = offered.get(pk) if isinstance(pk, int) and not isinstance(pk, bool) else None
        if origin is None:
            errors[f"{where}.id"] = _("Clue %(id)s was not offered with this claim.") % {"id": pk}
        elif origin.pk in seen:
            errors[f"{where}.id"] = _("Clue %(id)s is judged twice.") % {"id": pk}
        else:
            seen.add(origin.pk)
            if verdict == "added":
                errors[f"{where}.verdict"] = _("An added clue has no id; this one was offered.")
    elif verdict in VERDICTS and verdict != "added":
        errors[f"{where}.id"] = _("A clue that was kept, corrected or rejected needs its id.")
    given = _given(item, origin)
    if origin is not None and given["span"] == origin.span:
        duration = None  # what was offered may be kept, wherever it ends
    clean: dict[str, Any] = {
        "id": origin.pk if origin else None,
        "modality": _choice(given["modality"], MODALITIES, f"{where}.modality", errors),
        "aspect": _choice(given["aspect"] or "", ASPECTS, f"{where}.aspect", errors),
        "language": _choice(given["language"], LANGUAGES, f"{where}.language", errors),
        "text": _text(given["text"], f"{where}.text", _longest(origin), errors),
        "span": _span(given["span"], f"{where}.span", duration, errors),
        "verdict": verdict,
        "reason": _text(item.get("reason") or "", f"{where}.reason", MAX_REASON, errors),
    }
    if f"{where}.text" not in errors and not clean["text"].strip():
        errors[f"{where}.text"] = _("A clue needs a text.")
    if origin is not None:
        _compare(clean, origin, where, errors)
    return clean


def _longest(origin: Clue | None) -> int:
    """What was offered may be kept or shortened, however long a pre-labeller or an import wrote it."""
    offered = [] if origin is None else [origin.text, *(origin.texts or {}).values()]
    return max([MAX_CLUE_TEXT, *(len(text) for text in offered if isinstance(text, str))])


def _given(item: dict[str, Any], origin: Clue | None) -> dict[str, Any]:
    """What was sent; of an offered clue, what was not sent stays as it was offered."""
    keys = ("modality", "aspect", "language", "text", "span")
    if origin is None:
        return {key: item.get(key) for key in keys}
    return {key: item.get(key, getattr(origin, key)) for key in keys}


def _compare(clean: dict[str, Any], origin: Clue, where: str, errors: Errors) -> None:
    """An offered clue keeps its modality; a kept one everything; a rejected one is stored as it was offered."""
    if clean["modality"] != origin.modality and f"{where}.modality" not in errors:
        errors[f"{where}.modality"] = _("An offered clue stays in its modality, %(name)s.") % {"name": origin.modality}
    texts = {**(origin.texts or {}), origin.language: origin.text}
    offered_text = texts.get(clean["language"])
    if clean["verdict"] == "rejected":
        if offered_text is None:
            clean["language"], offered_text = origin.language, origin.text
        clean.update(text=offered_text, span=_plain_span(origin.span), aspect=origin.aspect)
    elif clean["verdict"] == "kept":
        if clean["text"] != offered_text and f"{where}.text" not in errors:
            errors[f"{where}.text"] = _("A kept clue keeps its text; call it corrected.")
        if clean["span"] != _plain_span(origin.span) and f"{where}.span" not in errors:
            errors[f"{where}.span"] = _("A kept clue keeps its span; call it corrected.")
        if clean["aspect"] != origin.aspect and f"{where}.aspect" not in errors:
            errors[f"{where}.aspect"] = _("A kept clue keeps its aspect; call it corrected.")


def _choice(value: Any, choices: Sequence[str], where: str, errors: Errors) -> str:
    if isinstance(value, str) and value in choices:
        return value
    errors[where] = _("One of %(choices)s is wanted here.") % {"choices": ", ".join(c or '""' for c in choices)}
    return ""


def _plain_span(value: Sequence[float | None] | None) -> list[float | None] | None:
    return None if value is None else [seconds(value[0]), seconds(value[1])]


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # JSON's integers have no end, floats do
        return False


def _span(value: Any, where: str, duration: float | None, errors: Errors) -> list[float | None] | None:
    if value is None:
        return None
    numbers = isinstance(value, list) and len(value) == 2
    if not numbers or not all(map(_is_number, value)):
        errors[where] = _("A span is [start, end] in seconds, or null.")
        return None
    if not 0 <= value[0] <= value[1]:
        errors[where] = _("A span starts at 0 or later and does not end before it starts.")
        return None
    if duration is not None and value[1] > duration + SPAN_SLACK:
        errors[where] = _("The span ends after the clip does (%(seconds)s s).") % {"seconds": round(duration, 3)}
        return None
    return _plain_span(value)


def _description(raw: Any, errors: Errors) -> dict[str, str]:
    if not isinstance(raw, dict):
        errors["description"] = _("An object with zh and en is wanted here.")
        return dict.fromkeys(LANGUAGES, "")
    for language in set(raw) - set(LANGUAGES):
        errors[f"description.{language}"] = _("There is no such language here.")
    found = {
        language: _text(raw.get(language) or "", f"description.{language}", MAX_DESCRIPTION, errors)
        for language in LANGUAGES
    }
    found = {language: text if text.strip() else "" for language, text in found.items()}
    if not any(found.values()) and not any(where.startswith("description") for where in errors):
        errors["description"] = _("One language may be empty, not both.")
    return found


def _ov_labels(raw: Any, errors: Errors) -> dict[str, list[str]]:
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        errors["ov_labels"] = _("An object with zh and en is wanted here.")
        return {language: [] for language in LANGUAGES}
    for language in set(raw) - set(LANGUAGES):
        errors[f"ov_labels.{language}"] = _("There is no such language here.")
    return {language: _label_list(raw.get(language), f"ov_labels.{language}", errors) for language in LANGUAGES}


def _label_list(raw: Any, where: str, errors: Errors) -> list[str]:
    values: list[Any] = [] if raw is None else raw
    if not isinstance(values, list):
        errors[where] = _("A list of texts is wanted here.")
        return []
    found = [_text(value, f"{where}[{index}]", MAX_LABEL, errors).strip() for index, value in enumerate(values)]
    kept = list(dict.fromkeys(filter(None, found)))
    if len(kept) > MAX_OV_LABELS:
        errors[where] = _("At most %(limit)s labels.") % {"limit": MAX_OV_LABELS}
    return kept
