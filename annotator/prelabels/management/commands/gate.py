"""`manage.py gate SLUG`: hold drafted clues against their clips' measurements."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from annotator.clips.models import Corpus
from annotator.core.commands import JsonCommand
from annotator.prelabels import gating


class Command(JsonCommand):
    help = "Judge the clues that the evidence gate, as it is now, has not judged. Go on with the same call."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="the corpus")
        parser.add_argument("--again", action="store_true", help="also those that it has judged already")

    def run(self, **options: Any) -> dict[str, Any]:
        corpus = Corpus.objects.filter(slug=options["slug"]).first()
        if corpus is None:
            raise CommandError(f"There is no corpus {options['slug']!r}.", returncode=2)
        after = gating.mark(corpus, again=options["again"])
        while after is not None:
            after = gating.mark(corpus, again=options["again"], after=after)
        waiting, judged, more = gating.pending(corpus).count(), 0, True
        self.stderr.write(f"{waiting} clues of {corpus.slug} to judge")
        while more:
            n, more = gating.judge_pending(corpus, seconds=10)
            judged += n
            if more:
                self.stderr.write(f"{judged} of {waiting}")
        return {"corpus": corpus.slug, "judged": judged, **gating.counts_of(corpus)}
