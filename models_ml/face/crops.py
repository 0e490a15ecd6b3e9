"""The largest face of each picture as a square crop, for encoders that look at faces alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

MARGIN = 0.15  # of the found box, on each side: chin and hair line
SIDE = 480  # pixels of the longer side that the detector looks at


def face_crops(pictures: Sequence[np.ndarray], size: int) -> tuple[np.ndarray, int]:
    """(n, size, size, 3) uint8 of n RGB pictures (h, w, 3), and in how many of them a face was found.

    A picture without a face is cropped where the face of the nearest one is; without any face, the middle square of
    each picture stands in. The largest face counts as the main character's.
    """
    import cv2

    boxes = [_largest(picture) for picture in pictures]
    known = [place for place, box in enumerate(boxes) if box is not None]
    crops = []
    for place, picture in enumerate(pictures):
        near = min(known, key=lambda other: abs(other - place)) if known else None
        left, top, side = _square(picture.shape[:2], None if near is None else boxes[near])
        crop = np.ascontiguousarray(picture[top : top + side, left : left + side])
        crops.append(cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_CUBIC))
    return np.stack(crops), len(known)


def _largest(picture: np.ndarray) -> tuple[float, float, float, float] | None:
    """`x, y, w, h` in shares of the picture."""
    import cv2

    from models_ml.face.detect import faces_in

    scale = min(1.0, SIDE / max(picture.shape[:2]))
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    found = faces_in(grey, *_tools(), 1)
    if not found:
        return None
    x, y, w, h = max(found, key=lambda box: box[2] * box[3])[:4]
    return x, y, w, h


@lru_cache(maxsize=1)
def _tools() -> tuple[Any, Any]:
    import cv2

    from models_ml.face.detect import cascade

    cv2.setNumThreads(1)
    return cascade("haarcascade_frontalface_alt2"), cascade("haarcascade_profileface")


def _square(shape: tuple[int, int], box: tuple[float, float, float, float] | None) -> tuple[int, int, int]:
    """Left, top and side in pixels of a square inside the picture."""
    height, width = shape
    if box is None:
        side = min(height, width)
        return (width - side) // 2, (height - side) // 2, side
    x, y, w, h = box[0] * width, box[1] * height, box[2] * width, box[3] * height
    side = max(1, min(round(max(w, h) * (1 + 2 * MARGIN)), height, width))
    left, top = round(x + w / 2 - side / 2), round(y + h / 2 - side / 2)
    return min(max(0, left), width - side), min(max(0, top), height - side), side
