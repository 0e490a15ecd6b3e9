"""Intervals as SVG geometry: one strip a row with three lanes, drawn by the template (no style, no script)."""

from collections.abc import Sequence
from dataclasses import dataclass

from .results import METRICS

WIDTH, LANE, PAD = 300, 12, 6  # units of the view box
TICKS = (0, 20, 40, 60, 80, 100)


@dataclass(frozen=True)
class Lane:
    """One metric of a row: the point, and the ends of its interval where it has one."""

    metric: str
    y: float
    x: float
    low: float | None = None
    high: float | None = None

    @property
    def top(self) -> float:
        return self.y - 3

    @property
    def bottom(self) -> float:
        return self.y + 3


def place(value: float) -> float:
    """From 0..1 to the view box."""
    return round(PAD + max(0.0, min(1.0, value)) * (WIDTH - 2 * PAD), 2)


def lanes(figures: Sequence[tuple[float | None, tuple[float, float] | None]]) -> list[Lane]:
    """The lanes of accuracy, recall and Avg, from above; a figure that is missing has none."""
    found = []
    for index, (metric, (value, interval)) in enumerate(zip(METRICS, figures, strict=True)):
        if value is None:
            continue
        low, high = (place(interval[0]), place(interval[1])) if interval else (None, None)
        found.append(Lane(metric, LANE * index + LANE / 2 + 1, place(value), low, high))
    return found


def ticks() -> list[tuple[int, float]]:
    return [(tick, place(tick / 100)) for tick in TICKS]


@dataclass(frozen=True)
class Difference:
    """The interval of a difference around 0, on a scale that holds all of them."""

    zero: float
    x: float
    low: float
    high: float


def differences(found: Sequence[tuple[float, tuple[float, float]]]) -> tuple[list[Difference], float]:
    """Geometry of (difference, interval) pairs, and the scale's end in points of 100."""
    most = max([0.02, *(abs(value) for _d, pair in found for value in pair), *(abs(d) for d, _pair in found)])
    end = next(step for step in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0) if step >= most or step == 2.0)

    def at(value: float) -> float:
        return place((value + end) / (2 * end))

    return [Difference(at(0), at(d), at(low), at(high)) for d, (low, high) in found], 100 * end
