"""`manage.py freeze SLUG NAME`: an immutable snapshot of the corpus' current records."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from annotator.clips.models import Corpus
from annotator.core.commands import JsonCommand
from annotator.snapshots import services, splits


class Command(JsonCommand):
    help = "Freeze the current records of a corpus as an immutable, content-addressed snapshot."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="the corpus")
        parser.add_argument("name", help="the snapshot's name, unique in the corpus")
        parser.add_argument("--grade", choices=["fine", "coarse"], default="fine")
        parser.add_argument("--split", help="train=0.8,test=0.2 (shares) or train=266,test=66 (counts)")
        parser.add_argument("--group-by", default="source,speaker", help="source, speaker, both, or none")
        parser.add_argument("--seed", type=int, default=0)

    def run(self, **options: Any) -> dict[str, Any]:
        corpus = Corpus.objects.filter(slug=options["slug"]).first()
        if corpus is None:
            raise CommandError(f"There is no corpus “{options['slug']}”.", returncode=2)
        snapshot = services.freeze_snapshot(
            None,
            corpus,
            options["name"],
            grade=options["grade"],
            sizes=splits.parse_sizes(options["split"]) if options["split"] else None,
            group_by=services.parse_group_by(options["group_by"]),
            seed=options["seed"],
        )
        return {
            "id": snapshot.pk,
            "name": snapshot.name,
            "digest": snapshot.digest,
            "counts": snapshot.manifest["counts"],
            "splits": snapshot.manifest["splits"],
            "path": str(services.folder_of(snapshot)),
        }
