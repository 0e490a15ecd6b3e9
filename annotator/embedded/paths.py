"""Where state lives: one private folder, `var/` beside manage.py unless WORKBENCH_VAR names another."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from .errors import EmbeddedError

REPOSITORY = Path(__file__).resolve().parents[2]
SOCKET_PATH_LIMIT = 107  # sun_path is 108 bytes with its closing zero
POSTGRES_SOCKET = ".s.PGSQL.5432"
FOLDERS = ("pg", "redis", "media", "logs", "runs", "run")


@dataclass(frozen=True)
class State:
    """The folder of all state and the names inside it."""

    root: Path

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """Locks and other things that mean nothing after a restart."""
        return self.root / "run"

    @property
    def postgres_data(self) -> Path:
        return self.root / "pg" / "data"

    @property
    def postgres_password(self) -> Path:
        return self.root / "pg" / "password"

    @property
    def postgres_superuser_password(self) -> Path:
        return self.root / "pg" / "superuser-password"

    @property
    def redis_data(self) -> Path:
        return self.root / "redis"

    @property
    def sockets(self) -> Path:
        """`run/`, or a short private folder where that path is too long for a socket or a comma splits it.

        (libpq reads a host as a comma-separated list.)
        """
        if len(os.fsencode(self.run / POSTGRES_SOCKET)) <= SOCKET_PATH_LIMIT and "," not in str(self.run):
            return self.run
        name = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        return Path("/tmp") / f"workbench-{name}"  # noqa: S108 - private() refuses a folder that is not ours

    @property
    def redis_socket(self) -> Path:
        return self.sockets / "redis.sock"

    def database_url(self) -> str:
        """A URL that libpq and dj-database-url both read; without password before the first start."""
        host = quote(str(self.sockets), safe="")
        try:
            password = ":" + self.postgres_password.read_text().strip()
        except OSError:
            password = ""
        return f"postgres://workbench{password}@{host}/workbench"

    def broker_url(self) -> str:
        return f"redis+socket://{quote(str(self.redis_socket))}"

    def redis_url(self) -> str:
        return f"unix://{quote(str(self.redis_socket))}"


def state() -> State:
    """The state folder that WORKBENCH_VAR names, or `var/` beside manage.py. Creates nothing."""
    named = os.environ.get("WORKBENCH_VAR")
    return State(Path(named).expanduser().resolve() if named else REPOSITORY / "var")


def prepare(where: State) -> None:
    """Create the folders, all of them private to their owner.

    Raises EmbeddedError when one cannot be made or a short socket folder belongs to somebody else.
    """
    try:
        where.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(where.root.stat().st_mode) & 0o077 and where.root.stat().st_uid == os.geteuid():
            where.root.chmod(0o700)
        for name in FOLDERS:
            (where.root / name).mkdir(mode=0o700, exist_ok=True)
        where.sockets.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise EmbeddedError(f"Cannot use the state folder {where.root}: {error.strerror}.") from error
    if where.sockets != where.run:
        require_private(where.sockets, where.root.stat().st_uid)


def require_private(folder: Path, owner: int) -> None:
    """Refuse a folder in a shared place that another user could have put there."""
    found = folder.lstat()
    ours = found.st_uid in (owner, os.geteuid())
    if not stat.S_ISDIR(found.st_mode) or not ours or stat.S_IMODE(found.st_mode) & 0o077:
        raise EmbeddedError(f"{folder} is not a private folder of ours: remove it and start again.")


def open_private(path: Path, flags: int) -> int:
    """Open a file that only its owner may touch, made when missing; it belongs to whom its folder belongs.

    Not inherited by programs that this process starts.
    """
    descriptor = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if os.geteuid() == 0:
        folder = path.parent.stat()
        if os.fstat(descriptor).st_uid != folder.st_uid:
            os.fchown(descriptor, folder.st_uid, folder.st_gid)
    return descriptor
