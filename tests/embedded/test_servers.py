"""The embedded servers: shared, durable, gone with their last user."""

import os
import signal
import stat
import time
from collections.abc import Callable

import psycopg
import redis
from kombu import Connection

from annotator.embedded.paths import State

from .conftest import User, processes, servers_gone


def eventually(happens: Callable[[], bool], seconds: float = 15.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if happens():
            return True
        time.sleep(0.05)
    return False


def write_row(url: str, text: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (line text)")
        connection.execute("INSERT INTO kept VALUES (%s)", [text])


def rows(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [line for (line,) in connection.execute("SELECT line FROM kept ORDER BY line")]


def answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def holder_of(state: State) -> int:
    """The parent of the postmaster."""
    postmaster = int((state.postgres_data / "postmaster.pid").read_text().split()[0])
    with open(f"/proc/{postmaster}/stat") as file:
        return int(file.read().rsplit(")", 1)[1].split()[1])


def test_two_commands_at_once_share_the_servers_which_end_with_the_last(
    state: State, start_user: Callable[..., User]
) -> None:
    first, second = start_user(), start_user()
    addresses = first.ready()
    assert second.ready() == addresses
    assert len([pid for pid in processes(state) if pid == first.postmaster()]) == 1
    first.leave()
    time.sleep(2.0)
    assert answers(addresses["DATABASE_URL"])
    second.leave()
    assert servers_gone(state, seconds=6)


def test_data_is_kept_from_one_command_to_the_next(state: State, start_user: Callable[..., User]) -> None:
    first = start_user()
    addresses = first.ready()
    write_row(addresses["DATABASE_URL"], "愤怒")
    redis.Redis.from_url(addresses["REDIS_URL"]).rpush("tasks", "一")
    first.leave()
    assert servers_gone(state)
    again = start_user().ready()
    assert rows(again["DATABASE_URL"]) == ["愤怒"]
    assert redis.Redis.from_url(again["REDIS_URL"]).lrange("tasks", 0, -1) == ["一".encode()]


def test_celerys_client_reads_the_broker_address(start_user: Callable[..., User]) -> None:
    with Connection(start_user().ready()["BROKER_URL"]) as broker:
        queue = broker.SimpleQueue("cpu")
        queue.put({"clip": "片段"})
        assert queue.get(timeout=5).payload == {"clip": "片段"}


def test_a_killed_postgres_comes_back_with_every_acknowledged_row(start_user: Callable[..., User]) -> None:
    user = start_user()
    url = user.ready()["DATABASE_URL"]
    killed = user.postmaster()
    write_row(url, "kept")
    os.kill(killed, signal.SIGKILL)
    assert eventually(lambda: answers(url))
    assert rows(url) == ["kept"]
    assert user.postmaster() != killed


def test_a_killed_redis_comes_back_with_every_acknowledged_task(start_user: Callable[..., User]) -> None:
    broker = redis.Redis.from_url(start_user().ready()["REDIS_URL"])
    for number in range(100):
        broker.rpush("tasks", number)
    os.kill(broker.info("server")["process_id"], signal.SIGKILL)

    def back() -> bool:
        try:
            return broker.llen("tasks") == 100
        except redis.ConnectionError:
            return False

    assert eventually(back)


def test_when_the_holder_is_killed_its_servers_end_and_the_next_command_has_them_again(
    state: State, start_user: Callable[..., User]
) -> None:
    url = start_user().ready()["DATABASE_URL"]
    write_row(url, "kept")
    os.kill(holder_of(state), signal.SIGKILL)
    assert eventually(lambda: not answers(url))
    assert rows(start_user().ready()["DATABASE_URL"]) == ["kept"]


def test_nothing_goes_on_when_the_only_user_is_killed(state: State, start_user: Callable[..., User]) -> None:
    user = start_user()
    user.ready()
    user.process.kill()
    assert servers_gone(state, seconds=6)


def test_a_stale_pid_file_with_a_strangers_number_does_not_stop_the_start(
    state: State, start_user: Callable[..., User]
) -> None:
    user = start_user()
    write_row(user.ready()["DATABASE_URL"], "kept")
    lines = (state.postgres_data / "postmaster.pid").read_text().split("\n")
    user.leave()
    assert servers_gone(state)
    lines[0] = str(os.getppid())
    (state.postgres_data / "postmaster.pid").write_text("\n".join(lines))
    assert rows(start_user().ready()["DATABASE_URL"]) == ["kept"]


def test_an_interrupted_first_start_is_done_again(state: State, start_user: Callable[..., User]) -> None:
    half = state.postgres_data.with_name("data.new")
    half.mkdir(parents=True, mode=0o700)
    (half / "PG_VERSION").write_text("18\n")
    assert answers(start_user().ready()["DATABASE_URL"])
    assert not half.exists()


def test_a_server_that_the_environment_names_is_not_started(state: State, start_user: Callable[..., User]) -> None:
    elsewhere = {"DATABASE_URL": "postgres://db.example/x", "BROKER_URL": "redis://broker.example"}
    assert start_user(**elsewhere).ready()["served"] == []
    assert not state.root.exists()
    addresses = start_user(DATABASE_URL=elsewhere["DATABASE_URL"]).ready()
    assert addresses["served"] == ["redis"]
    assert addresses["DATABASE_URL"] == elsewhere["DATABASE_URL"]
    assert not state.postgres_data.exists()


def test_a_second_command_may_want_a_server_that_the_first_did_not(start_user: Callable[..., User]) -> None:
    start_user(DATABASE_URL="postgres://db.example/x").ready()
    assert answers(start_user().ready()["DATABASE_URL"])


def test_state_is_private_and_stays_the_callers(state: State, start_user: Callable[..., User]) -> None:
    start_user().ready()
    for path in (state.root, state.run, state.postgres_data, state.redis_data, state.logs):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
    for path in (state.postgres_password, state.postgres_superuser_password):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert state.postgres_data.stat().st_uid == os.geteuid()


def test_the_applications_role_is_no_superuser(start_user: Callable[..., User]) -> None:
    with psycopg.connect(start_user().ready()["DATABASE_URL"]) as connection:
        found = connection.execute(
            "SELECT rolsuper, rolcreatedb, current_setting('fsync'), current_setting('listen_addresses'),"
            " (SELECT datlocale FROM pg_database WHERE datname = current_database())"
            " FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert found == (False, True, "on", "", "C.UTF-8")
