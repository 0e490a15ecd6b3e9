"""What a body may say beside clues, description and labels: scores of labels, felt versus shown, conflict between
modalities, how far the two languages are in step, the answer to a reviewer. All of it is optional."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _

from annotator.prelabels.models import MODALITIES

from .canonical import LANGUAGES, labels
from .models import Annotation

KEYS = ("ov_scores", "display", "conflict", "translation", "reply")
SCORES = ("intensity", "confidence")
FELT_SHOWN = ("felt", "shown")
RELATIONS = ("same", "masked", "amplified", "sarcastic", "unclear")
STATES = ("own", "machine", "confirmed", "stale")
MAX_NOTE = 1_000
MAX_REPLY = 4_000
MAX_FELT = 20  # words on either side of felt versus shown

Errors = dict[str, str]


def of(annotation: Annotation) -> dict[str, Any]:
    """These parts of an annotation, as `read` gives them."""
    return {key: getattr(annotation, key) for key in KEYS}


def read(raw: Mapping[str, Any], ov_labels: Mapping[str, Sequence[str]], errors: Errors) -> dict[str, Any]:
    """`{ov_scores, display, conflict, translation, reply}` of a submission, regular: what says nothing is `{}`, null or
    "". Scores are 1 to 5 and stand at a label of `ov_labels`. What is wrong is added to `errors` by field."""
    return {
        "ov_scores": _scores(raw.get("ov_scores"), ov_labels, errors),
        "display": _display(raw.get("display"), errors),
        "conflict": _conflict(raw.get("conflict"), errors),
        "translation": _translation(raw.get("translation"), errors),
        "reply": _text(raw.get("reply"), "reply", MAX_REPLY, errors),
    }


def _object(value: Any, where: str, known: Sequence[str], errors: Errors) -> dict[str, Any]:
    """The object at this place with keys of `known` only; {} for null."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        errors[where] = _("An object is wanted here.")
        return {}
    for key in sorted(set(value) - set(known)):
        errors[f"{where}.{key}"] = _("There is no such field.")
    return {key: value[key] for key in known if value.get(key) is not None}


def _text(value: Any, where: str, limit: int, errors: Errors) -> str:
    from .bodies import text_problem  # bodies asks this module

    if value is None:
        return ""
    if not isinstance(value, str):
        errors[where] = _("A text is wanted here.")
        return ""
    if problem := text_problem(value, limit):
        errors[where] = problem
    return value if value.strip() else ""


def _choice(value: Any, choices: Sequence[str], where: str, errors: Errors) -> str | None:
    if isinstance(value, str) and value in choices:
        return value
    errors[where] = _("One of %(choices)s is wanted here.") % {"choices": ", ".join(choices)}
    return None


def _scores(raw: Any, ov_labels: Mapping[str, Sequence[str]], errors: Errors) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for language, by_label in _object(raw, "ov_scores", LANGUAGES, errors).items():
        where = f"ov_scores.{language}"
        if not isinstance(by_label, dict):
            errors[where] = _("An object is wanted here.")
            continue
        for label, given in by_label.items():
            place = f"{where}.{label[:80]}"
            scores = {
                name: _score(value, f"{place}.{name}", errors)
                for name, value in _object(given, place, SCORES, errors).items()
            }
            if not any(scores.values()):
                continue
            if label not in ov_labels[language]:
                errors[place] = _("This is none of the OV labels.")
                continue
            found.setdefault(language, {})[label] = {name: scores.get(name) for name in SCORES}
    return found


def _score(value: Any, where: str, errors: Errors) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 5:
        return value
    errors[where] = _("A whole number from 1 to 5 is wanted here, or null.")
    return None


def _display(raw: Any, errors: Errors) -> dict[str, Any] | None:
    given = _object(raw, "display", ("relation", "felt", "shown"), errors)
    if not given:
        return None
    relation = _choice(given.get("relation"), RELATIONS, "display.relation", errors)
    return {"relation": relation, **{side: _words(given.get(side), f"display.{side}", errors) for side in FELT_SHOWN}}


def _words(raw: Any, where: str, errors: Errors) -> list[str]:
    from .bodies import MAX_LABEL

    values: list[Any] = [] if raw is None else raw
    if not isinstance(values, list):
        errors[where] = _("A list of texts is wanted here.")
        return []
    if len(values) > MAX_FELT:
        errors[where] = _("At most %(limit)s labels.") % {"limit": MAX_FELT}
        return []
    found = [_text(value, f"{where}[{index}]", MAX_LABEL, errors).strip() for index, value in enumerate(values)]
    return labels(filter(None, found))


def _conflict(raw: Any, errors: Errors) -> dict[str, Any] | None:
    given = _object(raw, "conflict", ("modalities", "note"), errors)
    if not given:
        return None
    named = given.get("modalities", [])
    note = _text(given.get("note"), "conflict.note", MAX_NOTE, errors)
    if not isinstance(named, list) or not all(isinstance(name, str) and name in MODALITIES for name in named):
        errors["conflict.modalities"] = _("A list of modalities is wanted here: %(names)s.") % {
            "names": ", ".join(MODALITIES)
        }
        return None
    if not named and not note:
        return None
    if len(set(named)) < 2:
        errors["conflict.modalities"] = _("A conflict is between two modalities or all three.")
    return {"modalities": [name for name in MODALITIES if name in named], "note": note}


def _translation(raw: Any, errors: Errors) -> dict[str, str]:
    given = _object(raw, "translation", LANGUAGES, errors)
    found = {language: _choice(state, STATES, f"translation.{language}", errors) for language, state in given.items()}
    return {language: state for language, state in found.items() if state}
