"""Periodic work of experiments."""

from celery import shared_task

from . import services


@shared_task(name="annotator.experiments.tasks.sweep", queue="celery", expires=14)
def sweep() -> dict[str, int]:
    """Fail runs whose trainer died; list runs started by hand."""
    return {"expired": services.expire(), "folders": services.discover()}
