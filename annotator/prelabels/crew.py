"""The threads of a shift that wait for models: as many calls at a time as a server takes, each job's end written some
milliseconds after its answer.

One thread takes jobs a little ahead, the shift's own writes what has ended; nobody else talks with the database. Only
so many jobs may have begun and not be written: what a killed process did in vain is bounded. Each server has a line of
its own, so that a slow one keeps nobody waiting who asks another.
"""

import functools
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog
from django.conf import settings
from django.db import connection

from annotator.celery import stopping
from models_ml.llm import NotConfigured

from . import claims, demand, dispatch, plans, work
from .database import patiently
from .leases import keeper
from .models import Job
from .outcomes import Outcome
from .runs import close_ended
from .shifts import runs_in_turn, steps_of

LINGER_SECONDS = 1.0  # a shift without work waits so long for more
LOOK_SECONDS = 0.25  # and looks that often
GROUP_SECONDS = 0.3  # what ends within it is written together, at once where nobody else is at work
TURN_SECONDS = 0.01  # between two takings, so that each is worth its statements
HARD_SECONDS = 480.0  # after its time, calls may still be in flight; then their leases run out
MORE_ASKING = 10  # at most, than a server takes calls at a time: their question is ready when a place is free
MORE_BEGUN = 60  # at most, than are asking: answered and not written yet
MOST_THREADS = 128
AHEAD_SECONDS = 0.4  # of work are taken ahead: what a killed process had taken counts as lost
WITHOUT_MODEL = 200  # jobs taken at once that end without a call
logger = structlog.get_logger(__name__)


@dataclass
class Line:
    """The jobs that wait for one server, and the threads that take them there."""

    asking: int  # threads, at most
    limit: int  # jobs that have begun and are not written yet, at most
    free: threading.Condition  # with the crew's lock: an idle thread may find something to do
    waiting: deque[work.Work] = field(default_factory=deque)
    busy: int = 0
    ended: int = 0  # of these, those that only wait to be written
    threads: int = 0
    rate: float = 0.0  # ends a second
    counted: float = field(default_factory=time.monotonic)
    target: float = 0.0  # the limit now: lower while the server defers calls, higher with each that it takes
    closed_until: float = 0.0

    def __post_init__(self) -> None:
        self.target = float(self.limit)

    @property
    def held(self) -> int:
        return len(self.waiting) + self.busy

    @property
    def ahead(self) -> float:
        """How many jobs should wait for a thread."""
        return max(self.asking / 4, self.rate * AHEAD_SECONDS)

    def room(self) -> int:
        """Jobs that may be taken for this line."""
        if self.closed_until > time.monotonic():
            return 0
        idle = min(self.asking, self.target) - (self.busy - self.ended)
        return max(0, math.ceil(min(idle + self.ahead - len(self.waiting), 2 * self.target + 1 - self.held)))

    def count(self, ends: int) -> None:
        """So many jobs have ended since the last time."""
        now = time.monotonic()
        self.rate = 0.7 * self.rate + 0.3 * ends / max(now - self.counted, GROUP_SECONDS)
        self.counted = now


@functools.cache
def get_ready() -> None:
    """Read, once a process, what the first call would read while it holds a place at the server: seconds of work."""
    import openai  # noqa: F401

    from models_ml.gate.judge import read

    read("He smiles. 他笑了。", "visual")


class Crew:
    """The threads of one shift."""

    def __init__(self, queue_name: str, run_id: int | None = None) -> None:
        self.queue, self.run_id = queue_name, run_id
        self._lines: dict[Any, Line] = {}
        self._steps: dict[str, tuple[float, Any]] = {}  # step -> (when asked, its line's key)
        self._lock = threading.RLock()
        self._results: queue.SimpleQueue[tuple[Line, work.Work, Outcome]] = queue.SimpleQueue()
        self._done = 0
        self._threads: list[threading.Thread] = []
        self._short = threading.Event()  # somebody may soon have nothing to do
        self._closing = self._over = self._looked = False
        self._taking = True  # jobs that no line holds yet may have been claimed
        self._failed: BaseException | None = None
        self._worked = time.monotonic()

    def run(self, until: float) -> int:
        """Work until nothing is left, the worker is asked to stop, or the time is over; how many jobs were ended."""
        get_ready()
        taker = None
        if not connection.in_atomic_block:  # else no other connection sees the jobs
            taker = threading.Thread(target=self._keep_taking, name="crew-taker", daemon=True)
            taker.start()
        try:
            while self._failed is None:
                if stopping() or time.monotonic() > until:
                    self._closing = True
                    self._give_back()
                    if not (self._busy() or self._taking) or time.monotonic() > until + HARD_SECONDS:
                        break
                elif taker is None:
                    self._refill()
                if not (self._taking or self._held()) and self._nothing_soon():
                    break
                self._write(self._collect())
        finally:
            self._end(taker)
        if self._failed is not None:
            raise self._failed
        return self._done

    def _busy(self) -> int:
        return sum(line.busy for line in list(self._lines.values()))

    def _held(self) -> int:
        return sum(line.held for line in list(self._lines.values()))

    def _nothing_soon(self) -> bool:
        now = time.monotonic()
        reopens = max((line.closed_until for line in list(self._lines.values())), default=0.0)
        return now > max(self._worked, min(reopens, now + 5.0)) + LINGER_SECONDS

    def _keep_taking(self) -> None:
        """Take jobs beside those who write: neither waits for the other's statements."""
        try:
            while not self._closing:
                self._refill()
                time.sleep(TURN_SECONDS)
                self._short.wait(LOOK_SECONDS)
                self._short.clear()
        except BaseException as error:  # noqa: BLE001 - raised again by the shift's own thread
            self._failed = error
        finally:
            self._taking = False
            connection.close()

    def _refill(self) -> int:
        """Take jobs for the lines that have room; how many were taken."""
        self._taking = True
        demand.note_gpu([self.queue])
        taken: list[Job] = []
        runs = runs_in_turn(self.queue, self.run_id)
        for run in runs:
            rooms = {step: self._room(step) for step in steps_of(run, self.queue)}
            wants = {step: math.ceil(room / len(runs)) for step, room in rooms.items() if room}
            taken += patiently(partial(claims.take, run.pk, self.queue, wants))
        if taken:
            keeper.add(taken)
            work.begin_runs(taken)
            self._line_up(work.prepare(taken))
            self._worked = time.monotonic()
            if len(taken) >= sum(line.limit for line in self._lines.values()):
                dispatch.call_soon([self.queue])
        elif not self._looked:
            self._worked = 0.0  # there was nothing from the beginning
        self._looked, self._taking = True, False
        return len(taken)

    def _line_up(self, works: Sequence[work.Work]) -> None:
        ended: list[tuple[Job, Outcome]] = []
        with self._lock:
            for each in works:
                if each.ended is not None:
                    ended.append((each.job, each.ended))
                    continue
                line = self._line_of(each.endpoint)
                line.waiting.append(each)
                line.free.notify()
                if line.threads < min(line.asking, line.held):
                    line.threads += 1
                    self._threads.append(threading.Thread(target=self._serve, args=(line,), name="crew", daemon=True))
                    self._threads[-1].start()
        if ended:
            self._let_go(ended, work.finish_all(ended))

    def _room(self, step: str) -> int:
        asked, key = self._steps.get(step, (0.0, None))
        if time.monotonic() - asked > 5.0:
            try:
                key = plans.endpoint_for(step)
            except NotConfigured:
                key = None
            self._steps[step] = (time.monotonic(), key)
        return WITHOUT_MODEL if key is None else self._line_of(key).room()

    def _line_of(self, endpoint: Any) -> Line:
        with self._lock:
            if endpoint not in self._lines:
                free = threading.Condition(self._lock)
                self._lines[endpoint] = Line(*bounds(endpoint), free)
            return self._lines[endpoint]

    def _serve(self, line: Line) -> None:
        """One thread: job after job, until the crew's work is over."""
        try:
            while (each := self._next(line)) is not None:
                if keeper.lost(each.job):
                    outcome = Outcome("deferred", "the job is no longer ours")
                else:
                    structlog.contextvars.bind_contextvars(job=each.job.pk, step=each.job.step)
                    outcome = work.perform(each)
                with self._lock:
                    line.ended += 1
                self._results.put((line, each, outcome))
        finally:
            connection.close()

    def _next(self, line: Line) -> work.Work | None:
        with line.free:
            while not self._over:
                if line.waiting and line.busy < max(1, int(line.target)):
                    line.busy += 1
                    if len(line.waiting) <= line.ahead / 2:
                        self._short.set()
                    return line.waiting.popleft()
                line.free.wait(1.0)
        return None

    def _collect(self) -> list[tuple[Line, work.Work, Outcome]]:
        """What ends within a moment; waits somewhat longer for the first."""
        found = []
        try:
            found.append(self._results.get(timeout=LOOK_SECONDS / 5))
            until = time.monotonic() + GROUP_SECONDS
            while len(found) < self._busy():
                left = until - time.monotonic()
                found.append(self._results.get(timeout=left) if left > 0 else self._results.get_nowait())
            return found
        except queue.Empty:
            return found

    def _write(self, found: list[tuple[Line, work.Work, Outcome]]) -> None:
        if not found:
            return
        ended = [(each.job, outcome) for _line, each, outcome in found]
        states = work.finish_all(ended)
        put_off: list[tuple[work.Work, float]] = []
        with self._lock:
            for line in self._lines.values():
                line.count(sum(each is line for each, _work, _outcome in found))
            for line, _each, outcome in found:
                line.busy -= 1
                line.ended -= 1
                if outcome.state == "deferred":
                    line.target = max(1.0, line.target * 0.7)
                    line.closed_until = max(line.closed_until, time.monotonic() + min(outcome.seconds, 60.0))
                    put_off += [(waits, outcome.seconds) for waits in line.waiting]
                    line.waiting.clear()
                else:
                    line.target = min(float(line.limit), line.target + 0.2)
                line.free.notify()
        if put_off:
            later = [(waits.job, Outcome("deferred", seconds=seconds)) for waits, seconds in put_off]
            self._let_go(later, work.finish_all(later))
        self._let_go(ended, states)
        self._worked = time.monotonic()

    def _let_go(self, ended: Sequence[tuple[Job, Outcome]], states: Mapping[int, str | None]) -> None:
        with self._lock:
            self._done += sum(state not in (None, "queued") for state in states.values())
            at_hand = {each.job.run_id for line in self._lines.values() for each in line.waiting}
        keeper.drop([job for job, _outcome in ended])
        for run_id in {job.run_id for job, _outcome in ended} - at_hand:
            patiently(partial(close_ended, run_id))

    def _give_back(self) -> None:
        with self._lock:
            left = [each.job for line in self._lines.values() for each in line.waiting]
            for line in self._lines.values():
                line.waiting.clear()
        if left:
            keeper.drop(left)
            patiently(partial(claims.give_back, left))

    def _end(self, taker: threading.Thread | None) -> None:
        """Let the threads go. Those that are still in a call are left to it: nobody renews their leases any more."""
        self._closing = True
        self._short.set()
        if taker is not None:
            taker.join()
        with self._lock:
            self._over = True
            for line in self._lines.values():
                line.free.notify_all()
        self._give_back()
        if not self._busy():
            for thread in self._threads:
                thread.join(2.0)


def bounds(endpoint: Any) -> tuple[int, int]:
    """For one server in one process: threads that ask, and jobs that may have begun and not be written."""
    calls = getattr(endpoint, "concurrency", None)
    if calls is not None:
        asking = min(MOST_THREADS, calls + min(calls, MORE_ASKING))
    elif hasattr(endpoint, "batch"):
        asking = max(1, endpoint.batch)  # a model in this process, which answers so many questions at once
    else:
        asking = settings.PRELABEL_THREADS
    return asking, asking + min(2 * asking, MORE_BEGUN)
