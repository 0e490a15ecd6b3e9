"""What workers do for pre-labelling: thin, by id, safe to repeat."""

from typing import Any

import structlog
from celery import shared_task
from django.db import InterfaceError, OperationalError

from . import dispatch, services

logger = structlog.get_logger(__name__)


@shared_task(name="annotator.prelabels.tasks.run_job", ignore_result=True)
def run_job(job_id: int) -> None:
    """One job. An outage that outlives the service's own patience ends the task; the sweeper sends the job again."""
    services.run_job(job_id)


@shared_task(name="annotator.prelabels.tasks.sweep", ignore_result=True, expires=30)
def sweep() -> dict[str, Any]:
    """Send what nobody carries (every few seconds by the scheduler, so an outage is left to the next turn)."""
    try:
        return dispatch.sweep()
    except (OperationalError, InterfaceError) as error:
        logger.warning("database does not answer; the next sweep will", error=str(error).strip())
        return {}
