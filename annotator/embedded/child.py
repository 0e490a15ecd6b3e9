"""One supervised child process: started, watched, started again, stopped; never outlives its parent."""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from .paths import open_private

PR_SET_PDEATHSIG = 1
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
LOG_LIMIT = 10 * 2**20
STEADY_SECONDS = 2.0  # whoever lives longer did start
LONGEST_PAUSE = 5.0

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(number: int, parent: int) -> None:
    """Ask the kernel to send this process a signal when its parent dies (Linux, prctl(2)).

    The wish is lost when the process changes its credentials, so call it after any such change.
    """
    _libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        os.kill(os.getpid(), number)


def tie_to_parent(number: int, parent: int) -> None:
    """`die_with_parent` for a forked child before its exec.

    Until the exec the child still has its parent's Python handlers, which would take the signal and lose it.
    """
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    die_with_parent(number, parent)


def drop_ambient_capabilities() -> None:
    """Programs started from here on get no capability that this process was lent."""
    _libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)


def open_log(path: Path) -> IO[bytes]:
    """Append to a log; a log above 10 MiB is first moved to `<name>.1`."""
    if path.exists() and path.stat().st_size > LOG_LIMIT:
        path.replace(path.with_name(path.name + ".1"))
    return os.fdopen(open_private(path, os.O_WRONLY | os.O_APPEND), "ab")


def last_line(path: Path) -> str:
    """The last line of a log that says something, for a message at the terminal."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 8192))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    except OSError:
        return ""
    return next((line[:300] for line in reversed(lines) if line), "")


class Child:
    """A program that should be running.

    command: the argument list, or a function that makes it just before each start (and may prepare things).
    stop_signal: what ends it in order; death_signal: what the kernel sends it when we die; wanted: whether it should be
    running now (always, where it is not given).
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str] | Callable[[], Sequence[str]],
        log: Path,
        *,
        stop_signal: int = signal.SIGTERM,
        death_signal: int = signal.SIGTERM,
        environment: Mapping[str, str] | None = None,
        inherit: Callable[[], int] | None = None,
        wanted: Callable[[], bool] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.quick_ends = 0
        self._command = command
        self._stop_signal = stop_signal
        self._death_signal = death_signal
        self._environment = environment
        self._inherit = inherit
        self._wanted = wanted
        self._told_to_stop = False
        self._started = 0.0
        self._due = 0.0

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        command = self._command() if callable(self._command) else self._command
        parent = os.getpid()
        death_signal = self._death_signal
        descriptor = self._inherit() if self._inherit else None
        try:
            with open_log(self.log) as log:
                self.process = subprocess.Popen(
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=None if self._environment is None else dict(self._environment),
                    start_new_session=True,  # Ctrl-C reaches us alone, and we can end the whole group
                    pass_fds=() if descriptor is None else (descriptor,),
                    preexec_fn=lambda: tie_to_parent(death_signal, parent),  # noqa: PLW1509
                )
        finally:
            if descriptor is not None:
                os.close(descriptor)
        self._started = time.monotonic()
        self._told_to_stop = False

    def keep(self) -> str | None:
        """Start it when it is wanted, not running, and its pause is over; end it when it is no longer wanted; return a
        line when it had ended by itself."""
        now = time.monotonic()
        wanted = self._wanted is None or self._wanted()
        if self.process is None:
            if wanted and now >= self._due:
                self.start()
            return None
        code = self.process.poll()
        if code is None and not wanted and not self._told_to_stop:
            self.ask_to_stop()
            self._told_to_stop = True
        if code is not None and self._told_to_stop:
            self.end_group(signal.SIGKILL)
            self.process, self._told_to_stop = None, False
            return None
        if code is None:
            if now - self._started > STEADY_SECONDS:
                self.quick_ends = 0
            return None
        self.end_group(signal.SIGKILL)  # what it left behind
        self.process = None
        self.quick_ends += 1
        pause = min(LONGEST_PAUSE, 0.2 * 2 ** (self.quick_ends - 1))
        self._due = now + pause
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        return f"{self.name} {how}; starting it again in {pause:.1f} s (see {self.log})"

    def end_group(self, number: int) -> None:
        """Signal the program and everything it started in its session."""
        if self.process is not None:
            try:
                os.killpg(self.process.pid, number)
            except (ProcessLookupError, PermissionError):
                return

    def ask_to_stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(self._stop_signal)

    def wait(self, seconds: float) -> bool:
        """Wait for its end, then end it hard; False when that was needed."""
        if self.process is None:
            return True
        try:
            self.process.wait(timeout=max(0.0, seconds))
            in_order = True
        except subprocess.TimeoutExpired:
            in_order = False
        self.end_group(signal.SIGKILL)
        self.process.wait()
        self.process = None
        return in_order
