"""A job's lease: who works on it, proved every few seconds by the database clock."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.db.models.functions import Now

from .models import Job

logger = structlog.get_logger(__name__)


def lease() -> timedelta:
    """How long a worker may stay silent before its job goes to another."""
    return timedelta(seconds=settings.PRELABEL_LEASE_SECONDS)


@contextmanager
def held(job: Job) -> Iterator[threading.Event]:
    """Renew the job's lease beside the work, thrice in its length; the event is set once the job is no longer ours.

    Short jobs end before the first renewal and cost no second connection. A database that does not answer is asked
    again at the next turn: the lease has room for two misses.
    """
    done, lost = threading.Event(), threading.Event()

    def renew() -> None:
        try:
            while not done.wait(settings.PRELABEL_LEASE_SECONDS / 3):
                try:
                    mine = Job.objects.filter(pk=job.pk, state="running", attempts=job.attempts)
                    if not mine.update(lease_end=Now() + lease()):
                        lost.set()
                        return
                except (OperationalError, InterfaceError) as error:
                    logger.warning("lease not renewed", job=job.pk, error=str(error).strip())
                    connection.close()
        finally:
            connection.close()

    thread = threading.Thread(target=renew, name=f"lease-{job.pk}", daemon=True)
    thread.start()
    try:
        yield lost
    finally:
        done.set()
        thread.join(timeout=5)
