"""`manage.py plant SLUG`: an error in every gold clip that has none."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from annotator.checking import planting
from annotator.clips.models import Corpus
from annotator.core.commands import JsonCommand


class Command(JsonCommand):
    help = "Plant an error in each gold clip without one: a kept clue with one claim turned into its opposite."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="the corpus")
        parser.add_argument("--dry-run", action="store_true", help="only show what would be planted")

    def run(self, **options: Any) -> dict[str, Any]:
        corpus = Corpus.objects.filter(slug=options["slug"]).first()
        if corpus is None:
            raise CommandError(f"There is no corpus {options['slug']!r}.", returncode=2)
        return {"corpus": corpus.slug, **planting.plant_all(None, corpus, dry_run=options["dry_run"])}
