"""Working through an outage of the database: what was computed (and perhaps paid) is kept until it can be written."""

import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from django.db import InterfaceError, OperationalError, connection

T = TypeVar("T")
OUTAGE_SECONDS = 120.0
logger = structlog.get_logger(__name__)


def patiently(work: Callable[[], T], *, seconds: float = OUTAGE_SECONDS) -> T:
    """Call `work` until the database lets it finish; raise its error when the outage lasts longer than `seconds`.

    `work` must be safe to repeat: its transaction may have been committed although the answer was lost. Inside
    somebody else's transaction there is nothing to save, so the error passes at once.
    """
    deadline = time.monotonic() + seconds
    pause = 0.1
    while True:
        try:
            return work()
        except (OperationalError, InterfaceError) as error:
            if connection.in_atomic_block or time.monotonic() + pause > deadline:
                raise
            logger.warning("database does not answer; trying again", error=str(error).strip(), pause=pause)
            connection.close()
            time.sleep(pause)
            pause = min(pause * 2, 1.0)
