"""`manage.py gold SLUG FILE`: fine records become gold clips."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from annotator.checking import gold
from annotator.checking.models import PURPOSES, Record
from annotator.clips.models import Corpus
from annotator.core.commands import JsonCommand
from annotator.core.errors import WorkbenchError


class Command(JsonCommand):
    help = "Make the fine records of these clips gold clips. FILE holds one clip's name a line; - reads them from here."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="the corpus")
        parser.add_argument("names", metavar="FILE", help="clip names, one a line")
        parser.add_argument("--purpose", choices=PURPOSES, required=True)

    def run(self, **options: Any) -> dict[str, Any]:
        corpus = Corpus.objects.filter(slug=options["slug"]).first()
        if corpus is None:
            raise CommandError(f"There is no corpus {options['slug']!r}.", returncode=2)
        try:
            lines = Path(options["names"]).read_text("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise CommandError(f"{options['names']}: not UTF-8", returncode=2) from error
        marked, failed = [], []
        for number, name in enumerate(lines, 1):
            if not (name := name.strip()):
                continue
            record = Record.objects.filter(corpus=corpus, clip__name=name, grade="fine", current__isnull=False)
            found = record.select_related("corpus", "clip", "current").first()
            try:
                if found is None:
                    raise CommandError("no fine record of this name")
                gold.mark(None, found, options["purpose"])
                marked.append(name)
            except (WorkbenchError, CommandError) as error:
                failed.append({"line": number, "name": name, "reason": str(error)})
        return {"corpus": corpus.slug, "purpose": options["purpose"], "marked": marked, "failed": failed}
