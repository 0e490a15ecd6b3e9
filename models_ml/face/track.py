"""Action units over time, as OpenFace 2.2 writes them (https://github.com/TadasBaltrusaitis/OpenFace)."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

#: OpenFace gives a confidence from 0 to 1 and calls a frame a success above about 0.7; a frame that is
#: marked a success with less than this is a file that contradicts itself, and is not used.
MIN_CONFIDENCE = 0.5
MAX_PLACE = 2**31  #: frames or seconds; beyond it a file is corrupt
AU_COLUMN = re.compile(r"^AU(\d{2})_([rc])$")


class AuTrackError(ValueError):
    """An OpenFace CSV that cannot be used; the message names file, line and column."""


@dataclass(frozen=True)
class AuTrack:
    """One face's action units; every array has one entry per frame, in the file's order."""

    frames: np.ndarray  # (n,) int, OpenFace's own frame numbers
    timestamps: np.ndarray  # (n,) float, seconds
    success: np.ndarray  # (n,) bool
    confidence: np.ndarray  # (n,) float in 0..1
    intensity: dict[str, np.ndarray]  # "AU01" -> (n,) float in 0..5; without the AUs that have no _r column
    presence: dict[str, np.ndarray]  # "AU01" -> (n,) float 0 or 1; without the AUs that have no _c column

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


def read_openface(path_or_text: str | Path) -> AuTrack:
    """Read an OpenFace 2.2 CSV (a path, or its text where the string has a line break).

    Headers may have leading blanks. Of several `face_id`s the one that is tracked in the most frames is
    taken (ties: the higher mean confidence, then the smaller id). Cells `nan`, `inf` and empty make a frame
    invalid. Raises AuTrackError naming file, line and column for anything that is not such a file.
    """
    name, text = _load(path_or_text)
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [cell.strip().lstrip("\ufeff") for cell in next(rows, [])]
        body = [(rows.line_num, row) for row in rows if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise AuTrackError(f"{name}: line {rows.line_num}: {error}") from None
    if not header or not any(header):
        raise AuTrackError(f"{name}: the file is empty")
    position = {column: i for i, column in enumerate(header) if column}
    if len(position) != sum(1 for column in header if column):
        twice = sorted({column for column in header if column and header.count(column) > 1})
        raise AuTrackError(f"{name}: line 1: column {twice[0]} is there twice")
    for needed in ("frame", "timestamp"):
        if needed not in position:
            raise AuTrackError(f"{name}: line 1: column {needed} is missing; this is not an OpenFace CSV")
    aus = {column: match for column in position if (match := AU_COLUMN.match(column))}
    if not aus:
        raise AuTrackError(f"{name}: line 1: no AUxx_r or AUxx_c column (run OpenFace with -aus)")
    if not body:
        raise AuTrackError(f"{name}: the file has a header and no frame")

    wanted = ["frame", "timestamp", *aus, *(c for c in ("face_id", "success", "confidence") if c in position)]
    table = {column: np.empty(len(body)) for column in wanted}
    for i, (line, row) in enumerate(body):
        if len(row) != len(header):
            raise AuTrackError(f"{name}: line {line}: {len(row)} cells where the header has {len(header)}")
        for column in wanted:
            table[column][i] = _number(row[position[column]], name, line, column)
    for column in ("frame", "timestamp"):
        bad = np.flatnonzero(~np.isfinite(table[column]))
        if len(bad):
            raise AuTrackError(f"{name}: line {body[bad[0]][0]}: column {column} is not a number")
        bad = np.flatnonzero((table[column] < 0) | (table[column] > MAX_PLACE))
        if len(bad):
            raise AuTrackError(f"{name}: line {body[bad[0]][0]}: column {column} is out of range")

    n = len(body)
    success = np.nan_to_num(table.get("success", np.ones(n))) == 1
    confidence = np.nan_to_num(table.get("confidence", np.ones(n)))
    keep = _main_face(table["face_id"], success, confidence) if "face_id" in table else np.ones(n, dtype=bool)
    return AuTrack(
        frames=table["frame"][keep].astype(int),
        timestamps=table["timestamp"][keep],
        success=success[keep],
        confidence=confidence[keep],
        intensity={f"AU{m[1]}": table[column][keep] for column, m in aus.items() if m[2] == "r"},
        presence={f"AU{m[1]}": table[column][keep] for column, m in aus.items() if m[2] == "c"},
    )


def _load(path_or_text: str | Path) -> tuple[str, str]:
    if isinstance(path_or_text, str) and "\n" in path_or_text:
        return "OpenFace CSV", path_or_text
    path = Path(path_or_text)
    try:
        return path.name, path.read_text(encoding="utf-8")
    except OSError as error:
        raise AuTrackError(f"{path.name}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise AuTrackError(f"{path.name}: not a text file in UTF-8 (byte {error.start})") from None


def _number(cell: str, name: str, line: int, column: str) -> float:
    cell = cell.strip()
    if not cell:
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        raise AuTrackError(f"{name}: line {line}: column {column}: {cell[:40]!r} is not a number") from None
    return value if math.isfinite(value) else math.nan


def _main_face(ids: np.ndarray, success: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    ids = np.nan_to_num(ids)
    best = max(
        np.unique(ids),
        key=lambda face: (success[ids == face].sum(), confidence[ids == face].mean(), -face),
    )
    return ids == best
