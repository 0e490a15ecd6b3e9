"""Decoding happens in a child process with CPU, memory and file-size limits; this is the parent's side."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models_ml.media.errors import MediaError

LIMITS = Path(__file__).with_name("limits.py")
PACKAGE_ROOT = str(Path(__file__).resolve().parents[2])
MEMORY_BYTES = 4 << 30
FILE_BYTES = 8 << 30
#: The child sees these variables only: no decoder is handed an API key.
PASSED_ENV = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "HOME", "SYSTEMROOT", "VIRTUAL_ENV")


def run_limited(
    command: Sequence[str],
    *,
    path: str | Path,
    timeout_s: float,
    memory_bytes: int = MEMORY_BYTES,
    file_bytes: int = FILE_BYTES,
    cwd: str | Path | None = None,
) -> tuple[int, bytes, bytes]:
    """Run `command` under limits and return (exit status, stdout, stderr); `path` is named in errors.

    CPU seconds are limited to `timeout_s` on each core, wall time to `timeout_s`.
    Raises MediaError `timeout` when either ran out.
    """
    cores = os.cpu_count() or 1
    limited = [
        sys.executable, "-I", "-S", str(LIMITS),
        str(max(1, int(timeout_s * cores))), str(memory_bytes), str(file_bytes), *command,
    ]  # fmt: skip
    env = {name: os.environ[name] for name in PASSED_ENV if name in os.environ}
    env |= {"PYTHONPATH": PACKAGE_ROOT, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        limited, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, cwd=cwd
    ) as process:
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise MediaError("timeout", path, f"{timeout_s:g} s") from None
        except BaseException:
            process.kill()
            raise
    if process.returncode == -signal.SIGXCPU:
        raise MediaError("timeout", path, f"{timeout_s:g} s of CPU time a core")
    return process.returncode, out, err


def ask(request: dict[str, Any], *, path: str | Path, timeout_s: float = 120.0) -> tuple[dict[str, Any], memoryview]:
    """Have `worker.py` answer one request about `path`; return its header and the raw bytes after it.

    Raises MediaError with the worker's code; `unreadable` when the decoder crashed on the file.
    """
    absolute = Path(path).absolute()
    if not absolute.exists():
        raise MediaError("missing", path)
    if not absolute.is_file():
        raise MediaError("unreadable", path, "not a regular file")
    if absolute.stat().st_size == 0:
        raise MediaError("empty", path)
    # surrogateescape: file names need not be valid UTF-8.
    payload = json.dumps({**request, "path": os.fsencode(absolute).decode("latin-1")})
    command = [sys.executable, "-P", "-m", "models_ml.media.worker", payload]
    status, out, err = run_limited(command, path=path, timeout_s=timeout_s)
    head, newline, _ = out.partition(b"\n")
    if status != 0 or not newline:
        if b"MemoryError" in err or b"Cannot allocate memory" in err:
            raise MediaError("too_big", path)
        last = err.decode("utf-8", "replace").strip().splitlines()[-1:] or [f"exit status {status}"]
        raise MediaError("unreadable", path, f"the decoder stopped: {last[0][:200]}")
    header = json.loads(head)
    if "error" in header:
        raise MediaError(header["error"], path, header.get("detail", ""))
    return header, memoryview(out)[len(head) + 1 :]
