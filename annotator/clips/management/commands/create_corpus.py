"""`manage.py create_corpus SLUG …`."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from annotator.clips import services
from annotator.core.commands import JsonCommand


class Command(JsonCommand):
    help = "Create a corpus: clips under one guideline, one set of roles and one licence class."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("--name", default="", metavar="N")
        parser.add_argument(
            "--overlap", type=int, default=1, metavar="K", help="annotations wanted per clip (default 1)"
        )
        parser.add_argument("--review", choices=["required", "none"], default="required")
        parser.add_argument("--licence", choices=["open", "restricted"], default="restricted")
        parser.add_argument("--language", choices=["zh", "en"], default="en", help="of rendered clues (default en)")
        parser.add_argument("--guideline", type=Path, metavar="FILE.md")
        parser.add_argument("--synthetic", action="store_true", help="made by code; marked wherever it is shown")

    def run(self, *, slug: str, guideline: Path | None, **options: Any) -> dict[str, Any]:
        try:
            text = guideline.read_text(encoding="utf-8") if guideline else ""
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{guideline}: {error}", returncode=2) from error
        fields = ("name", "overlap", "review", "licence", "language", "synthetic")
        corpus = services.create_corpus(None, slug, guideline=text, **{key: options[key] for key in fields})
        return {
            "slug": corpus.slug,
            "overlap": corpus.overlap,
            "review": corpus.review,
            "licence": corpus.licence,
        }
