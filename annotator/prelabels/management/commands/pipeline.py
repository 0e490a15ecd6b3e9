"""`manage.py pipeline define NAME FILE | list | show NAME [--version N]`: pipelines of one's own."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from annotator.core.commands import JsonCommand
from annotator.prelabels import pipelines, plans
from annotator.prelabels.keys import step_name
from annotator.prelabels.models import Pipeline
from models_ml.steps import PIPELINES


class Command(JsonCommand):
    help = "Write, list and show pipelines. A changed one is a new version; runs keep the version that they took."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="define|list|show")
        define = verbs.add_parser("define", help="make the file the newest version of a pipeline")
        define.add_argument("name")
        define.add_argument("file", type=Path, help="YAML or JSON: a list of steps")
        verbs.add_parser("list", help="all pipelines with their newest versions")
        show = verbs.add_parser("show", help="one pipeline as it is run")
        show.add_argument("name")
        show.add_argument("--version", type=int, dest="number", metavar="N", help="default: the newest")
        for each in (define, verbs.choices["list"], show):  # also after the verb, where one would type it
            each.add_argument("--json", action="store_true", default=False, dest="json_too")

    def handle(self, *args: Any, **options: Any) -> None:
        options["json"] = options.pop("json_too", False) or options["json"]
        super().handle(*args, **options)

    def run(self, **options: Any) -> dict[str, Any]:
        if options["verb"] == "define":
            return _shown(pipelines.define(None, options["name"], _read(options["file"])))
        if options["verb"] == "list":
            built_in = [
                {"name": name, "builtin": True, "version": None, **_steps(plan.definition)}
                for name, plan in ((name, plans.plan_for(name)) for name in PIPELINES)
            ]
            return {"pipelines": built_in + [_shown(row) for row in pipelines.newest()]}
        return self._show(options["name"], options["number"])

    def _show(self, name: str, number: int | None) -> dict[str, Any]:
        rows = Pipeline.objects.filter(name=name).order_by("-version")
        row = (rows.filter(version=number) if number is not None else rows).first()
        if number is None and (row is None or name in PIPELINES):
            plan = plans.plan_for(name)
            known = plans.known_row(plan)
            return {"name": name, "version": known.version if known else None, **plan.definition}
        if row is None:
            raise CommandError(f"The pipeline {name!r} has no version {number}.", returncode=2)
        return {**_shown(row), **row.definition, "declaration": row.declaration}

    def summary(self, result: dict[str, Any]) -> str:
        rows = result.get("pipelines", [result])
        return "\n".join(
            f"{row['name']} v{row['version'] or '-'}: "
            + ", ".join(row.get("step_names") or [step_name(step["key"], row) for step in row["steps"]])
            for row in rows
        )


def _shown(row: Pipeline) -> dict[str, Any]:
    return {"name": row.name, "builtin": False, "version": row.version, "sha256": row.sha256, **_steps(row.definition)}


def _steps(definition: dict[str, Any]) -> dict[str, list[str]]:
    """The keys of the steps, and how people read them."""
    keys = [step["key"] for step in definition.get("steps", [])]
    return {"steps": keys, "step_names": [step_name(key, definition) for key in keys]}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"The file {path} cannot be read: {error}", returncode=2) from error
