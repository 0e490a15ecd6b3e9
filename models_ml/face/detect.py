"""The child's side of `people.faces`: samples frames of one file, finds faces, prints one JSON object.

Started under limits (models_ml.media.child): the decoder and the detector see a file from outside here only.
"""

from __future__ import annotations

import json
import math
import os
import sys
from typing import Any

import av
import cv2
import numpy as np

from models_ml.face.boxes import iou
from models_ml.media.worker import Refused, frames, open_media, picture_stream, rgb

SIDE = 480  # pixels of the longer side that the detector looks at
LEAST_FACE = 1 / 12  # of the shorter side
MOST_FACES = 20
#: Looking for faces in a whole picture is what costs: it is done once a second, after a cut, where the picture changed
#: since, and where somebody is missed. In between those who were there are followed around their places. Profiles cost
#: twice as much again: they are looked for seldom, after a cut, and where somebody is missed.
WHOLE_EVERY_S = 1.0
PROFILES_EVERY_S = 2.0
PROFILES_EVERY = 4  # frames, where that is longer
CHANGED = 0.8  # correlation of two pictures' thumbnails below which it is not the same picture any more
AROUND = 0.7  # of a face's side, on each of its sides: how far it moves from one frame to the next
FOLLOWED_S = 0.5  # frames further apart than this are whole pictures
MEMORY = 4  # frames back in which an eye's or a mouth's face is remembered
PART = 0.35  # of a face's area
DOUBLE = 0.3  # overlap from which two finds are one face
SAME_SCENE = 0.5  # correlation of two pictures' thumbnails
KEY_FRAMES_FROM_S = 2.0  # samples this far apart are taken from key frames, without decoding all between them


def look(path: str, rate: float, most: int) -> list[dict[str, Any]]:
    """`[{t, cut, faces}]`, boxes in shares of the picture."""
    cv2.setNumThreads(1)
    frontal, profile = (cascade(name) for name in ("haarcascade_frontalface_alt2", "haarcascade_profileface"))
    found: list[dict[str, Any]] = []
    before: np.ndarray | None = None
    whole, last_whole, last_profiles = before, 0.0, -math.inf  # of the frames in which all of the picture was looked at
    with open_media(path) as container:
        stream = picture_stream(container)
        if stream is None:
            raise Refused("no_video")
        length = container.duration / av.time_base if container.duration else 0.0
        step = max(1 / rate, length / most)
        stream.thread_type = "NONE"
        if step >= KEY_FRAMES_FROM_S:
            stream.codec_context.skip_frame = "NONKEY"
        origin, due, index = None, 0.0, 0
        for frame in frames(container, stream):
            time = frame.time if frame.time is not None else index / float(stream.average_rate or 25)
            origin = time if origin is None else origin
            time, index = time - origin, index + 1
            if time + 1e-6 < due:
                continue
            due = max(due + step, time - step)
            grey = cv2.cvtColor(rgb(frame, None, SIDE), cv2.COLOR_RGB2GRAY)
            small = cv2.resize(grey, (32, 18), interpolation=cv2.INTER_AREA).astype(float)
            cut = before is not None and _alike(before, small) < SAME_SCENE
            before = small
            fresh = whole is None or cut or time - last_whole > WHOLE_EVERY_S - 1e-6 or _alike(whole, small) < CHANGED
            there = None if fresh or step > FOLLOWED_S else _followed(grey, frontal, profile, found[-1]["faces"])
            if there is None:
                profiles = cut or time - last_profiles > max(PROFILES_EVERY_S, PROFILES_EVERY * step) - 1e-6
                faces = faces_in(grey, frontal, profile, MOST_FACES if profiles else len(found[-1]["faces"]))
                recent = [] if cut else [face for each in found[-MEMORY:] for face in each["faces"]]
                there = [face for face in faces if not any(_part_of(face, other) for other in recent)]
                whole, last_whole, last_profiles = small, time, time if profiles else last_profiles
            found.append({"t": round(float(time), 3), "cut": cut, "faces": there})
            if len(found) >= most:
                break
    if not found:
        raise Refused("zero_length", "no frame can be decoded")
    return found


def cascade(name: str) -> cv2.CascadeClassifier:
    """One of OpenCV's bundled cascades, by name."""
    loaded = cv2.CascadeClassifier(os.path.join(os.path.dirname(cv2.__file__), "data", f"{name}.xml"))
    if loaded.empty():
        raise RuntimeError(f"OpenCV has no {name}: opencv-python-headless 4 is needed")
    return loaded


def _alike(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of two thumbnails; of flat pictures, whether they are equally bright."""
    if a.std() < 1 or b.std() < 1:
        return float(abs(a.mean() - b.mean()) < 16)
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def faces_in(grey: np.ndarray, frontal: Any, profile: Any, expected: int) -> list[list[float]]:
    """`[x, y, w, h, score]` in shares: frontal finds, and where those are fewer than `expected` also profiles."""
    height, width = grey.shape
    least = max(24, round(min(grey.shape) * LEAST_FACE))
    return _shares(_all(grey, frontal, profile, expected, (least, max(grey.shape))), width, height)


def _all(grey: np.ndarray, frontal: Any, profile: Any, expected: int, sides: tuple[float, float]) -> list[list[float]]:
    width = grey.shape[1]
    kept = _apart(_find(grey, frontal, 1.15, 5, sides), [])
    if len(kept) < expected:
        mirrored = np.ascontiguousarray(grey[:, ::-1])
        turned = [[width - x - w, y, w, h, score] for x, y, w, h, score in _find(mirrored, profile, 1.2, 4, sides)]
        kept = _apart(_find(grey, profile, 1.2, 4, sides) + turned, kept)
    return kept


def _shares(finds: list[list[float]], width: int, height: int) -> list[list[float]]:
    of = (width, height, width, height)
    return [[*(round(v / side, 4) for v, side in zip(find, of, strict=False)), round(find[4], 2)] for find in finds]


def _followed(grey: np.ndarray, frontal: Any, profile: Any, faces: list[list[float]]) -> list[list[float]] | None:
    """The faces of the frame before, as they are now, looked for around their places; None where one is missed."""
    height, width = grey.shape
    now: list[list[float]] = []
    for face in faces:
        x, y, w, h = (share * side for share, side in zip(face, (width, height, width, height), strict=False))
        left, top = max(0, round(x - AROUND * w)), max(0, round(y - AROUND * h))
        part = np.ascontiguousarray(grey[top : round(y + h + AROUND * h), left : round(x + w + AROUND * w)])
        finds = _all(part, frontal, profile, 1, (0.75 * w, 1.35 * w))
        if not finds:
            return None
        near = max(finds, key=lambda find: find[4])
        now.append([near[0] + left, near[1] + top, *near[2:]])
    return _shares(_apart(now, []), width, height)


def _apart(finds: list[list[float]], kept: list[list[float]]) -> list[list[float]]:
    """`kept` and those of `finds` that are other faces, the surest first."""
    for find in sorted(finds, key=lambda each: -each[4]):
        if all(iou(find, other) < DOUBLE and not _inside(find, other) for other in kept):
            kept = [*kept, find]
    return kept


def _part_of(find: list[float], face: list[float]) -> bool:
    """Whether a find is a mouth or an eye of a face that was there a moment ago and is missed now."""
    return find[2] * find[3] < PART * face[2] * face[3] and _inside(find, face)


def _inside(a: list[float], b: list[float]) -> bool:
    """Whether the middle of one lies in the other: an eye or a chin that was taken for a face."""
    (small, large) = (a, b) if a[2] * a[3] < b[2] * b[3] else (b, a)
    x, y = small[0] + small[2] / 2, small[1] + small[3] / 2
    return large[0] < x < large[0] + large[2] and large[1] < y < large[1] + large[3]


def _find(
    grey: np.ndarray, cascade: Any, step: float, neighbours: int, sides: tuple[float, float]
) -> list[list[float]]:
    least, most = max(20, round(sides[0])), round(sides[1])
    boxes, _levels, scores = cascade.detectMultiScale3(
        grey, scaleFactor=step, minNeighbors=neighbours, minSize=(least, least), maxSize=(most, most),
        outputRejectLevels=True,
    )  # fmt: skip
    return [[*map(float, box), float(score)] for box, score in zip(boxes, scores, strict=True)]


def main(argument: str) -> int:
    request = json.loads(argument)
    path = os.fsdecode(request["path"].encode("latin-1"))
    av.logging.set_level(av.logging.PANIC)
    answer: dict[str, Any]
    try:
        answer = {"frames": look(path, request["rate"], request["most"])}
    except Refused as refusal:
        answer = {"error": refusal.code, "detail": refusal.detail}
    except av.error.FFmpegError as error:
        answer = {"error": "unreadable", "detail": error.strerror or str(error)}
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
