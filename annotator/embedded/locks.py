"""Advisory file locks. The kernel drops them when their holder dies, however it dies."""

import fcntl
import os
import time
from pathlib import Path

from .paths import open_private


def open_lock(path: Path) -> int:
    """A descriptor on a lock file; it is not inherited by programs that this process starts."""
    return open_private(path, os.O_RDWR)


def try_exclusive(descriptor: int) -> bool:
    """Take the lock alone, or return False at once."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def shared(descriptor: int) -> None:
    """Take the lock beside others who share it; waits while somebody has it alone."""
    fcntl.flock(descriptor, fcntl.LOCK_SH)


def unlock(descriptor: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def is_held(path: Path) -> bool:
    """Whether anybody holds the lock on this file."""
    descriptor = open_lock(path)
    try:
        return not try_exclusive(descriptor)
    finally:
        os.close(descriptor)


def take_within(path: Path, seconds: float) -> int | None:
    """A descriptor that holds the lock alone, or None when it was not free in time."""
    descriptor = open_lock(path)
    deadline = time.monotonic() + seconds
    while not try_exclusive(descriptor):
        if time.monotonic() > deadline:
            os.close(descriptor)
            return None
        time.sleep(0.05)
    return descriptor
