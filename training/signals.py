"""SIGTERM and SIGINT end work at its next safe point: between two steps of training, between two batches of answers."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .errors import TrainingError


class Stopped(TrainingError):
    """SIGTERM or SIGINT arrived; what was kept until then counts."""


@dataclass
class Told:
    """Whether a signal said to stop. With ``wait`` it is for the work to look; without, it ends the work at once."""

    number: int = 0
    wait: bool = False

    def __str__(self) -> str:
        return f" by signal {self.number}" if self.number else ", as another process was"


@contextlib.contextmanager
def until_told_to_stop() -> Iterator[Told]:
    """Remember SIGTERM and SIGINT; a second one acts as it did before."""
    told = Told()
    before: dict[int, Any] = {}

    def remember(number: int, frame: Any) -> None:
        told.number = number
        signal.signal(number, before[number])
        if not told.wait:
            raise Stopped(f"told to stop{told}; go on with --resume")

    try:
        for number in map(int, (signal.SIGTERM, signal.SIGINT)):
            before[number] = signal.getsignal(number)
            signal.signal(number, remember)
    except ValueError:  # not the main thread: whoever runs us there handles signals
        before.clear()
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
