"""A throw-away workbench: embedded PostgreSQL and Redis in a temporary folder, web server and worker on demand.

Everything it starts ends with it, however it ends: children ask the kernel for a signal at our death, the servers'
holder stops when its last user is gone and removes the folder.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotator import embedded
from annotator.embedded.child import Child

ROOT = Path(__file__).resolve().parents[1]
BINARIES = Path(sys.executable).parent


class CommandFailed(Exception):
    """A command of the workbench ended otherwise than expected; the message holds its last words."""


class World:
    """The folder, the commands and the programs of one throw-away workbench."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self._children: list[Child] = []

    def manage(self, *arguments: str, expect: tuple[int, ...] = (0,)) -> dict[str, Any]:
        """`manage.py … --json` as a person would call it; its JSON object. Raises CommandFailed."""
        return self.command([sys.executable, "manage.py", *arguments, "--json"], expect=expect)

    def command(self, command: list[str], *, expect: tuple[int, ...] = (0,)) -> dict[str, Any]:
        """A command whose last line on stdout is one JSON object. Raises CommandFailed."""
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800)
        if done.returncode not in expect:
            shown = " ".join(Path(part).name if "/" in part else part for part in command[1:])
            raise CommandFailed(f"{shown}: exit {done.returncode}: {done.stderr[-1500:]}")
        return json.loads(done.stdout.strip().splitlines()[-1])

    def start_web(self, workers: int = 2) -> int:
        """granian as `make run` starts it, all middleware in; the port."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        web = [str(BINARIES / "granian"), "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(self.port)]
        web += ["--workers", str(workers), "--blocking-threads", "4", "--no-ws", "annotator.wsgi:application"]
        child = self._start("web", web)
        self._wait_for(child, self.port, "/readyz")
        return self.port

    def collect_static(self) -> None:
        """What pages, as opposed to the API, need beside the database."""
        command = [sys.executable, "manage.py", "collectstatic", "--noinput", "-v", "0"]
        subprocess.run(command, cwd=ROOT, check=True)

    def start_streams(self) -> int:
        """The process of the streams as `make run` starts it; the port."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        streams = [str(BINARIES / "granian"), "--interface", "asginl", "--host", "127.0.0.1", "--port", str(port)]
        child = self._start("streams", [*streams, "--workers", "1", "--no-ws", "annotator.asgi:application"])
        self._wait_for(child, port, "/stream/livez")
        return port

    def start_worker(self, concurrency: int = 2) -> None:
        """Celery's worker and scheduler as `make run` starts them."""
        celery = [sys.executable, "-m", "celery", "-A", "annotator"]
        self._start(
            "worker",
            [*celery, "worker", "--concurrency", str(concurrency), "--queues", "celery,uploads,media,cpu,llm",
             "--loglevel", "WARNING", "--without-gossip", "--without-mingle"],
        )  # fmt: skip
        schedule = str(self.folder / "run" / "beat-schedule")
        self._start("beat", [*celery, "beat", "--schedule", schedule, "--pidfile", "", "--loglevel", "WARNING"])

    def stop(self, *names: str) -> None:
        """End the programs of these names, or all."""
        chosen = [child for child in self._children if not names or child.name in names]
        for child in reversed(chosen):
            child.ask_to_stop()
        for child in reversed(chosen):
            child.wait(20)
            self._children.remove(child)

    def _start(self, name: str, command: list[str]) -> Child:
        environment = {**os.environ, "C_FORCE_ROOT": "1", "LOG_LEVEL": "WARNING"}
        child = Child(name, command, self.folder / "logs" / f"{name}.log", environment=environment)
        child.start()
        self._children.append(child)
        return child

    def _wait_for(self, child: Child, port: int, path: str) -> None:
        deadline = time.monotonic() + 120
        while not self._answers(port, path):
            if not child.running or time.monotonic() > deadline:
                raise CommandFailed(f"{child.name} does not answer: {child.log.read_text()[-1500:]}")
            time.sleep(0.1)

    def _answers(self, port: int, path: str) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


@contextlib.contextmanager
def world() -> Iterator[World]:
    """A new workbench with an empty, migrated database; gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="workbench-bench-"))
    for name in ("DATABASE_URL", "BROKER_URL", "REDIS_URL"):
        os.environ.pop(name, None)  # nobody's data but our own is measured, or touched
    os.environ |= {"WORKBENCH_VAR": str(folder), "WORKBENCH_ENV": "development", "LOG_LEVEL": "WARNING"}
    os.environ |= {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"), "HF_HUB_OFFLINE": "1"}
    embedded.ensure(throw_away=True)
    made = World(folder)
    try:
        subprocess.run([sys.executable, "manage.py", "migrate", "--noinput", "-v", "0"], cwd=ROOT, check=True)
        yield made
    finally:
        made.stop()
        close_django()
        embedded.release(30)
        shutil.rmtree(folder, ignore_errors=True)


def use_django() -> None:
    """Make Django's models usable in this process, on the world's database."""
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "annotator.settings"
    django.setup()


def close_django() -> None:
    """Drop this process' database connections, so that the server can stop."""
    if "django" in sys.modules and os.environ.get("DJANGO_SETTINGS_MODULE"):
        from django.db import connections

        connections.close_all()
