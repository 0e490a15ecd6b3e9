"""`manage.py trainer`: the supervised process that runs queued training beside the workers."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import InterfaceError, OperationalError, close_old_connections

from annotator.embedded.child import tie_to_parent
from annotator.experiments import services
from annotator.experiments.models import TrainingRun
from annotator.snapshots.services import folder_of

POLL_SECONDS = 2.0
BEAT_SECONDS = 2.0
TICK = 0.2


class Command(BaseCommand):
    help = "Run queued training, one at a time, until stopped. Lease and heartbeat stand in the database."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="end when nothing is queued")

    def handle(self, *args: Any, **options: Any) -> None:
        told: list[int] = []  # an exception out of a signal handler can be lost in a callback; a list entry cannot
        before = signal.signal(signal.SIGTERM, lambda number, _frame: told.append(number))
        try:
            self._serve(lambda: bool(told), once=options["once"])
        finally:
            signal.signal(signal.SIGTERM, before)

    def _serve(self, stopping: Callable[[], bool], *, once: bool) -> None:
        polled = -POLL_SECONDS
        while not stopping():
            if time.monotonic() - polled < POLL_SECONDS:
                time.sleep(TICK)
                continue
            close_old_connections()
            try:
                run = services.claim_run()
            except (OperationalError, InterfaceError):  # the database is restarting; queued runs wait there
                run = None
            if run is not None:
                train(run, stopping)
            elif once:
                return
            else:
                polled = time.monotonic()


def command(run: TrainingRun, media: Path) -> list[str]:
    """The command line of the run: what the page prints for a cluster, too."""
    assert run.snapshot is not None  # noqa: S101 - claim_run takes runs with a snapshot only
    words = [sys.executable, "-m", "training", "fit", "--config", run.config]
    words += ["--snapshot", str(folder_of(run.snapshot)), "--media", str(media), "--out", run.folder]
    words.append("--no-register")
    for setting in services.as_settings(run.overrides):
        words += ["--set", setting]
    return words


def train(run: TrainingRun, stopping: Callable[[], bool] = lambda: False) -> None:
    """One run, from the child process' start to its end in the database."""
    log = Path(settings.VAR) / "logs" / f"training-{run.pk}.log"
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    for secret in ("DATABASE_URL", "BROKER_URL", "SECRET_KEY"):
        environment.pop(secret, None)
    parent = os.getpid()
    with log.open("wb") as err:
        child = subprocess.Popen(
            command(run, services.link_media(run)),
            stdout=subprocess.PIPE,
            stderr=err,
            stdin=subprocess.DEVNULL,
            cwd=settings.BASE_DIR,
            env=environment,
            preexec_fn=lambda: tie_to_parent(signal.SIGTERM, parent),  # noqa: PLW1509 - never outlives us
        )
        try:
            cancelled = _watch(run, child, stopping)
        finally:
            _stop(child)
    lines = (child.stdout.read() if child.stdout else b"").decode(errors="replace").strip().splitlines()
    if cancelled:
        services.finish(run, "cancelled", "cancelled by a person")
    elif child.returncode == 0 and lines:
        services.finish(run, "done", result=json.loads(lines[-1]))
    elif stopping():
        services.finish(run, "failed", "The trainer was stopped; resume with `python -m training fit --resume`.")
    else:
        tail = log.read_text(errors="replace").strip().splitlines()[-1:] or ["no output"]
        services.finish(run, "failed", f"exit {child.returncode}: {tail[0]}")


def _watch(run: TrainingRun, child: subprocess.Popen[bytes], stopping: Callable[[], bool]) -> bool:
    """Renew the lease until the child ends or we are to stop; True when a person cancelled."""
    beat = time.monotonic()
    while child.poll() is None and not stopping():
        time.sleep(TICK)
        if time.monotonic() - beat > BEAT_SECONDS:
            beat = time.monotonic()
            try:
                if not services.heartbeat(run):
                    return True
            except (OperationalError, InterfaceError):
                close_old_connections()  # restarting; the lease outlasts it
    return False


def _stop(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
