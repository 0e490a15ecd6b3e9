"""Periodic work of experiments, and estimates."""

from celery import shared_task

from . import discovery, estimates, leases, presence


@shared_task(name="annotator.experiments.tasks.sweep", queue="celery", expires=14)
def sweep() -> dict[str, int]:
    """End runs whose trainer died and that nobody takes up; list runs started by hand, and checkpoints."""
    found = discovery.discover()
    presence.forget()
    return {"expired": leases.expire(), "folders": found, "checkpoints": discovery.find_checkpoints()}


@shared_task(name="annotator.experiments.tasks.estimate", queue="celery", ignore_result=True)
def estimate(pk: int) -> None:
    """Let training say what a config takes."""
    estimates.answer(pk)
