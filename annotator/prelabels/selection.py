"""Which clips a run works on: all, those named, or those of a filter; fixed when the run is started.

A filter is a small JSON object. Its clips are written down as `RunClip` rows at once, so that neither a clip that
arrives later nor a step that this very run finishes changes what the run is about.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import MD5, Concat
from django.utils.translation import gettext as _

from annotator.clips.models import Clip, Corpus
from annotator.core.errors import Invalid
from models_ml.steps import STEPS

from .models import Job, Run, RunClip

NAMES_AT_A_TIME = 1000
UNKNOWN_SHOWN = 100
WORDS = ("speaker", "source", "label")
# Conditions that rooms above this one know about: name -> (allowed values, value -> condition on clips).
CONDITIONS: dict[str, tuple[tuple[str, ...], Callable[[str], Q]]] = {}


def keys() -> tuple[str, ...]:
    """What a filter may name."""
    return ("without", *CONDITIONS, *WORDS, "min_duration", "max_duration", "sample", "seed")


def parse(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """A filter in its one form. Raises Invalid, which names the key and what it allows.

    `without`: a step that is not done on the clip yet · `speaker`, `source`, `label`: one value or several ·
    `min_duration`, `max_duration`: seconds · `sample`: so many clips, chosen by name and `seed` · and what rooms
    above add (`without_record`: coarse or fine).
    """
    if given is not None and not isinstance(given, Mapping):
        raise _wrong("filter", given, _("an object"))
    chosen: dict[str, Any] = {}
    for key, value in (given or {}).items():
        if value in (None, "", []):
            continue
        if key == "without":
            chosen[key] = _one_of(key, str(value).replace("-", "_"), tuple(STEPS))
        elif key in CONDITIONS:
            chosen[key] = _one_of(key, value, CONDITIONS[key][0])
        elif key in WORDS:
            values = value if isinstance(value, list) else [value]
            if not all(isinstance(word, str) and word and "\x00" not in word for word in values) or len(values) > 1000:
                raise _wrong(key, value, _("text, or a list of texts"))
            chosen[key] = sorted(set(values))
        elif key in ("min_duration", "max_duration"):
            chosen[key] = _number(key, value)
        elif key in ("sample", "seed"):
            chosen[key] = _whole(key, value, 1 if key == "sample" else 0)
        else:
            raise Invalid(
                _("A filter has no “%(key)s”. It may have: %(known)s.")
                % {"key": str(key)[:80], "known": ", ".join(keys())},
                errors={"filter": str(key)[:80]},
            )
    if "seed" in chosen and "sample" not in chosen:
        raise _wrong("seed", chosen["seed"], _("a sample"))
    return chosen


def from_words(words: Iterable[str]) -> dict[str, Any]:
    """`["speaker=李雷", "speaker=韩梅梅", "sample=100"]` as a filter; a key given twice has both values."""
    given: dict[str, list[str]] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise Invalid(_("A filter is written key=value, not “%(text)s”.") % {"text": word[:80]})
        given.setdefault(key.strip().replace("-", "_"), []).append(value.strip())
    for key, values in given.items():
        if len(values) > 1 and key not in WORDS:
            raise Invalid(_("The filter names “%(key)s” twice.") % {"key": key[:80]})
    return parse({key: values if key in WORDS else values[0] for key, values in given.items()})


def clips_of(corpus: Corpus, chosen: Mapping[str, Any], among: QuerySet[Clip] | None = None) -> QuerySet[Clip]:
    """The clips that a filter chooses (out of `among`), withdrawn ones never; a sample depends on names and seed
    alone, not on the order in which clips came."""
    clips = (corpus.clips.all() if among is None else among).filter(withdrawn_at=None)
    if step := chosen.get("without"):
        done = Job.objects.filter(clip=OuterRef("pk"), state="done").filter(
            Q(step=step) | Q(step__startswith=f"{step}@") | Q(step__startswith=f"{step}~")
        )
        clips = clips.filter(~Exists(done))
    for name, (_values, condition) in CONDITIONS.items():
        if name in chosen:
            clips = clips.filter(condition(chosen[name]))
    for word in WORDS:
        if word in chosen:
            clips = clips.filter(**{f"{word}__in": chosen[word]})
    if "min_duration" in chosen:
        clips = clips.filter(duration__gte=chosen["min_duration"])
    if "max_duration" in chosen:
        clips = clips.filter(duration__lte=chosen["max_duration"])
    if "sample" in chosen:
        drawn = clips.annotate(lot=MD5(Concat(Value(f"{chosen.get('seed', 0)}:"), "name"))).order_by("lot", "id")
        return Clip.objects.filter(pk__in=drawn.values("pk")[: chosen["sample"]])
    return clips.order_by()


def choose(run: Run, names: Iterable[str] | None) -> None:
    """Write down the run's clips and their number; call it in the transaction that makes the run.

    Names come in batches, however many there are. Raises Invalid for a name that the corpus does not have.
    """
    corpus, chosen = run.corpus, {key: value for key, value in run.selection.items() if key != "named"}
    if names is not None:
        run.selection = {**chosen, "named": _write_named(run, names)}
        if chosen:
            named = Clip.objects.filter(pk__in=RunClip.objects.filter(run=run).values("clip"))
            kept = clips_of(corpus, chosen, named).values("pk")
            RunClip.objects.filter(run=run).exclude(clip__in=kept).delete()
    elif chosen:
        sql, params = clips_of(corpus, chosen).values("pk").query.sql_with_params()
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {RunClip._meta.db_table} (run_id, clip_id)"  # noqa: S608 - the ORM's own text
                f" SELECT %s, found.id FROM ({sql}) AS found(id)",
                [run.pk, *params],
            )
    if run.selection:
        run.clips = RunClip.objects.filter(run=run).count()
    else:
        run.clips = corpus.clips.present().filter(pk__lte=run.parameters["last_clip"]).count()
    run.save(update_fields=["selection", "clips"])


def _write_named(run: Run, names: Iterable[str]) -> int:
    """The number of clips that were named; a name given twice counts once."""
    corpus, count = run.corpus, 0
    unknown: list[str] = []
    given = (name.strip() for name in names)
    for batch in _batches(name for name in given if name):
        sayable = sorted({name for name in batch if "\x00" not in name})
        known = dict(corpus.clips.present().filter(name__in=sayable).values_list("name", "pk"))
        missing = [name for name in dict.fromkeys(batch) if name not in known]
        count += len(missing)
        unknown += missing[: UNKNOWN_SHOWN - len(unknown)]
        RunClip.objects.bulk_create(
            [RunClip(run=run, clip_id=pk) for pk in known.values()], ignore_conflicts=True, batch_size=NAMES_AT_A_TIME
        )
    if unknown:
        raise Invalid(
            _("The corpus “%(slug)s” has no clip “%(name)s” (%(count)s of the names given are unknown).")
            % {"slug": corpus.slug, "name": unknown[0], "count": count},
            unknown=unknown,
        )
    return RunClip.objects.filter(run=run).count()


def _batches(names: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(names, NAMES_AT_A_TIME)):
        yield batch


def _one_of(key: str, value: Any, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise _wrong(key, value, _("one of %(choices)s") % {"choices": ", ".join(allowed)})
    return str(value)


def _number(key: str, value: Any) -> float:
    try:
        number = float("x" if isinstance(value, bool) else value)
    except (TypeError, ValueError, OverflowError):
        raise _wrong(key, value, _("seconds, 0 or more")) from None
    if not math.isfinite(number) or number < 0:
        raise _wrong(key, value, _("seconds, 0 or more"))
    return number


def _whole(key: str, value: Any, least: int) -> int:
    text = str(value)
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else -1
    if isinstance(value, bool) or number < least:
        raise _wrong(key, value, _("a whole number from %(least)d on") % {"least": least})
    return number


def _wrong(key: str, value: Any, wanted: str) -> Invalid:
    message = _("The filter's “%(key)s” wants %(wanted)s, not “%(value)s”.") % {
        "key": key, "wanted": wanted, "value": str(value)[:80],
    }  # fmt: skip
    return Invalid(message, errors={"filter": message})
