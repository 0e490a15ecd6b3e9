"""`manage.py ingest SLUG PATH …` and `manage.py ingest SLUG --manifest FILE`."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from annotator.clips import services
from annotator.clips.ingest import ingest_folder
from annotator.clips.manifest import ingest_manifest
from annotator.core.commands import JsonCommand


class Command(JsonCommand):
    help = "Add clips to a corpus: every media file of a folder, or the rows of a manifest. Safe to repeat."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("path", nargs="?", type=Path, metavar="PATH", help="folder with mp4 avi mkv mov webm")
        parser.add_argument("--subtitles", type=Path, metavar="CSV", help="name, chinese and/or english")
        parser.add_argument("--labels", type=Path, metavar="CSV", help="name,label")
        parser.add_argument("--au", type=Path, metavar="DIR", help="OpenFace CSVs <clip>.csv")
        parser.add_argument(
            "--media", choices=["copy", "reference"], help="default copy; reference needs MEDIA_IMPORT_ROOTS"
        )
        parser.add_argument("--manifest", type=Path, metavar="FILE", help="jsonl, csv or parquet; media is not opened")

    def run(
        self, *, slug: str, path: Path | None, manifest: Path | None, media: str | None, **options: Any
    ) -> dict[str, Any]:
        corpus = services.find_corpus(slug)
        tables = {key: options[key] for key in ("subtitles", "labels", "au")}
        if manifest is not None:
            if path is not None or media is not None or any(tables.values()):
                raise CommandError(
                    "--manifest stands alone: it names media, subtitles and labels itself.", returncode=2
                )
            return ingest_manifest(corpus, manifest).as_dict()
        if path is None:
            raise CommandError("Give a folder, or --manifest FILE.", returncode=2)
        return ingest_folder(corpus, path, keep=media or "copy", **tables).as_dict()
