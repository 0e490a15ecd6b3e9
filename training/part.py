"""What an evaluation under way has made already, so that a kill costs one batch and not a night.

``RUN/evaluations/.<hash>.part``: one JSON line per answer and per reading of its labels. The hash is of everything that
decides them (checkpoint, clips, media, settings), so a file of another evaluation is never taken up. It is removed when
the evaluation is written.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


class Part:
    """Answers and labels by clip, kept as they come."""

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        """Takes up what an earlier call with the same facts left; a line cut short by a kill does not count."""
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
        self.path = folder / f".{digest[:20]}.part"
        self.texts: dict[str, str] = {}
        self.labels: dict[str, tuple[list[str] | None, str]] = {}  # (labels, "") or (None, reason)
        whole = 0
        if self.path.is_file():
            for line in self.path.read_bytes().splitlines(keepends=True):
                try:
                    row = json.loads(line) if line.endswith(b"\n") else None
                except ValueError:
                    row = None
                if not isinstance(row, dict):
                    break
                self._take(row)
                whole += len(line)
        self._file = open(self.path, "ab")  # noqa: SIM115 - closed by `close`
        self._file.truncate(whole)

    def add_texts(self, texts: dict[str, str]) -> None:
        """The answers of one batch, all of them or none."""
        self._write({"texts": texts})

    def add_labels(self, clip: str, labels: list[str] | None, reason: str) -> None:
        self._write({"clip": clip, "labels": labels, "failed": reason})

    def close(self, done: bool) -> None:
        """``done``: the evaluation is written, the part is not needed any more."""
        self._file.close()
        if done:
            self.path.unlink(missing_ok=True)

    def _write(self, row: dict[str, Any]) -> None:
        self._take(row)
        self._file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        self._file.flush()

    def _take(self, row: dict[str, Any]) -> None:
        if "texts" in row:
            self.texts.update(row["texts"])
        else:
            self.labels[row["clip"]] = (row["labels"], row["failed"])
