"""Every non-trivial read of pre-labelling."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from django.db.models import Case, IntegerField, QuerySet, Value, When
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from annotator.clips.access import require
from annotator.clips.models import Clip, Corpus
from annotator.core.errors import NotFound

from .keys import step_name
from .models import MODALITIES, Clue, Run


def clues_for(clip: Clip) -> QuerySet[Clue]:
    """The clip's current clues in canonical order: modality, aspect, start of the span, language, text."""
    return in_order(Clue.objects.filter(clip=clip, superseded_at=None)).select_related("prelabeller")


def in_order(clues: QuerySet[Clue]) -> QuerySet[Clue]:
    """Canonical order (docs/snapshots.md): visual < audio < text, aspect, span start or -1, language, text."""
    rank = Case(
        *(When(modality=name, then=Value(position)) for position, name in enumerate(MODALITIES)),
        output_field=IntegerField(),
    )
    return clues.order_by(rank, "aspect", Coalesce("span_start", -1.0), "language", "text", "id")


def run_for(user: Any, pk: int, action: str = "run.view") -> Run:
    """The run if `user` may do `action` on its corpus; NotFound or Forbidden otherwise."""
    run = Run.objects.select_related("corpus", "pipeline", "started_by").filter(pk=pk).first()
    if run is None:
        raise NotFound(_("There is no such object, or you may not see it."))
    require(user, run.corpus, action)
    return run


def runs_of(corpus: Corpus) -> QuerySet[Run]:
    return Run.objects.filter(corpus=corpus).select_related("pipeline", "started_by", "corpus")


def failed_for_report(run: Run) -> Iterator[dict[str, Any]]:
    """`{"name", "step", "step_name", "code", "reason"}` of every failed job, for the command's JSON."""
    shown = cache(lambda step: step_name(step, run.pipeline.definition))
    rows = run.jobs.filter(state="failed").order_by("id")
    for name, step, code, reason in rows.values_list("clip__name", "step", "error_code", "reason").iterator():
        yield {"name": name, "step": step, "step_name": shown(step), "code": code, "reason": reason}


def skipped_for_report(run: Run) -> Iterator[dict[str, Any]]:
    """`{"name", "step", "step_name", "reason"}` of every skipped job: warnings."""
    shown = cache(lambda step: step_name(step, run.pipeline.definition))
    rows = run.jobs.filter(state="skipped").order_by("id")
    for name, step, reason in rows.values_list("clip__name", "step", "reason").iterator():
        yield {"name": name, "step": step, "step_name": shown(step), "reason": reason}
