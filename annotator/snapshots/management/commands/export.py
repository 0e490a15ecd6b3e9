"""`manage.py export SNAPSHOT --format F --out PATH`."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from annotator.core.commands import JsonCommand
from annotator.snapshots import exports, queries


class Command(JsonCommand):
    help = "Export a snapshot to a file or folder that other tools read."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("snapshot", help="id, corpus/name, or at least 12 hex digits of the digest")
        parser.add_argument("--format", required=True, choices=[*exports.FOLDERS, *exports.FORMATS])
        parser.add_argument("--out", required=True, type=Path, help="a file, or a folder for folder formats")
        parser.add_argument("--media", choices=["none", "link", "copy"], default="none")

    def run(self, **options: Any) -> dict[str, Any]:
        snapshot = queries.find_snapshot(None, options["snapshot"])
        if snapshot is None:
            raise CommandError(f"There is no snapshot “{options['snapshot']}”.", returncode=2)
        out = options["out"].resolve()
        try:
            return exports.export(snapshot, options["format"], out, options["media"])
        except OSError as error:
            raise CommandError(f"{error.filename or out}: {error.strerror or error}", returncode=2) from error
