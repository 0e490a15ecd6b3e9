"""The process that holds the embedded servers: `python -m annotator.embedded.holder`.

Detached and shared by every command on one state folder. It starts PostgreSQL and Redis as its children, starts
them again when they die, and stops them when nobody uses them. Who uses them holds a shared lock, which the
kernel drops however that user dies; who wants the servers later finds this process gone and starts another.
"""

import argparse
import os
import shutil
import signal
import sys
import time

from . import locks, postgres, redis
from .child import Child, drop_ambient_capabilities, last_line
from .errors import EmbeddedError
from .paths import State, state

IDLE_SECONDS = 1.0
TICK = 0.1
GIVE_UP_AFTER = 6  # quick ends in a row
STOP_SECONDS = 60.0


def say(line: str) -> None:
    print(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), line, flush=True)


def hold(where: State) -> None:
    """Keep the wanted servers running until nobody uses them or a signal comes.

    Raises EmbeddedError when a server cannot be started.
    """
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: stopping.append(number))
    servers = {"redis": redis.child(where), "postgres": postgres.child(where)}
    provisioned = False
    users = locks.open_lock(where.run / "users.lock")
    idle_since: float | None = None
    try:
        while not stopping:
            for name, server in servers.items():
                if (where.run / f"want-{name}").exists():
                    keep(server)
            if servers["postgres"].running and not provisioned:
                provisioned = postgres.create_role_and_database(where)
            if not locks.try_exclusive(users):
                idle_since = None
            else:
                # Whoever comes between now and the end waits for the lock, then starts another holder.
                idle_since = idle_since or time.monotonic()
                if time.monotonic() - idle_since >= IDLE_SECONDS:
                    break
                locks.unlock(users)
            time.sleep(TICK)
    finally:
        for name in servers:
            (where.run / f"want-{name}").unlink(missing_ok=True)
        stop(list(servers.values()))


def keep(server: Child) -> None:
    if (line := server.keep()) is not None:
        say(line)
    if server.quick_ends >= GIVE_UP_AFTER:
        raise EmbeddedError(f"{server.name} ends again and again: {last_line(server.log)} (see {server.log})")


def stop(servers: list[Child]) -> None:
    for server in servers:
        server.ask_to_stop()
    for server in servers:
        if not server.wait(STOP_SECONDS):
            say(f"{server.name} did not stop within {STOP_SECONDS:.0f} s and was killed")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m annotator.embedded.holder", description=__doc__)
    parser.add_argument("--throw-away", action="store_true", help="remove the whole state folder at the end")
    options = parser.parse_args()
    where = state()
    os.umask(0o077)
    drop_ambient_capabilities()
    mine = locks.open_lock(where.run / "holder.lock")
    if not locks.try_exclusive(mine):
        return 0  # another holds them already
    error_file = where.run / "holder-error"
    error_file.unlink(missing_ok=True)
    try:
        hold(where)
    except EmbeddedError as error:
        error_file.write_text(str(error))
        say(str(error))
        return 1
    if options.throw_away:
        for folder in {where.root, where.sockets}:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
