"""What a run folder says of itself: `run.json`, `metrics.jsonl`, `evaluations/*.json` (written by training/)."""

import fcntl
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings

from training import runlog
from training.errors import UsageError

CURVE_POINTS = 2000  # more than a screen can show


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
    return {key: [row.get(key) for row in rows] for key in ("step", "loss", "lr")}


def read_evaluations(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(sha256 of the file, report) of each finished evaluation."""
    for path in sorted((folder / "evaluations").glob("*.json")):
        try:
            data = path.read_bytes()
            report = json.loads(data)
        except (OSError, ValueError):
            continue
        if isinstance(report, dict) and "split" in report and "avg" in report:
            yield hashlib.sha256(data).hexdigest(), report
