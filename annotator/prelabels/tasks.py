"""What workers do for pre-labelling: thin, by id, safe to repeat."""

from typing import Any

import structlog
from celery import shared_task
from django.db import InterfaceError, OperationalError

from annotator.clips.models import Corpus

from . import dispatch, gating, services, shifts

logger = structlog.get_logger(__name__)


@shared_task(name="annotator.prelabels.tasks.shift", ignore_result=True, acks_late=False)
def shift(queue: str) -> None:
    """Work in a queue for a while. A call that is lost with its worker is sent again by the sweeper."""
    try:
        shifts.shift(queue)
    except (OperationalError, InterfaceError) as error:
        # Longer than the service's own patience: what was taken comes back when its lease is over.
        logger.warning("database does not answer; the shift is over", queue=queue, error=str(error).strip())


@shared_task(name="annotator.prelabels.tasks.tend", ignore_result=True)
def tend(run_id: int) -> None:
    """Make the jobs of a large run, or cancel them; the next one goes on where this one's time is over."""
    if not services.tend_run(run_id):
        services.send_tending(run_id)


@shared_task(name="annotator.prelabels.tasks.sweep", ignore_result=True, expires=30)
def sweep() -> dict[str, Any]:
    """Find what nobody is at (every few seconds by the scheduler, so an outage is left to the next turn)."""
    try:
        return dispatch.sweep() | {"tended": services.tend_runs()}
    except (OperationalError, InterfaceError) as error:
        logger.warning("database does not answer; the next sweep will", error=str(error).strip())
        return {}


@shared_task(name="annotator.prelabels.tasks.judge_clues", ignore_result=True, expires=60)
def judge_clues(corpus_id: int | None = None, again: bool = False, after: int | None = None) -> None:
    """Judge pending clues, of one corpus or (by the scheduler) of all; a large corpus goes on in another message.

    With `after`, those behind this clue are marked first (see `gating.mark`).
    """
    corpus = Corpus.objects.filter(pk=corpus_id).first() if corpus_id else None
    if corpus_id and corpus is None:
        return
    try:
        if corpus and (rest := gating.mark_more(corpus, again=again, after=after)) is not None:
            gating.send(corpus.pk, again=again, after=rest)
            return
        _judged, more = gating.judge_pending(corpus)
    except (OperationalError, InterfaceError) as error:
        logger.warning("database does not answer; the next turn will judge", error=str(error).strip())
        return
    if corpus and more:
        gating.send(corpus.pk)
