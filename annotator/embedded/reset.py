"""`make reset`: delete everything in the state folder, after a backup and the word `delete`.

The backup is a tar beside the state folder: `database.dump` (pg_dump's custom format, for pg_restore) and all files
but the servers' own.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

from . import client, locks, paths, postgres
from .errors import EmbeddedError
from .paths import State, state

NOT_IN_BACKUP = {"pg", "redis", "run", "logs", "static"}  # inside the dump, or made again


def refuse_while_running(where: State) -> None:
    """Raise EmbeddedError when a server or a command uses the state folder."""
    for name, who in (("supervisor", "`make run` is running"), ("holder", "the database is in use by a command")):
        if locks.is_held(where.run / f"{name}.lock"):
            raise EmbeddedError(f"Nothing was deleted: {who}. Stop it first.")


def back_up(where: State) -> Path:
    """Write the backup and return its path. Raises EmbeddedError when it cannot be written whole."""
    backup = where.root.with_name(f"{where.root.name}-backup-{time.strftime('%Y%m%d-%H%M%S')}.tar")
    dump = where.root / "database.dump"
    client.start(where, ("postgres",))
    try:
        pg_dump = str(postgres.binaries() / "pg_dump")
        command = [pg_dump, "--format=custom", f"--file={dump}", where.database_url()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise EmbeddedError(f"Nothing was deleted: pg_dump failed: {done.stderr.strip()}")
        with os.fdopen(os.open(backup, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w") as archive:
                for path in sorted(where.root.iterdir()):
                    if path.name not in NOT_IN_BACKUP:
                        archive.add(path, arcname=path.name)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        backup.unlink(missing_ok=True)
        raise EmbeddedError(f"Nothing was deleted: the backup failed: {error}.") from error
    finally:
        dump.unlink(missing_ok=True)
        client.release(seconds=60)
    return backup


def reset(where: State, answer: str) -> str:
    """Back up and delete when the answer is the word `delete`. Returns a line to print."""
    if answer.strip() != "delete":
        raise EmbeddedError("Nothing was deleted.")
    backup = back_up(where)
    refuse_while_running(where)
    for path in where.root.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return f"Deleted. The backup is {backup}"


def main() -> int:
    where = state()
    if os.environ.get("DATABASE_URL"):
        sys.stderr.write("DATABASE_URL is set: `make reset` deletes only what is embedded.\n")
        return 1
    if not where.postgres_data.exists():
        print(f"There is nothing to delete in {where.root}.")
        return 0
    try:
        paths.prepare(where)
        refuse_while_running(where)
        print(f"This deletes the database and all media in {where.root}.")
        print("Type the word delete to go on: ", end="", flush=True)
        print(reset(where, sys.stdin.readline()))
    except EmbeddedError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
