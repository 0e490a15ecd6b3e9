"""The figures of a page: counted at once where that is quick, else by a worker, and shown as they last were."""

import time
from datetime import timedelta
from typing import Any

import structlog
from django.utils import timezone

from annotator.clips.models import Corpus
from annotator.prelabels.dispatch import broker, broker_errors

from ..models import REPORTS, Claim, QualityReport
from . import agreement, anchoring, costs, dashboard, people, prelabellers
from .said import PERIODS

logger = structlog.get_logger(__name__)

LARGE = 5_000  # claims of a corpus from which its figures are counted by a worker
FRESH = timedelta(minutes=5)
PATIENCE = timedelta(minutes=5)  # after which a count that never came is asked for again
TASK = "annotator.checking.tasks.quality_report"


def counted(corpus: Corpus, kind: str, days: int) -> dict[str, Any]:
    """The figures, counted now. `quality`: agreement, pre-labellers, anchoring. `dashboard`: progress, throughput,
    agreement by person, annotators, costs."""
    if kind == "quality":
        return {
            "agreement": agreement.figures(corpus, days),
            "prelabellers": prelabellers.figures(corpus, days),
            "anchoring": anchoring.figures(corpus, days),
        }
    return {
        **dashboard.figures(corpus, days),
        "agreement": agreement.figures(corpus, days, people=True),
        "people": people.figures(corpus, days),
        "costs": costs.figures(corpus, days),
    }


def is_large(corpus: Corpus) -> bool:
    return Claim.objects.filter(corpus=corpus).order_by().values("pk")[: LARGE + 1].count() > LARGE


def report(corpus: Corpus, kind: str, days: int) -> dict[str, Any]:
    """`{corpus, days, counted_at, counting, **figures}`; of a large corpus the figures as a worker last counted them.

    `counting`: newer ones are on their way; without figures yet `counted_at` is None and nothing else is there.
    """
    if kind not in REPORTS or days not in PERIODS:
        raise ValueError(f"no report {kind} over {days} days")
    head = {"corpus": corpus.slug, "days": days}
    if not is_large(corpus):
        return {**head, "counted_at": _now(), "counting": False, **counted(corpus, kind, days)}
    stored = QualityReport.objects.filter(corpus=corpus, kind=kind, days=days).first()
    now = timezone.now()
    fresh = stored is not None and stored.counted_at is not None and now - stored.counted_at < FRESH
    if not fresh and (stored is None or now - stored.requested_at > PATIENCE):
        _request(corpus, kind, days)
    if stored is None or stored.body is None or stored.counted_at is None:
        return {**head, "counted_at": None, "counting": True}
    at = stored.counted_at.isoformat(timespec="seconds")
    return {**head, "counted_at": at, "counting": not fresh, **stored.body}


def _now() -> str:
    return timezone.now().isoformat(timespec="seconds")


def _request(corpus: Corpus, kind: str, days: int) -> None:
    """Ask a worker once. A broker that is down is asked again by the next who looks, after PATIENCE."""
    from annotator.celery import app

    QualityReport.objects.update_or_create(
        corpus=corpus, kind=kind, days=days, defaults={"requested_at": timezone.now()}
    )
    try:
        with broker() as connection:
            app.send_task(
                TASK, args=[corpus.pk, kind, days], queue="celery", producer=connection.Producer(), retry=False
            )
    except broker_errors() as error:
        logger.warning("broker does not answer; quality is counted later", corpus=corpus.slug, error=str(error))


def count(corpus_id: int, kind: str, days: int) -> float:
    """Count and keep a report (a worker's part); seconds that it took. Safe to repeat."""
    corpus = Corpus.objects.get(pk=corpus_id)
    began = time.monotonic()
    body = counted(corpus, kind, days)
    seconds = round(time.monotonic() - began, 3)
    now = timezone.now()
    QualityReport.objects.update_or_create(
        corpus=corpus,
        kind=kind,
        days=days,
        defaults={"body": body, "seconds": seconds, "counted_at": now, "requested_at": now},
    )
    logger.info("quality counted", corpus=corpus.slug, kind=kind, days=days, seconds=seconds)
    return seconds
