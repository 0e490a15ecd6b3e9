"""A whole workbench of its own for a test: real PostgreSQL, Redis, web server, worker and scheduler as processes.

    python -m tests.support.workbench --port 8123 --workers 2

is `make run` without the demo corpus: the same supervisor code starts the same children and starts them again when
they die. `started(folder)` runs it beside a test.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from annotator.embedded import client, paths, privileges, supervisor
from annotator.embedded.child import die_with_parent
from annotator.embedded.paths import REPOSITORY, State, state
from tests.support.ports import free_port

# A test's own servers must not leak into the workbench under test.
NOT_OURS = ("DATABASE_URL", "BROKER_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "WORKBENCH_TEST_VAR")


def eventually(happens: Callable[[], Any], seconds: float, every: float = 0.2) -> Any:
    """The first true value of `happens()` within `seconds`, else its last false one."""
    deadline = time.monotonic() + seconds
    while not (found := happens()) and time.monotonic() < deadline:
        time.sleep(every)
    return found


class Workbench:
    """A running workbench, seen from outside: its commands, its REST, its processes."""

    def __init__(self, root: Path, environment: dict[str, str]) -> None:
        self.state = State(root)
        self.port = free_port()
        kept = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
        self.environment = {**kept, "WORKBENCH_VAR": str(root), "OMP_NUM_THREADS": "1", **environment}
        self.token = ""
        self.staying: subprocess.Popen[str] | None = None  # runs the commands, where one stays for them

    def manage(self, *arguments: str, ok: tuple[int, ...] = (0,)) -> dict[str, Any]:
        """A management command with --json; its object."""
        done = self._run(*arguments, "--json")
        assert done.returncode in ok, f"{arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout.splitlines()[-1])

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """(status, JSON) of a REST call; (0, None) when the web server does not answer."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v1{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, None
        except (OSError, ValueError):
            return 0, None

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def make_corpus(self, slug: str, *options: str) -> None:
        """A corpus, and a token of its manager for `call`; by one process, for starting one takes seconds."""
        commands = [["create_corpus", slug, *options], ["add_member", slug, "lead", "--role", "manager"]]
        if not self.token:
            commands[-1].append("--create")
            commands.append(["issue_token", "lead", "--json"])
        script = f"from django.core.management import call_command\nfor c in {commands!r}: call_command(*c)"
        printed = self.shell(script)
        self.token = self.token or json.loads(printed.splitlines()[-1])["token"]

    def shell(self, script: str) -> str:
        """Run Python in `manage.py shell`; what it printed."""
        done = self._run("shell", "--verbosity", "0", "--command", script)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        if self.staying is not None:
            assert self.staying.stdin
            assert self.staying.stdout
            self.staying.stdin.write(json.dumps(arguments) + "\n")
            self.staying.stdin.flush()
            said = json.loads(self.staying.stdout.readline())
            return subprocess.CompletedProcess(arguments, said["code"], said["out"], said["err"])
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=REPOSITORY,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=180,
        )

    @contextlib.contextmanager
    def quick_commands(self) -> Iterator[None]:
        """Meanwhile one process runs all commands (tests.support.commands)."""
        self.staying = subprocess.Popen(
            [sys.executable, "-m", "tests.support.commands"],
            cwd=REPOSITORY,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        try:
            yield
        finally:
            staying, self.staying = self.staying, None
            assert staying.stdin
            staying.stdin.close()
            staying.wait(timeout=20)

    def processes(self) -> dict[int, tuple[int, str]]:
        """pid -> (parent, command line) of everything started for this state folder."""
        mark = b"WORKBENCH_VAR=" + os.fsencode(self.state.root)
        found = {}
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                if mark in (folder / "environ").read_bytes().split(b"\0") or os.fsencode(self.state.root) in line:
                    parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
                    found[int(folder.name)] = (parent, line.decode(errors="replace"))
        return found

    def kill(self, part: str) -> bool:
        """`kill -9` of `web`, `streams`, `worker`, `postgres` or `redis`, with all that it started; whether it ran."""
        words = {
            "web": "annotator.wsgi",
            "streams": "annotator.asgi",
            "worker": " worker ",
            "postgres": "postgres",
            "redis": "redis-server",
        }
        every = self.processes()
        hit = {pid for pid, (_parent, line) in every.items() if words[part] in line and "holder" not in line}
        mains = [pid for pid in hit if every[pid][0] not in hit]
        for pid in mains:
            with contextlib.suppress(ProcessLookupError):
                if part == "postgres":  # its backends must notice by themselves, as after a real crash
                    os.kill(pid, signal.SIGKILL)
                else:
                    os.killpg(pid, signal.SIGKILL)
        return bool(mains)


@contextlib.contextmanager
def started(root: Path, *, workers: int = 2, **environment: str) -> Iterator[Workbench]:
    """A workbench on the state folder `root`, migrated and answering; ended with all its processes."""
    bench = Workbench(root, environment)
    output = root.parent / f"{root.name}.log"
    with output.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.workbench", "--port", str(bench.port), "--workers", str(workers)],
            cwd=REPOSITORY,
            env=bench.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        assert eventually(lambda: bench.ready() or process.poll() is not None, 120), output.read_text()[-4000:]
        assert process.poll() is None, output.read_text()[-4000:]
        yield bench
    finally:
        process.terminate()
        try:
            process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()
        for pid in bench.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    where = state()
    paths.prepare(where)
    if prefix := privileges.command_prefix(where):
        os.execvp(prefix[0], [*prefix, sys.executable, "-m", "tests.support.workbench", *sys.argv[1:]])
    die_with_parent(signal.SIGTERM, os.getppid())
    signals: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: signals.append(number))
    os.umask(0o077)
    embedded = client.ensure()
    subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=REPOSITORY, check=True)
    supervisor.collect_static(where, lambda: bool(signals))
    chosen = supervisor.options(
        ["--port", str(options.port), "--workers", str(options.workers), "--web-workers", "1"]
    )  # fmt: skip
    running = supervisor.children(where, chosen)
    running.pop("trainer", None)
    try:
        for child in running.values():
            child.start()
        supervisor.watch(where, running, embedded, lambda: bool(signals))
    finally:
        supervisor.stop(running)
        client.release(seconds=10.0)


if __name__ == "__main__":
    main()
