"""`manage.py prelabel SLUG`: start a run; with --wait, stay until it has ended. `--resume RUN` lets one go on."""

import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from annotator.clips.models import Corpus
from annotator.core.commands import JsonCommand
from annotator.prelabels import budgets, progress, queries, selection, services, tallies
from annotator.prelabels.models import Run

REPORTED = ("done", "failed", "skipped", "cancelled")
NAMES_SHOWN = 3  # clips of one reason, in the terminal
MOST_REPORTED = 20_000  # failed or skipped jobs named one by one; beyond it the counts tell
SHOWN_EVERY = 1.0  # seconds, in a terminal
SAID_EVERY = 5.0  # seconds, elsewhere


class Command(JsonCommand):
    help = "Pre-label the clips of a corpus: a pipeline, or single pre-labellers. Skipped jobs are warnings."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="the corpus")
        parser.add_argument("--pipeline", help="measured, emer, emer-open, merr or one's own (default: measured)")
        parser.add_argument(
            "--prelabeller",
            action="extend",
            nargs="+",
            metavar="NAME",
            help="only these steps or registered models; with --pipeline: these models in its steps, only these steps",
        )
        parser.add_argument("--clips", type=Path, metavar="FILE", help="only the clips named in FILE, one a line")
        parser.add_argument(
            "--filter",
            action="extend",
            nargs="+",
            metavar="KEY=VALUE",
            help=f"only clips that are so; keys: {', '.join(selection.keys())}",
        )
        parser.add_argument("--budget", metavar="tokens=…,money=…,gpu-seconds=…", help="pause the run at these limits")
        parser.add_argument("--repeat", type=int, default=0, metavar="N", help="ask anew what repetition 0 has cached")
        parser.add_argument("--resume", type=int, metavar="RUN", help="let this paused run go on instead of a new one")
        parser.add_argument("--wait", action="store_true", help="stay until the run has ended or is paused")
        parser.add_argument("--dry-run", action="store_true", help="only say what it would do and take")

    def run(self, **options: Any) -> dict[str, Any]:
        corpus = Corpus.objects.filter(slug=options["slug"]).first()
        if corpus is None:
            raise CommandError(f"There is no corpus {options['slug']!r}.", returncode=2)
        budget = budgets.from_words(options["budget"]) if options["budget"] is not None else None
        if options["resume"] is not None:
            run = self._resumed(corpus, budget, options)
        else:
            chosen = {
                "pipeline_name": options["pipeline"],
                "prelabellers": options["prelabeller"],
                "clip_names": _names(options["clips"]) if options["clips"] else None,
                "only": selection.from_words(options["filter"] or []),
                "budget": budget,
            }
            if options["dry_run"]:
                found = services.estimate(corpus, **chosen)
                jobs = {**dict.fromkeys(REPORTED, 0), "estimated": found.pop("jobs")}
                return {"run": None, "state": "dry-run", "jobs": jobs, "failed": [], **found}
            run = services.create_run(None, corpus, **chosen, repeat=options["repeat"])
        self.stderr.write(f"run {run.pk}: {run.pipeline} over {corpus.slug}")
        if options["wait"]:
            run = services.wait_for(run, say=self.stderr.write, tick=self._ticker())
        return report(run)

    def _resumed(self, corpus: Corpus, budget: dict[str, float] | None, options: dict[str, Any]) -> Run:
        made = ("pipeline", "prelabeller", "clips", "filter", "repeat", "dry_run")
        if given := [name for name in made if options[name]]:
            raise CommandError(f"--resume goes with --budget and --wait only, not --{given[0]}.", returncode=2)
        row = Run.objects.filter(pk=options["resume"], corpus=corpus).select_related("corpus").first()
        if row is None:
            raise CommandError(f"The corpus {corpus.slug!r} has no run {options['resume']}.", returncode=2)
        return services.resume_run(None, row, budget)

    def _ticker(self) -> Callable[[Run], None]:
        """Shows the run's progress: one line that changes in a terminal, a line now and then elsewhere."""
        terminal = getattr(self.stderr, "isatty", lambda: False)()
        at, said = 0.0, ""

        def tick(run: Run) -> None:
            nonlocal at, said
            over = run.finished_at is not None or run.state == "paused"
            if not over and time.monotonic() - at < (SHOWN_EVERY if terminal else SAID_EVERY):
                return
            line = progress.line(run)
            if line != said or over:
                self.stderr.write(f"\r\x1b[K{line}" if terminal else line, ending="\n" if over or not terminal else "")
                self.stderr.flush()
            at, said = time.monotonic(), line

        return tick

    def summary(self, result: dict[str, Any]) -> str:
        if result["run"] is None:
            return "\n".join(_estimated(result))
        counts = ", ".join(f"{number} {state}" for state, number in result["jobs"].items() if number)
        lines = [f"run {result['run']} is {result['state']}: {counts or 'no jobs'}"]
        for state, items in (("failed", result["failed"]), ("skipped", result["warnings"])):
            lines += [f"  {state:<7} {line}" for line in _grouped(items)]
            if (more := result["jobs"][state] - sum(item["name"] is not None for item in items)) > 0:
                lines.append(f"  {state:<7} {more} more, not told here")
        return "\n".join(lines)


def report(run: Run) -> dict[str, Any]:
    """The JSON result; while the run goes on, also its open jobs. A paused run says why under `failed`."""
    totals = tallies.totals(run)
    counts = totals["counts"]
    jobs = {state: counts[state] for state in REPORTED}
    jobs |= {state: counts[state] for state in ("queued", "running") if counts[state]}
    failed = list(islice(queries.failed_for_report(run), MOST_REPORTED))
    if run.state == "paused":
        failed.append({"name": None, "step": None, "step_name": None, "code": "paused", "reason": run.reason})
    return {
        "run": run.pk,
        "state": run.state,
        "jobs": jobs,
        "clips": run.clips,
        "calls": totals["calls"],
        "cached": totals["cached"],
        "spent": budgets.spent_of(totals),
        "failed": failed,
        "warnings": list(islice(queries.skipped_for_report(run), MOST_REPORTED)),
    }


def _grouped(items: list[dict[str, Any]]) -> Iterator[str]:
    """One line for what failed in the same step for the same reason, the most frequent first."""
    groups: dict[tuple[str, str], list[str]] = {}
    for item in items:
        groups.setdefault((item.get("step_name") or "the run", item["reason"]), []).append(item["name"] or "")
    for (step, reason), names in sorted(groups.items(), key=lambda group: -len(group[1])):
        shown = ", ".join(filter(None, names[:NAMES_SHOWN])) + (", …" if len(names) > NAMES_SHOWN else "")
        clips = f"{len(names)} clips ({shown})" if len(names) > 1 else shown
        yield f"{step}{', ' + clips if clips else ''}: {reason}"


def _estimated(result: dict[str, Any]) -> Iterator[str]:
    """A dry run in words."""
    yield f"would make {result['jobs']['estimated']} jobs over {result['clips']} clips, {result['calls']} calls at most"
    for row in result["steps"]:
        if row["note"]:
            yield f"  {row['step_name']}: {row['note']}"
            continue
        figures = [
            f"{budgets.show(row[name])} {unit}"
            for name, unit in (("prompt_tokens", "tokens in"), ("completion_tokens", "tokens out"), ("money", "money"),
                               ("gpu_seconds", "GPU s"), ("seconds", "s of work"))
            if row[name]
        ]  # fmt: skip
        yield f"  {row['step_name']}: {', '.join(figures) or 'next to nothing'} (median of {row['measured_on']} jobs)"
    yield "in all: " + ", ".join(f"{budgets.show(value)} {name}" for name, value in result["totals"].items())
    for name in result["over_budget"]:
        yield f"the budget of {name} would not suffice"
    for item in result["obstacles"]:
        yield f"  {item['step_name']}: {item['reason']}"


def _names(path: Path) -> Iterator[str]:
    """The lines of a file, read as they are asked for. Raises CommandError when it cannot be read."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from file
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"The file {path} cannot be read: {error}", returncode=2) from error
