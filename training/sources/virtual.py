"""A source as a Snapshot: records, splits and the digest that its folder would have; and that folder."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from models_ml.formats import (
    FormatError,
    Imported,
    canonical_line,
    read_emer_v1,
    read_emer_v2,
    read_mer2025,
    read_merr,
)

from ..errors import UsageError
from ..snapshot import Snapshot, log, record_of
from .instructions import INSTRUCTIONS
from .spec import KINDS, Spec, parse_spec

SHOWN = 3  # repairs and warnings that are named; the rest are counted


def read_source(spec: Spec) -> Snapshot:
    """Read a source; repairs and warnings go to the log.

    Raises UsageError when it cannot be read, naming file, line or clip.
    """
    return _snapshot(spec, *_read(spec))


def _snapshot(spec: Spec, imported: Imported, files: dict[str, dict[str, Any]]) -> Snapshot:
    if not imported.rows:
        raise UsageError(f"{spec.kind}: {spec.path} holds no record")
    _tell(spec, imported)
    splits = _splits(spec, [row["clip"] for row in imported.rows])
    lines = [canonical_line(row) for row in imported.rows]
    grades = {row["grade"] for row in imported.rows}
    return Snapshot(
        path=spec.path.resolve(), digest=hashlib.sha256(_sums(lines, splits)).hexdigest(),
        name=f"{spec.kind}-{spec.path.stem}", corpus=spec.kind, grade=grades.pop() if len(grades) == 1 else "",
        group_by=(), records={row["clip"]: record_of(row, files.get(row["clip"])) for row in imported.rows},
        splits=splits, media={},
    )  # fmt: skip


def stored(text: str, folder: str | Path) -> str:
    """Write the snapshot folder of a ``KIND:PATH`` (records, splits, manifest), so that its split stays on disk;
    returns the folder. A folder that holds it already is left as it is.

    Raises UsageError: not a source, an instruction set (no snapshot can hold its turns), or another snapshot there.
    """
    spec = parse_spec(text)
    if spec is None or spec.kind in INSTRUCTIONS:
        raise UsageError(f"{text}: not a source that a snapshot folder can hold")
    imported, files = _read(spec)
    snapshot = _snapshot(spec, imported, files)
    lines = [canonical_line(row) for row in imported.rows]
    sums = _sums(lines, snapshot.splits)
    out = Path(folder)
    present = out / "SHA256SUMS"
    if present.is_file():
        if present.read_bytes() != sums:
            raise UsageError(f"{out} holds another snapshot than {text} gives")
        return str(out)
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty and holds no snapshot")
    texts = {"records.jsonl": "".join(lines)}
    texts |= {f"splits/{name}.txt": "".join(f"{clip}\n" for clip in clips) for name, clips in snapshot.splits.items()}
    manifest = {
        "schema": "emer-snapshot/1", "name": snapshot.name, "corpus": snapshot.corpus, "grade": snapshot.grade,
        "created_at": None, "created_by": None, "query": {"source": spec.kind, **spec.options},
        "counts": {"records": len(lines)}, "splits": {name: len(clips) for name, clips in snapshot.splits.items()},
        "files": [{"path": path, "bytes": len(value.encode()), "sha256": hashlib.sha256(value.encode()).hexdigest()}
                  for path, value in texts.items()],
        "digest": snapshot.digest,
    }  # fmt: skip
    texts["manifest.json"] = json.dumps(manifest, ensure_ascii=False, indent=1) + "\n"
    for path, value in texts.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_text(value, encoding="utf-8")
    # Last, so that a folder with it is whole.
    temporary = out / "SHA256SUMS.part"
    temporary.write_bytes(sums)
    os.replace(temporary, present)
    return str(out)


def _read(spec: Spec) -> tuple[Imported, dict[str, dict[str, Any]]]:
    """Records, and of instruction sets what a record of a snapshot cannot say: each clip's file and turns."""
    path, options = spec.path, spec.options
    try:
        if spec.kind in INSTRUCTIONS:
            return INSTRUCTIONS[spec.kind](path)
        if spec.kind == "emer-v1":
            if not path.is_dir():
                raise FormatError(f"{path}: not a folder with gt-eng.csv and gt-chi.csv")
            files = [path / name if (path / name).is_file() else None for name in ("gt-eng.csv", "gt-chi.csv")]
            return read_emer_v1(*files), {}
        if spec.kind == "emer-v2":
            return read_emer_v2(path, options.get("openset")), {}
        if spec.kind == "merr":
            return read_merr(path, options.get("subtitles")), {}
        return read_mer2025(path, spec.kind.partition("-")[2], options.get("subtitles")), {}
    except FormatError as error:
        raise UsageError(f"{spec.kind}: {error}") from error


def _splits(spec: Spec, clips: list[str]) -> dict[str, list[str]]:
    """train and test where a kind has a test part, drawn by name and seed; else all."""
    if "test" not in KINDS[spec.kind] or not spec.test:
        return {"all": sorted(clips)}
    drawn = sorted(clips, key=lambda clip: hashlib.sha256(f"{spec.seed}\n{clip}".encode()).digest())
    count = min(len(clips) - 1, max(1, round(spec.test * len(clips)))) if len(clips) > 1 else 0
    return {"test": sorted(drawn[:count]), "train": sorted(drawn[count:])}


def _sums(lines: list[str], splits: dict[str, list[str]]) -> bytes:
    """SHA256SUMS as a snapshot folder of these records has it."""
    texts = {"records.jsonl": "".join(lines)}
    texts |= {f"splits/{name}.txt": "".join(f"{clip}\n" for clip in clips) for name, clips in splits.items()}
    sums = [f"{hashlib.sha256(texts[path].encode()).hexdigest()}  {path}\n" for path in sorted(texts)]
    return "".join(sums).encode()


def _tell(spec: Spec, imported: Imported) -> None:
    if imported.repaired:
        names = sorted({f"{row['field']}: {row['rule']}" for row in imported.repaired})
        log.info("%s: %d repairs (%s)", spec.kind, len(imported.repaired), "; ".join(names))
    if imported.warnings:
        shown = "; ".join(f"{row['name']}: {row['reason']}" for row in imported.warnings[:SHOWN])
        log.warning("%s: %d warnings, first %s", spec.kind, len(imported.warnings), shown)
