"""Work spread over processes of its own: a task goes in, its result or the reason of its failure comes out.

A worker is a Python process with pickles on its standard input and output. One that dies (a decoder that crashes) or
takes too long costs the task it had, nothing else: another one takes its place. When the parent is killed, its workers
read the end of their input and leave.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import queue
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

ROOT = str(Path(__file__).resolve().parents[1])
HEADER = struct.Struct("<Q")
QUEUED = 2  # tasks a worker has at a time, so that it never waits for the next one


@dataclass(frozen=True)
class Failed:
    """Why there is no result."""

    reason: str


def default_workers() -> int:
    """One per core but one, from one to eight."""
    return min(8, max(1, len(os.sched_getaffinity(0)) - 1 if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))


def run_tasks(
    function: str, setup: Any, tasks: Iterable[Any], *, workers: int, ordered: bool = False, timeout: float = 300.0,
    ahead: int = 8,
) -> Generator[tuple[int, Any], None, None]:  # fmt: skip
    """(number of the task, result or Failed) for each task, as they come, or in the tasks' order.

    function: ``module:name``, called as ``name(setup, task)``; an exception of it is a Failed. workers 0: in this
    process. timeout: seconds per task. At most ``QUEUED * workers + ahead`` tasks are under way or waiting to be
    taken, which bounds the memory.
    """
    if workers <= 0:
        act = _resolve(function)
        for number, task in enumerate(tasks):
            yield number, _guarded(act, setup, task)
        return
    crew = _Crew(function, setup, workers, timeout)
    waiting: dict[int, Any] = {}
    pending, under_way, due = enumerate(tasks), 0, 0
    limit, ended = QUEUED * workers + ahead, False
    try:
        while True:
            while not ended and under_way + len(waiting) < limit:
                item = next(pending, None)
                if item is None:
                    ended = True
                    break
                crew.give(*item)
                under_way += 1
            if not under_way and not waiting:
                return
            if under_way:
                number, result = crew.take()
                under_way -= 1
                waiting[number] = result
            for number in list(waiting) if not ordered else []:
                yield number, waiting.pop(number)
            while ordered and due in waiting:
                yield due, waiting.pop(due)
                due += 1
    finally:
        crew.close()


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    tasks: deque[tuple[int, Any]] = field(default_factory=deque)
    since: float = 0.0  # when the first of them was begun
    answered: bool = False
    late: bool = False


class _Crew:
    """The workers, and the results as they come in."""

    def __init__(self, function: str, setup: Any, count: int, timeout: float) -> None:
        self.function, self.timeout = function, timeout
        self.setup = pickle.dumps(setup, protocol=5)
        self.results: queue.Queue[tuple[_Worker, bytes | None]] = queue.Queue()
        self.backlog: deque[tuple[int, Any]] = deque()
        self.workers = [self._start() for _ in range(count)]

    def give(self, number: int, task: Any) -> None:
        self.backlog.append((number, task))
        self._hand_out()

    def take(self) -> tuple[int, Any]:
        """The next result, whichever worker's."""
        while True:
            try:
                worker, answer = self.results.get(timeout=1.0)
            except queue.Empty:
                self._end_late_ones()
                continue
            if answer is not None:
                number, _ = worker.tasks.popleft()
                worker.since, worker.answered = time.monotonic(), True
                self._hand_out()
                return number, pickle.loads(answer)  # noqa: S301 - written by our own worker
            if worker not in self.workers:
                continue
            failed = self._replace(worker)
            if failed is not None:
                return failed

    def close(self) -> None:
        for worker in self.workers:
            worker.process.kill()
        for worker in self.workers:
            worker.process.wait()
            for stream in (worker.process.stdin, worker.process.stdout):
                with contextlib.suppress(OSError):
                    stream.close()  # type: ignore[union-attr]
        self.workers = []

    def _start(self) -> _Worker:
        env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        env["PYTHONPATH"] = os.pathsep.join([ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])
        process = subprocess.Popen(
            [sys.executable, "-c", "import sys; from training.workers import main; main(sys.argv[1])", self.function],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env,
        )  # fmt: skip
        worker = _Worker(process)
        self._send(worker, self.setup)
        threading.Thread(target=self._listen, args=(worker,), daemon=True).start()
        return worker

    def _listen(self, worker: _Worker) -> None:
        stream = worker.process.stdout
        assert stream is not None
        with contextlib.suppress(OSError, ValueError):
            while (answer := _read(stream)) is not None:
                self.results.put((worker, answer))
        self.results.put((worker, None))

    def _hand_out(self) -> None:
        for depth in range(QUEUED):
            for worker in self.workers:
                if self.backlog and len(worker.tasks) == depth:
                    if not worker.tasks:
                        worker.since = time.monotonic()
                    worker.tasks.append(self.backlog.popleft())
                    self._send(worker, pickle.dumps(worker.tasks[-1][1], protocol=5))

    def _send(self, worker: _Worker, payload: bytes) -> None:
        assert worker.process.stdin is not None
        with contextlib.suppress(OSError):  # it died: its end of file is on its way to `take`
            worker.process.stdin.write(HEADER.pack(len(payload)) + payload)
            worker.process.stdin.flush()

    def _end_late_ones(self) -> None:
        for worker in self.workers:
            if worker.tasks and time.monotonic() - worker.since > self.timeout:
                worker.late = True
                worker.process.kill()

    def _replace(self, worker: _Worker) -> tuple[int, Any] | None:
        """Another worker in a dead one's place; the task it was at has failed, those behind it go back."""
        status = worker.process.wait()
        if status > 0 and not worker.answered:  # no signal: Python itself gave up, and would again
            raise RuntimeError(f"a worker of {self.function} could not start (status {status}); see its message above")
        self.workers[self.workers.index(worker)] = self._start()
        if not worker.tasks:
            return None
        number, _ = worker.tasks.popleft()
        self.backlog.extendleft(reversed(worker.tasks))
        self._hand_out()
        reason = f"took longer than {self.timeout:g} s" if worker.late else f"the decoder crashed (status {status})"
        return number, Failed(reason)


def _read(stream: IO[bytes]) -> bytes | None:
    """One message; None at the end of the stream."""
    head = stream.read(HEADER.size)
    if len(head) < HEADER.size:
        return None
    (size,) = HEADER.unpack(head)
    body = stream.read(size)
    return body if len(body) == size else None


def _resolve(function: str) -> Callable[[Any, Any], Any]:
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)


def _guarded(act: Callable[[Any, Any], Any], setup: Any, task: Any) -> Any:
    try:
        return act(setup, task)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this task's failure, and it is reported
        return Failed(str(error) or repr(error))


def main(function: str) -> None:
    """A worker's life: the setup, then tasks until the input ends."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not stand between the results
    act = _resolve(function)
    payload = _read(sys.stdin.buffer)
    if payload is None:
        return
    setup = pickle.loads(payload)  # noqa: S301 - from our own parent
    while (payload := _read(sys.stdin.buffer)) is not None:
        answer = pickle.dumps(_guarded(act, setup, pickle.loads(payload)), protocol=5)  # noqa: S301
        try:
            out.write(HEADER.pack(len(answer)))
            out.write(answer)
            out.flush()
        except BrokenPipeError:
            return
