"""`manage.py thin SLUG --run N`: leave out over-abundant labels, near-duplicates and most neutral clips of a run."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from annotator.core.commands import JsonCommand
from annotator.prelabels.models import Run
from annotator.prelabels.thinning import thin_run, undo_thinning


class Command(JsonCommand):
    help = "Thin the descriptions of a run; what is dropped says why, and --undo takes it back."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="the corpus")
        parser.add_argument("--run", dest="run_id", type=int, required=True, metavar="N", help="the run's number")
        parser.add_argument("--cap", type=int, metavar="N", help="clips that may bear one label (synonyms are one)")
        parser.add_argument(
            "--near-duplicates", type=float, metavar="J", help="drop descriptions this alike, from 0.5 to 1, e.g. 0.8"
        )
        parser.add_argument("--neutral-share", type=float, metavar="S", help="keep this share of neutral clips")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--dry-run", action="store_true", help="only say what would be dropped")
        parser.add_argument("--undo", action="store_true", help="take back everything dropped from this run")

    def run(self, **options: Any) -> dict[str, Any]:
        run = Run.objects.filter(pk=options["run_id"], corpus__slug=options["slug"]).select_related("corpus").first()
        if run is None:
            raise CommandError(f"The corpus {options['slug']!r} has no run {options['run_id']}.", returncode=2)
        rules = {name: options[name] for name in ("cap", "near_duplicates", "neutral_share")}
        if options["undo"]:
            if options["dry_run"] or any(value is not None for value in rules.values()):
                raise CommandError("--undo stands alone.", returncode=2)
            return {"run": run.pk, "taken_back": undo_thinning(run)}
        return thin_run(run, **rules, seed=options["seed"], dry_run=options["dry_run"])
