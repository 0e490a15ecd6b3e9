"""The rules by which a corpus is checked: read, changed, and what follows from a change."""

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from annotator.clips.access import require
from annotator.clips.models import Clip, Corpus
from annotator.core import audit
from annotator.core.errors import Invalid

from . import leases, queue, scores, submissions, terms
from .bodies import text_problem
from .models import MODES, CheckingRules, GoldItem, Slot

MAX_TERMS = 100_000
MAX_MODES = 20  # as many as annotations of one clip
MAX_ITEMS = 1_000
MAX_RATE = Decimal("999999.99")
PRIORITIES = (-1_000, 1_000)
OVERLAPS = (1, 20)


class Wrong(ValueError):
    """A value that a field does not take; the message says what it does."""


def of(corpus: Corpus) -> CheckingRules:
    """The corpus' rules; the defaults, unsaved, where it has none."""
    return CheckingRules.objects.filter(corpus=corpus).first() or CheckingRules(corpus=corpus)


def as_json(rules: CheckingRules) -> dict[str, Any]:
    """Every rule under its name, with the version of the terms."""
    found = {name: getattr(rules, name) for name in FIELDS}
    found["hourly_rate"] = None if rules.hourly_rate is None else str(rules.hourly_rate)
    return {**found, "terms_version": terms.version_of(rules.terms) if rules.terms else None}


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise Wrong(_("true or false is wanted here."))


def _number(low: float, high: float, *, optional: bool = False) -> Callable[[Any], float | None]:
    def parse(value: Any) -> float | None:
        if optional and value in (None, ""):
            return None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low <= value <= high:
            raise Wrong(_("A number from %(low)s to %(high)s is wanted here.") % {"low": low, "high": high})
        return float(value)

    return parse


def _whole(low: int, high: int) -> Callable[[Any], int]:
    def parse(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise Wrong(_("A whole number from %(low)s to %(high)s is wanted here.") % {"low": low, "high": high})
        return value

    return parse


def _one_of(*choices: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise Wrong(_("One of %(choices)s is wanted here.") % {"choices": ", ".join(choices)})
        return value

    return parse


def _modes(value: Any) -> list[str]:
    known = isinstance(value, list) and all(isinstance(mode, str) and mode in MODES for mode in value)
    if not known or not 1 <= len(value) <= MAX_MODES:
        choices = ", ".join(mode or '""' for mode in MODES)
        raise Wrong(_("A list of 1 to %(n)d of %(choices)s is wanted here.") % {"n": MAX_MODES, "choices": choices})
    return list(value)


def _terms(value: Any) -> str:
    if not isinstance(value, str):
        raise Wrong(_("A text is wanted here."))
    text = value.replace("\r\n", "\n").strip()
    if problem := text_problem(text, MAX_TERMS):
        raise Wrong(problem)
    return text


def _rate(value: Any) -> Decimal | None:
    if value in (None, ""):
        return None
    try:
        rate = Decimal(str(value))
    except InvalidOperation:
        rate = Decimal(-1)
    if isinstance(value, bool) or not rate.is_finite() or not 0 <= rate <= MAX_RATE:
        raise Wrong(_("A number from %(low)s to %(high)s is wanted here.") % {"low": 0, "high": MAX_RATE})
    return rate.quantize(Decimal("0.01"))


def _currency(value: Any) -> str:
    if not isinstance(value, str) or len(value) != 3 or not (value.isascii() and value.isalpha()):
        raise Wrong(_("Three letters are wanted here, such as USD or CNY."))
    return value.upper()


FIELDS: dict[str, Callable[[Any], Any]] = {
    "terms": _terms,
    "training_items": _whole(0, MAX_ITEMS),
    "test_items": _whole(0, MAX_ITEMS),
    "pass_mark": _number(0, 1),
    "order": _one_of("age", "active"),
    "modes": _modes,
    "blind_sources": _flag,
    "none_share": _number(0, 1),
    "blind_share": _number(0, 1),
    "gold_share": _number(0, 1),
    "planted_share": _number(0, 1),
    "auto_accept": _number(0, 1, optional=True),
    "hourly_rate": _rate,
    "currency": _currency,
    "idle_after": _whole(5, 3_600),
}


def change(user: Any, corpus: Corpus, values: Any, *, replace: bool = False) -> CheckingRules:
    """Set rules of a corpus; with `replace` what is not named goes back to its default.

    Open slots follow the modes, scores the order; new terms are asked of everybody anew. `user` is None for a command
    on the machine itself. Raises NotFound and Forbidden by role, Invalid with a message by field.
    """
    if user is not None:
        require(user, corpus, "rules.edit")
    if not isinstance(values, Mapping):
        raise Invalid(_("The body must be a JSON object."), errors={"": _("The body must be a JSON object.")})
    clean, errors = _parse(values)
    with transaction.atomic():
        CheckingRules.objects.get_or_create(corpus=corpus)
        rules = CheckingRules.objects.select_for_update().get(corpus=corpus)
        before = {name: getattr(rules, name) for name in FIELDS}
        start = {name: getattr(CheckingRules(), name) for name in FIELDS} if replace else before
        for name, value in {**start, **clean}.items():
            setattr(rules, name, value)
        _check_together(corpus, rules, before, errors)
        if errors:
            name, message = next(iter(errors.items()))
            raise Invalid(f"{name}: {message}", errors=errors)
        changed = {name: getattr(rules, name) for name in FIELDS if getattr(rules, name) != before[name]}
        if changed:
            rules.save()
            _follow(corpus, rules, changed)
            said = {name: str(value) for name, value in changed.items() if name != "terms"}
            if "terms" in changed:
                said["terms"] = terms.version_of(rules.terms) if rules.terms else ""
            audit.record(user, "rules.change", corpus=corpus.slug, target=f"corpus {corpus.slug}", **said)
    return rules


def problems(corpus: Corpus) -> dict[str, str]:
    """What the rules say against a corpus as somebody wants to save it, by field."""
    if corpus.pk and corpus.review != "required" and any(of(corpus).modes):
        return {"review": _("Its rules show one modality alone, which needs a review: change the rules first.")}
    return {}


def _parse(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    clean: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, value in values.items():
        if name not in FIELDS:
            if name != "terms_version":  # what GET answers may be sent back
                errors[str(name)] = _("There is no such field.")
            continue
        try:
            clean[name] = FIELDS[name](value)
        except Wrong as wrong:
            errors[name] = str(wrong)
    return clean, errors


def _check_together(corpus: Corpus, rules: CheckingRules, before: Mapping[str, Any], errors: dict[str, str]) -> None:
    """What only holds of several rules, or of the corpus."""
    if any(rules.modes) and corpus.review != "required":
        errors.setdefault(
            "modes", _("Showing one modality alone needs a review, in which the whole is put together again.")
        )
    if rules.none_share + rules.blind_share > 1 + 1e-9:
        errors.setdefault("blind_share", _("Together with none_share it is more than 1."))
    for name, purpose in (("training_items", "training"), ("test_items", "test")):
        wanted = getattr(rules, name)
        if wanted > before[name] and name not in errors:
            there = GoldItem.objects.filter(corpus=corpus, purpose=purpose, active=True, clip__withdrawn_at=None)
            if wanted > (n := there.count()):
                errors[name] = _("There are %(n)d gold clips for it: make more of them first.") % {"n": n}


def _follow(corpus: Corpus, rules: CheckingRules, changed: Mapping[str, Any]) -> None:
    if "modes" in changed:
        leases.fit_modes(corpus, rules.modes)
    if "order" in changed:
        if rules.order == "active":
            transaction.on_commit(lambda: scores.send(corpus.pk), robust=True)
        else:
            scores.clear(corpus)
            queue.forget_places(corpus.pk)


def plan_clip(user: Any, clip: Clip, values: Mapping[str, Any]) -> Clip:
    """Set a clip's `priority` (the higher comes first) and `overlap` (null: as the corpus); its slots follow.

    What is claimed or done stays. Raises NotFound and Forbidden by role, Invalid by field.
    """
    require(user, clip.corpus, "rules.edit")
    parsers: dict[str, Callable[[Any], Any]] = {
        "priority": _whole(*PRIORITIES),
        "overlap": lambda value: None if value in (None, "") else _whole(*OVERLAPS)(value),
    }
    clean, errors = {}, {}
    for name, value in values.items():
        if name not in parsers:
            errors[str(name)] = _("There is no such field.")
            continue
        try:
            clean[name] = parsers[name](value)
        except Wrong as wrong:
            errors[name] = str(wrong)
    if errors:
        name, message = next(iter(errors.items()))
        raise Invalid(f"{name}: {message}", errors=errors)
    with transaction.atomic():
        row = Clip.objects.select_for_update(of=("self",), no_key=True).select_related("corpus").get(pk=clip.pk)
        changed = {name: value for name, value in clean.items() if getattr(row, name) != value}
        if not changed or row.withdrawn_at:
            return row
        for name, value in changed.items():
            setattr(row, name, value)
        row.save(update_fields=[*changed, "updated_at"])
        if "priority" in changed:
            Slot.objects.filter(clip=row).exclude(kind="gold").update(priority=row.priority)
        submissions.fit_slots(row.corpus, [row.pk])
        queue.forget_places(row.corpus_id)
        audit.record(user, "clip.plan", corpus=row.corpus.slug, target=f"clip {row.pk}", clip=row.name, **changed)
    return row
