"""Calling workers to the queues that have work. The database is the truth about jobs; the broker carries calls only.

A message says no more than "there is work in this queue": whoever gets it works a *shift*, over all runs, until there
is nothing left to take or its time is over. At most one call waits in each queue. While it waits every worker of that
queue is busy, so that another one would change nothing; as soon as one takes it, there may be more hands, and the next
call is sent. So a lost call, a dead worker and a new worker need no bookkeeping, and a call too many is a shift that
finds nothing to do.
"""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from django.db import transaction
from kombu.exceptions import OperationalError as BrokerError

from annotator.celery import app

from . import claims, demand, plans
from .models import Job
from .runs import close_ended

QUEUES = ("media", "cpu", "gpu", "llm")
SHIFT = "annotator.prelabels.tasks.shift"
CALL_SECONDS = 0.5  # a process asks the broker about a queue at most that often
OPEN = ("queued", "running")
# The page or worker that sends must not hang on a broker that is down: the sweeper sends what it could not.
_QUICK: dict[str, Any] = {"max_retries": 1, "interval_start": 0.1, "interval_step": 0.1, "interval_max": 0.2}
_asked: dict[str, float] = {}
_asking = threading.Lock()
logger = structlog.get_logger(__name__)


def wake(run_id: int) -> None:
    """See to it that workers are called to every queue that has work of this run: after the commit, where there is a
    transaction. Never raises for a broker that is down: the sweeper calls later."""
    transaction.on_commit(lambda: call(demand.queues_with_work(run_id)), robust=True)


def wake_after(ended: Iterable[Job]) -> None:
    """Call workers to the queues of the steps that wait for these jobs, as far as nobody was called just now."""
    queues: set[str] = set()
    for job in {(job.run_id, job.step): job for job in ended}.values():
        for step in job.run.pipeline.definition.get("steps", []):
            if plans.base_step(job.step) in map(plans.base_step, step["after"]):
                queues.add(step["queue"])
    call_soon(queues)


def call(queues: Iterable[str]) -> int:
    """Call one more worker to each of these queues in which no call waits; how many calls were sent."""
    wanted = sorted(set(queues))
    if not wanted:
        return 0
    demand.note_gpu(wanted)
    sent = 0
    try:
        with broker() as link:
            producer = link.Producer()
            for queue in wanted:
                with _asking:
                    _asked[queue] = time.monotonic()
                if _depth(link, queue) == 0:
                    app.send_task(SHIFT, args=[queue], queue=queue, producer=producer, retry=False)
                    sent += 1
    except broker_errors() as error:
        logger.warning("broker does not answer; the sweeper will call the workers", error=str(error), sent=sent)
    return sent


def call_soon(queues: Iterable[str]) -> None:
    """`call`, but for queues about which this process asked just now: somebody is on the way, or the next one calls."""
    now = time.monotonic()
    with _asking:
        wanted = [queue for queue in queues if now - _asked.get(queue, -CALL_SECONDS) >= CALL_SECONDS]
    call(wanted)


def forget() -> None:
    """Ask the broker anew about every queue."""
    with _asking:
        _asked.clear()


def sweep() -> dict[str, int]:
    """Find what nobody is at: queue the jobs of lost workers again, call workers to the queues with work, close ended
    runs, pause those whose servers are gone."""
    recovered = claims.recover()
    paused = demand.pause_hopeless()
    called = call(demand.queues_with_work())
    return {"recovered": recovered, "called": called, "paused": paused, "closed": close_ended()}


def depth_of(queue: str) -> int | None:
    """Calls that wait in a queue; None when the broker does not answer."""
    try:
        with broker() as link:
            return _depth(link, queue)
    except broker_errors() as error:
        logger.warning("broker does not answer", queue=queue, error=str(error))
        return None


def broker_errors() -> tuple[type[BaseException], ...]:
    """What a broker that is gone raises, whichever it is."""
    transport = app.connection_for_write().transport
    return (OSError, BrokerError, *transport.connection_errors, *transport.channel_errors)


def _depth(link: Any, queue: str) -> int:
    channel = link.channel()
    try:
        declared: Any = app.amqp.queues[queue].bind(channel).queue_declare()
        return int(declared.message_count)
    finally:
        channel.close()


@contextmanager
def broker() -> Iterator[Any]:
    """A connection of our own, made (or given up) within a second. Raises one of `broker_errors()`."""
    options = {**app.conf.broker_transport_options, "socket_timeout": 5, "socket_connect_timeout": 2}
    with app.connection_for_write(transport_options=options) as link:
        link.ensure_connection(**_QUICK)
        yield link
