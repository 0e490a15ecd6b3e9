"""What can be wrong before anything is started, each as one line for the person at the terminal."""

import errno
import importlib
import os
import shutil
import socket
import time
from pathlib import Path

from .errors import EmbeddedError

NEEDED_MODULES = ("django", "rest_framework", "celery", "psycopg", "redis", "granian", "av", "parselmouth")
LEAST_FREE_MB = 500
PORT_SECONDS = 1.0


def environment() -> None:
    """Raise EmbeddedError when a library that every page or job needs cannot be imported."""
    for name in NEEDED_MODULES:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - a half-installed package can raise anything
            raise EmbeddedError(
                f"The environment is broken ({name}: {error}). `make clean run` builds it anew; var/ is kept."
            ) from error


def port(host: str, number: int) -> None:
    """Raise EmbeddedError unless this process may listen there, now or in a second.

    The kernel closes a killed server's socket a moment after the server itself is gone.
    """
    deadline = time.monotonic() + PORT_SECONDS
    while True:
        try:
            return listen_once(host, number)
        except EmbeddedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def listen_once(host: str, number: int) -> None:
    """Raise EmbeddedError unless this process may listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, number))
            listener.listen(1)
        except (OSError, OverflowError) as error:
            taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            reason = "is in use" if taken else f"cannot be used ({error})"
            raise EmbeddedError(f"Port {number} {reason}. Choose another: make run PORT=8001") from error


def disk(folder: Path) -> None:
    """Raise EmbeddedError when the disk below the state folder is nearly full.

    WORKBENCH_MIN_FREE_MB changes what is asked for (500 MB).
    """
    least = int(os.environ.get("WORKBENCH_MIN_FREE_MB", LEAST_FREE_MB))
    free = shutil.disk_usage(folder).free // 10**6
    if free < least:
        raise EmbeddedError(f"Only {free} MB are free at {folder}; at least {least} MB are needed.")
