"""Medians, percentiles, and what a reader must know about the machine."""

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def percentile(values: Sequence[float], share: float) -> float:
    """Linear interpolation between closest ranks; `share` in 0..1. Raises ValueError without values."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    place = (len(ordered) - 1) * share
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def latency(seconds: Sequence[float]) -> dict[str, float | int]:
    """`{n, median_ms, p95_ms}` of durations in seconds."""
    return {
        "n": len(seconds),
        "median_ms": round(statistics.median(seconds) * 1000, 1),
        "p95_ms": round(percentile(seconds, 0.95) * 1000, 1),
    }


def ratio(a: float, b: float) -> float:
    """a / b to two decimals."""
    return round(a / b, 2)


def pace() -> float:
    """Milliseconds of processor time that a fixed loop takes, the median of five: how fast the machine is just now.

    Virtual machines share their processors with others, and are at one time half as fast again as at another.
    """
    took = []
    for _ in range(5):
        began = time.process_time()
        sum(i * i % 7 for i in range(300_000))
        took.append(time.process_time() - began)
    return round(statistics.median(took) * 1000, 1)


def machine() -> dict[str, Any]:
    """Cores, versions, revision, load: the figures mean nothing without them."""
    revision = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "revision": revision.stdout.strip() or None,
        "load_at_start": round(os.getloadavg()[0], 2),
    }
