"""Sending jobs to workers. The database is the truth about a job; the broker only carries its number.

At 925,000 jobs the broker is not asked to hold them all: at most WINDOW messages wait in a queue, and the sweeper
tops it up. A message may be lost or come twice; `work.run_job` makes either harmless.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import BooleanField, Exists, F, Func, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from kombu.exceptions import OperationalError as BrokerError

from annotator.celery import app

from .models import Job, Run
from .runs import close_ended

QUEUES = ("cpu", "llm")
WINDOW = 2000  # messages that may wait in one queue
LOST_AFTER = timedelta(seconds=15)  # a message younger than this is believed to be on its way
RUN_JOB = "annotator.prelabels.tasks.run_job"
OPEN = ("queued", "running")
# The page or worker that sends must not hang on a broker that is down: the sweeper sends what it could not.
_QUICK: dict[str, Any] = {"max_retries": 1, "interval_start": 0.1, "interval_step": 0.1, "interval_max": 0.2}
logger = structlog.get_logger(__name__)


def ready(jobs: QuerySet[Job]) -> QuerySet[Job]:
    """Those whose steps to wait for have all ended, in whatever way."""
    is_awaited = Func(
        F("step"), OuterRef("after"), template="(%(expressions)s))", arg_joiner=" = ANY(", output_field=BooleanField()
    )
    unfinished = Job.objects.filter(run=OuterRef("run"), clip=OuterRef("clip"), state__in=OPEN).filter(is_awaited)
    return jobs.filter(Q(after=[]) | ~Exists(unfinished))


def send(jobs: Iterable[tuple[int, str]]) -> int:
    """Send (id, queue) pairs, as many as fit into their queues; the number sent. Never raises for a broker
    that is down: the jobs stay queued and the sweeper sends them later."""
    by_queue: dict[str, list[int]] = defaultdict(list)
    for pk, queue in jobs:
        by_queue[queue].append(pk)
    sent: list[int] = []
    try:
        with broker() as connection:
            producer = connection.Producer()
            for queue, ids in by_queue.items():
                room = max(0, WINDOW - _depth(connection, queue))
                for pk in ids[:room]:
                    app.send_task(RUN_JOB, args=[pk], queue=queue, producer=producer, retry=False)
                    sent.append(pk)
    except broker_errors() as error:
        logger.warning("broker does not answer; the sweeper will send the jobs", error=str(error), sent=len(sent))
    if sent:
        Job.objects.filter(pk__in=sent).update(dispatched_at=Now())
    return len(sent)


def send_on_commit(run: Run) -> None:
    """After the commit: the run's first jobs, as many as fit; the sweeper sends the others as the queues drain."""

    def first_jobs() -> None:
        for queue in QUEUES:
            waiting = ready(Job.objects.filter(run=run, queue=queue, state="queued"))
            send(waiting.order_by("id").values_list("id", "queue")[:WINDOW])

    transaction.on_commit(first_jobs, robust=True)


def send_unblocked(job: Job) -> None:
    """The jobs of the same run and clip that may start now that `job` has ended."""
    if dependents := list(
        ready(Job.objects.filter(run_id=job.run_id, clip_id=job.clip_id, state="queued", after__contains=[job.step]))
        .order_by("position")
        .values_list("id", "queue")
    ):
        send(dependents)


def sweep() -> dict[str, int]:
    """Send what nobody carries: new jobs, jobs whose message was lost, jobs whose worker was lost; close ended runs.

    A message counts as lost when the database knows of more sent jobs than the broker holds messages.
    """
    expired = Job.objects.filter(state="running", lease_end__lt=Now()).filter(
        Q(dispatched_at=None) | Q(dispatched_at__lt=Now() - LOST_AFTER) | Q(dispatched_at__lt=F("lease_end"))
    )
    counts = {"expired": send(expired.order_by("lease_end").values_list("id", "queue")[:WINDOW]), "lost": 0, "new": 0}
    for queue in QUEUES:
        depth = depth_of(queue)
        if depth is None:
            break
        queued = Job.objects.filter(queue=queue, state="queued")
        carried = queued.filter(dispatched_at__lt=Now() - LOST_AFTER)
        if (missing := carried.count() - depth) > 0:
            lost = ready(carried).order_by("dispatched_at", "id").values_list("id", "queue")
            counts["lost"] += send(lost[: min(missing, WINDOW)])
        fresh = ready(queued.filter(dispatched_at=None)).order_by("id").values_list("id", "queue")
        counts["new"] += send(fresh[: max(0, WINDOW - depth)])
    close_ended()
    return counts


def depth_of(queue: str) -> int | None:
    """Messages that wait in a queue; None when the broker does not answer."""
    try:
        with broker() as connection:
            return _depth(connection, queue)
    except broker_errors() as error:
        logger.warning("broker does not answer", queue=queue, error=str(error))
        return None


def broker_errors() -> tuple[type[BaseException], ...]:
    """What a broker that is gone raises, whichever it is."""
    transport = app.connection_for_write().transport
    return (OSError, BrokerError, *transport.connection_errors, *transport.channel_errors)


def _depth(connection: Any, queue: str) -> int:
    channel = connection.channel()
    try:
        declared: Any = app.amqp.queues[queue].bind(channel).queue_declare()
        return int(declared.message_count)
    finally:
        channel.close()


@contextmanager
def broker() -> Iterator[Any]:
    """A connection of our own, made (or given up) within a second. Raises one of `broker_errors()`."""
    options = {**app.conf.broker_transport_options, "socket_timeout": 5, "socket_connect_timeout": 2}
    with app.connection_for_write(transport_options=options) as connection:
        connection.ensure_connection(**_QUICK)
        yield connection
