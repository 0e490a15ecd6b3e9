"""`make reset` deletes only after the word and a backup that can be read, and never under running servers."""

import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from annotator.embedded import postgres
from annotator.embedded.paths import REPOSITORY, State

from .conftest import User, servers_gone


@pytest.fixture
def reset(clean_environment: dict[str, str]) -> Callable[[str], subprocess.CompletedProcess[str]]:
    def run(answer: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "annotator.embedded.reset"],
            cwd=REPOSITORY,
            env=clean_environment,
            input=answer,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.fixture
def filled(state: State, start_user: Callable[..., User]) -> User:
    """Someone who uses a database with a row and a media file."""
    user = start_user()
    with psycopg.connect(user.ready()["DATABASE_URL"]) as connection:
        connection.execute("CREATE TABLE kept (line text)")
        connection.execute("INSERT INTO kept VALUES ('愤怒')")
    (state.root / "media" / "片段.mp4").write_bytes(b"media")
    return user


def backups(state: State) -> list[Path]:
    return list(state.root.parent.glob("*-backup-*.tar"))


def test_it_refuses_while_the_servers_run(state: State, filled: User, reset: Callable[..., object]) -> None:
    done = reset("delete\n")
    assert done.returncode == 1
    assert done.stderr == "Nothing was deleted: the database is in use by a command. Stop it first.\n"
    assert (state.root / "media" / "片段.mp4").exists()


@pytest.mark.parametrize("answer", ["", "yes\n", "DELETE\n"])
def test_any_other_word_deletes_nothing(state: State, filled: User, reset: Callable[..., object], answer: str) -> None:
    filled.leave()
    assert servers_gone(state)
    done = reset(answer)
    assert (done.returncode, done.stderr) == (1, "Nothing was deleted.\n")
    assert (state.root / "media" / "片段.mp4").exists()
    assert backups(state) == []


def test_the_backup_holds_the_database_and_the_media(
    state: State, filled: User, reset: Callable[..., object], tmp_path: Path, start_user: Callable[..., User]
) -> None:
    filled.leave()
    assert servers_gone(state)
    done = reset("delete\n")
    assert done.returncode == 0, done.stderr
    assert list(state.root.iterdir()) == []
    (backup,) = backups(state)
    assert str(backup) in done.stdout
    assert backup.stat().st_mode & 0o777 == 0o600
    with tarfile.open(backup) as archive:
        archive.extractall(tmp_path / "out", filter="data")
    assert (tmp_path / "out" / "media" / "片段.mp4").read_bytes() == b"media"
    url = start_user().ready()["DATABASE_URL"]
    restore = [
        str(postgres.binaries() / "pg_restore"),
        "--no-owner",
        "-d",
        url,
        str(tmp_path / "out" / "database.dump"),
    ]
    subprocess.run(restore, check=True, capture_output=True)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT line FROM kept").fetchone() == ("愤怒",)


def test_there_may_be_nothing_to_delete(state: State, reset: Callable[..., object]) -> None:
    done = reset("delete\n")
    assert done.returncode == 0
    assert "nothing to delete" in done.stdout
    assert not state.root.exists()
