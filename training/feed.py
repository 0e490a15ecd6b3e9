"""The batches of a run, made ahead of their turn by a thread, so that a step does not wait for its data."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class Feed(Generic[T]):
    """``next()`` gives what ``make`` made of each of ``numbers``, in their order; ``ahead`` of them wait ready."""

    def __init__(self, make: Callable[[int], T], numbers: Iterable[int], ahead: int = 4) -> None:
        self._make, self._numbers, self._ahead = make, iter(numbers), max(1, ahead)
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="feed")
        self._ready: deque[Future[T]] = deque()
        self._fill()

    def next(self) -> tuple[T, float]:
        """The next one and the seconds that were waited for it. Raises what ``make`` raised, and StopIteration at the
        end."""
        began = time.monotonic()
        if not self._ready:
            raise StopIteration
        made = self._ready.popleft().result()
        self._fill()
        return made, time.monotonic() - began

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is made meanwhile: what ``make`` uses may be used by the caller."""
        with self._lock:
            yield

    def close(self) -> None:
        for waiting in self._ready:
            waiting.cancel()
        self._ready.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _fill(self) -> None:
        while len(self._ready) < self._ahead:
            number = next(self._numbers, None)
            if number is None:
                return
            self._ready.append(self._pool.submit(self._work, number))

    def _work(self, number: int) -> T:
        with self._lock:
            return self._make(number)
