"""A record as it stands in records.jsonl, built from what a published file says."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Body = dict[str, Any]
MODALITIES = ("visual", "audio", "text")
CHINESE = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


class FormatError(ValueError):
    """A file that cannot be read as what it is said to be; names file, line or clip, and field."""


@dataclass
class Imported:
    """rows: records sorted by clip name; repaired: ``{name, field, rule}``; warnings: ``{name, reason}``, of which
    those that left a row out say so."""

    rows: list[Body] = field(default_factory=list)
    repaired: list[dict[str, str]] = field(default_factory=list)
    warnings: list[dict[str, str]] = field(default_factory=list)

    def repair(self, name: str, where: str, rule: str) -> None:
        self.repaired.append({"name": name, "field": where, "rule": rule})

    def warn(self, name: str, reason: str) -> None:
        self.warnings.append({"name": name, "reason": reason})

    def sorted(self) -> Imported:
        self.rows.sort(key=lambda row: row["clip"])
        return self


def body(
    clip: str, *, grade: str, subtitle: dict[str, str | None] | None = None, label: str | None = None,
    clues: list[dict[str, Any]] | None = None, description: dict[str, str | None] | None = None,
    ov_labels: dict[str, list[str]] | None = None, source: str | None = None, speaker: str | None = None,
) -> Body:  # fmt: skip
    """A record with every key of records.jsonl; empty texts are null, clues in their order, labels each once."""
    texts, labels = description or {}, ov_labels or {}
    return {
        "clip": clip, "media_sha256": None, "duration": None, "source": source, "speaker": speaker,
        "licence": "restricted", "subtitle": {key: text_or_none((subtitle or {}).get(key)) for key in ("zh", "en")},
        "label": text_or_none(label), "clues": sorted(clues or [], key=_clue_order),
        "description": {key: text_or_none(texts.get(key)) for key in ("zh", "en")},
        "ov_labels": {key: list(dict.fromkeys(filter(None, labels.get(key) or []))) for key in ("zh", "en")},
        "grade": grade,
    }  # fmt: skip


def clue(modality: str, language: str, text: str) -> dict[str, Any]:
    return {
        "modality": modality, "aspect": "", "language": language, "text": text, "span": None, "verdict": None,
        "prelabel": None,
    }  # fmt: skip


def canonical_line(row: Body) -> str:
    """One line of records.jsonl: the same content gives the same bytes."""
    return json.dumps(row, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n"


def text_or_none(value: Any) -> str | None:
    """A text, or None where there is none: missing, blank, NaN."""
    if not isinstance(value, str):
        return None
    return value.strip() or None


def language_of(text: str) -> str:
    """``zh`` where Chinese characters make up a fifth of a text or more, else ``en``."""
    letters = sum(not character.isspace() for character in text)
    return "zh" if letters and len(CHINESE.findall(text)) >= 0.2 * letters else "en"


def read_table(path: str | Path, columns: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, row) of a CSV in UTF-8 with a header, BOM allowed; the line is that on which the row ends.

    Raises FormatError: unreadable, not UTF-8, a column missing, a row with more or fewer cells than the header.
    """
    path = Path(path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            absent = [name for name in columns if name not in (reader.fieldnames or [])]
            if absent:
                there = ", ".join(reader.fieldnames or []) or "nothing"
                raise FormatError(f"{path}: no column {absent[0]!r}; the header has {there}")
            for row in reader:
                if None in row or None in row.values():
                    raise FormatError(f"{path}, line {reader.line_num}: not as many cells as the header has")
                yield reader.line_num, row
    except OSError as error:
        raise FormatError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from error
    except csv.Error as error:
        raise FormatError(f"{path}: not CSV: {error}") from error


def named_rows(path: str | Path, name: str, columns: list[str]) -> dict[str, dict[str, str]]:
    """The rows of a CSV by the clip in column ``name``.

    Raises FormatError for an empty name, or one that comes twice.
    """
    found: dict[str, dict[str, str]] = {}
    for line, row in read_table(path, [name, *columns]):
        clip = row[name].strip()
        if not clip:
            raise FormatError(f"{path}, line {line}: no clip name in column {name!r}")
        if clip in found:
            raise FormatError(f"{path}, line {line}: clip {clip!r} stands there twice")
        found[clip] = row
    return found


def _clue_order(item: dict[str, Any]) -> tuple[int, str, float, str, str]:
    start = item["span"][0] if item["span"] else -1.0
    return MODALITIES.index(item["modality"]), item["aspect"], start, item["language"], item["text"]
