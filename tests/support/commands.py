"""One process that runs management commands one after the other: starting one for each takes seconds.

    python -m tests.support.commands

reads a JSON list of arguments a line and answers each with a line `{"code", "out", "err"}`, as `manage.py` would have
ended and said. It ends with its standard input.
"""

import contextlib
import io
import json
import os
import sys
import traceback
from typing import Any

from annotator.embedded import client, paths, privileges


def execute(arguments: list[str]) -> dict[str, Any]:
    """What `manage.py ARGUMENTS` says and how it ends."""
    from django.core.management import ManagementUtility

    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            ManagementUtility(["manage.py", *arguments]).execute()
        except SystemExit as done:
            code = done.code if isinstance(done.code, int) else int(done.code is not None)
        except Exception:  # noqa: BLE001 - any of them ends a command
            traceback.print_exc()
            code = 1
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


def main() -> None:
    where = paths.state()
    paths.prepare(where)
    if prefix := privileges.stand_in_prefix(where):
        os.execvp(prefix[0], [*prefix, sys.executable, "-m", "tests.support.commands"])
    client.ensure()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "annotator.settings")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a command's libraries print is no answer
    for line in sys.stdin:
        answers.write(json.dumps(execute(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
