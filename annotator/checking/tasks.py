"""What workers do for checking: thin, by id, safe to repeat."""

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from annotator.clips.models import Corpus
from annotator.prelabels.models import Run

from . import scores
from .quality import reports

LATELY = timedelta(minutes=10)  # two of the scheduler's turns: what one misses the next finds
SECONDS = 60.0  # of scoring in one message; the next goes on where this one's time was over


@shared_task(name="annotator.checking.tasks.score", ignore_result=True)
def score(corpus_id: int, after: int = 0) -> None:
    """Score the open slots of a corpus that hands out by score; a large one goes on in another message."""
    corpus = Corpus.objects.filter(pk=corpus_id).first()
    if corpus is None or not scores.is_on(corpus_id):
        return
    rest, _changed = scores.score_corpus(corpus, seconds=SECONDS, after=after)
    if rest is not None:
        scores.send(corpus_id, rest)


@shared_task(name="annotator.checking.tasks.score_after_runs", ignore_result=True, expires=290)
def score_after_runs() -> None:
    """By the scheduler: score the corpora that hand out by score and whose runs are at work or ended lately."""
    ended = Run.objects.exclude(finished_at__lt=timezone.now() - LATELY).exclude(state="queued")
    for corpus_id in ended.order_by("corpus_id").values_list("corpus_id", flat=True).distinct():
        if scores.is_on(corpus_id):
            scores.send(corpus_id)


@shared_task(name="annotator.checking.tasks.quality_report", ignore_result=True, expires=600)
def quality_report(corpus_id: int, kind: str, days: int) -> None:
    """Count the figures of a large corpus and keep them for its pages."""
    if Corpus.objects.filter(pk=corpus_id).exists():
        reports.count(corpus_id, kind, days)
