"""`manage.py find_rare SLUG --label disgust`: clips in which anything speaks of a seldom emotion."""

from itertools import islice
from typing import Any

from django.core.management.base import CommandError, CommandParser

from annotator.clips.models import Corpus
from annotator.core.commands import JsonCommand
from annotator.prelabels.rare import find_rare


class Command(JsonCommand):
    help = "Search action units, labels and descriptions for a seldom emotion, with synonyms in both languages."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="the corpus")
        parser.add_argument("--label", required=True, help="an emotion word in English or Chinese, e.g. disgust")
        parser.add_argument("--run", dest="run_id", type=int, metavar="N", help="only descriptions of this run")
        parser.add_argument("--limit", type=int, default=1000, help="clips listed at most (default: 1000)")

    def run(self, **options: Any) -> dict[str, Any]:
        corpus = Corpus.objects.filter(slug=options["slug"]).first()
        if corpus is None:
            raise CommandError(f"There is no corpus {options['slug']!r}.", returncode=2)
        run = corpus.runs.filter(pk=options["run_id"]).first() if options["run_id"] is not None else None
        if run is None and options["run_id"] is not None:
            raise CommandError(f"The corpus {corpus.slug!r} has no run {options['run_id']}.", returncode=2)
        if options["limit"] < 1:
            raise CommandError("--limit is a number from 1 on.", returncode=2)
        found: Any = find_rare(corpus, options["label"], run=run)
        listed = list(islice(found, options["limit"]))
        return {
            "label": options["label"],
            "clips": len(listed) + sum(1 for _more in found),
            "found": listed,
        }

    def summary(self, result: dict[str, Any]) -> str:
        lines = [f"{item['name']}: {', '.join(item['signs'])}" for item in result["found"]]
        return "\n".join([*lines, f"{result['clips']} clips speak of {result['label']}"])
