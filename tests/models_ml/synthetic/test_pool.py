"""Processes of a pool do not outlive the one that started them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

SCRIPT = """
import os, time
from models_ml.synthetic.pool import fresh_processes

if __name__ == "__main__":
    pool = fresh_processes(2)
    for _ in range(2):
        pool.submit(time.sleep, 0.2)
    while len(pool._processes) < 2 or not all(process.is_alive() for process in pool._processes.values()):
        time.sleep(0.05)
    pool.submit(os.getpid).result()
    print(*pool._processes, flush=True)
    time.sleep(60)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_workers_leave_when_their_parent_is_killed(tmp_path):
    script = tmp_path / "main.py"
    script.write_text(SCRIPT)
    root = Path(__file__).resolve().parents[3]
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(root)}
    ) as parent:
        assert parent.stdout is not None
        workers = [int(word) for word in parent.stdout.readline().split()]
        assert len(workers) == 2
        parent.kill()
    deadline = time.monotonic() + 30
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, workers))
