"""Bringing the rows up to date with the run folders on this host: runs started by hand, reports, checkpoints."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils.dateparse import parse_datetime

from annotator.snapshots.models import Snapshot

from . import folders
from .models import Checkpoint, Evaluation, TrainingRun

_STATES = {"running": "running", "finished": "done", "failed": "failed", "stopped": "cancelled"}
KILLED = "The process ended without a word; resume with `python -m training fit --resume`."


def discover() -> int:
    """Bring runs and evaluations up to date with the folders; returns how many folders were read.

    Three queries when nothing changed, however many folders there are: pages call this.
    """
    found = {str(folder): body for folder in folders.known_folders() if (body := folders.read_run(folder)) is not None}
    known = TrainingRun.objects.in_bulk(list(found), field_name="folder")
    taken = _taken(list(known.values()))
    for name, body in found.items():
        run = known.get(name) or _new_run(Path(name), body)
        _bring_up_to_date(run, body)
        _take_evaluations(run, taken.get(run.pk, set()))
    return len(found)


def look_at(run: TrainingRun) -> None:
    """Bring one run and its evaluations up to date: what a page that asks every two seconds calls."""
    body = folders.read_run(Path(run.folder))
    if body is not None:
        _bring_up_to_date(run, body)
        _take_evaluations(run, _taken([run]).get(run.pk, set()))
        run.refresh_from_db()


def _taken(runs: list[TrainingRun]) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    rows = Evaluation.objects.filter(training_run__in=runs).values_list("training_run_id", "report_sha256")
    for pk, sha256 in rows:
        found.setdefault(pk, set()).add(sha256)
    return found


def _take_evaluations(run: TrainingRun, taken: set[str]) -> None:
    for sha256, report in folders.read_evaluations(Path(run.folder), taken):
        defaults = {"split": str(report["split"])[:40], "report": report}
        Evaluation.objects.get_or_create(training_run=run, report_sha256=sha256, defaults=defaults)


def _new_run(folder: Path, body: dict[str, Any]) -> TrainingRun:
    """The row of a folder seen for the first time; two that see it at once get the same row."""
    snapshot = body.get("snapshot")
    digest = str((snapshot.get("digest") if isinstance(snapshot, dict) else "") or "")[:64]
    run, _created = TrainingRun.objects.get_or_create(
        folder=str(folder),
        defaults={
            "name": folder.name[:120],
            "config": str(body.get("config_name") or "")[:120],
            "snapshot_digest": digest,
            "snapshot": Snapshot.objects.filter(digest=digest).first() if digest else None,
            "state": _state(folder, body)[0],
        },
    )
    return run


def _state(folder: Path, body: dict[str, Any]) -> tuple[str, str]:
    """(state, reason) of a folder; `running` without a living process is a run that was killed."""
    state = _STATES.get(str(body.get("state")), "failed")
    if state == "running" and not folders.is_alive(folder):
        return "failed", KILLED
    return state, str(body.get("reason") or "")[:1000]


def _bring_up_to_date(run: TrainingRun, body: dict[str, Any]) -> None:
    """A run started by hand is what its folder says. Of one that was launched here the row decides, but for one thing:
    that somebody finished it by hand after it had ended here."""
    if run.launched and (run.state in ("queued", "running", "done") or body.get("state") != "finished"):
        return
    state, reason = _state(Path(run.folder), body)
    facts = {
        "state": state,
        "reason": reason if run.state != state or not run.reason else run.reason,
        "result": body.get("result"),
        "started_at": _time(body.get("started")),
        "finished_at": _time(body.get("finished")),
    }
    if any(getattr(run, key) != value for key, value in facts.items()):
        TrainingRun.objects.filter(pk=run.pk, state=run.state, attempts=run.attempts).update(**facts)


def _time(value: Any) -> Any:
    try:
        return parse_datetime(value) if isinstance(value, str) else None
    except ValueError:
        return None


def find_checkpoints(runs: list[TrainingRun] | None = None) -> int:
    """Rows for the checkpoints in these runs' folders (of all that this host has), marks on those that are gone; how
    many rows were made or changed.

    A file is hashed once, as long as its size and time stay: a page does not call this, the sweeper and the trainer do.
    """
    if runs is None:
        runs = list(TrainingRun.objects.filter(folder__in=[str(folder) for folder in folders.known_folders()]))
    rows: dict[int, dict[str, Checkpoint]] = {run.pk: {} for run in runs}
    for row in Checkpoint.objects.filter(training_run__in=runs, removed_at=None):
        rows[row.training_run_id][row.name] = row
    changed = 0
    for run in runs:
        if not (Path(run.folder) / "run.json").is_file():
            continue  # on another host, or not begun: nobody here knows what became of its checkpoints
        there = {path.name: path for path in folders.checkpoints_of(Path(run.folder))}
        for name, path in there.items():
            changed += _take(run, path, rows[run.pk].get(name))
        gone = [row.pk for name, row in rows[run.pk].items() if name not in there]
        changed += Checkpoint.objects.filter(pk__in=gone).update(removed_at=Now())
    return changed


def _take(run: TrainingRun, path: Path, known: Checkpoint | None) -> int:
    weights = path / "trainable.safetensors"
    try:
        found = weights.stat()
        stamp = f"{found.st_size} {found.st_mtime_ns}"
        if known is not None and known.file_stamp == stamp:
            return 0
        with weights.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return 0  # pruned meanwhile
    step = folders.CHECKPOINT.fullmatch(path.name)
    body = folders.read_run(Path(run.folder)) or {}
    lineage = [entry for entry in body.get("lineage") or [] if isinstance(entry, dict)]
    facts = {
        "step": int(step[1]) if step else 0,
        "file_stamp": stamp,
        "lineage": lineage,
        "made_at": datetime.fromtimestamp(found.st_mtime, UTC),
        "removed_at": None,
    }
    try:
        with transaction.atomic():
            if known is not None and known.sha256 != sha256:  # written anew by a run that was resumed earlier
                Checkpoint.objects.filter(pk=known.pk).update(removed_at=Now())
            Checkpoint.objects.update_or_create(training_run=run, name=path.name, sha256=sha256, defaults=facts)
    except IntegrityError:
        return 0  # somebody else saw it in the same moment
    return 1
