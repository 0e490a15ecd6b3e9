"""Reading label lists out of ``name,openset`` files: the strict parser, and MER2024's with its quirks."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

from models_ml.steps.labels import literal

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


PARSERS: dict[str | None, Callable[[str], list[str]]] = {None: parse_strict, "mer2024": parse_mer2024}


def read_openset(path: Path | str, compat: str | None = None) -> dict[str, list[str]]:
    """A ``name,openset`` CSV (UTF-8, BOM allowed) as name -> labels.

    Raises MetricError naming file and line: unreadable, missing columns, an empty name, a name used twice, a
    bad list.
    """
    path = Path(path)
    parse = PARSERS[compat]
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise MetricError(f"{path.name}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise MetricError(f"{path.name}: not UTF-8 (byte {error.start})") from error
    rows = csv.DictReader(io.StringIO(text, newline=""))
    try:
        return _labels_of(path, rows, parse)
    except csv.Error as error:
        raise MetricError(f"{path.name} line {rows.line_num}: {error}") from error


def _labels_of(path: Path, rows: csv.DictReader[str], parse: Callable[[str], list[str]]) -> dict[str, list[str]]:
    absent = {"name", "openset"} - set(rows.fieldnames or [])
    if absent:
        raise MetricError(f"{path.name}: no column {' and no column '.join(sorted(absent))}; wanted name,openset")
    labels: dict[str, list[str]] = {}
    for row in rows:
        where = f"{path.name} line {rows.line_num}"
        name = (row["name"] or "").strip()
        if not name:
            raise MetricError(f"{where}: the name is empty")
        if name in labels:
            raise MetricError(f"{where}: {name} stands in the file twice")
        try:
            labels[name] = parse(row["openset"] or "")
        except MetricError as error:
            raise MetricError(f"{where}, {name}: {error}") from error
    if not labels:
        raise MetricError(f"{path.name}: no rows")
    return labels
