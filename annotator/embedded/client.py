"""What a process does that wants the embedded servers: take part in their use, wait until they answer."""

import os
import subprocess
import sys
import time

from . import locks, paths, postgres, privileges, redis
from .child import last_line, open_log
from .errors import EmbeddedError
from .paths import REPOSITORY, State, state

WAIT_SECONDS = 120.0  # recovery after a crash replays the log first

_users_lock: int | None = None
_holder: subprocess.Popen[bytes] | None = None


def serving() -> tuple[str, ...]:
    """The servers that the environment leaves to us: none of them when both URLs are set."""
    missing = []
    if not os.environ.get("DATABASE_URL"):
        missing.append("postgres")
    if not os.environ.get("BROKER_URL"):
        missing.append("redis")
    return tuple(missing)


def ensure(*, throw_away: bool = False) -> tuple[str, ...]:
    """Have PostgreSQL and Redis running while this process lives, and name them in the environment.

    A server whose URL (DATABASE_URL, BROKER_URL) is set already is somebody else's: nothing is started for it.
    Otherwise DATABASE_URL, BROKER_URL and REDIS_URL are set. Returns what is served from here.
    throw_away: the state folder is removed when its last user is gone (tests).
    Raises EmbeddedError, one line, when a server cannot be had.
    """
    wanted = serving()
    if wanted:
        where = state()
        start(where, wanted, throw_away=throw_away)
        if "postgres" in wanted:
            os.environ["DATABASE_URL"] = where.database_url()
        if "redis" in wanted:
            os.environ["BROKER_URL"] = where.broker_url()
            os.environ.setdefault("REDIS_URL", where.redis_url())
    return wanted


def start(where: State, wanted: tuple[str, ...], *, throw_away: bool = False) -> None:
    """Join the users of the servers and wait until all wanted ones answer. Safe to call again."""
    global _users_lock, _holder
    if _holder is not None and _holder.poll() is not None:
        _holder = None  # an earlier one, whose end is no news
    paths.prepare(where)
    prefix = privileges.command_prefix(where)
    if _users_lock is None:
        _users_lock = locks.open_lock(where.run / "users.lock")
    locks.shared(_users_lock)
    deadline = time.monotonic() + WAIT_SECONDS
    checks = {"postgres": postgres.answers, "redis": redis.answers}
    while True:
        for name in wanted:
            os.close(locks.open_lock(where.run / f"want-{name}"))
        if all(checks[name](where) for name in wanted):
            return
        if not locks.is_held(where.run / "holder.lock"):
            start_holder(where, prefix, throw_away=throw_away)
        if time.monotonic() > deadline:
            raise EmbeddedError(f"The embedded servers do not answer; see {where.logs}.")
        time.sleep(0.05)


def start_holder(where: State, prefix: list[str], *, throw_away: bool = False) -> None:
    """Start the detached process that holds the servers. Raises EmbeddedError when the last one failed."""
    global _holder
    holder_log = where.logs / "holder.log"
    if _holder is not None:
        if _holder.poll() is None:
            return  # it is on its way to the lock
        error_file = where.run / "holder-error"
        if _holder.returncode != 0:
            reason = error_file.read_text() if error_file.exists() else f"{last_line(holder_log)} (see {holder_log})"
            _holder = None
            raise EmbeddedError(reason)
    command = [*prefix, sys.executable, "-m", "annotator.embedded.holder"]
    environment = {**os.environ, "WORKBENCH_VAR": str(where.root)}
    with open_log(holder_log) as log:
        _holder = subprocess.Popen(
            command + (["--throw-away"] if throw_away else []),
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def release(seconds: float = 10.0) -> bool:
    """Stop using the servers; True when they were stopped within that time (nobody else uses them)."""
    global _users_lock
    if _users_lock is None:
        return True
    os.close(_users_lock)
    _users_lock = None
    lock = state().run / "holder.lock"
    deadline = time.monotonic() + seconds
    while lock.exists() and locks.is_held(lock):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
