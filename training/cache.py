"""Keeps the frozen encoders' work: a clip's features, or its decoded evidence when crops vary.

Features depend on the clip alone (each clip is encoded by itself), so a cached run and an uncached one give
the same losses. The least recently used clips leave when the limit is reached.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np


class FeatureCache:
    """``get(key, make)``: the stored value, or what ``make`` returns, stored. ``limit_mb`` 0 stores nothing."""

    def __init__(self, limit_mb: int) -> None:
        self.limit = limit_mb * 1024 * 1024
        self.held: OrderedDict[str, Any] = OrderedDict()
        self.bytes = 0
        self.hits = 0
        self.misses = 0

    def get(self, key: str, make: Callable[[], Any]) -> Any:
        if key in self.held:
            self.hits += 1
            self.held.move_to_end(key)
            return self.held[key]
        self.misses += 1
        value = make()
        size = size_of(value)
        if size <= self.limit:
            self.held[key] = value
            self.bytes += size
            while self.bytes > self.limit:
                _, gone = self.held.popitem(last=False)
                self.bytes -= size_of(gone)
        return value


def size_of(value: Any) -> int:
    """Bytes of the arrays and tensors in a value (of its attributes, for an object)."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if hasattr(value, "element_size"):
        return value.element_size() * value.nelement()
    if hasattr(value, "__dict__"):
        return sum(size_of(item) for item in vars(value).values())
    return 0
