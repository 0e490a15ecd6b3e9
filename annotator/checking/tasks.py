"""What workers do for checking: thin, by id, safe to repeat."""

from celery import shared_task

from annotator.clips.models import Corpus

from .quality import reports


@shared_task(name="annotator.checking.tasks.quality_report", ignore_result=True, expires=600)
def quality_report(corpus_id: int, kind: str, days: int) -> None:
    """Count the figures of a large corpus and keep them for its pages."""
    if Corpus.objects.filter(pk=corpus_id).exists():
        reports.count(corpus_id, kind, days)
