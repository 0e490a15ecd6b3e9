"""The rows of an OpenFace CSV as arrays; only wanted columns become numbers, so that long files are read quickly."""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TextIO

import numpy as np

CHUNK = 4096  # rows that are held as Python numbers at a time


class AuTrackError(ValueError):
    """An OpenFace CSV that cannot be used; the message names file, line and column."""


class NoFace(AuTrackError):
    """The file is as it should be, and no face was tracked in it."""


@dataclass(frozen=True)
class Rows:
    """The wanted columns of a file; every array has one entry per row, in the file's order."""

    name: str
    lines: np.ndarray  # (n,) int, the line of the file
    columns: dict[str, np.ndarray]  # (n,) float; what is not a finite number is NaN


def read_rows(path_or_text: str | Path, wanted: Callable[[str, list[str]], list[str]]) -> Rows:
    """Read a CSV (a path, or its text where the string has a line break).

    `wanted(name, header)` names the columns to read, or raises AuTrackError. Cells that are empty, `nan` or `inf`
    become NaN; any other word in a wanted column is an AuTrackError that names file, line and column.
    """
    with _opened(path_or_text) as (name, stream):
        rows = _cells(name, stream)
        try:
            _first, head = next(rows, (1, []))
            header = [cell.strip().lstrip("\ufeff") for cell in head]
            if not any(header):
                raise AuTrackError(f"{name}: the file is empty")
            named = [column for column in header if column]
            if len(set(named)) != len(named):
                twice = sorted({column for column in named if named.count(column) > 1})
                raise AuTrackError(f"{name}: line 1: column {twice[0]} is there twice")
            columns = wanted(name, header)
            lines, table = _table(name, rows, header, columns)
        except UnicodeDecodeError as error:
            raise AuTrackError(f"{name}: not a text file in UTF-8 (byte {error.start})") from None
    return Rows(name, lines, {column: table[:, i] for i, column in enumerate(columns)})


@contextmanager
def _opened(path_or_text: str | Path) -> Iterator[tuple[str, TextIO]]:
    if isinstance(path_or_text, str) and "\n" in path_or_text:
        yield "OpenFace CSV", io.StringIO(path_or_text, newline="")
        return
    path = Path(path_or_text)
    try:
        stream = path.open(encoding="utf-8", newline="")
    except (OSError, ValueError) as error:
        raise AuTrackError(f"{path.name}: {getattr(error, 'strerror', None) or error}") from None
    with stream:
        yield path.name, stream


def _cells(name: str, stream: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each row. OpenFace never quotes; from the first quotation mark on, the csv module reads."""
    stream = iter(stream)
    for number, line in enumerate(stream, 1):
        if '"' not in line:
            yield number, line.rstrip("\r\n").split(",")
            continue
        quoted = csv.reader(itertools.chain([line], stream), strict=True)
        try:
            for row in quoted:
                yield number - 1 + quoted.line_num, row
        except csv.Error as error:
            raise AuTrackError(f"{name}: line {number - 1 + quoted.line_num}: {error}") from None
        return


def _table(
    name: str, rows: Iterator[tuple[int, list[str]]], header: list[str], columns: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    places = [header.index(column) for column in columns]
    pick: Callable[[list[str]], Iterable[str]] = (
        itemgetter(*places) if len(places) > 1 else lambda row: [row[places[0]]]
    )
    parts: list[np.ndarray] = []
    lines: list[int] = []
    chunk: list[list[float]] = []
    for line, row in rows:
        if len(row) != len(header):
            if not any(cell.strip() for cell in row):
                continue
            raise AuTrackError(f"{name}: line {line}: {len(row)} cells where the header has {len(header)}")
        try:
            values = list(map(float, pick(row)))
        except ValueError:
            if not any(cell.strip() for cell in row):
                continue
            values = [_number(row[place], name, line, columns[i]) for i, place in enumerate(places)]
        lines.append(line)
        chunk.append(values)
        if len(chunk) == CHUNK:
            parts.append(np.array(chunk))
            chunk = []
    if chunk:
        parts.append(np.array(chunk))
    if not parts:
        raise NoFace(f"{name}: the file has a header and no frame")
    table = np.concatenate(parts)
    table[~np.isfinite(table)] = np.nan
    return np.array(lines), table


def _number(cell: str, name: str, line: int, column: str) -> float:
    cell = cell.strip()
    if not cell:
        return math.nan
    try:
        return float(cell)
    except ValueError:
        raise AuTrackError(f"{name}: line {line}: column {column}: {cell[:40]!r} is not a number") from None
