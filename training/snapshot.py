"""Reading a snapshot folder: digest checked, records and splits with their clip names, nothing written.

The folder's layout and the digest are those of the interfaces page: ``SHA256SUMS`` lists ``records.jsonl`` and
each ``splits/*``; the digest is the sha256 of that file.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from .errors import UsageError

log = logging.getLogger("training")


@dataclass(frozen=True)
class Record:
    """One line of records.jsonl, as far as training reads it; rejected clues are left out."""

    clip: str
    media_sha256: str | None
    source: str | None
    speaker: str | None
    subtitle: dict[str, str | None]
    description: dict[str, str | None]
    ov_labels: dict[str, list[str]]
    clues: list[dict[str, Any]]
    label: str | None
    grade: str
    licence: str | None = None
    file: str | None = None  # its own file below the media folder, where it is not named by the clip
    turns: list[tuple[str, str]] | None = None  # questions and answers, of instruction sets


@dataclass(frozen=True)
class Snapshot:
    path: Path
    digest: str
    name: str
    corpus: str
    grade: str
    group_by: tuple[str, ...]
    records: dict[str, Record]
    splits: dict[str, list[str]]
    media: dict[str, str]  # clip -> path from media.jsonl
    synthetic: bool = False  # made by code; every figure that comes of it has to say so

    def split(self, name: str) -> list[Record]:
        """The records of a split, in its order. Raises UsageError when there is no such split, or it is empty."""
        if name not in self.splits:
            raise UsageError(f"snapshot {self.name} has no split {name!r}; it has: {', '.join(sorted(self.splits))}")
        if not self.splits[name]:
            raise UsageError(f"split {name!r} of snapshot {self.name} is empty")
        return [self.records[clip] for clip in self.splits[name]]

    def training_split(self) -> str:
        """``train`` where there is one, else ``all``. Raises UsageError when there is neither."""
        for name in ("train", "all"):
            if name in self.splits:
                return name
        raise UsageError(f"snapshot {self.name} has neither a split train nor all: {', '.join(sorted(self.splits))}")


def read_sums(text: str, where: str) -> dict[str, str]:
    """The lines of a SHA256SUMS file: path -> sha256. Raises UsageError on a bad line or an unsafe path."""
    sums: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        digest, gap, path = line.partition("  ")
        if len(digest) != 64 or not gap or not safe_path(path):
            raise UsageError(f"{where}, line {number}: not a line of '<sha256>  <path>' with a path below the folder")
        sums[path] = digest
    return sums


def safe_path(path: str) -> bool:
    """Whether a relative POSIX path stays below its folder."""
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and "\\" not in path and "\0" not in path


def read_snapshot(folder: str | Path) -> Snapshot:
    """Read a snapshot folder and check every byte that its digest covers; or a published file by ``KIND:PATH`` (see
    training/sources), as the snapshot that it would be.

    Raises:
        UsageError: not a snapshot folder, bytes that do not match the digest, a malformed line (named).
    """
    from .sources.spec import parse_spec

    spec = parse_spec(str(folder))
    if spec is not None:
        from .sources.virtual import read_source

        return read_source(spec)
    path = Path(folder)
    sums_file, manifest_file = path / "SHA256SUMS", path / "manifest.json"
    for needed in (sums_file, manifest_file, path / "records.jsonl"):
        if not needed.is_file():
            raise UsageError(f"{path} is not a snapshot folder: {needed.name} is missing")
    sums_bytes = sums_file.read_bytes()
    sums = read_sums(sums_bytes.decode("utf-8", "replace"), str(sums_file))
    for name, expected in sums.items():
        if not (path / name).is_file():
            raise UsageError(f"snapshot {path}: {name} is listed in SHA256SUMS but missing")
        with open(path / name, "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                raise UsageError(f"snapshot {path}: {name} does not match its sha256; fetch or copy the folder again")
    if "records.jsonl" not in sums:
        raise UsageError(f"snapshot {path}: SHA256SUMS does not list records.jsonl")
    digest = hashlib.sha256(sums_bytes).hexdigest()
    manifest = _json(manifest_file.read_bytes(), str(manifest_file))
    if manifest.get("digest") not in (None, digest):
        raise UsageError(f"snapshot {path}: manifest.json names digest {manifest['digest']}, the files give {digest}")
    records: dict[str, Record] = {}
    for number, line in _lines(path / "records.jsonl"):
        row = _json(line, f"{path / 'records.jsonl'}, line {number}")
        if not isinstance(row.get("clip"), str):
            raise UsageError(f"records.jsonl, line {number}: no clip name")
        record = record_of(row)
        if record.clip in records:
            raise UsageError(f"{path / 'records.jsonl'}, line {number}: clip {record.clip!r} stands there twice")
        records[record.clip] = record
    splits = {}
    for name in sums:
        if not name.startswith("splits/"):
            continue
        clips = [line for _, line in _lines(path / name)]
        absent = [clip for clip in clips if clip not in records]
        if absent:
            raise UsageError(f"snapshot {path}: {name} names {absent[0]!r}, which has no record")
        splits[PurePosixPath(name).stem] = clips
    media: dict[str, str] = {}
    if (path / "media.jsonl").is_file():
        for number, line in _lines(path / "media.jsonl"):
            row = _json(line, f"{path / 'media.jsonl'}, line {number}")
            if isinstance(row.get("clip"), str) and row.get("path") and isinstance(row["path"], str):
                media[row["clip"]] = str(path / row["path"])
    return Snapshot(
        path=path.resolve(), digest=digest, name=str(manifest.get("name") or path.name),
        corpus=str(manifest.get("corpus") or ""), grade=str(manifest.get("grade") or ""),
        group_by=_group_by(manifest), records=records, splits=splits, media=media,
        synthetic=manifest.get("synthetic") is True,
    )  # fmt: skip


def _group_by(manifest: dict[str, Any]) -> tuple[str, ...]:
    """The record fields the splits were grouped by (``freeze --group-by``); stands in the manifest's query."""
    query = manifest.get("query")
    value = manifest.get("group_by") or (query.get("group_by") if isinstance(query, dict) else None) or []
    names = value.split(",") if isinstance(value, str) else value
    return tuple(name for name in ("source", "speaker") if name in [str(item).strip() for item in names])


def _lines(path: Path) -> list[tuple[int, str]]:
    try:
        # Only "\n" ends a line: U+2028 may stand inside a JSON string.
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 ({error})") from error
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _json(text: str | bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{where}: not JSON ({error})") from error
    if not isinstance(value, dict):
        raise UsageError(f"{where}: expected a JSON object")
    return value


def record_of(row: dict[str, Any], more: dict[str, Any] | None = None) -> Record:
    """A record from a line of records.jsonl; ``more``: what an instruction set says beside (file, turns)."""
    labels = row.get("ov_labels") or {}
    return Record(
        clip=row["clip"], media_sha256=row.get("media_sha256"), source=row.get("source"),
        speaker=row.get("speaker"), subtitle=row.get("subtitle") or {}, description=row.get("description") or {},
        ov_labels={language: list(labels.get(language) or []) for language in ("zh", "en")},
        clues=[clue for clue in row.get("clues") or [] if clue.get("verdict") != "rejected"],
        label=row.get("label"), grade=str(row.get("grade") or ""), licence=row.get("licence"),
        **(more or {}),
    )  # fmt: skip
