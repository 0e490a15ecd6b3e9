"""Smooth curves and colours for drawing with Pillow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Point = tuple[float, float]
Colour = tuple[int, int, int]


STEPS = 7  # points per piece of a curve
#: Weights of the four control points of a Catmull-Rom piece at each step.
BASIS = np.array(
    [
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3]
        for t in np.arange(STEPS) / STEPS
    ]
) / 2  # fmt: skip


def smooth(points: Sequence[Point], loop: bool = False) -> list[Point]:
    """A Catmull-Rom spline through `points`, as a list of points; `loop` closes it."""
    ends = ([points[-1]], points[:2]) if loop else ([points[0]], [points[-1]])
    control = np.array([*ends[0], *points, *ends[1]], dtype=float)
    pieces = np.stack([control[i : len(control) - 3 + i] for i in range(4)], axis=1)  # (pieces, 4, 2)
    spline = (BASIS @ pieces).reshape(-1, 2).tolist()
    return [(x, y) for x, y in spline] + ([] if loop else [(points[-1][0], points[-1][1])])


def shade(colour: Colour, factor: float) -> Colour:
    """Darker below 1, towards white above 1."""
    if factor <= 1:
        return tuple(round(c * factor) for c in colour)  # type: ignore[return-value]
    return tuple(round(c + (255 - c) * (factor - 1)) for c in colour)  # type: ignore[return-value]


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """`a` with `share` (0..1) of `b`."""
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]
