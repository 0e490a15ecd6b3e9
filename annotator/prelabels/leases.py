"""A job's lease: who works on it, proved every few seconds by the database clock.

One thread of a process renews the leases of all jobs that the process is at, in one statement.
"""

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

from .models import Job

_RENEW = """UPDATE prelabels_job job SET lease_end = statement_timestamp() + make_interval(secs => %s)
    FROM unnest(%s::bigint[], %s::int[]) AS held(id, attempts)
    WHERE job.id = held.id AND job.attempts = held.attempts AND job.state = 'running' RETURNING job.id"""
logger = structlog.get_logger(__name__)


def lease() -> timedelta:
    """How long a worker may stay silent before its jobs go to others."""
    return timedelta(seconds=settings.PRELABEL_LEASE_SECONDS)


class Keeper:
    """The jobs that this process is at, and the thread that says so; it ends when there are none.

    A database that does not answer is asked again at the next turn: the lease has room for two misses.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._held: dict[int, int] = {}
        self._lost: set[int] = set()
        self._waiting: dict[int, threading.Event] = {}
        self._thread: threading.Thread | None = None
        self._process = 0

    def add(self, jobs: Iterable[Job]) -> None:
        """Renew these jobs' leases from now on."""
        with self._condition:
            if self._process != os.getpid():  # forked: the thread stayed with the parent
                self._held, self._lost, self._waiting, self._thread = {}, set(), {}, None
                self._process = os.getpid()
            self._held |= {job.pk: job.attempts for job in jobs}
            self._lost -= self._held.keys()
            if self._held and self._thread is None:
                self._thread = threading.Thread(target=self._renew, name="leases", daemon=True)
                self._thread.start()

    def drop(self, jobs: Iterable[Job]) -> None:
        """Renew these jobs' leases no longer: they have ended, or were given back."""
        with self._condition:
            for job in jobs:
                self._held.pop(job.pk, None)
                self._lost.discard(job.pk)
                self._waiting.pop(job.pk, None)
            if not self._held:
                self._condition.notify()

    def event(self, job: Job) -> threading.Event:
        """Set once the job is found to be no longer ours."""
        with self._condition:
            return self._waiting.setdefault(job.pk, threading.Event())

    def lost(self, job: Job) -> bool:
        """Whether the job was found to be no longer ours: it was cancelled, or taken over after a silence."""
        with self._condition:
            return job.pk in self._lost

    def _renew(self) -> None:
        while True:
            with self._condition:
                # Jobs that end before the first renewal cost no second connection.
                self._condition.wait_for(lambda: not self._held, settings.PRELABEL_LEASE_SECONDS / 3)
                if not self._held:
                    self._thread = None
                    return
                held = dict(self._held)
            try:
                with connection.cursor() as cursor:
                    cursor.execute(_RENEW, [settings.PRELABEL_LEASE_SECONDS, list(held), list(held.values())])
                    gone = held.keys() - {row[0] for row in cursor.fetchall()}
            except (OperationalError, InterfaceError) as error:
                logger.warning("leases not renewed", jobs=len(held), error=str(error).strip())
                continue
            finally:
                connection.close()
            self._let_go({pk for pk in gone if held[pk] == self._held.get(pk)})

    def _let_go(self, gone: set[int]) -> None:
        with self._condition:
            for pk in gone:
                self._held.pop(pk, None)
                self._lost.add(pk)
                if event := self._waiting.get(pk):
                    event.set()


keeper = Keeper()


@contextmanager
def held(job: Job) -> Iterator[threading.Event]:
    """Renew the job's lease while the block is at work; the event is set once the job is no longer ours."""
    keeper.add([job])
    try:
        yield keeper.event(job)
    finally:
        keeper.drop([job])
