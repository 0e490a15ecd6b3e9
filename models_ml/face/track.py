"""Action units over time, as OpenFace 2.2 writes them (https://github.com/TadasBaltrusaitis/OpenFace)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models_ml.face.boxes import overlap_over_time, thinned, where
from models_ml.face.rows import AuTrackError, Rows, read_rows

#: OpenFace gives a confidence from 0 to 1 and calls a frame a success above about 0.7; a frame that is
#: marked a success with less than this is a file that contradicts itself, and is not used.
MIN_CONFIDENCE = 0.5
MAX_PLACE = 2**31  #: frames or seconds; beyond it a file is corrupt
AU_COLUMN = re.compile(r"^AU(\d{2})_([rc])$")
#: The jaw line and the brows among the 68 landmarks: they bound the face.
CONTOUR = range(27)
#: Columns of our own that a plug-in tracker may write instead of landmarks: shares of the picture.
BOX = ("box_x", "box_y", "box_w", "box_h")
SAME_FACE = 0.3  #: mean overlap (intersection over union) from which a track is of the chosen person


@dataclass(frozen=True)
class AuTrack:
    """One face's action units; every array has one entry per frame, in the file's order."""

    frames: np.ndarray  # (n,) int, OpenFace's own frame numbers
    timestamps: np.ndarray  # (n,) float, seconds
    success: np.ndarray  # (n,) bool
    confidence: np.ndarray  # (n,) float in 0..1
    intensity: dict[str, np.ndarray]  # "AU01" -> (n,) float in 0..5; without the AUs that have no _r column
    presence: dict[str, np.ndarray]  # "AU01" -> (n,) float 0 or 1; without the AUs that have no _c column
    face_id: int | None = None  # None where the file has no such column

    @property
    def aus(self) -> list[str]:
        """All codes with an intensity or a presence column, in order."""
        return sorted(set(self.intensity) | set(self.presence))

    def valid(self) -> np.ndarray:
        """(n,) bool: tracked, confident, and with a number in every AU column."""
        good = self.success & (self.confidence >= MIN_CONFIDENCE)
        for values in (*self.intensity.values(), *self.presence.values()):
            good = good & np.isfinite(values)
        return good

    def occurs(self, au: str) -> np.ndarray:
        """(n,) bool: presence is 1, or intensity above 0 for an AU without a presence column."""
        if au in self.presence:
            return self.presence[au] == 1
        return self.intensity[au] > 0


def read_openface(path_or_text: str | Path, face_id: int | None = None) -> AuTrack:
    """Read one face of an OpenFace 2.2 CSV (a path, or its text where the string has a line break).

    Headers may have leading blanks. `face_id` None is the main face: the highest product of mean area (of the
    landmarks) and presence (share of the frames in which it is tracked); without landmarks the one tracked in the
    most frames, then with the higher mean confidence, then with the smaller id. Cells `nan`, `inf` and empty make a
    frame invalid. Raises AuTrackError naming file, line and column for anything that is not such a file, and where
    it has no face of that id.
    """
    rows = read_rows(path_or_text, _au_columns)
    tracks = _tracks(rows)
    if face_id is None:
        best = next(iter(tracks)) if len(tracks) == 1 else _main(tracks, _places(path_or_text, rows, None))
        return tracks[best]
    if face_id not in tracks:
        raise AuTrackError(f"{rows.name}: there is no face {face_id}; there are {', '.join(map(str, tracks))}")
    return tracks[face_id]


def openface_faces(path_or_text: str | Path, size: tuple[int, int] | None = None) -> list[dict[str, Any]]:
    """Who is seen in an OpenFace CSV, the main face first, as `models_ml.face.people` tells it.

    Each: `{number (face_id), presence (share of the frames), area (mean share of the picture, None where its size is
    not known), span [first, last second], boxes [[t, x, y, w, h], …] in shares, place {zh, en}}`. `size` is the
    picture's width and height in pixels; without it, it is estimated where the file has 3-D landmarks. Faces that are
    tracked in no valid frame are left out. Raises AuTrackError.
    """
    rows = read_rows(path_or_text, _au_columns)
    tracks = _tracks(rows)
    found = _places(path_or_text, rows, size)
    frames = len(np.unique(rows.columns["frame"]))
    people: list[dict[str, Any]] = []
    for number in sorted(tracks, key=lambda face: _rank(tracks[face], found.get(face), frames)):
        track, good = tracks[number], tracks[number].valid()
        if not good.any():
            continue
        boxes, is_share = found.get(number, (np.empty((0, 5)), False))
        seen = track.timestamps[good]
        people.append(
            {
                "number": number,
                "presence": round(int(good.sum()) / frames, 4),
                "area": round(float((boxes[:, 3] * boxes[:, 4]).mean()), 4) if is_share and len(boxes) else None,
                "span": [round(float(seen[0]), 3), round(float(seen[-1]), 3)],
                "boxes": thinned(boxes) if is_share else [],
            }
        )
    return where(people)


def read_person(path: Path, person: dict[str, Any] | None, size: tuple[int, int] | None = None) -> AuTrack:
    """The track of the chosen person in an OpenFace CSV; the main face where nobody was chosen.

    The face whose boxes overlap the person's most is taken. A file without boxes is taken at its word where it has one
    face only. Raises AuTrackError where no face of the file is that person's.
    """
    if person is None:
        return read_openface(path)
    faces = openface_faces(path, size)
    if not any(face["boxes"] for face in faces):
        if len(faces) > 1:
            raise AuTrackError(
                f"{Path(path).name}: it has {len(faces)} faces and no landmarks (run OpenFace with -2Dfp): "
                "which of them is the chosen person cannot be told"
            )
        return read_openface(path)
    overlaps = {face["number"]: overlap_over_time(face["boxes"], person.get("boxes") or []) for face in faces}
    best = max(overlaps, key=lambda number: overlaps[number])
    if overlaps[best] < SAME_FACE:
        raise AuTrackError(f"{Path(path).name}: none of its faces is the chosen person's")
    return read_openface(path, best)


def _au_columns(name: str, header: list[str]) -> list[str]:
    for needed in ("frame", "timestamp"):
        if needed not in header:
            raise AuTrackError(f"{name}: line 1: column {needed} is missing; this is not an OpenFace CSV")
    aus = [column for column in header if AU_COLUMN.match(column)]
    if not aus:
        raise AuTrackError(f"{name}: line 1: no AUxx_r or AUxx_c column (run OpenFace with -aus)")
    return ["frame", "timestamp", *(c for c in ("face_id", "success", "confidence") if c in header), *aus]


def _tracks(rows: Rows) -> dict[int, AuTrack]:
    """All faces of the file by id (0 where it has no ids)."""
    table, n = rows.columns, len(rows.lines)
    for column in ("frame", "timestamp"):
        bad = np.flatnonzero(~np.isfinite(table[column]))
        if len(bad):
            raise AuTrackError(f"{rows.name}: line {rows.lines[bad[0]]}: column {column} is not a number")
        bad = np.flatnonzero((table[column] < 0) | (table[column] > MAX_PLACE))
        if len(bad):
            raise AuTrackError(f"{rows.name}: line {rows.lines[bad[0]]}: column {column} is out of range")
    success = np.nan_to_num(table.get("success", np.ones(n))) == 1
    confidence = np.nan_to_num(table.get("confidence", np.ones(n)))
    ids = _ids(rows)
    tracks = {}
    for face in np.unique(ids):
        keep = ids == face
        aus = {(f"AU{m[1]}", m[2]): table[c][keep] for c in table if (m := AU_COLUMN.match(c))}
        tracks[int(face)] = AuTrack(
            frames=table["frame"][keep].astype(int),
            timestamps=table["timestamp"][keep],
            success=success[keep],
            confidence=confidence[keep],
            intensity={au: values for (au, kind), values in aus.items() if kind == "r"},
            presence={au: values for (au, kind), values in aus.items() if kind == "c"},
            face_id=int(face) if "face_id" in table else None,
        )
    return tracks


def _ids(rows: Rows) -> np.ndarray:
    ids = np.nan_to_num(rows.columns.get("face_id", np.zeros(len(rows.lines))))
    if (abs(ids) > MAX_PLACE).any():
        raise AuTrackError(f"{rows.name}: column face_id is out of range")
    return ids.astype(int)


def _main(tracks: dict[int, AuTrack], places: dict[int, tuple[np.ndarray, bool]]) -> int:
    frames = len(np.unique(np.concatenate([track.frames for track in tracks.values()])))
    return min(tracks, key=lambda face: _rank(tracks[face], places.get(face), frames))


def _rank(track: AuTrack, place: tuple[np.ndarray, bool] | None, frames: int) -> tuple[float, ...]:
    """Smaller is more of a main face."""
    presence = int(track.valid().sum()) / frames
    area = 0.0
    if place is not None and len(place[0]):
        area = float((place[0][:, 3] * place[0][:, 4]).mean())
    confidence = float(track.confidence.mean())
    return -area * presence, -presence, -confidence, track.face_id or 0


def _places(path_or_text: str | Path, rows: Rows, size: tuple[int, int] | None) -> dict[int, tuple[np.ndarray, bool]]:
    """face id -> ((m, 5) time, x, y, width, height of its valid frames; whether they are shares of the picture).

    {} for a file without boxes and landmarks. A second reading, so that files with one face never pay for it.
    """
    extra: list[str] = []
    solid: list[str] = []

    def landmarks(name: str, header: list[str]) -> list[str]:
        names = set(header)
        if names.issuperset(BOX):
            extra.extend(BOX)
        elif names.issuperset({f"{axis}_{i}" for axis in "xy" for i in CONTOUR}):
            extra.extend(f"{axis}_{i}" for axis in "xy" for i in CONTOUR)
            needed = [f"{axis}_{i}" for axis in "XYZ" for i in CONTOUR]
            solid.extend(needed if size is None and names.issuperset(needed) else [])
        elif names.issuperset({f"eye_lmk_{axis}_{i}" for axis in "xy" for i in range(56)}):
            extra.extend(f"eye_lmk_{axis}_{i}" for axis in "xy" for i in range(56))
        return [*extra, *solid] or ["frame"]

    table = read_rows(path_or_text, landmarks).columns
    if not extra:
        return {}
    if extra[0] == BOX[0]:
        boxes, is_share = np.stack([table[c] for c in BOX], axis=1), True
    else:
        half = len(extra) // 2
        x, y = (np.stack([table[c] for c in part], axis=1) for part in (extra[:half], extra[half:]))
        size = size or _picture(x, y, table, solid)
        low, high = np.stack([x.min(1), y.min(1)], 1), np.stack([x.max(1), y.max(1)], 1)
        boxes, is_share = np.concatenate([low, high - low], axis=1), size is not None
        if size is not None:
            boxes = boxes / np.array([*size, *size], dtype=float)
    ids = _ids(rows)
    found = {}
    for face, track in _tracks(rows).items():
        mine = ids == face
        good = track.valid() & np.isfinite(boxes[mine]).all(axis=1) & (boxes[mine][:, 2:] > 0).all(axis=1)
        found[face] = (np.column_stack([track.timestamps, boxes[mine]])[good], is_share)
    return found


def _picture(
    x: np.ndarray, y: np.ndarray, table: dict[str, np.ndarray], solid: Sequence[str]
) -> tuple[int, int] | None:
    """Width and height in pixels, estimated: OpenFace projects with x = f·X/Z + width/2 where nobody gave it the
    camera, so that a straight line through (X/Z, x) meets the axis at half the width."""
    if not solid:
        return None
    third = len(solid) // 3
    X, Y, Z = (np.stack([table[c] for c in solid[i * third : (i + 1) * third]], axis=1) for i in range(3))
    sides = []
    with np.errstate(all="ignore"):
        for flat, depth in ((x, X / Z), (y, Y / Z)):
            good = np.isfinite(flat) & np.isfinite(depth)
            if good.sum() < 100 or np.ptp(depth[good]) < 1e-6:
                return None
            sides.append(round(2 * float(np.polyfit(depth[good], flat[good], 1)[1])))
    return (sides[0], sides[1]) if min(sides) > 0 else None
