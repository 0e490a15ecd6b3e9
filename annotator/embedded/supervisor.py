"""`make run`: web server, streams, worker and scheduler beside the embedded servers, until Ctrl-C or a signal.

Whatever happens to this process, nothing of it goes on running: each child asks the kernel for a signal at its
parent's death, and the servers' holder stops them when their last user is gone.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from functools import partial

from . import checks, client, locks, paths, privileges
from .child import Child, die_with_parent, drop_ambient_capabilities, last_line
from .errors import EmbeddedError
from .paths import REPOSITORY, State, state

READY_SECONDS = 60.0
TICK = 0.2
WORKERS = ("worker", "signals", "models", "gpu")
# A pool process that has grown is replaced after its task; not the one that keeps a model for all of its jobs.
WORKER_LIMITS = ("--max-memory-per-child", "400000")  # KiB
GPU_LIMITS = ("--max-tasks-per-child", "1000000")
GPU_SECONDS = 600.0  # without gpu jobs, after which the worker that holds models in memory ends


def say(line: str) -> None:
    print(line, flush=True)


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m annotator.embedded.supervisor", description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: loopback only)")
    parser.add_argument("--workers", type=int, default=2, help="jobs at a time (default: 2)")
    parser.add_argument("--model-workers", type=int, default=1, help="processes that call model servers (default: 1)")
    parser.add_argument("--web-workers", type=int, default=2, help="web processes (default: 2)")
    parser.add_argument("--stream-port", type=int, help="port of the streams (default: the next free one after --port)")
    chosen = parser.parse_args(arguments)
    if chosen.stream_port is None:
        chosen.stream_port = next_free(chosen.host, chosen.port)
    return chosen


def next_free(host: str, port: int) -> int:
    """The first port after this one where this process may listen now; the very next where none is."""
    for number in range(port + 1, port + 21):
        try:
            checks.listen_once(host, number)
        except EmbeddedError:
            continue
        return number
    return port + 1


def children(where: State, chosen: argparse.Namespace) -> dict[str, Child]:
    """The programs that make up the workbench, in starting order."""
    celery = [sys.executable, "-m", "celery", "-A", "annotator"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "WORKBENCH_SUPERVISED": "1"}
    environment |= {"WEB_PORT": str(chosen.port), "STREAM_PORT": str(chosen.stream_port)}
    if os.geteuid() == 0:
        environment["C_FORCE_ROOT"] = "1"
    web = [
        *(sys.executable, "-m", "granian", "--interface", "wsgi", "--host", chosen.host, "--port", str(chosen.port)),
        *("--workers", str(chosen.web_workers), "--blocking-threads", "4", "--respawn-failed-workers"),
        *("--workers-kill-timeout", "2", "--no-ws", "annotator.wsgi:application"),
    ]
    # One process: whoever reads a stream on comes back to where its call is under way.
    streams = [
        *(sys.executable, "-m", "granian", "--interface", "asginl", "--host", chosen.host),
        *("--port", str(chosen.stream_port), "--workers", "1", "--respawn-failed-workers"),
        *("--workers-kill-timeout", "2", "--no-ws", "annotator.asgi:application"),
    ]

    def worker(name: str, queues: str, processes: int, limits: Sequence[str] = WORKER_LIMITS) -> list[str]:
        return [
            *celery,
            *("worker", "--queues", queues, "--concurrency", str(processes), "--prefetch-multiplier", "1", *limits),
            *("--loglevel", "INFO", "--without-gossip", "--without-mingle"),
            *("--hostname", f"{name}-{os.getpid()}@%h"),
        ]

    # What hears no signal while it looks for a lost broker or database, or may lose one, is killed with us.
    killed = partial(Child, environment=environment, death_signal=signal.SIGKILL)
    beat = [*celery, "beat", "--schedule", str(where.run / "beat-schedule"), "--pidfile", "", "--loglevel", "INFO"]
    trainer = [sys.executable, "manage.py", "trainer"]
    gpu = worker("gpu", "gpu", 1, GPU_LIMITS)
    return {
        "web": Child("web", web, where.logs / "web.log", environment=environment),
        "streams": Child("streams", streams, where.logs / "streams.log", environment=environment),
        # Whoever uploads a clip must not wait behind a run, nor measurements behind calls to a model's server.
        "worker": killed("worker", worker("workbench", "celery,uploads", chosen.workers), where.logs / "worker.log"),
        "signals": killed("signals", worker("signals", "media,cpu", chosen.workers), where.logs / "signals.log"),
        "models": killed("models", worker("models", "llm", chosen.model_workers), where.logs / "models.log"),
        "gpu": killed("gpu", gpu, where.logs / "gpu.log", wanted=partial(gpu_is_wanted, where)),
        "beat": killed("beat", beat, where.logs / "beat.log"),
        "trainer": killed("trainer", trainer, where.logs / "trainer.log"),
    }


def gpu_is_wanted(where: State) -> bool:
    """Whether jobs for a model in a worker's own memory were seen lately (`annotator.prelabels.demand`)."""
    try:
        return time.time() - (where.run / "gpu-wanted").stat().st_mtime < GPU_SECONDS
    except OSError:
        return False


def manage(where: State, stopping: Callable[[], bool], *arguments: str) -> None:
    """Run a management command, or end it when asked to stop. Raises EmbeddedError with its last line."""
    command = Child(arguments[0], [sys.executable, "manage.py", *arguments], where.logs / "set-up.log")
    command.start()
    while command.running:
        if stopping():
            command.ask_to_stop()
            command.wait(5.0)
            return
        time.sleep(0.05)
    if command.process is not None and command.process.returncode != 0:
        raise EmbeddedError(f"`manage.py {arguments[0]}` failed: {last_line(command.log)} (see {command.log})")


def source_digest() -> str:
    """Changes when any file that makes up the static pages may have changed."""
    digest = hashlib.sha256(sys.version.encode())
    own = [REPOSITORY / "requirements" / "base.txt", REPOSITORY / "annotator" / "core" / "static.py"]
    files = [*own, *sorted((REPOSITORY / "static").rglob("*"))]
    for path in files:
        if path.is_file():
            found = path.stat()
            digest.update(f"{path}\0{found.st_size}\0{found.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def collect_static(where: State, stopping: Callable[[], bool]) -> None:
    """Gather and compress the static files, when they changed."""
    stamp = where.root / "static" / ".collected"
    digest = source_digest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    manage(where, stopping, "collectstatic", "--noinput", "--verbosity", "0")
    if not stopping():
        stamp.parent.mkdir(mode=0o700, exist_ok=True)
        stamp.write_text(digest)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own http address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def wait_until_ready(url: str, web: Child, stopping: Callable[[], bool]) -> None:
    """Raise EmbeddedError when the web server ends or does not answer /readyz in time."""
    deadline = time.monotonic() + READY_SECONDS
    while not answers(f"{url}/readyz") and not stopping():
        if not web.running:
            raise EmbeddedError(f"The web server does not start: {last_line(web.log)} (see {web.log})")
        if time.monotonic() > deadline:
            raise EmbeddedError(f"The web server does not answer after {READY_SECONDS:.0f} s; see {web.log}")
        time.sleep(0.1)


def announce(where: State, url: str, seconds: float) -> None:
    say(f"EMER Workbench: {url}  (ready in {seconds:.1f} s; Ctrl-C stops everything)")
    password = where.root / "admin-password"
    told = where.root / "run" / "password-told"
    if password.exists() and not told.exists():
        say(f"Sign in as admin with the password {password.read_text().strip()}  (kept in {password})")
        told.touch(mode=0o600)


def stop(running: dict[str, Child]) -> None:
    """End all children in order, within 5 seconds whatever they do."""
    deadline = time.monotonic() + 5.0
    for child in reversed(running.values()):  # the web server last
        child.ask_to_stop()
    short = time.monotonic() + 2.0
    for name in WORKERS:  # let short jobs finish; long ones go back to the queue
        worker = running.get(name)
        if worker and worker.process is not None:
            try:
                worker.process.wait(timeout=max(0.0, short - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.send_signal(signal.SIGQUIT)
    for child in running.values():
        child.wait(deadline - time.monotonic())


def watch(where: State, running: dict[str, Child], embedded: tuple[str, ...], stopping: Callable[[], bool]) -> None:
    """Keep every child running until asked to stop."""
    while not stopping():
        for child in running.values():
            if (line := child.keep()) is not None:
                say(line)
        if embedded and not locks.is_held(where.run / "holder.lock"):
            say("the servers' holder is gone; starting another")
            client.start(where, embedded)
        time.sleep(TICK)


def supervise(where: State, chosen: argparse.Namespace, stopping: Callable[[], bool]) -> None:
    """Everything from the first check to the last child's end. Raises EmbeddedError, one line."""
    began = time.monotonic()
    checks.environment()
    checks.port(chosen.host, chosen.port)
    checks.port(chosen.host, chosen.stream_port)
    checks.disk(where.root)
    running: dict[str, Child] = {}
    try:
        embedded = client.ensure()
        if not (where.root / "admin-password").exists():
            say("First start: making the database and the demo corpus …")
        manage(where, stopping, "prepare")
        if not stopping():
            collect_static(where, stopping)
        if stopping():
            return
        running = children(where, chosen)
        running["web"].start()
        host = f"[{chosen.host}]" if ":" in chosen.host else chosen.host
        url = f"http://{host}:{chosen.port}"
        wait_until_ready(url, running["web"], stopping)  # the others would only slow it; watch() starts them
        if not stopping():
            announce(where, url, time.monotonic() - began)
        watch(where, running, embedded, stopping)
    finally:
        stop(running)
        if not client.release(seconds=10.0):
            say("The database stays up for another command that uses it.")


def only_one(where: State) -> int:
    """A lock that one supervisor of this state folder holds. Raises EmbeddedError when another does."""
    lock = locks.open_lock(where.run / "supervisor.lock")
    if not locks.try_exclusive(lock):
        running = json.loads((where.run / "supervisor.json").read_text() or "{}")
        where_else = f" on port {running['port']}, process {running['pid']}" if running else ""
        raise EmbeddedError(f"This workbench is running already{where_else}.")
    return lock


def main() -> int:
    chosen = options()
    where = state()
    signals: list[int] = []
    try:
        paths.prepare(where)
        prefix = privileges.command_prefix(where)
        if prefix:
            command = [*prefix, sys.executable, "-m", "annotator.embedded.supervisor", *sys.argv[1:]]
            os.execvp(command[0], command)
        drop_ambient_capabilities()
        if os.environ.get("MAKELEVEL"):
            die_with_parent(signal.SIGTERM, os.getppid())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _frame: signals.append(number))
        os.umask(0o077)
        os.chdir(REPOSITORY)
        lock = only_one(where)
        (where.run / "supervisor.json").write_text(json.dumps({"pid": os.getpid(), "port": chosen.port}))
        supervise(where, chosen, lambda: bool(signals))
        os.close(lock)
    except EmbeddedError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    say("Stopped.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
