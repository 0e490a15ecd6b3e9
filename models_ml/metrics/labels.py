"""Reading label lists out of ``name,openset`` files: strictly, as a model's answers, and as MER2024's scorer does."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from models_ml.llm.errors import ModelFailure
from models_ml.metrics.reading import literal, parse_ov_labels

MISSING = {"", "nan", "none", "null"}


class MetricError(ValueError):
    """The files or labels given cannot be scored; names file, line and clip."""


def parse_strict(text: str) -> list[str]:
    """``['a', "don't"]`` (JSON or Python literal) or unquoted ``[a, b]`` → stripped labels; missing → [].

    Raises MetricError for anything else.
    """
    stripped = text.strip()
    if stripped.lower() in MISSING:
        return []
    value = literal(stripped)
    if value is None and re.fullmatch(r"\[[^\[\]'\"]*\]", stripped):
        value = re.split(r"[,，、]", stripped[1:-1])
    if not isinstance(value, list) or not all(isinstance(label, str) for label in value):
        raise MetricError(f"not a list of labels: {stripped[:80]!r}")
    return [label.strip() for label in value if label.strip()]


def parse_mer2024(text: str) -> list[str]:
    """The parser of MER2024's scorer, quirks kept, so that its published figures come out.

    The text between the first ``[`` and the first ``]`` is split at every quote of either kind, apostrophes included;
    blanks and commas are dropped, nothing is stripped. So ``["don't believe", 'doubt']`` gives three labels and the
    unquoted ``[happy, sad]`` one. Where the original ends with an IndexError (no ``[``), MetricError is raised.
    """
    if text == "" or text.lower() == "nan":
        return []
    if "[" not in text:
        raise MetricError(f"no '[' in {text[:80]!r}")
    inside = text.split("[", 1)[1].split("]", 1)[0]
    return [part for part in re.split("[\"']", inside) if part.strip() not in ("", ",")]


def parse_answer(text: str) -> list[str]:
    """The labels of a model's answer in any form that `models_ml.metrics.reading` knows; missing → [].

    Raises MetricError for a refusal, and for prose instead of a list.
    """
    if text.strip().lower() in MISSING:
        return []
    try:
        return parse_ov_labels(text, bare=True)
    except ModelFailure as failure:
        raise MetricError(str(failure)) from failure


@dataclass
class Table:
    """A ``name,openset`` file: labels by clip in the file's order, and what stood beside them."""

    labels: dict[str, list[str]] = field(default_factory=dict)
    duplicates: dict[str, int] = field(default_factory=dict)  # clip -> line on which it stands again, labels the same
    unreadable: dict[str, str] = field(default_factory=dict)  # clip -> why; its labels are []


def read_openset(path: Path | str, compat: str | None = None) -> dict[str, list[str]]:
    """A ``name,openset`` CSV (UTF-8, BOM allowed) as name -> labels.

    Raises MetricError naming file and line: unreadable, missing columns, an empty name, a name used twice, a
    bad list.
    """
    table = read_table(path, compat)
    for name, line in table.duplicates.items():
        raise MetricError(f"{Path(path).name} line {line}: {name} stands in the file twice")
    return table.labels


def read_table(
    path: Path | str, compat: str | None = None, *, answers: bool = False, unreadable: str = "error"
) -> Table:
    """A ``name,openset`` CSV as ``read_openset``; ``answers`` reads it as what a model wrote (`parse_answer`).

    A row that stands twice with the same labels counts once and is listed. With ``unreadable="empty"`` a cell that is
    no list is listed and counts as an answer without labels. Raises MetricError as ``read_openset``, and for a name
    with two different lists.
    """
    path = Path(path)
    parse = parse_mer2024 if compat == "mer2024" else parse_answer if answers else parse_strict
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise MetricError(f"{path.name}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise MetricError(f"{path.name}: not UTF-8 (byte {error.start})") from error
    rows = csv.DictReader(io.StringIO(text, newline=""))
    try:
        return _table(path, rows, parse, unreadable)
    except csv.Error as error:
        raise MetricError(f"{path.name} line {rows.line_num}: {error}") from error


def _table(path: Path, rows: csv.DictReader[str], parse: Callable[[str], list[str]], unreadable: str) -> Table:
    absent = {"name", "openset"} - set(rows.fieldnames or [])
    if absent:
        raise MetricError(f"{path.name}: no column {' and no column '.join(sorted(absent))}; wanted name,openset")
    found = Table()
    for row in rows:
        where = f"{path.name} line {rows.line_num}"
        name = (row["name"] or "").strip()
        if not name:
            raise MetricError(f"{where}: the name is empty")
        try:
            labels = parse(row["openset"] or "")
        except MetricError as error:
            if unreadable != "empty":
                raise MetricError(f"{where}, {name}: {error}") from error
            labels, found.unreadable[name] = [], str(error)
        if name not in found.labels:
            found.labels[name] = labels
        elif found.labels[name] == labels:
            found.duplicates[name] = rows.line_num
        else:
            raise MetricError(f"{where}: {name} stands in the file twice, with different labels")
    if not found.labels:
        raise MetricError(f"{path.name}: no rows")
    return found
