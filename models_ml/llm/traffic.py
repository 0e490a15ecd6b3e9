"""What stands between a step and a model's server where many workers share it: a cache of answers, a place in the
queue, and the memory of what failed. Without a traffic in use there are no limits and nothing is remembered.

    with using(traffic):
        run_step(…)

`annotator.prelabels.traffic.for_job` gives the workbench's; `models_ml.llm.complete` asks whatever is in use.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from models_ml.llm.errors import Deferred, ModelFailure, Spent

if TYPE_CHECKING:
    from models_ml.llm.endpoint import Endpoint


class Traffic(Protocol):
    """One piece of work's way to the servers. Used by one thread at a time."""

    spent: Spent

    def recall(self, key: str) -> dict[str, Any] | None:
        """The answer kept under this hash of request and address, or None."""

    def keep(self, key: str, answer: dict[str, Any]) -> None:
        """Remember a complete answer; it may be handed out only after ``settle``."""

    def admit(self, endpoint: Endpoint) -> AbstractContextManager[None]:
        """A place at this server for one call: within its concurrency and rate, and while it is not known to be down.

        Entering it raises Deferred where that would take longer than a moment. Leaving it notes how long the call
        took and whether it failed (ModelFailure).
        """

    def strike(self) -> int:
        """Count a passing failure of this work; how many there were, those before a Deferred or a kill included."""

    def settle(self, error: BaseException | None) -> None:
        """The work has ended, with ``error`` or well: answers that were found unusable are not kept."""


PATIENCE_S = 4.0  # a thread waits this long for a server; then the work is put off

current: ContextVar[Traffic | None] = ContextVar("traffic", default=None)
# (endpoint, request, text of the answer) of the last call: the exchange of a failure that the step itself finds.
last: ContextVar[tuple[Any, dict[str, Any], str] | None] = ContextVar("last_exchange", default=None)


@contextmanager
def using(traffic: Traffic) -> Iterator[Traffic]:
    """Let every call within go through ``traffic``; settle it at the end.

    A ModelFailure that leaves has its ``exchange`` and, as a Deferred, all that was ``spent`` before it.
    """
    from models_ml.llm.exchange import exchange_of

    token, token_last = current.set(traffic), last.set(None)
    try:
        yield traffic
    except BaseException as error:
        if isinstance(error, ModelFailure | Deferred):
            error.spent = traffic.spent  # Deferred or failed: it was paid
        if isinstance(error, ModelFailure) and error.exchange is None and (seen := last.get()):
            error.exchange = exchange_of(*seen)
        traffic.settle(error)
        raise
    else:
        traffic.settle(None)
    finally:
        current.reset(token)
        last.reset(token_last)


__all__ = ["PATIENCE_S", "Deferred", "ModelFailure", "Spent", "Traffic", "current", "last", "using"]
