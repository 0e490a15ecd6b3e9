"""Who trains which run: taken by lease on the database's clock, given back, taken over from a trainer that died.

A run is taken by the statement that counts its attempt; whoever holds attempt n of a running run may end it, nobody
else. A run folder is locked by the process that writes it, so that a run which is still being written (its trainer was
killed, the training saves its last checkpoint) is not taken over before that has ended.
"""

import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from . import folders
from .models import TrainingRun

MAX_LOSSES = 5  # a run that takes every process down with it must not go round for ever
WAITS_FOR = timedelta(minutes=15)  # a run whose trainer died waits so long for another one
WAITING = Q(launched=True, state="queued", snapshot__isnull=False)
LOST = "The training process was lost %d times; the last time: %s"
NOBODY = "The trainer on %s died and no trainer there has taken the run up again within %d minutes."


def lease() -> timedelta:
    return timedelta(seconds=settings.TRAINING_LEASE_SECONDS)


def _lost() -> Q:
    return Q(launched=True, state="running", lease_end__lt=Now(), snapshot__isnull=False)


def claim_run(host: str = "") -> TrainingRun | None:
    """The oldest run that waits, or whose trainer died, as a running one; None when there is none for this host.

    Two trainers never get the same: the row is locked, and passed over by the other. What a dead trainer had begun is
    a loss, counted here; a run that was to be cancelled, or was lost too often, ends instead.
    """
    host = host or socket.gethostname()
    for pk in TrainingRun.objects.filter(WAITING | _lost()).order_by("id").values_list("pk", flat=True):
        with transaction.atomic():
            run = (
                TrainingRun.objects.select_for_update(skip_locked=True, of=("self",))
                .filter(WAITING | _lost(), pk=pk)
                .first()
            )
            if run is None or not _is_for(run, host) or _ends(run):
                continue
            TrainingRun.objects.filter(pk=pk).update(
                state="running",
                attempts=F("attempts") + 1,
                losses=F("losses") + (1 if run.state == "running" else 0),
                host=host,
                reason="",
                lease_end=Now() + lease(),
                started_at=run.started_at or Now(),
                finished_at=None,
            )
        return TrainingRun.objects.select_related("snapshot__corpus", "init__training_run").get(pk=pk)
    return None


def _is_for(run: TrainingRun, host: str) -> bool:
    """Whether this host may go on with it: a run that had begun is where its folder is, and nobody writes there."""
    if run.attempts == 0:
        return True
    folder = Path(run.folder)
    return (run.host in ("", host) or (folder / "run.json").is_file()) and not folders.is_alive(folder)


def _ends(run: TrainingRun) -> bool:
    """End a lost run that nobody is to take up again; call it with the row locked."""
    if run.state != "running":
        return False
    body = folders.read_run(Path(run.folder)) or {}
    if body.get("state") == "finished":  # the trainer died between the last step and its last word
        _end(TrainingRun.objects.filter(pk=run.pk), "done", "", result=body.get("result"))
    elif run.cancel_requested:
        _end(TrainingRun.objects.filter(pk=run.pk), "cancelled", "cancelled by a person")
    elif run.losses + 1 >= MAX_LOSSES:
        why = f"its trainer on {run.host or 'an unknown host'} died"
        _end(TrainingRun.objects.filter(pk=run.pk), "failed", LOST % (run.losses + 1, why), losses=run.losses + 1)
    else:
        return False
    return True


def _end(rows: QuerySet[TrainingRun], state: str, reason: str, **more: Any) -> int:
    return rows.update(
        state=state, reason=reason[:1000], lease_end=None, cancel_requested=False, finished_at=Now(), **more
    )


def _mine(run: TrainingRun) -> QuerySet[TrainingRun]:
    return TrainingRun.objects.filter(pk=run.pk, state="running", attempts=run.attempts)


def heartbeat(run: TrainingRun) -> bool:
    """Renew the lease; False when the run was taken away or is to be cancelled."""
    kept = _mine(run).update(lease_end=Now() + lease())
    return bool(kept) and not _mine(run).filter(cancel_requested=True).exists()


def finish(run: TrainingRun, state: str, reason: str = "", result: dict[str, Any] | None = None) -> bool:
    """End a running run once; False when it was not this attempt's any more, and nothing changed."""
    return bool(_end(_mine(run), state, reason, result=result))


def release(run: TrainingRun) -> bool:
    """The trainer is told to stop: the run waits again, to be gone on with by the next one. No loss."""
    return bool(_mine(run).update(state="queued", lease_end=None))


def lose(run: TrainingRun, why: str) -> bool:
    """The training process was killed: the run waits again with one loss more, or has failed where it was the last.
    Whether it waits."""
    with transaction.atomic():
        row = _mine(run).select_for_update().first()
        if row is None:
            return False
        if row.losses + 1 >= MAX_LOSSES:
            _end(_mine(run), "failed", LOST % (row.losses + 1, why), losses=row.losses + 1)
            return False
        _mine(run).update(state="queued", losses=row.losses + 1, reason=why[:1000], lease_end=None)
        return True


def expire() -> int:
    """By the sweeper: end lost runs that no trainer will take up again; how many. The others are a trainer's."""
    ended = 0
    for pk in TrainingRun.objects.filter(_lost()).values_list("pk", flat=True):
        with transaction.atomic():
            run = TrainingRun.objects.select_for_update(skip_locked=True, of=("self",)).filter(_lost(), pk=pk).first()
            if run is None or folders.is_alive(Path(run.folder)):
                continue
            if _ends(run):
                ended += 1
            elif TrainingRun.objects.filter(pk=pk, lease_end__lt=Now() - WAITS_FOR).exists():
                minutes = int(WAITS_FOR.total_seconds() // 60)
                ended += _end(TrainingRun.objects.filter(pk=pk), "failed", NOBODY % (run.host or "this host", minutes))
    return ended
