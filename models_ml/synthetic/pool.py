"""Processes for making much: started afresh, and gone when the one that started them is."""

from __future__ import annotations

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor


def fresh_processes(count: int) -> ProcessPoolExecutor:
    """A pool of `count` processes that do not outlive this one, even when it is killed."""
    # Spawned: forking a process that may hold torch's threads is not safe.
    return ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"), initializer=_leave_with_parent)


def _leave_with_parent() -> None:
    # A worker waits at a pipe whose other end it holds too, so it would wait for ever.
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
