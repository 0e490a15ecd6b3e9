"""Who is seen in a clip: faces found in sampled frames, linked into one track per person by where they are.

The detector is OpenCV's Haar cascades (Viola & Jones 2001; frontal: Lienhart 2002, `alt2`; profile, both ways): they
come with the package, need no download, and run in the limited media child. They find upright faces from about a
twelfth of the picture's height on. Nobody is recognised: somebody who comes back after a cut is another track.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from models_ml.face.boxes import iou, thinned, where
from models_ml.media import MediaError
from models_ml.media.child import run_limited

DETECTOR = "opencv-haar-2"  # named where the tracks are stored; raised when the result for a file may change
RATE = 4.0  # frames looked at per second
MOST_FRAMES = 240
SAME = 0.25  # overlap of a face with itself, one sample later
BRIDGE_S = 1.0  # a face that is missed for as long is still the same track
LEAST_PRESENCE = 0.2  # of the frames looked at; less is a mistake of the detector, or somebody who passes by


def people(path: str | Path, timeout_s: float = 300.0) -> list[dict[str, Any]]:
    """The people of a clip, the most present (presence x area) first.

    Each: `{number (from 1), presence (share of the frames looked at), area (mean share of the picture), span [first,
    last second], boxes [[t, x, y, w, h], …] in shares, place {zh, en}}`. [] where no face is found. Raises MediaError.
    """
    return linked(faces(path, timeout_s))


def faces(path: str | Path, timeout_s: float = 300.0) -> list[dict[str, Any]]:
    """`[{t, cut, faces: [[x, y, w, h, score], …]}]` per frame looked at; `cut`: the scene changed before it.

    At RATE frames a second, at most MOST_FRAMES. Raises MediaError (missing, unreadable, no_video, timeout, too_big).
    """
    absolute = Path(path).absolute()
    if not absolute.is_file():
        raise MediaError("missing", path)
    if absolute.stat().st_size == 0:
        raise MediaError("empty", path)
    request = {"path": os.fsencode(absolute).decode("latin-1"), "rate": RATE, "most": MOST_FRAMES}
    command = [sys.executable, "-P", "-m", "models_ml.face.detect", json.dumps(request)]
    status, out, err = run_limited(command, path=path, timeout_s=timeout_s)
    if status != 0:
        if b"MemoryError" in err or b"Insufficient memory" in err:
            raise MediaError("too_big", path)
        last = err.decode("utf-8", "replace").strip().splitlines()[-1:] or [f"exit status {status}"]
        raise MediaError("unreadable", path, f"the face detector stopped: {last[0][:200]}")
    answer = json.loads(out)
    if "error" in answer:
        raise MediaError(answer["error"], path, answer["detail"])
    return answer["frames"]


def linked(frames: list[dict[str, Any]], least_presence: float = LEAST_PRESENCE) -> list[dict[str, Any]]:
    """`faces`' frames as people. Tracks of a single box (in four frames or more), or less present than
    `least_presence`, are dropped."""
    least = max(1 if len(frames) < 4 else 2, least_presence * len(frames))
    found = [track for track in tracks_of(frames) if len(track) >= least]
    return where(_numbered(found, len(frames)))


def tracks_of(frames: list[dict[str, Any]]) -> list[list[list[float]]]:
    """Tracks of `[t, x, y, w, h]`: each face goes to the open track whose last box it overlaps most. A track that is
    missed for BRIDGE_S (three frames, where they are further apart), or meets a cut, ends."""
    times = [frame["t"] for frame in frames]
    step = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0.0
    gap = max(BRIDGE_S, 3 * step) + 1e-6
    ended: list[list[list[float]]] = []
    going: list[list[list[float]]] = []
    for frame in frames:
        kept: list[list[list[float]]] = []
        for track in going:
            late = frame.get("cut") or frame["t"] - track[-1][0] > gap
            (ended if late else kept).append(track)
        going = kept
        boxes = [list(face[:4]) for face in frame["faces"]]
        pairs = [(iou(track[-1][1:], box), i, j) for i, track in enumerate(going) for j, box in enumerate(boxes)]
        tracked: set[int] = set()
        placed: set[int] = set()
        for overlap, i, j in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
            if overlap >= SAME and i not in tracked and j not in placed:
                going[i].append([frame["t"], *boxes[j]])
                tracked.add(i)
                placed.add(j)
        going += [[[frame["t"], *box]] for j, box in enumerate(boxes) if j not in placed]
    return [*ended, *going]


def _numbered(tracks: list[list[list[float]]], frames: int) -> list[dict[str, Any]]:
    people: list[dict[str, Any]] = [
        {
            "presence": round(len(track) / frames, 4),
            "area": round(sum(box[3] * box[4] for box in track) / len(track), 4),
            "span": [round(track[0][0], 3), round(track[-1][0], 3)],
            "boxes": thinned(track),
        }
        for track in tracks
    ]
    people.sort(key=lambda p: (-p["presence"] * p["area"], p["span"][0], p["boxes"][0][1]))
    return [{"number": number, **person} for number, person in enumerate(people, 1)]
