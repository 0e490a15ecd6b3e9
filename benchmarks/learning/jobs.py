"""Runs jobs in a few processes that stay, each command by the same function as ``python -m training``.

Starting Python with its libraries for each of some two hundred commands would take a quarter of the time. A job that
is done leaves a mark and is not done again; one that was stopped goes on with ``fit --resume``.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any

from models_ml.synthetic.pool import fresh_processes

from .arms import Job

log = logging.getLogger("learning")


class CommandFailed(Exception):
    """A command of ``python -m training`` did not end with 0."""


def run_jobs(folder: Path, jobs: list[Job], processes: int) -> None:
    """Do every job, those first that others need. Raises CommandFailed with the first command that failed."""
    left = {job.name: job for job in jobs if not _mark(folder, job).is_file()}
    done = {job.name for job in jobs} - set(left)
    running: dict[Future[float], str] = {}
    with fresh_processes(processes) as pool:
        while left or running:
            ready = [job for job in left.values() if set(job.needs) <= done]
            for job in ready[: processes - len(running)]:
                running[pool.submit(run_job, folder, left.pop(job.name))] = job.name
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                name = running.pop(future)
                log.info("%s: %.0f s (%d left)", name, future.result(), len(left) + len(running))
                done.add(name)


def run_job(folder: Path, job: Job) -> float:
    """Do a job's commands; returns the seconds."""
    began = time.monotonic()
    said = [run_command(folder, job.name, command) for command in job.commands]
    mark = _mark(folder, job)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    return time.monotonic() - began


def run_command(folder: Path, job: str, command: tuple[str, ...]) -> dict[str, Any]:
    """``python -m training COMMAND`` in this process; its JSON. What it logs goes to `folder`/logs."""
    from training.__main__ import main

    words = list(command)
    if words[0] == "fit" and (Path(words[words.index("--out") + 1]) / "run.json").is_file():
        words.append("--resume")
    heard = io.StringIO()
    file = folder / "logs" / f"{job.replace('/', '-')}.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as kept:
        kept.write(f"$ python -m training {' '.join(words)}\n")
        with contextlib.redirect_stdout(heard), contextlib.redirect_stderr(kept):
            code = main(words)
    if code != 0:
        tail = file.read_text(encoding="utf-8").splitlines()[-3:]
        raise CommandFailed(f"python -m training {' '.join(words)}: exit {code}: {' | '.join(tail)} (see {file})")
    return json.loads(heard.getvalue().strip().splitlines()[-1])


def _mark(folder: Path, job: Job) -> Path:
    return folder / "done" / f"{job.name.replace('/', '-')}.json"
