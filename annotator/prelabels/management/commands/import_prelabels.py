"""`manage.py import_prelabels SLUG FILE`: pre-labels made elsewhere, as `name,text` or AffectGPT's result files."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from annotator.clips.models import Corpus
from annotator.core.commands import JsonCommand
from annotator.prelabels import services
from annotator.prelabels.models import ASPECTS, MODALITIES


class Command(JsonCommand):
    help = "Import pre-labels made elsewhere: CSV or JSONL with name and text, also names,chi_reasons and name,reason."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="the corpus")
        parser.add_argument(
            "file", type=Path, help="CSV with the columns name,text (names,chi_reasons; name,reason), or .jsonl"
        )
        parser.add_argument("--prelabeller", required=True, metavar="NAME", help="who made them")
        parser.add_argument("--modality", required=True, choices=MODALITIES)
        parser.add_argument("--language", required=True, choices=["zh", "en"])
        parser.add_argument("--aspect", choices=[aspect for aspect in ASPECTS if aspect], help="default by modality")

    def run(self, **options: Any) -> dict[str, Any]:
        corpus = Corpus.objects.filter(slug=options["slug"]).first()
        if corpus is None:
            raise CommandError(f"There is no corpus {options['slug']!r}.", returncode=2)
        path: Path = options["file"]
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CommandError(f"The file {path} cannot be read: {error.strerror}.", returncode=2) from error
        return services.import_prelabels(
            None,
            corpus,
            content,
            filename=path.name,
            prelabeller=options["prelabeller"],
            modality=options["modality"],
            language=options["language"],
            aspect=options["aspect"],
        )
