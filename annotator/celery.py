"""The Celery application: `celery -A annotator.celery worker`."""

import mmap
import os
import signal

from celery import Celery
from celery.signals import setup_logging, worker_process_init, worker_shutting_down

from annotator.embedded.child import die_with_parent

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "annotator.settings")

app = Celery("annotator")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

_shared = mmap.mmap(-1, 1)  # seen by the worker and all of its pool processes


def stopping() -> bool:
    """Whether this worker was asked to end: what takes longer than a moment ends as soon as it can."""
    return _shared[0] != 0


@worker_shutting_down.connect
def _tell_the_pool(**_: object) -> None:
    """Celery lets tasks at work finish and does not tell them that somebody waits for it."""
    _shared[0] = 1


@setup_logging.connect
def _use_django_logging(**_: object) -> None:
    """Keep Celery from installing its own handlers: the structured log of the settings is the only one."""
    import logging.config

    from django.conf import settings

    logging.config.dictConfig(settings.LOGGING)


@worker_process_init.connect
def _end_with_the_worker(**_: object) -> None:
    """A pool process whose worker was killed must not finish a job that others already do again."""
    die_with_parent(signal.SIGKILL, os.getppid())


@worker_process_init.connect
def _forget_inherited_connections(**_: object) -> None:
    """A forked worker must not share its parent's database sockets."""
    from django.db import connections

    for connection in connections.all(initialized_only=True):
        connection.inc_thread_sharing()
        connection.connection = None
