"""`manage.py rules SLUG [--set key=value …]`: how a corpus is checked."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from annotator.checking import rules
from annotator.clips.models import Corpus
from annotator.core.commands import JsonCommand


class Command(JsonCommand):
    help = (
        "Show the rules by which a corpus is checked, or set some of them. Values are JSON; terms=@FILE reads a file."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="the corpus")
        parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help=", ".join(rules.FIELDS))

    def run(self, **options: Any) -> dict[str, Any]:
        corpus = Corpus.objects.filter(slug=options["slug"]).first()
        if corpus is None:
            raise CommandError(f"There is no corpus {options['slug']!r}.", returncode=2)
        values = dict(self._pair(word) for word in options["set"])
        found = rules.change(None, corpus, values) if values else rules.of(corpus)
        return {"corpus": corpus.slug, **rules.as_json(found)}

    def _pair(self, word: str) -> tuple[str, Any]:
        key, sign, text = word.partition("=")
        if not sign:
            raise CommandError(f"{word!r}: wanted key=value", returncode=2)
        if text.startswith("@"):
            try:
                return key, Path(text[1:]).read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise CommandError(f"{key}: {text[1:]}: {error}", returncode=2) from error
        if key in ("terms", "currency", "order"):
            return key, text
        try:
            return key, json.loads(text)
        except ValueError:
            return key, text.split(",") if key == "modes" else text
