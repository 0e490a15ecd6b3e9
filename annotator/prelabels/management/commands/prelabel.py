"""`manage.py prelabel SLUG`: start a run; with --wait, stay until it has ended."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from annotator.clips.models import Corpus
from annotator.core.commands import JsonCommand
from annotator.prelabels import queries, services
from annotator.prelabels.models import Run

REPORTED = ("done", "failed", "skipped", "cancelled")


class Command(JsonCommand):
    help = "Pre-label the clips of a corpus: a pipeline, or single pre-labellers. Skipped jobs are warnings."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="the corpus")
        parser.add_argument("--pipeline", help="measured, emer or merr (default: measured)")
        parser.add_argument(
            "--prelabeller",
            action="extend",
            nargs="+",
            metavar="NAME",
            help="only these steps or registered models; may be given several times",
        )
        parser.add_argument("--clips", type=Path, metavar="FILE", help="only the clips named in FILE, one a line")
        parser.add_argument("--wait", action="store_true", help="stay until the run has ended")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")

    def run(self, **options: Any) -> dict[str, Any]:
        corpus = Corpus.objects.filter(slug=options["slug"]).first()
        if corpus is None:
            raise CommandError(f"There is no corpus {options['slug']!r}.", returncode=2)
        chosen = {
            "prelabellers": options["prelabeller"],
            "clip_names": _names(options["clips"]) if options["clips"] else None,
        }
        if options["dry_run"]:
            found = services.estimate(corpus, options["pipeline"], **chosen)
            jobs = {**dict.fromkeys(REPORTED, 0), "estimated": found.pop("jobs")}
            return {"run": None, "state": "dry-run", "jobs": jobs, "failed": [], **found}
        run = services.create_run(None, corpus, options["pipeline"], **chosen)
        self.stderr.write(f"run {run.pk}: {run.pipeline} over {corpus.slug}")
        if options["wait"]:
            run = services.wait_for(run, say=self.stderr.write)
        return report(run)

    def summary(self, result: dict[str, Any]) -> str:
        if result["run"] is None:
            lines = [f"would make {result['jobs']['estimated']} jobs over {result['clips']} clips"]
            return "\n".join(lines + [f"  {item['step']}: {item['reason']}" for item in result["obstacles"]])
        counts = ", ".join(f"{number} {state}" for state, number in result["jobs"].items() if number)
        lines = [f"run {result['run']} is {result['state']}: {counts or 'no jobs'}"]
        lines += [f"  failed  {item['name']} {item['step']}: {item['reason']}" for item in result["failed"]]
        lines += [f"  skipped {item['name']} {item['step']}: {item['reason']}" for item in result["warnings"]]
        return "\n".join(lines)


def report(run: Run) -> dict[str, Any]:
    """The JSON result; while the run goes on, also its open jobs."""
    counts = queries.run_counts(run)
    jobs = {state: counts[state] for state in REPORTED}
    jobs |= {state: counts[state] for state in ("queued", "running") if counts[state]}
    return {
        "run": run.pk,
        "state": run.state,
        "jobs": jobs,
        "failed": queries.failed_for_report(run),
        "warnings": queries.skipped_for_report(run),
    }


def _names(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"The file {path} cannot be read: {error}", returncode=2) from error
