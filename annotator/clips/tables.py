"""CSV tables as people really have them: every row is either read or named with what is wrong with it."""

import codecs
import csv
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from django.utils.translation import gettext as _

from annotator.core.errors import Invalid

from .names import clean_name, storable
from .reports import Report

MAX_RECORD_LINES = 200  # of one quoted record; beyond that a quote was left open
NAN = {"nan", "NaN"}  # what pandas writes for "nothing"; "Nan" may be a word
SUBTITLE_COLUMNS = {"chinese": "zh", "english": "en", "subtitle_zh": "zh", "subtitle_en": "en"}
LABEL_COLUMNS = {"label": "label"}
MAX_CELL = {"label": 80}  # what the clip keeps


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be read, and why."""

    reason: str


def read_rows(lines: Iterable[bytes], file: str, known: Iterable[str]) -> Iterator[tuple[int, dict[str, str] | BadRow]]:
    """(line number, {column: cell}) of every row of a UTF-8 CSV with a header; blank lines are left out.

    `known` are the columns of which at least one must be there beside `name`; column names are compared
    without case and surrounding blanks. Raises Invalid when the header is not that of such a table.
    """
    records = _records(_decoded(lines, file))
    number, header = next(records, (1, BadRow(_("the file is empty"))))
    if isinstance(header, BadRow):
        raise Invalid(f"{file}: {header.reason}")
    columns = [cell.strip().lower() for cell in header]
    if "name" not in columns or not set(columns) & set(known):
        raise Invalid(
            _("%(file)s: line %(line)d: a header with “name” and one of %(known)s is needed, not “%(header)s”")
            % {"file": file, "line": number, "known": ", ".join(known), "header": ",".join(header)[:200]}
        )
    if len(set(columns)) != len(columns):
        raise Invalid(_("%(file)s: line %(line)d: a column is there twice") % {"file": file, "line": number})
    for number, row in records:
        if isinstance(row, BadRow):
            yield number, row
        elif len(row) != len(columns):
            text = _("%(n)d cells where the header has %(m)d") % {"n": len(row), "m": len(columns)}
            yield number, BadRow(text)
        else:
            yield number, dict(zip(columns, row, strict=True))


def read_by_name(path: Path, columns: dict[str, str], report: Report) -> dict[str, dict[str, str]]:
    """{clip name: {field: text}} of a table; empty and NaN cells are missing; bad rows go to the report.

    Text keeps its bytes. Raises Invalid for a file that is no such table at all.
    """
    found: dict[str, dict[str, str]] = {}
    first_line: dict[str, int] = {}
    try:
        with path.open("rb") as lines:
            for number, row in read_rows(lines, path.name, columns):
                entry = row if isinstance(row, BadRow) else _fields(row, columns, report)
                if isinstance(entry, BadRow):
                    report.fail(f"{path.name}: {entry.reason}", line=number)
                    continue
                name, fields = entry
                if found.get(name, fields) != fields:
                    text = _("%(file)s: the name “%(name)s” is used twice; line %(line)d is kept")
                    values = {"file": path.name, "name": name, "line": first_line[name]}
                    report.fail(text % values, name=name, line=number)
                    continue
                found[name] = fields
                first_line.setdefault(name, number)
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror or error}") from error
    return found


def present(text: str) -> bool:
    """Whether a cell holds anything: not empty, not blank, not pandas' NaN."""
    return bool(text.strip()) and text.strip() not in NAN


def _fields(row: dict[str, str], columns: dict[str, str], report: Report) -> tuple[str, dict[str, str]] | BadRow:
    try:
        name = clean_name(row["name"])
    except Invalid as error:
        return BadRow(error.message)
    fields: dict[str, str] = {}
    for column, key in columns.items():
        text = row.get(column, "")
        if not storable(text):
            return BadRow(_("column %(column)s has a NUL character") % {"column": column})
        if present(text) and len(text) > MAX_CELL.get(key, len(text)):
            return BadRow(_("%(field)s: more than %(n)d characters") % {"field": column, "n": MAX_CELL[key]})
        if present(text):
            fields[key] = text
        elif text.strip():
            report.repair(name, column, "nan-is-missing")
    return name, fields


def _decoded(lines: Iterable[bytes], file: str) -> Iterator[str]:
    """Lines as text; bytes that are not UTF-8 stay as surrogates, so that their row can be named."""
    for index, line in enumerate(lines):
        if index == 0:
            if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                raise Invalid(_("%(file)s is UTF-16; save it as UTF-8") % {"file": file})
            line = line.removeprefix(codecs.BOM_UTF8)
        yield line.decode("utf-8", "surrogateescape")


def _records(lines: Iterator[str]) -> Iterator[tuple[int, list[str] | BadRow]]:
    """Records of a CSV with the number of the line that each begins in.

    A quote that is never closed costs its own line, not the rest of the file: the lines behind are read again.
    """
    waiting: deque[str] = deque()
    number = 0

    def next_line() -> str | None:
        return waiting.popleft() if waiting else next(lines, None)

    while (line := next_line()) is not None:
        number += 1
        taken = [line]
        result: list[str] | BadRow | None = None
        while result is None:
            try:
                result = next(csv.reader(["".join(taken)], strict=True), [])
            except csv.Error as error:
                open_quote = "unexpected end of data" in str(error)
                more = next_line() if open_quote and len(taken) < MAX_RECORD_LINES else None
                if more is not None:
                    taken.append(more)
                    continue
                reason = _("a quote is never closed") if open_quote else str(error)
                result = BadRow(reason)
                waiting.extendleft(reversed(taken[1:]))
                taken = taken[:1]
        if isinstance(result, list) and not any(cell.strip() for cell in result):
            number += len(taken) - 1
            continue
        if any("\udc80" <= c <= "\udcff" for part in taken for c in part):
            result = BadRow(_("bytes that are not UTF-8 (GBK?): save the file as UTF-8"))
        yield number, result
        number += len(taken) - 1
