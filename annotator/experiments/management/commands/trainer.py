"""`manage.py trainer`: the supervised process that runs queued training beside the workers."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import structlog
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import InterfaceError, OperationalError, close_old_connections

from annotator.embedded.child import last_line, tie_to_parent
from annotator.experiments import commands, discovery, leases, presence, queries
from annotator.experiments.models import TrainingRun

logger = structlog.get_logger(__name__)
POLL_SECONDS = 2.0
BEAT_SECONDS = 2.0
TICK = 0.2
SAVING_SECONDS = 60.0  # for the last checkpoint of a run that is told to stop
SECRETS = ("DATABASE_URL", "BROKER_URL", "REDIS_URL", "SECRET_KEY", "EMER_TOKEN")


class Command(BaseCommand):
    help = (
        "Run queued training, one at a time, until stopped, and go on with what a trainer that died had begun. "
        "Lease and heartbeat stand in the database."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="end when nothing is queued")

    def handle(self, *args: Any, **options: Any) -> None:
        told: list[int] = []  # an exception out of a signal handler can be lost in a callback; a list entry cannot
        before = signal.signal(signal.SIGTERM, lambda number, _frame: told.append(number))
        if missing := presence.missing():
            self.stderr.write(f"{', '.join(missing)} missing here: pip install -r requirements/ml.txt")
        try:
            self._serve(lambda: bool(told), once=options["once"], able=not missing)
            with suppress(OperationalError, InterfaceError):
                presence.leave(me())
        finally:
            signal.signal(signal.SIGTERM, before)

    def _serve(self, stopping: Callable[[], bool], *, once: bool, able: bool) -> None:
        """Where the libraries are missing, no run is taken: it would only fail here, and may wait for another host."""
        polled = -POLL_SECONDS
        while not stopping():
            if time.monotonic() - polled < POLL_SECONDS:
                time.sleep(TICK)
                continue
            close_old_connections()
            run = None
            try:
                if able:
                    presence.say(me())
                    run = leases.claim_run()
            except (OperationalError, InterfaceError):  # the database is restarting; queued runs wait there
                run = None
            if run is not None:
                attempt(run, stopping)
            elif once:
                return
            else:
                polled = time.monotonic()


def me() -> str:
    """This trainer among others."""
    return f"{socket.gethostname()} {os.getpid()}"


def attempt(run: TrainingRun, stopping: Callable[[], bool]) -> None:
    """`train`, whose own trouble fails the run instead of taking the trainer down with it. A database that is away
    is waited for: the lease ends, and the run is taken up again."""
    try:
        train(run, stopping)
    except (OperationalError, InterfaceError) as error:
        logger.warning("the database does not answer; the run will be taken up again", run=run.pk, error=str(error))
    except Exception as error:  # noqa: BLE001 - a disk that is full, a clip whose media cannot be reached
        logger.exception("a run could not be trained", run=run.pk)
        leases.finish(run, "failed", f"{type(error).__name__}: {error}")


def train(run: TrainingRun, stopping: Callable[[], bool] = lambda: False) -> None:
    """One attempt at a run, from the child process' start to its end in the database."""
    log = queries.log_path(run)
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    began = (Path(run.folder) / "run.json").is_file()
    words = commands.fit_command(run, commands.link_media(run), resume=began)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    for secret in SECRETS:
        environment.pop(secret, None)
    parent = os.getpid()
    said = log.with_suffix(".out")
    with log.open("ab") as err, said.open("w+b") as out:
        err.write(f"--- attempt {run.attempts} on {run.host}: {'resume' if began else 'start'}\n".encode())
        err.flush()
        child = subprocess.Popen(
            words,
            stdout=out,
            stderr=err,
            stdin=subprocess.DEVNULL,
            cwd=settings.BASE_DIR,
            env=environment,
            preexec_fn=lambda: tie_to_parent(signal.SIGTERM, parent),  # noqa: PLW1509 - never outlives us
        )
        try:
            cancelled = _watch(run, child, stopping)
            if cancelled is False and stopping() and child.poll() is None:
                leases.release(run)  # before the child saves: whoever stops us may not wait for it
        finally:
            _stop(child)
        result = _result(out)
    said.unlink(missing_ok=True)
    shutil.rmtree(commands.media_folder(run), ignore_errors=True)  # of links; made anew by the next attempt
    discovery.find_checkpoints([run])  # first: who sees that it is done finds them
    _end(run, child.returncode, result, last_line(log), cancelled=cancelled, stopped=stopping())


def _end(
    run: TrainingRun, code: int, result: dict[str, Any] | None, last: str, *, cancelled: bool, stopped: bool
) -> None:
    """What the row says of this attempt; nothing where it was taken away or released."""
    if code == 0 and result is not None:
        leases.finish(run, "done", result=result)
    elif cancelled:
        leases.finish(run, "cancelled", "cancelled by a person")
    elif stopped:
        leases.release(run)
    elif code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        leases.lose(run, f"it was ended by {name} (a killed process, or memory that ran out)")
    else:
        leases.finish(run, "failed", f"exit {code}: {last or 'no output'}")


def _result(out: IO[bytes]) -> dict[str, Any] | None:
    """The JSON object on the last line of the child's output."""
    out.seek(0)
    lines = out.read().decode(errors="replace").strip().splitlines()
    try:
        found = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _watch(run: TrainingRun, child: subprocess.Popen[bytes], stopping: Callable[[], bool]) -> bool:
    """Renew the lease until the child ends or we are to stop; True when a person cancelled, or it was taken away."""
    beat = time.monotonic()
    while child.poll() is None and not stopping():
        time.sleep(TICK)
        if time.monotonic() - beat > BEAT_SECONDS:
            beat = time.monotonic()
            try:
                presence.say(me())
                if not leases.heartbeat(run):
                    return True
            except (OperationalError, InterfaceError):
                close_old_connections()  # restarting; the lease outlasts it
    return False


def _stop(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(SAVING_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
