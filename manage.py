#!/usr/bin/env python3
"""Django's command line. Starts the embedded PostgreSQL and Redis for as long as the command runs, unless
DATABASE_URL and BROKER_URL name others or WORKBENCH_ENV=production; knows where state lives by WORKBENCH_VAR alone."""

import os
import sys
from pathlib import Path

# Commands that read no data: nothing is started for them.
WITHOUT_SERVERS = {
    *("help", "version", "makemessages", "compilemessages", "compile_messages", "collectstatic", "findstatic"),
    *("startapp", "startproject", "diffsettings", "spectacular"),
}


def wants_servers(arguments: list[str]) -> bool:
    """Whether this call reads or writes data: a command without `--help`."""
    if any(argument in {"-h", "--help", "--version"} for argument in arguments):
        return False
    command = next((argument for argument in arguments if not argument.startswith("-")), "help")
    return command not in WITHOUT_SERVERS


def use_environment() -> None:
    """Go on in `.venv` when started by a Python that lacks Django."""
    python = Path(__file__).resolve().parent / ".venv" / "bin" / "python"
    try:
        import django  # noqa: F401
    except ImportError:
        if not python.exists() or Path(sys.executable) == python:
            sys.exit("Django is not installed in this environment. `make run` sets one up in .venv.")
        os.execv(python, [str(python), *sys.argv])


def start_servers() -> None:
    """Have the embedded servers, or end with one line that says why not."""
    from annotator import embedded
    from annotator.embedded import paths, privileges

    try:
        if embedded.serving():
            paths.prepare(paths.state())
            prefix = privileges.stand_in_prefix(paths.state())
            if prefix:
                os.execvp(prefix[0], [*prefix, sys.executable, *sys.argv])
        embedded.ensure()
    except embedded.EmbeddedError as error:
        sys.exit(f"{error}")


def main() -> None:
    use_environment()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "annotator.settings")
    if os.environ.get("WORKBENCH_ENV") != "production" and wants_servers(sys.argv[1:]):
        start_servers()
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
