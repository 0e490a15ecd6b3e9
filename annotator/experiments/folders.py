"""What a run folder says of itself: `run.json`, `metrics.jsonl`, `checkpoints/`, `evaluations/` (written by training/).

Older folders lack newer keys: whatever is not there is None, and nothing here fails for it.
"""

import fcntl
import hashlib
import json
import re
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings

from training import runlog
from training.errors import UsageError

CURVE_POINTS = 2000  # more than a screen can show
CURVE = ("step", "loss", "lr")
LAST_LINE = 65536  # bytes at the end of metrics.jsonl in which its last line stands
LOG_BYTES, LOG_LINES = 32768, 40
CHECKPOINT = re.compile(r"step-(\d{8,9})")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def known_folders() -> Iterator[Path]:
    """Run folders below var/runs, then those that `training fit --out` registered in var/runs/index.jsonl."""
    root = Path(settings.RUNS_ROOT)
    if not root.is_dir():
        return
    seen = set()
    for path in sorted(root.glob("*/run.json")):
        seen.add(path.parent.resolve())
        yield path.parent.resolve()
    index = root / "index.jsonl"
    if index.is_file():
        for line in index.read_text(encoding="utf-8").splitlines():
            try:
                path = Path(json.loads(line)["run"])
            except (ValueError, KeyError, TypeError):
                continue  # a line cut short by a crash names no run
            if path.is_absolute() and path not in seen and (path / "run.json").is_file():
                seen.add(path)
                yield path


def read_run(folder: Path) -> dict[str, Any] | None:
    """run.json, or None when it is missing, half-written or not ours to read."""
    try:
        body = runlog.read_run(folder)
    except (OSError, UsageError):
        return None
    return body if isinstance(body, dict) else None


def is_alive(folder: Path) -> bool:
    """Whether a process holds the run's lock: a killed `fit` leaves `running` behind, but no lock."""
    try:
        with (folder / ".lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def read_curve(folder: Path) -> dict[str, list[float | None]]:
    """Columns of metrics.jsonl: step, loss, lr, thinned to CURVE_POINTS."""
    try:
        rows = runlog.read_metrics(folder / "metrics.jsonl")
    except OSError:
        rows = []
    rows = [*rows[: -1 : max(1, len(rows) // CURVE_POINTS)], *rows[-1:]]  # the last step is always shown
    return {key: [row.get(key) for row in rows] for key in CURVE}


def last_metrics(folder: Path) -> dict[str, Any]:
    """The last whole line of metrics.jsonl; {} before the first step."""
    for line in reversed(_tail(folder / "metrics.jsonl", LAST_LINE).splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue  # it is being written, or the tail begins within it
        if isinstance(found, dict) and "step" in found:
            return found
    return {}


def log_tail(path: Path) -> str:
    """The last lines of a log as plain text; of a line that a program wrote over itself, what it said last."""
    text = _tail(path, LOG_BYTES)
    lines = [_ESCAPES.sub("", line.rstrip("\r").rpartition("\r")[2]) for line in text.split("\n")]
    return "\n".join([line for line in lines if line.strip()][-LOG_LINES:])


def _tail(path: Path, size: int) -> str:
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - size))
            return file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def checkpoints_of(folder: Path) -> Iterator[Path]:
    """The finished checkpoints' folders, oldest first."""
    root = folder / "checkpoints"
    found = root.iterdir() if root.is_dir() else iter(())
    yield from sorted(p for p in found if CHECKPOINT.fullmatch(p.name) and (p / "trainable.safetensors").is_file())


def named_checkpoints(folder: Path) -> dict[str, dict[str, Any]]:
    """`{"best": {"checkpoint", "why"}, "last": …}`, as far as they are there."""
    found = {}
    for name in ("best", "last"):
        try:
            body = json.loads((folder / "checkpoints" / f"{name}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(body, dict) and isinstance(body.get("checkpoint"), str):
            found[name] = body
    return found


_read: dict[Path, tuple[str, str]] = {}  # evaluation file -> (size and time, sha256) when this process read it last


def read_evaluations(folder: Path, taken: Container[str] = ()) -> Iterator[tuple[str, dict[str, Any]]]:
    """(sha256 of the file, report) of each finished evaluation, but for those whose sha256 is in `taken`. A file that
    stays as it is, is read once a process."""
    for path in sorted((folder / "evaluations").glob("*.json")):
        try:
            found = path.stat()
            stamp = f"{found.st_size} {found.st_mtime_ns}"
            known = _read.get(path)
            if known is not None and known[0] == stamp and known[1] in taken:
                continue
            data = path.read_bytes()
            report = json.loads(data)
        except (OSError, ValueError):
            continue
        sha256 = hashlib.sha256(data).hexdigest()
        _read[path] = (stamp, sha256)
        if isinstance(report, dict) and "split" in report and "avg" in report and sha256 not in taken:
            yield sha256, report


def read_scores(folder: Path, name: Any) -> dict[str, tuple[float, float]]:
    """(accuracy, recall) of each clip of an evaluation, by the name of its predictions' file; {} where it has none."""
    if not isinstance(name, str) or not _FILE.fullmatch(name):
        return {}
    scores: dict[str, tuple[float, float]] = {}
    try:
        with (folder / "evaluations" / name).open(encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                if row.get("scores"):
                    accuracy, recall = row["scores"]
                    scores[str(row["clip"])] = (float(accuracy), float(recall))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return scores
