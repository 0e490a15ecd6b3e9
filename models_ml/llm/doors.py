"""One server as the threads of one process come to it.

Who finds a place free takes it. Where none is, the threads wait here in the order in which they came, and one thread
more stands in Redis's line for them all; a place that one of them leaves goes to the next without a word to Redis, for
`KEEP_S`. Then it is given back, so that other processes have their turn.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from models_ml.llm import scripts
from models_ml.llm.endpoint import Endpoint
from models_ml.llm.errors import Deferred
from models_ml.llm.traffic import PATIENCE_S

if TYPE_CHECKING:
    from models_ml.llm.limits import Limits

LOOK_S = 1.0  # who stands in Redis's line shows himself this often
KEEP_S = 0.25
UNTOLD = 500  # answers that Redis does not know of yet, at most
logger = logging.getLogger(__name__)


class Unavailable(Deferred):
    """The server is known to be down; ``since`` is when that began (Unix time)."""

    def __init__(self, seconds: float, reason: str, since: float) -> None:
        super().__init__(seconds, reason)
        self.since = since

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.seconds, self.reason, self.since)


@dataclass(frozen=True)
class Place:
    """A place at a server. It may be used after ``wait`` seconds, and passed on until ``keeps`` (monotonic)."""

    token: str
    wait: float = 0.0
    keeps: float = 0.0

    def rest(self) -> None:
        """Wait until it may be used. (Also to sleep no time at all lets other threads go first.)"""
        if self.wait:
            time.sleep(self.wait)


class _Waits:
    """A thread that waits: given a place, or why it gets none."""

    def __init__(self) -> None:
        self.deadline = time.monotonic() + PATIENCE_S
        self.given = threading.Event()
        self.answer: Place | BaseException | None = None

    def give(self, answer: Place | BaseException) -> None:
        self.answer = answer
        self.given.set()


class Door:
    """See above. ``name`` is the beginning of the endpoint's keys."""

    def __init__(self, limits: Limits, endpoint: Endpoint, name: str) -> None:
        self.limits, self.endpoint, self.name = limits, endpoint, name
        self._waiting: deque[_Waits] = deque()
        self._stands = False  # somebody in Redis's line for us
        self._answered: list[int] = []
        self._lock = threading.Lock()

    def enter(self) -> Place:
        """A place, soon. Raises Deferred."""
        if not self._stands and (place := self._try()):
            place.rest()
            return place
        waits, taken = _Waits(), False
        with self._lock:
            self._waiting.append(waits)
            if not self._stands:
                self._stands = True
                # Not a daemon: it takes its leave before the process ends.
                threading.Thread(target=self._stand_in_line, name="door", daemon=False).start()
        try:
            waits.given.wait(waits.deadline - time.monotonic())
            with self._lock:
                if waits.answer is None:
                    raise self._put_off("line", 0.0, 0.0)
            if isinstance(waits.answer, BaseException):
                raise waits.answer
            waits.answer.rest()
            taken = True
            return waits.answer
        finally:
            if not taken:
                self._go_away(waits)

    def _try(self) -> Place | None:
        """A place of Redis's, where one is free or will be used soon; None where one has to stand in line."""
        token, deadline = uuid.uuid4().hex, time.monotonic() + PATIENCE_S
        while True:
            left = max(0.0, deadline - time.monotonic())
            verdict, ms, more = self._run("enter", token, milliseconds(left), 0, 0)
            if verdict == b"go":
                return self._place(token, ms / 1000, probes=bool(more))
            if verdict == b"line":
                return None
            if ms / 1000 > left:
                raise self._put_off(verdict.decode(), ms / 1000, more / 1000)
            time.sleep(ms / 1000 + 0.001)

    def _stand_in_line(self) -> None:
        """For whoever waits first, until nobody waits."""
        while (first := self._first()) is not None:
            try:
                place = self._next_place()
            except BaseException as error:  # noqa: BLE001 - raised by the thread that waits
                with self._lock:
                    if first in self._waiting:  # and has got no other's place meanwhile
                        self._waiting.remove(first)
                        first.give(error)
                continue
            if place is not None and not self._give(place):
                self._give_up(place.token)

    def _first(self) -> _Waits | None:
        with self._lock:
            if not self._waiting:
                self._stands = False
                return None
            return self._waiting[0]

    def _next_place(self) -> Place | None:
        """The next place that Redis has for us; None where nobody wants it any more. Raises Deferred."""
        token = uuid.uuid4().hex
        while True:
            with self._lock:
                behind = len(self._waiting) - 1
                left = max(0.0, self._waiting[0].deadline - time.monotonic()) if self._waiting else 0.0
            if behind < 0:
                self._give_up(token)
                return None
            verdict, ms, more = self._run("enter", token, milliseconds(left), milliseconds(LOOK_S * 2), behind)
            if verdict == b"go":
                return self._place(token, ms / 1000, probes=bool(more))
            if verdict != b"line" and ms / 1000 <= left:
                time.sleep(ms / 1000 + 0.001)
                continue
            if verdict == b"line" and left > 0 and ms / 1000 <= PATIENCE_S:
                handed = self.limits.handed_over(self.name, token, min(LOOK_S, left))
                if handed is not None:
                    return self._place(token, handed, probes=False)
                continue
            self._give_up(token)
            raise self._put_off(verdict.decode(), ms / 1000, more / 1000)

    def _place(self, token: str, wait: float, *, probes: bool) -> Place:
        # Each call counts where there is a rate, and what came of a call that tries a broken server is told at once.
        once = probes or self.endpoint.rate_per_minute or not self.endpoint.concurrency
        return Place(token, wait, 0.0 if once else time.monotonic() + KEEP_S)

    def _give(self, place: Place) -> bool:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().give(place)
                return True
            return False

    def pass_on(self, place: Place, ms: int) -> bool:
        """Give the place of a call that was answered within ``ms`` to who waits next, if somebody does and it may."""
        with self._lock:
            if not self._waiting or time.monotonic() > place.keeps or len(self._answered) >= UNTOLD:
                return False
            self._answered.append(ms)
            self._waiting.popleft().give(replace(place, wait=0.0) if place.wait else place)
            return True

    def leave(self, place: Place, outcome: str, ms: int, pause_ms: int) -> None:
        """Give a place back to Redis after a call of ``ms``, with the answers that it was not told of."""
        with self._lock:
            answered, self._answered = self._answered, []
        try:
            self._run("leave", place.token, outcome, ms, pause_ms, *answered)
        except Deferred:  # the answer is there all the same; the lease ends by itself
            logger.warning("a place at %s could not be given back", self.endpoint.base_url)

    def _go_away(self, waits: _Waits) -> None:
        """A thread that waits no more; a place that it was given meanwhile goes to the next."""
        with self._lock:
            if waits in self._waiting:
                self._waiting.remove(waits)
        if isinstance(waits.answer, Place) and not self._give(waits.answer):
            self._give_up(waits.answer.token)

    def _give_up(self, token: str) -> None:
        with suppress(Deferred):  # its sign in the line, and its lease, end by themselves
            self._run("give_up", token)

    def _run(self, script: str, token: str, *values: object) -> Any:
        return self.limits.run(script, self.endpoint, self.name, token, *values)

    def _put_off(self, verdict: str, seconds: float, since: float) -> Deferred:
        where = f"{self.endpoint.model} at {self.endpoint.base_url}"
        if verdict in ("open", "probing"):
            return Unavailable(
                max(1.0, seconds), f"{where} failed {scripts.BREAKS_AFTER} times in a row and is left alone", since
            )
        told = {
            "paused": f"{where} asked for a pause",
            "rate": f"{where} takes {self.endpoint.rate_per_minute} calls a minute",
            "line": f"{where} takes {self.endpoint.concurrency} calls at a time",
        }
        return Deferred(max(0.5, seconds), told[verdict])


def milliseconds(seconds: float) -> int:
    """As Redis's scripts count."""
    return int(seconds * 1000)
