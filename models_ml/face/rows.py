"""The rows of an OpenFace CSV as arrays; only wanted columns become numbers, so that long files are read quickly."""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
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
        rows = _rows(name, stream)
        try:
            _first, head = next(rows, (1, []))
            cells = head.split(",") if isinstance(head, str) else head
            header = [cell.strip().lstrip("\ufeff") for cell in cells]
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


def _rows(name: str, stream: Iterable[str]) -> Iterator[tuple[int, str | list[str]]]:
    """(line, row): a row's text; from the first quotation mark on (OpenFace has none) its cells by the csv module."""
    stream = iter(stream)
    for number, line in enumerate(stream, 1):
        if '"' not in line:
            yield number, line.rstrip("\r\n")
            continue
        quoted = csv.reader(itertools.chain([line], stream), strict=True)
        try:
            for row in quoted:
                yield number - 1 + quoted.line_num, row
        except csv.Error as error:
            raise AuTrackError(f"{name}: line {number - 1 + quoted.line_num}: {error}") from None
        return


def _table(
    name: str, rows: Iterator[tuple[int, str | list[str]]], header: list[str], columns: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    wanted = _cutter(header, columns)
    parts: list[np.ndarray] = []
    lines: list[int] = []
    chunk: list[list[float]] = []
    for line, row in rows:
        found = row.count(",") + 1 if isinstance(row, str) else len(row)
        if found != len(header):
            if _is_blank(row):
                continue
            raise AuTrackError(f"{name}: line {line}: {found} cells where the header has {len(header)}")
        cells = wanted(row)
        try:
            values = list(map(float, cells))
        except ValueError:
            if _is_blank(row):
                continue
            values = [_number(cell, name, line, column) for cell, column in zip(cells, columns, strict=True)]
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


def _cutter(header: list[str], columns: list[str]) -> Callable[[str | list[str]], Sequence[str]]:
    """What takes the cells of these columns out of a row.

    A full row has 700 cells; the wanted ones stand at its ends, so that the text between them is never cut up.
    """
    places = [header.index(column) for column in columns]
    ends = [-1, *sorted(places), len(header)]
    gap = max(range(len(ends) - 1), key=lambda i: ends[i + 1] - ends[i])
    head, tail = ends[gap] + 1, len(header) - ends[gap + 1]  # cells before and behind the widest gap
    skipped = len(header) - head - tail

    def cut(row: str | list[str]) -> Sequence[str]:
        if not isinstance(row, str):
            return [row[place] for place in places]
        cells = row.split(",", head)[:head] if head else []
        if tail:
            cells += row.rsplit(",", tail)[-tail:]
        return pick(cells)

    near = [place if place < head else place - skipped for place in places]
    pick: Callable[[list[str]], Sequence[str]] = itemgetter(*near) if len(near) > 1 else lambda cells: [cells[near[0]]]
    return cut


def _is_blank(row: str | list[str]) -> bool:
    return not (row.replace(",", "").strip() if isinstance(row, str) else any(cell.strip() for cell in row))


def _number(cell: str, name: str, line: int, column: str) -> float:
    cell = cell.strip()
    if not cell:
        return math.nan
    try:
        return float(cell)
    except ValueError:
        raise AuTrackError(f"{name}: line {line}: column {column}: {cell[:40]!r} is not a number") from None
