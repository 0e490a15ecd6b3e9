"""`manage.py score SLUG`: the active-learning score of every clip with work left."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from annotator.checking import scores
from annotator.clips.models import Corpus
from annotator.core.commands import JsonCommand


class Command(JsonCommand):
    help = "Score a corpus' open slots now. Needs order=active (manage.py rules SLUG --set order=active)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="the corpus")

    def run(self, **options: Any) -> dict[str, Any]:
        corpus = Corpus.objects.filter(slug=options["slug"]).first()
        if corpus is None:
            raise CommandError(f"There is no corpus {options['slug']!r}.", returncode=2)
        if not scores.is_on(corpus.pk):
            raise CommandError(f"{corpus.slug} hands out by age: set order=active first.", returncode=2)
        _rest, changed = scores.score_corpus(corpus)
        return {"corpus": corpus.slug, "slots_changed": changed}
