"""Run somebody else's face tracker: limits, a folder of its own, no shell, its words kept when it fails."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from models_ml.face.rows import AuTrackError
from models_ml.media.child import LIMITS, PASSED_ENV

MEMORY_BYTES = 12 << 30  # address space: frameworks of such tools map far more than they use
FILE_BYTES = 1 << 30
#: What a tracker sees of the environment besides the media child's: where its own libraries and devices are.
ALSO_PASSED = ("PYTHONPATH", "CUDA_VISIBLE_DEVICES", "CUDA_HOME", "HF_HOME", "TORCH_HOME", "XDG_CACHE_HOME")


def run_program(name: str, command: Sequence[str], folder: Path, timeout_s: float) -> Path:
    """Run `command` (its first item an absolute path) in `folder`; the file with its stdout.

    CPU seconds, memory and the size of each written file are limited, `timeout_s` is wall time; whatever it started
    ends with it. Raises AuTrackError that begins with `name`: cannot be started, too slow, failed (with its last line).
    """
    cores = os.cpu_count() or 1
    limits = [str(max(1, int(timeout_s * cores))), str(MEMORY_BYTES), str(FILE_BYTES)]
    env = {key: os.environ[key] for key in (*PASSED_ENV, *ALSO_PASSED) if key in os.environ} | {"TMPDIR": str(folder)}
    out, err = folder / "stdout", folder / "stderr"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(LIMITS), *limits, *command],
            stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=env, cwd=folder, start_new_session=True,
        )  # fmt: skip
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AuTrackError(f"{name} took longer than {timeout_s:g} s and was stopped") from None
        finally:
            _end(process)
    if status == 0:
        return out
    if status in (-signal.SIGXCPU, -signal.SIGXFSZ):
        what = "computing time" if status == -signal.SIGXCPU else "disk"
        raise AuTrackError(f"{name} used more {what} than allowed and was stopped")
    ended = f"signal {-status}" if status < 0 else f"exit status {status}"
    raise AuTrackError(f"{name} failed ({ended}){_last_line(err) or _last_line(out)}")


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_line(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 4096))
        lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
    return f": {lines[-1][:300]}" if lines else ""
