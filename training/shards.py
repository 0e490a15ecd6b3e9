"""Tensors in files that are only ever added: safetensors shards, each with an index of its own beside it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import secrets
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .errors import UsageError

if TYPE_CHECKING:
    from .cache import VerifyReport

log = logging.getLogger("training")
SHARD_BYTES = 256 << 20
SHARD_SECONDS = 60.0  # a shard is closed after so long even when it is small: that much work a crash costs


@dataclass(frozen=True)
class Entry:
    """A feature's name. space: digest of encoder and transform; media: sha256 of the clip's file; view: which crop."""

    key: str
    space: str
    modality: str
    media: str
    clip: str
    view: str | None = None


@dataclass(slots=True)
class _Held:
    """Where an entry lies, and what its bytes hash to."""

    shard: str
    space: str
    bytes: int
    sha256: str


class Shards:
    """A folder of shards. One process may read and write; any number of processes may use one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "shards"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"feature cache {folder}: {error.strerror}") from error
        self.held: dict[str, _Held] = {}
        self.read: set[str] = set()  # shards whose index was read
        self.opened: dict[str, Any] = {}
        self.checked: set[str] = set()
        self.pending: dict[str, tuple[Entry, torch.Tensor]] = {}
        self.pending_bytes = 0
        self.spaces: dict[str, dict[str, Any]] = {}
        self.since = time.monotonic()
        self.claim: _Claim | None = None
        self.lock = threading.RLock()
        self.refresh()

    def has(self, key: str) -> bool:
        return key in self.held or key in self.pending

    def load(self, key: str) -> torch.Tensor | None:
        """A memory-mapped tensor; None when there is none, or the one there is damaged (it is forgotten then)."""
        with self.lock:
            if key in self.pending:
                return self.pending[key][1]
            held = self.held.get(key)
            if held is None:
                return None
            try:
                file = self._open(held.shard)
            except (SafetensorError, OSError) as error:
                log.warning("feature cache: shard %s is damaged and made again: %s", held.shard, _line(error))
                self._forget(held.shard, {own for own, other in self.held.items() if other.shard == held.shard})
                return None
            reason = self._damage(file, key, held.sha256)
            if reason is None:
                return file.get_tensor(key)
            log.warning("feature cache: entry %s in shard %s is damaged and made again: %s", key, held.shard, reason)
            self._forget(held.shard, {key})
            return None

    def save(self, entry: Entry, space: dict[str, Any], tensor: torch.Tensor) -> None:
        with self.lock:
            if self.has(entry.key):
                return
            if not self.pending:
                self.since, self.claim = time.monotonic(), _Claim(self.folder)
            self.pending[entry.key] = (entry, tensor.detach().cpu().clone())
            self.spaces[entry.space] = space
            self.pending_bytes += tensor.nbytes
            if self.pending_bytes >= SHARD_BYTES or time.monotonic() - self.since >= SHARD_SECONDS:
                self.flush()

    def flush(self) -> None:
        """Write what was saved as one shard, then its index; safe when this returns."""
        with self.lock:
            if not self.pending or self.claim is None:
                return
            name = self.claim.name
            tensors = {key: tensor for key, (_, tensor) in self.pending.items()}
            lines: list[dict[str, Any]] = [{"schema": 1, "spaces": self.spaces}]
            for key, (entry, tensor) in self.pending.items():
                held = _Held(name, entry.space, tensor.nbytes, _sha256(tensor))
                lines.append(
                    {"key": key, "space": entry.space, "modality": entry.modality, "media": entry.media,
                     "clip": entry.clip, "view": entry.view, "bytes": held.bytes, "sha256": held.sha256}
                )  # fmt: skip
                self.held[key] = held
            # The claim's file takes the tensors, then its final name: nothing of a killed writer looks complete.
            save_file(tensors, self.claim.path)
            _renamed(self.claim.path, self.folder / f"{name}.safetensors")
            _write_index(self.folder / f"{name}.jsonl", lines)
            self.claim.close()
            self.read.add(name)
            self.pending, self.pending_bytes, self.spaces, self.claim = {}, 0, {}, None

    def refresh(self) -> None:
        """Read the indexes that were written since the last time."""
        with self.lock:
            for path in sorted(self.folder.glob("*.jsonl")):
                if path.stem not in self.read:
                    self.read.add(path.stem)
                    for row in _index(path):
                        self.held[row["key"]] = _Held(path.stem, sys.intern(row["space"]), row["bytes"], row["sha256"])

    def bytes_of(self, spaces: set[str]) -> int:
        with self.lock:
            kept = sum(held.bytes for held in self.held.values() if held.space in spaces)
            return kept + sum(tensor.nbytes for entry, tensor in self.pending.values() if entry.space in spaces)

    def verify(self, report: VerifyReport, spaces: set[str]) -> None:
        """Hash every entry of these spaces again; forget the damaged ones."""
        self.flush()
        self.refresh()
        self.checked.clear()
        self.opened.clear()
        for path in sorted(self.folder.glob("*.jsonl")):
            rows = [row for row in _index(path) if row["space"] in spaces]
            try:
                file = self._open(path.stem) if rows else None
                reasons = {row["key"]: self._damage(file, row["key"], row["sha256"]) for row in rows}
            except (SafetensorError, OSError) as error:
                reasons = {row["key"]: _line(error) for row in rows}
            report.checked += len(rows)
            report.bytes += sum(row["bytes"] for row in rows)
            bad = {key for key, reason in reasons.items() if reason is not None}
            for row in rows:
                if row["key"] in bad:
                    where = {"clip": row["clip"], "modality": row["modality"], "shard": path.stem}
                    report.damaged.append({**where, "reason": str(reasons[row["key"]])})
            if bad:
                self._forget(path.stem, bad)

    def prune(self, spaces: set[str]) -> dict[str, int]:
        """Remove leftovers of killed writers, second copies, and entries of other spaces."""
        self.flush()
        self.refresh()
        removed = {"files": 0, "entries": 0, "bytes": 0}

        def remove(path: Path) -> None:
            with contextlib.suppress(FileNotFoundError):
                removed["bytes"] += path.stat().st_size
                path.unlink()
                removed["files"] += 1

        alive = {path.stem for path in self.folder.glob("*.writing") if not _claimable(path)}
        for path in sorted(self.folder.iterdir()):
            name = path.name.split(".")[0]
            whole = path.suffix == ".safetensors" and (self.folder / f"{name}.jsonl").is_file()
            fresh = path.suffix == ".part" and time.time() - path.stat().st_mtime < 60  # an index being written again
            if name not in alive and path.suffix != ".jsonl" and not whole and not fresh:
                remove(path)
        seen: set[str] = set()
        for path in sorted(self.folder.glob("*.jsonl"), reverse=True):
            rows = list(_index(path))
            kept = [row for row in rows if row["space"] in spaces and row["key"] not in seen]
            seen |= {row["key"] for row in kept}
            if len(kept) == len(rows):
                continue
            removed["entries"] += len(rows) - len(kept)
            with self.lock:
                for row in kept:  # into a shard of their own, before the old one goes
                    tensor = self.load(row["key"])
                    if tensor is not None:
                        entry = Entry(*(row[name] for name in ("key", "space", "modality", "media", "clip", "view")))
                        self.held.pop(row["key"], None)
                        self.save(entry, _spaces(path)[row["space"]], tensor)
                self.flush()
                self.opened.pop(path.stem, None)
                for key in [key for key, held in self.held.items() if held.shard == path.stem]:
                    self.held.pop(key)
            remove(path)  # the index first: a shard without one is a leftover
            remove(path.with_suffix(".safetensors"))
        return removed

    def close(self) -> None:
        self.opened.clear()

    def _damage(self, file: Any, key: str, sha256: str) -> str | None:
        """Why an entry cannot be used; its bytes are hashed once per process."""
        if key in self.checked:
            return None
        try:
            if _sha256(file.get_tensor(key)) != sha256:
                return "its bytes do not match their sha256"
        except (SafetensorError, OSError) as error:
            return _line(error)
        self.checked.add(key)
        return None

    def _open(self, shard: str) -> Any:
        if shard not in self.opened:
            self.opened[shard] = safe_open(str(self.folder / f"{shard}.safetensors"), "pt")
        return self.opened[shard]

    def _forget(self, shard: str, keys: set[str]) -> None:
        """Take entries out of a shard's index, so that nobody finds them again."""
        with self.lock:
            for key in keys:
                if key in self.held and self.held[key].shard == shard:
                    self.held.pop(key)
                self.checked.discard(key)
            path = self.folder / f"{shard}.jsonl"
            if path.is_file():
                rows = [row for row in _index(path) if row["key"] not in keys]
                _write_index(path, [{"schema": 1, "spaces": _spaces(path)}, *rows])


class _Claim:
    """A name for a shard, and a locked file under it that says its writer lives."""

    def __init__(self, folder: Path) -> None:
        self.name = f"{time.time_ns():020d}-{os.getpid()}-{secrets.token_hex(4)}"
        self.path = folder / f"{self.name}.tmp"
        self.lock = folder / f"{self.name}.writing"
        self.file = open(self.lock, "wb")  # noqa: SIM115 - held open until the shard is written
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def close(self) -> None:
        self.lock.unlink(missing_ok=True)
        self.file.close()


def _claimable(path: Path) -> bool:
    """Whether the writer of a ``.writing`` file is gone."""
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except FileNotFoundError:
        pass
    return True


def _index(path: Path) -> Iterator[dict[str, Any]]:
    """The entries of an index; nothing of one that is being removed or is damaged."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")[1:]
        rows = [json.loads(line) for line in lines if line]
    except FileNotFoundError:
        return
    except (ValueError, OSError) as error:
        log.warning("feature cache: index %s cannot be read, its shard is not used: %s", path.name, error)
        return
    yield from (row for row in rows if isinstance(row, dict) and "key" in row)


def _spaces(path: Path) -> dict[str, Any]:
    with open(path, encoding="utf-8") as file:
        return json.loads(file.readline())["spaces"]


def _write_index(path: Path, lines: list[dict[str, Any]]) -> None:
    temporary = path.with_suffix(f".{secrets.token_hex(4)}.part")
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    temporary.write_text(text, encoding="utf-8", errors="surrogateescape")
    _renamed(temporary, path)


def _renamed(temporary: Path, final: Path) -> None:
    """Give a finished file its name, safely on disk."""
    for path in (temporary, final.parent):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
            if path == temporary:
                os.rename(temporary, final)
        finally:
            os.close(handle)


def _line(error: Exception) -> str:
    return (str(error) or repr(error)).splitlines()[0]


def _sha256(tensor: torch.Tensor) -> str:
    data: Any = tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
    return hashlib.sha256(data).hexdigest()
