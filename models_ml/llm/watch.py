"""How the reading of a stream is watched while somebody reads along."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


class CalledOff(Exception):
    """Nobody wants the answer any longer."""


@dataclass(frozen=True)
class Watch:
    """``wanted`` is asked again and again; ``silence_s`` is the longest time that may pass without a byte once the
    first one came; ``heard`` gets each piece of text."""

    heard: Callable[[str], None]
    wanted: Callable[[], bool]
    silence_s: float
