"""The bytes of a snapshot folder (docs/snapshots.md): hashing, the sums file, the digest, the dataset card."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, BinaryIO

import yaml

SCHEMA = "emer-snapshot/1"
DIGESTED = ("records.jsonl", "splits/")


def json_line(value: Any) -> bytes:
    """One canonical JSON line, newline included."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode() + b"\n"


class HashedFile:
    """A file being written, with its size and sha256; `close` puts it on the disk for good (fsync)."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = path.open("wb")
        self._hash = hashlib.sha256()
        self.bytes = 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self.bytes += len(data)

    def close(self) -> dict[str, Any]:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return {"path": self.name, "bytes": self.bytes, "sha256": self._hash.hexdigest()}


def write_file(folder: Path, name: str, data: bytes) -> dict[str, Any]:
    file = HashedFile(folder, name)
    file.write(data)
    return file.close()


def sums(files: list[dict[str, Any]]) -> bytes:
    """SHA256SUMS: records.jsonl and each split, sorted by path in code-point order."""
    wanted = [f for f in files if f["path"] == DIGESTED[0] or f["path"].startswith(DIGESTED[1])]
    return "".join(f"{f['sha256']}  {f['path']}\n" for f in sorted(wanted, key=lambda f: f["path"])).encode()


def digest_of(sums_bytes: bytes) -> str:
    return hashlib.sha256(sums_bytes).hexdigest()


def fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def dataset_card(manifest: dict[str, Any], *, licence: str, synthetic: bool, title: str) -> bytes:
    """README.md of the snapshot: a Hugging Face dataset card with what a reader must know."""
    head = {
        "pretty_name": title,
        "language": ["zh", "en"],
        "license": "other",
        "task_categories": ["video-classification", "text-generation"],
        "tags": ["emotion", "EMER", manifest["grade"], *(["synthetic"] if synthetic else [])],
        "configs": [{"config_name": "default", "data_files": "records.jsonl"}],
    }
    splits = "\n".join(f"| {name} | {count} |" for name, count in manifest["splits"].items())
    warning = "> **Synthetic.** Faces, voices and words were made by code; no person is shown.\n\n" if synthetic else ""
    grade = {
        "fine": "every clue was checked by a person",
        "coarse": "drafted by models or measurements, never checked by a person",
    }[manifest["grade"]]
    body = f"""---
{yaml.safe_dump(head, allow_unicode=True, sort_keys=False).strip()}
---
# {title}

{warning}{manifest["counts"]["records"]} records of grade `{manifest["grade"]}` ({grade}).
Frozen on {manifest["created_at"]}. Media class: {licence}.

| split | clips |
|---|---|
{splits}

## Verify

```
sha256sum -c SHA256SUMS
sha256sum SHA256SUMS   # {manifest["digest"]}
```

## Files

`records.jsonl` one record a line, sorted by clip · `splits/` clip names · `annotations.jsonl` each annotator's own
version and soft labels, pseudonymous · `provenance.jsonl` revisions, models, prompts · `media.jsonl` hashes of the
media, which is not part of this folder.
"""
    return body.encode()
