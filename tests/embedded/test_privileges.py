"""Root gives root up before a server starts; an ordinary user has nothing to give up."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from annotator.embedded import privileges
from annotator.embedded.paths import REPOSITORY, State

from .conftest import User

AS_ROOT = os.geteuid() == 0
NOBODY = 65534
STAND_IN = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if AS_ROOT else []


@pytest.fixture
def state() -> Iterator[State]:
    """A state folder whose parents everybody may enter."""
    folder = Path(tempfile.mkdtemp(prefix="workbench-"))
    folder.chmod(0o711)
    yield State(folder / "var")
    shutil.rmtree(folder)


def owner_of_postmaster(user: User) -> int:
    return Path(f"/proc/{user.postmaster()}").stat().st_uid


def unreachable_for_stand_in() -> str:
    """This Python, where it lies in a folder that only root may enter (as /root is), else an empty string."""
    for path in (sys.executable, str(REPOSITORY)):
        if subprocess.run([*STAND_IN, "test", "-x", path], check=False).returncode != 0:
            return os.path.realpath(path)
    return ""


def one_row(user: User) -> tuple[int]:
    with psycopg.connect(user.ready()["DATABASE_URL"]) as connection:
        return connection.execute("SELECT 1").fetchone()


def test_an_ordinary_user_has_servers_of_their_own(state: State, start_user: Callable[..., User]) -> None:
    hidden = unreachable_for_stand_in()
    if AS_ROOT and not hidden:
        state.root.mkdir(mode=0o700)
        os.chown(state.root, NOBODY, NOBODY)
        user = start_user(STAND_IN, HOME="/nonexistent")
    else:  # in a namespace this process is an ordinary user too, who still reaches what is root's outside
        user = start_user(list(privileges.namespace_command()) if AS_ROOT else [])
    assert one_row(user) == (1,)
    expected = NOBODY if AS_ROOT and not hidden else os.geteuid()
    assert state.postgres_data.stat().st_uid == expected
    assert owner_of_postmaster(user) == expected


def test_where_namespaces_are_forbidden_the_state_belongs_to_a_stand_in_or_one_line_says_why_not(
    state: State, start_user: Callable[..., User]
) -> None:
    user = start_user(WORKBENCH_NO_NAMESPACE="1")
    hidden = unreachable_for_stand_in()
    if hidden:
        said = user.refused()
        assert f"cannot reach {hidden}" in said
        assert len(said.strip().splitlines()) == 1
        assert state.root.stat().st_uid == 0, "the state was given away to a user who cannot use it"
        return
    assert one_row(user) == (1,)
    expected = NOBODY if AS_ROOT else os.geteuid()
    assert state.root.stat().st_uid == expected
    assert owner_of_postmaster(user) == expected
    user.leave()
    # Root goes on as that owner even where namespaces work again: the files are that owner's now.
    again = start_user()
    again.ready()
    assert owner_of_postmaster(again) == expected


def test_a_state_folder_that_the_stand_in_cannot_reach_is_one_clear_line(
    state: State, start_user: Callable[..., User]
) -> None:
    state.root.parent.chmod(0o700)
    user = start_user(WORKBENCH_NO_NAMESPACE="1")
    if AS_ROOT:
        said = user.refused()
        assert "cannot reach" in said
        assert len(said.strip().splitlines()) == 1
        assert state.root.stat().st_uid == 0
    else:
        assert user.ready()["served"] == ["postgres", "redis"]
