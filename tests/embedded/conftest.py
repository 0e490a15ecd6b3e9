"""Real servers in a state folder of the test's own, used by processes of their own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from annotator.embedded import locks
from annotator.embedded.paths import REPOSITORY, State

USER = """
import json, os, sys
from annotator import embedded
try:
    served = embedded.ensure()
except embedded.EmbeddedError as error:
    sys.exit(str(error))
names = ("DATABASE_URL", "BROKER_URL", "REDIS_URL")
print(json.dumps({"served": served, **{name: os.environ.get(name) for name in names}}), flush=True)
sys.stdin.read()
"""


class User:
    """A process that uses the embedded servers until it is told to leave."""

    def __init__(self, state: State, environment: dict[str, str], prefix: list[str]) -> None:
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-c", USER],
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.state = state

    def ready(self) -> dict[str, Any]:
        """Wait until it has its servers: their addresses."""
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return dict(json.loads(line))

    def refused(self) -> str:
        """What it says when it cannot have them."""
        _, said = self.process.communicate(timeout=60)
        assert self.process.returncode == 1
        return said

    def leave(self) -> None:
        self.process.communicate(timeout=30)

    def postmaster(self) -> int:
        return int((self.state.postgres_data / "postmaster.pid").read_text().split()[0])


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "状态 +1%")


@pytest.fixture
def clean_environment(state: State) -> dict[str, str]:
    """The environment of a person who set nothing but WORKBENCH_VAR."""
    ours = ("DATABASE_URL", "BROKER_URL", "REDIS_URL", "MAKELEVEL")
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return {**kept, "WORKBENCH_VAR": str(state.root)}


@pytest.fixture
def start_user(state: State, clean_environment: dict[str, str]) -> Iterator[Callable[..., User]]:
    users: list[User] = []

    def start(prefix: list[str] | None = None, **environment: str) -> User:
        users.append(User(state, {**clean_environment, **environment}, prefix or []))
        return users[-1]

    yield start
    for user in users:
        if user.process.poll() is None:
            user.process.kill()
        user.process.communicate()
    assert servers_gone(state), "servers outlived their users"


def processes(state: State) -> list[int]:
    """The processes whose command line or environment names this state folder."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                if os.fsencode(state.root) in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


def servers_gone(state: State, seconds: float = 15.0) -> bool:
    """Whether, within that time, no server runs and nobody holds one."""
    deadline = time.monotonic() + seconds
    names = ("holder", "postgres", "redis")
    while time.monotonic() < deadline:
        held = [name for name in names if state.run.exists() and locks.is_held(state.run / f"{name}.lock")]
        if not held and not processes(state):
            return True
        time.sleep(0.1)
    return False
