"""Where state lives, and addresses that every library reads the same way."""

import os
from pathlib import Path

import dj_database_url
import psycopg.conninfo
import pytest
import redis

from annotator.embedded import paths
from annotator.embedded.errors import EmbeddedError
from annotator.embedded.paths import State


def test_the_variable_moves_the_state_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WORKBENCH_VAR", str(tmp_path / "elsewhere"))
    assert paths.state().root == tmp_path / "elsewhere"
    monkeypatch.delenv("WORKBENCH_VAR")
    assert paths.state().root == paths.REPOSITORY / "var"


@pytest.mark.parametrize("name", ["plain", "with space", "情感 工作台", "50%", "a+b"])
def test_addresses_mean_the_same_socket_to_every_library(tmp_path: Path, name: str) -> None:
    state = State(tmp_path / name)
    paths.prepare(state)
    state.postgres_password.write_text("se-cret_1\n")
    url = state.database_url()
    django = dj_database_url.parse(url)
    assert (django["HOST"], django["USER"], django["PASSWORD"]) == (str(state.sockets), "workbench", "se-cret_1")
    libpq = psycopg.conninfo.conninfo_to_dict(url)
    assert (libpq["host"], libpq["dbname"]) == (str(state.sockets), "workbench")
    client = redis.Redis.from_url(state.redis_url())
    assert client.connection_pool.connection_kwargs["path"] == str(state.redis_socket)


@pytest.mark.parametrize("name", ["long-" * 20, "comma,separated"])
def test_a_path_that_no_socket_can_have_gets_a_short_private_folder(tmp_path: Path, name: str) -> None:
    state = State(tmp_path / name)
    assert state.sockets != state.run
    assert len(os.fsencode(state.sockets / paths.POSTGRES_SOCKET)) <= paths.SOCKET_PATH_LIMIT
    paths.prepare(state)
    try:
        assert state.sockets.stat().st_mode & 0o777 == 0o700
        state.sockets.chmod(0o777)
        with pytest.raises(EmbeddedError, match="not a private folder"):
            paths.prepare(state)
    finally:
        state.sockets.rmdir()


def test_an_unusable_state_folder_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EmbeddedError, match=r"Cannot use the state folder .*: Not a directory\."):
        paths.prepare(State(tmp_path / "file" / "var"))
