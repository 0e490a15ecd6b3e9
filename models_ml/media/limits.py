"""Start a program under limits: `limits.py CPU_S MEMORY_BYTES FILE_BYTES PROGRAM ARG…`.

Run as a script of its own (not imported by the child), so that the limits hold before any decoder is
loaded, and so that no code runs between fork and exec in a threaded parent (what `preexec_fn` would do).
"""

import ctypes
import os
import resource
import signal
import sys


def main(argv: list[str]) -> None:
    cpu_s, memory_bytes, file_bytes = (int(value) for value in argv[:3])
    # SIGXCPU at the soft limit, SIGKILL one second later if that is caught.
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # Dies with its parent, so that a killed worker leaves no decoder behind.
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)
    os.execv(argv[3], argv[3:])  # noqa: S606  replaces this process; there is no shell to want


if __name__ == "__main__":
    main(sys.argv[1:])
