"""Boxes of faces over time: `[t, x, y, w, h]`, seconds and shares of the picture's width and height."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

MOST_BOXES = 200  # of one person that are kept; a player needs no more

PLACES = {
    "left": {"zh": "画面左侧", "en": "on the left"},
    "centre": {"zh": "画面中央", "en": "in the centre"},
    "right": {"zh": "画面右侧", "en": "on the right"},
}
ORDINALS = ("", "", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")
DIGITS = "零一二三四五六七八九"


def iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes `x, y, w, h`, 0..1."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return common / (a[2] * a[3] + b[2] * b[3] - common)


def thinned(boxes: np.ndarray | Sequence[Sequence[float]]) -> list[list[float]]:
    """At most MOST_BOXES boxes, evenly chosen, rounded as they are stored."""
    rows = [list(map(float, box)) for box in boxes]
    if len(rows) > MOST_BOXES:
        rows = [rows[i] for i in np.linspace(0, len(rows) - 1, MOST_BOXES).round().astype(int)]
    return [[round(box[0], 3), *(round(side, 4) for side in box[1:])] for box in rows]


def box_at(boxes: Sequence[Sequence[float]], t: float, within: float = 0.5) -> list[float] | None:
    """`[x, y, w, h]` at second `t`: the nearest box in time, None where there is none within so many seconds."""
    if not boxes:
        return None
    nearest = min(boxes, key=lambda box: abs(box[0] - t))
    return list(nearest[1:]) if abs(nearest[0] - t) <= within else None


def overlap_over_time(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]) -> float:
    """How far the first person's boxes lie where the second's do, 0..1, over the times at which both are seen.

    Trackers frame a face differently (brows to chin, or the whole head): position and rough size decide, not the
    framing. Each pair of boxes is compared at one size, and as strangers (0) where one has 5 times the other's area.
    """
    found = []
    for t, *box in b:
        other = box_at(a, t)
        if other is not None:
            found.append(iou(_resized(other, box), box) if _alike(other, box) else 0.0)
    return float(np.mean(found)) if found else 0.0


def _resized(box: Sequence[float], like: Sequence[float]) -> list[float]:
    x, y = box[0] + box[2] / 2, box[1] + box[3] / 2
    return [x - like[2] / 2, y - like[3] / 2, like[2], like[3]]


def _alike(a: Sequence[float], b: Sequence[float]) -> bool:
    ratio = (a[2] * a[3]) / (b[2] * b[3])
    return 0.2 < ratio < 5


def where(people: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give each person a `place` in words that no other person of the clip has; `{}` texts "" where it has no box.

    Left, centre, right by the mean position. People who would share a word and are seen together are counted from the
    left; people who follow each other at one place are told apart by when they are seen.
    """
    middle = {p["number"]: _middle(p) for p in people}
    for person in people:
        x = middle[person["number"]]
        person["place"] = dict(PLACES[_third(x)]) if x is not None else {"zh": "", "en": ""}
    for person in people:
        x = middle[person["number"]]
        rivals = [p for p in people if p is not person and x is not None and middle[p["number"]] is not None]
        rivals = [p for p in rivals if _third(middle[p["number"]]) == _third(x)]
        together = [p for p in rivals if _meet(p, person)]
        if together:
            beside = [p for p in people if p is not person and middle[p["number"]] is not None and _meet(p, person)]
            row = sorted([*beside, person], key=lambda p: (middle[p["number"]], p["number"]))
            person["place"] = _counted(row.index(person), len(row))
        if [p for p in rivals if not _meet(p, person)]:
            start, end = person["span"]
            person["place"] = {
                "zh": f"{person['place']['zh']}（{start:.1f}–{end:.1f} 秒）",
                "en": f"{person['place']['en']} ({start:.1f}–{end:.1f} s)",
            }
    return people


def _middle(person: dict[str, Any]) -> float | None:
    boxes = person["boxes"]
    return float(np.mean([box[1] + box[3] / 2 for box in boxes])) if boxes else None


def _third(x: float | None) -> str:
    if x is None:
        return ""
    return "left" if x < 1 / 3 else "right" if x > 2 / 3 else "centre"


def _meet(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a["span"][0] <= b["span"][1] and b["span"][0] <= a["span"][1]


def _counted(index: int, of: int) -> dict[str, str]:
    if index == 0:
        return dict(PLACES["left"])
    if index == of - 1:
        return dict(PLACES["right"])
    if of == 3:
        return dict(PLACES["centre"])
    place = index + 1
    if place < len(ORDINALS):
        return {"zh": f"画面左起第{DIGITS[place]}位", "en": f"{ORDINALS[place]} from the left"}
    return {"zh": f"画面左起第 {place} 位", "en": f"number {place} from the left"}
