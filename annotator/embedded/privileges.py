"""PostgreSQL refuses to run as root, so as root the servers run behind a command that gives root up.

Best: a user namespace, in which the same files belong to an ordinary user and stay root's outside.
Where that is forbidden (many containers): the owner of the state folder, or `nobody`, who then owns it.
"""

import functools
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

from .errors import EmbeddedError
from .paths import REPOSITORY, State

NOBODY = 65534
MARK = "WORKBENCH_UNPRIVILEGED"  # set for a process that already went through command_prefix()


def initdb_user() -> int:
    """A uid with a line in the password file: initdb insists on a name for whoever runs it."""
    for uid in (NOBODY, 1000):
        try:
            return pwd.getpwuid(uid).pw_uid
        except KeyError:
            continue
    raise EmbeddedError("As root, PostgreSQL needs a user `nobody` in /etc/passwd, and there is none.")


@functools.cache
def namespace_command() -> tuple[str, ...]:
    """`unshare …` when this machine lets us map ourselves to an ordinary user, else ()."""
    unshare = shutil.which("unshare")
    if unshare is None or os.environ.get("WORKBENCH_NO_NAMESPACE"):
        return ()
    uid = initdb_user()
    command = (unshare, "--user", f"--map-user={uid}", f"--map-group={uid}", "--")
    tried = subprocess.run([*command, "true"], capture_output=True, check=False)
    return command if tried.returncode == 0 else ()


def stand_in(where: State) -> int:
    """The uid that runs the servers where root may not hide in a namespace, or owns the state already."""
    owner = where.root.stat().st_uid
    return owner if owner != 0 else initdb_user()


def command_prefix(where: State, *, keep_file_access: bool = False) -> list[str]:
    """What to put before a command so that it does not run as root: [] for an ordinary user.

    keep_file_access: let the command read and write files as root could (an `ingest` of root's own folder).
    Raises EmbeddedError when giving root up is impossible here.
    """
    if os.geteuid() != 0:
        return []
    owner = where.root.stat().st_uid
    namespace = namespace_command()
    if owner == 0 and namespace:
        return list(namespace)
    uid = stand_in(where)
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise EmbeddedError("As root this needs `unshare` or `setpriv` (util-linux); or start as another user.")
    gid = pwd.getpwuid(uid).pw_gid if owner == 0 else where.root.stat().st_gid
    require_reachable([setpriv, f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--"], uid, where)
    give(where.root, uid, gid)
    if where.sockets != where.run:
        give(where.sockets, uid, gid)
    lent = "+dac_override" if keep_file_access else "-all"
    identity = [f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
    command = [setpriv, *identity, "--inh-caps", lent, "--ambient-caps", lent, "--"]
    return ["env", f"HOME={where.run}", f"{MARK}=1", *command]


def give(folder: Path, uid: int, gid: int) -> None:
    """Hand a folder and all in it to a user, unless it is theirs already."""
    if folder.lstat().st_uid == uid:
        return
    for parent, folders, files in os.walk(folder, topdown=False):
        for name in (*folders, *files):
            os.chown(Path(parent) / name, uid, gid, follow_symlinks=False)
    os.chown(folder, uid, gid)


def require_reachable(command: list[str], uid: int, where: State) -> None:
    """Raise EmbeddedError when that user cannot run this Python or reach the state folder."""
    for path in (sys.executable, str(REPOSITORY), str(where.root.parent)):
        if subprocess.run([*command, "test", "-x", path], check=False).returncode != 0:
            real = os.path.realpath(path)  # an environment's Python is a link to one that may lie in root's home
            raise EmbeddedError(
                f"Root is not allowed a user namespace here, and user {uid} cannot reach {real}: move it "
                "to a folder that everybody may enter, or start as an ordinary user."
            )


def stand_in_prefix(where: State) -> list[str]:
    """For commands of root's: [] where root may stay root, because its files and the servers' are the same.

    Otherwise what makes the command the servers' user, who keeps root's access to files elsewhere.
    """
    if os.geteuid() != 0 or (where.root.stat().st_uid == 0 and namespace_command()):
        return []
    return command_prefix(where, keep_file_access=True)
