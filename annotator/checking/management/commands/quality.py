"""`manage.py quality SLUG [--days N] [--dashboard]`."""

from argparse import ArgumentParser
from typing import Any

from annotator.checking.quality import reports, said
from annotator.clips.services import find_corpus
from annotator.core.commands import JsonCommand


class Command(JsonCommand):
    help = "Agreement, what becomes of each pre-labeller's clues and anchoring; or the managers' dashboard."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("--days", type=int, choices=said.PERIODS, default=said.DEFAULT, help="0: everything")
        parser.add_argument(
            "--dashboard", action="store_true", help="progress, throughput, queue, each annotator, time and money"
        )

    def run(self, *, slug: str, days: int, dashboard: bool, **_: Any) -> dict[str, Any]:
        corpus = find_corpus(slug)
        kind = "dashboard" if dashboard else "quality"
        return {"corpus": corpus.slug, "days": days, **reports.counted(corpus, kind, days)}
