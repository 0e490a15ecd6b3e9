"""A run folder's own records: ``run.json``, ``metrics.jsonl``, TensorBoard's copy of it, the lock, and the list the
web page reads.

``run.json`` is replaced whole and atomically; ``metrics.jsonl`` grows by one line per logged step.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import logging
import os
import platform
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from .errors import UsageError

log = logging.getLogger("training")
SCHEMA = 2
DRAWN = ("loss", "lr", "grad_norm", "seconds", "data_seconds", "samples_per_second", "mfu")
PACKAGES = ("torch", "transformers", "accelerate", "peft", "safetensors", "tokenizers", "numpy", "av")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def open_run(folder: str | Path, resume: bool) -> tuple[Path, IO[str]]:
    """The run folder, made or checked, and its lock (held until closed).

    Raises:
        UsageError: the folder is used and ``resume`` is off, holds no run although it is on, or another process
            is writing it.
    """
    path = Path(folder).absolute()
    if path.exists() and not path.is_dir():
        raise UsageError(f"--out {path}: not a folder")
    started = (path / "run.json").is_file()
    if not resume and path.is_dir() and any(path.iterdir()):
        raise UsageError(f"--out {path} is already used; give a new folder, or --resume to go on with that run")
    if resume and not started:
        raise UsageError(f"--resume: {path} holds no run (no run.json)")
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = open(path / ".lock", "w")  # noqa: SIM115 - held for as long as the run is
    except OSError as error:
        raise UsageError(f"--out {path}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise UsageError(f"--out {path}: another process is writing this run") from error
    return path, lock


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file atomically; a crash leaves the old or the new one."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, indent=1, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def read_run(folder: str | Path) -> dict[str, Any]:
    """run.json of a run folder. Raises UsageError when it is missing or broken."""
    path = Path(folder) / "run.json"
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"{folder} holds no run (no run.json)") from error
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise UsageError(f"{path}: expected a JSON object")
    return value


def environment() -> dict[str, Any]:
    """What the run's figures may depend on beside its config: versions, device, threads."""
    import torch

    cuda = torch.cuda.is_available()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name: _version(name) for name in PACKAGES},
        "cuda": torch.cuda.get_device_name() if cuda else None,
        "cuda_devices": torch.cuda.device_count() if cuda else 0,
        "cuda_version": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if cuda else None,
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def git_revision() -> str | None:
    """The revision of this code, with ``+`` when it is changed; None outside a git checkout."""
    git, here = shutil.which("git"), Path(__file__).parent
    if git is None:
        return None
    asked = subprocess.run([git, "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    if asked.returncode:
        return None
    changed = subprocess.run(
        [git, "status", "--porcelain", "--", str(here)], cwd=here, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() + ("+" if changed.stdout.strip() else "")


class Metrics:
    """metrics.jsonl: ``{step, epoch, loss, lr, grad_norm, tokens, seconds, data_seconds, samples_per_second, mfu,
    eta_seconds}`` per line, step 1 first; with ``board`` the same as TensorBoard's events."""

    def __init__(self, path: Path, after_step: int, board: bool = False) -> None:
        """Lines after ``after_step`` (of a run that was killed past its last checkpoint) are dropped."""
        kept = [line for line in read_metrics(path) if line["step"] <= after_step]
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        os.replace(temporary, path)
        self.file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - lives as long as the run
        self.board = open_board(path.parent / "tensorboard", after_step) if board else None

    def write(self, line: dict[str, Any]) -> None:
        self.file.write(json.dumps(line, allow_nan=False) + "\n")
        self.file.flush()
        self.draw({key: line.get(key) for key in DRAWN}, line["step"])

    def draw(self, figures: dict[str, Any], step: int) -> None:
        """Numbers that TensorBoard alone shall draw; what is None is left out."""
        for name, value in figures.items():
            if self.board is not None and value is not None:
                self.board.add_scalar(name, value, step)

    def close(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        if self.board is not None:
            self.board.close()


def open_board(folder: Path, after_step: int) -> Any | None:
    """A writer of TensorBoard's events, steps after ``after_step`` replaced; None, with a warning, without
    tensorboardX."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        log.warning(
            "no TensorBoard events: tensorboardX is not installed (pip install -r requirements/ml.txt); "
            "metrics.jsonl has everything, train.tensorboard=false ends this warning"
        )
        return None
    return SummaryWriter(logdir=str(folder), purge_step=after_step + 1 if after_step else None)


class Clock:
    """How fast a run goes: what ``lap`` returns belongs into the step's line of metrics.jsonl."""

    def __init__(self, total: int, done: int) -> None:
        self.left = total - done
        self.laps = 0
        self.began = self.last = time.monotonic()

    def lap(self, samples: int, data_seconds: float, flops: float | None = None, peak: float | None = None) -> dict:
        """After a step over ``samples`` samples in all processes, of which ``data_seconds`` were spent waiting for
        data; ``flops`` of the step and ``peak`` per second of all devices give the MFU.

        ``eta_seconds`` counts all that happened since the start, evaluations and checkpoints too.
        """
        now = time.monotonic()
        seconds, self.last = now - self.last, now
        self.laps += 1
        rest = (now - self.began) / self.laps * (self.left - self.laps)
        return {
            "seconds": round(seconds, 4), "data_seconds": round(data_seconds, 4),
            "samples_per_second": round(samples / seconds, 3) if seconds > 0 else 0.0,
            "mfu": round(flops / seconds / peak, 4) if flops and peak and seconds > 0 else None,
            "eta_seconds": round(rest, 1),
        }  # fmt: skip

    def resume(self) -> None:
        """What happened since the last lap (a checkpoint, an evaluation) is not part of the next step."""
        self.last = time.monotonic()


def progress(line: dict[str, Any], total: int) -> str:
    """A metrics line for people."""
    norm = "overflow" if line["grad_norm"] is None else f"{line['grad_norm']:.3f}"
    mfu = "" if line["mfu"] is None else f", MFU {100 * line['mfu']:.0f} %"
    share = line["data_seconds"] / line["seconds"] if line["seconds"] else 0.0
    return (
        f"step {line['step']}/{total} epoch {line['epoch']:g} loss {line['loss']:.4f} lr {line['lr']:.2e} grad norm "
        f"{norm} | {line['samples_per_second']:.1f} samples/s, step {line['seconds']:.3f} s, data {100 * share:.1f} %"
        f"{mfu}, ETA {timedelta(seconds=round(line['eta_seconds']))}"
    )


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The complete lines of metrics.jsonl; a line cut short by a kill is left out."""
    if not path.is_file():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").split("\n"):
        try:
            value = json.loads(text)
        except ValueError:
            continue
        if isinstance(value, dict) and "step" in value:
            lines.append(value)
    return lines


def register(run: Path, started: str) -> Path | None:
    """Tell the workbench of a run: append ``{"run", "started"}`` to ``<var>/runs/index.jsonl``.

    ``<var>`` is the folder named by WORKBENCH_VAR, else ``var`` beside manage.py; where neither exists, nothing is
    written. A run that is listed already is not listed twice. Failing to write is a warning: training goes on.
    """
    named = os.environ.get("WORKBENCH_VAR")
    root = Path(__file__).resolve().parent.parent
    var = Path(named) if named else root / "var"
    if not var.is_dir() or not (named or (root / "manage.py").is_file()):
        return None
    index = var / "runs" / "index.jsonl"
    try:
        index.parent.mkdir(exist_ok=True)
        listed = index.read_text(encoding="utf-8") if index.is_file() else ""
        line = json.dumps({"run": str(run), "started": started}, ensure_ascii=False)
        if line not in listed.split("\n"):
            with open(index, "a", encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.write(line + "\n")
    except OSError as error:
        log.warning("the run is not listed in %s: %s", index, error)
        return None
    return index


def argv() -> list[str]:
    """The command line, without the value of a token."""
    words = list(sys.argv)
    return ["***" if index and words[index - 1] == "--token" else word for index, word in enumerate(words)]
