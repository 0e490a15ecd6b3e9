"""The base of the workbench's own management commands: one JSON object last on stdout, honest exit codes."""

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from .errors import WorkbenchError


class JsonCommand(BaseCommand):
    """Subclass and write `run(**options) -> dict`.

    `--json`: the last line on stdout is that dict; without it, `summary(result)` in words.
    Exit 0: all of it worked; 1: the result has something under `failed`; 2: the call was wrong
    (argparse, CommandError, or a WorkbenchError that left a service). What the system refuses (a folder, disk
    space) is one line, too, and exit code 1.
    """

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.add_argument("--json", action="store_true", help="last line on stdout is one JSON object")
        return parser

    def run(self, *args: Any, **options: Any) -> dict[str, Any]:
        raise CommandError(f"{type(self).__name__} does not say what it does.", returncode=2)

    def summary(self, result: dict[str, Any]) -> str:
        """The result in words; a subclass with more to say overrides it."""
        return "\n".join(
            f"{key}: {json.dumps(value, ensure_ascii=False, default=str)}"
            for key, value in result.items()
            if value not in (None, [], {})
        )

    def failed(self, result: dict[str, Any]) -> bool:
        """Whether the command ends with exit code 1."""
        return bool(result.get("failed"))

    def handle(self, *args: Any, **options: Any) -> None:
        as_json = options.pop("json")
        try:
            result = self.run(**options)
        except WorkbenchError as error:
            raise CommandError(error.message, returncode=2) from error
        except UnicodeEncodeError as error:  # typed in a terminal of another encoding; the database cannot look for it
            raise CommandError(f"Not UTF-8: {ascii(error.object)[:100]}", returncode=2) from error
        except OSError as error:  # a folder that may not be read, no space left; `--traceback` shows where
            raise CommandError(f"{error.filename or type(error).__name__}: {error.strerror or error}") from error
        if as_json:
            self.stdout.write(json.dumps(result, ensure_ascii=False, default=str))
        else:
            self.stdout.write(self.summary(result))
        if self.failed(result):
            self.stdout.flush()
            sys.exit(1)
