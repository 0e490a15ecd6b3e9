"""What workers do for clips: thin, by id, safe to repeat."""

from typing import Any

from celery import shared_task

from . import services, uploads


@shared_task(name="annotator.clips.tasks.ingest_upload", ignore_result=True)
def ingest_upload(file_id: int) -> None:
    """One uploaded file becomes a clip, or says why not."""
    uploads.ingest_file(file_id)


@shared_task(name="annotator.clips.tasks.sweep", ignore_result=True, expires=30)
def sweep() -> dict[str, Any]:
    """Send what nobody works on, finish withdrawals that were killed (every 15 s by the scheduler)."""
    return {**uploads.sweep(), "purged": services.purge_withdrawn()}
