"""`make run` as a person meets it: start, restart, every way to end it, every way it cannot start."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from annotator.embedded import locks
from annotator.embedded.paths import REPOSITORY, State
from tests.support.ports import free_port

FIRST_START = 240  # makes the demo corpus
OURS = ("DATABASE_URL", "BROKER_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "MAKELEVEL", "MAKEFLAGS", "HF_HUB_OFFLINE")


def processes(state: State) -> dict[int, str]:
    """All processes that were started for this state folder, whatever they are."""
    mark = b"WORKBENCH_VAR=" + os.fsencode(state.root)
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
            environment = (folder / "environ").read_bytes().split(b"\0")  # redis writes its title over it
            if mark in environment or os.fsencode(state.root) in line:
                found[int(folder.name)] = line.decode(errors="replace")
        except OSError:
            continue
    return found


def eventually(happens: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if happens():
            return True
        time.sleep(0.1)
    return False


class Workbench:
    """A state folder and the `make run`s upon it."""

    def __init__(self, root: Path) -> None:
        self.state = State(root / "var")
        self.output = root / "output"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.environment = {name: value for name, value in os.environ.items() if name not in OURS}
        self.environment["WORKBENCH_VAR"] = str(self.state.root)

    def command(self) -> list[str]:
        python = [sys.executable, "-m", "annotator.embedded.supervisor"]
        return [*python, "--port", str(self.port), "--web-workers", "1", "--workers", "1"]

    def start(self, command: list[str] | None = None, **environment: str) -> None:
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command or self.command(),
                cwd=REPOSITORY,
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self) -> str:
        return self.output.read_text()

    def wait_until_ready(self, seconds: float) -> None:
        def ready_or_ended() -> bool:
            return "Ctrl-C stops everything" in self.said() or self.process.poll() is not None

        assert eventually(ready_or_ended, seconds), self.said()
        assert self.process.poll() is None, self.said()

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def row(self) -> int:
        """Add a row to a table of ours through the running database; how many there are now."""
        with psycopg.connect(self.state.database_url()) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS kept_by_test (id serial)")
            connection.execute("INSERT INTO kept_by_test DEFAULT VALUES")
            return connection.execute("SELECT count(*) FROM kept_by_test").fetchone()[0]

    def pid(self, word: str) -> int:
        """The main process of a child: the one that the supervisor started."""
        candidates = {pid for pid, line in processes(self.state).items() if word in line}
        parents = {pid: int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1]) for pid in candidates}
        (main,) = [pid for pid, parent in parents.items() if parent not in candidates]
        return main

    def gone(self, seconds: float) -> bool:
        return eventually(lambda: not processes(self.state), seconds)

    def refused(self) -> str:
        """Wait for the end of a start that cannot be; all that it said."""
        assert self.process.wait(timeout=60) == 1
        return self.said()

    def clear(self) -> None:
        def killed() -> bool:
            """Kill all; whether there was none: one may have been started after we looked."""
            alive = processes(self.state)
            for pid in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not alive and self.port_is_free()

        assert eventually(killed, 10)
        if self.process is not None:
            self.process.wait()

    def port_is_free(self) -> bool:
        """The kernel closes the socket of a killed process a moment after it is gone from the list."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.port))
            except OSError:
                return False
        return True


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """One state folder for the whole module: the first start, which makes the demo corpus, is slow."""
    workbench = Workbench(tmp_path_factory.mktemp("make-run"))
    try:
        workbench.start()
        workbench.wait_until_ready(FIRST_START)
        assert workbench.answers()
        password = (workbench.state.root / "admin-password").read_text().strip()
        assert f"Sign in as admin with the password {password}" in workbench.said()
        assert (workbench.state.root / "admin-password").stat().st_mode & 0o777 == 0o600
        assert workbench.row() == 1
        workbench.process.send_signal(signal.SIGTERM)
        assert workbench.process.wait(timeout=15) == 0
    finally:
        workbench.clear()
    return workbench


@pytest.fixture
def workbench(kept: Workbench) -> Iterator[Workbench]:
    yield kept
    kept.clear()


@pytest.fixture
def running(workbench: Workbench) -> Workbench:
    workbench.start()
    workbench.wait_until_ready(60)
    return workbench


def test_a_second_start_is_quick_keeps_all_data_and_tells_no_password(workbench: Workbench) -> None:
    seconds = []
    for _ in range(3):  # other tests want the processor too: the best of three counts
        workbench.clear()
        before = time.monotonic()
        workbench.start()
        workbench.wait_until_ready(60)
        seconds.append(time.monotonic() - before)
        if seconds[-1] < 10:
            break
    assert workbench.row() >= 2
    assert "password" not in workbench.said()
    assert min(seconds) < 10, f"ready after {seconds} s"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_within_ten_seconds(running: Workbench, number: int) -> None:
    running.process.send_signal(number)
    assert running.process.wait(timeout=10) == 0
    assert running.said().endswith("Stopped.\n")
    assert processes(running.state) == {}
    assert not (running.state.postgres_data / "postmaster.pid").exists()


@pytest.mark.parametrize("seconds", [0.0, 1.0, 3.0])  # the worker is being started, connects, waits for jobs
def test_a_kill_leaves_nothing_running_and_loses_nothing(running: Workbench, seconds: float) -> None:
    rows = running.row()
    time.sleep(seconds)
    running.process.kill()
    running.process.wait()
    assert running.gone(15), processes(running.state)
    running.start()
    running.wait_until_ready(60)
    assert running.row() == rows + 1


def test_web_servers_killed_with_it_leave_no_web_process(running: Workbench) -> None:
    servers = [running.pid(f"annotator.{kind}:") for kind in ("wsgi", "asgi")]
    for server in (running.process.pid, *servers):
        os.kill(server, signal.SIGKILL)
    running.process.wait()
    assert running.gone(15), processes(running.state)


def test_killing_make_itself_leaves_nothing_running(workbench: Workbench) -> None:
    workbench.start(["make", "--no-print-directory", "run", f"PORT={workbench.port}"])
    workbench.wait_until_ready(60)
    assert workbench.answers()
    workbench.process.kill()
    assert workbench.gone(15), processes(workbench.state)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("web", "annotator.wsgi"),
        ("streams", "annotator.asgi"),
        ("worker", "--hostname workbench-"),
        ("models", "--hostname models-"),
    ],
)
def test_a_killed_child_is_started_again_with_a_line(running: Workbench, name: str, word: str) -> None:
    assert eventually(lambda: any(word in line for line in processes(running.state).values()), 10)
    killed = running.pid(word)
    family = {pid for pid, line in processes(running.state).items() if word in line}
    os.kill(killed, signal.SIGKILL)
    assert eventually(lambda: not family & set(processes(running.state)), 10), "its own children live on"
    assert eventually(lambda: f"{name} ended by SIGKILL; starting it again" in running.said(), 10)
    assert eventually(lambda: any(word in line for line in processes(running.state).values()), 10)
    assert eventually(running.answers, 20)


def test_a_killed_database_and_broker_come_back_under_a_running_workbench(running: Workbench) -> None:
    rows = running.row()
    os.kill(int((running.state.postgres_data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    os.kill(running.pid("redis-server"), signal.SIGKILL)
    assert eventually(running.answers, 20)
    assert running.row() == rows + 1
    os.kill(running.pid("annotator.embedded.holder"), signal.SIGKILL)
    assert eventually(lambda: "holder is gone; starting another" in running.said(), 10)
    assert eventually(running.answers, 20)
    assert running.row() == rows + 2


def test_a_command_beside_it_shares_its_servers(running: Workbench) -> None:
    postmaster = (running.state.postgres_data / "postmaster.pid").read_text()
    command = [sys.executable, "manage.py", "migrate", "--check"]
    subprocess.run(command, cwd=REPOSITORY, env=running.environment, check=True, timeout=60)
    assert (running.state.postgres_data / "postmaster.pid").read_text() == postmaster
    assert locks.is_held(running.state.run / "holder.lock")


def test_a_second_one_on_the_same_state_is_refused(running: Workbench) -> None:
    second = Workbench(running.output.parent)
    second.output = running.output.with_name("second")
    second.start()
    said = second.refused()
    assert said == f"This workbench is running already on port {running.port}, process {running.process.pid}.\n"
    assert running.answers()


def test_a_port_in_use_is_one_line(workbench: Workbench) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", workbench.port))
        other.listen()
        workbench.start()
        assert workbench.refused() == f"Port {workbench.port} is in use. Choose another: make run PORT=8001\n"
    assert workbench.gone(5)


def test_a_full_disk_is_one_line(workbench: Workbench) -> None:
    workbench.start(WORKBENCH_MIN_FREE_MB="999999999")
    said = workbench.refused()
    assert said.startswith("Only ")
    assert len(said.splitlines()) == 1


def test_a_broken_environment_is_one_line(workbench: Workbench, tmp_path: Path) -> None:
    (tmp_path / "granian").mkdir()
    (tmp_path / "granian" / "__init__.py").write_text("raise ImportError('a file is missing')")
    workbench.start(PYTHONPATH=str(tmp_path))
    said = workbench.refused()
    assert said.startswith("The environment is broken (granian: a file is missing).")
    assert len(said.splitlines()) == 1


def test_nothing_embedded_is_started_for_servers_that_the_environment_names(running: Workbench, tmp_path: Path) -> None:
    other = Workbench(tmp_path)
    addresses = {"DATABASE_URL": running.state.database_url(), "BROKER_URL": running.state.broker_url()}
    try:
        other.start(**addresses, REDIS_URL=running.state.redis_url())
        other.wait_until_ready(FIRST_START)
        assert other.answers()
        lines = processes(other.state).values()
        assert not any("embedded.holder" in line or "postgres" in line or "redis" in line for line in lines)
        assert not other.state.postgres_data.exists()
        assert list(other.state.redis_data.iterdir()) == []
    finally:
        other.clear()
