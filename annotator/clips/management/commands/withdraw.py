"""`manage.py withdraw SLUG CLIP --reason R`."""

from argparse import ArgumentParser
from typing import Any

from annotator.clips import services
from annotator.core.commands import JsonCommand
from annotator.core.errors import NotFound


class Command(JsonCommand):
    help = "Withdraw a clip for good: 410 for its media; name and hash stay as a tombstone."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("clip", help="its name")
        parser.add_argument("--reason", required=True)

    def run(self, *, slug: str, clip: str, reason: str, **_: Any) -> dict[str, Any]:
        corpus = services.find_corpus(slug)
        found = corpus.clips.filter(name=clip).first()
        if found is None:
            raise NotFound(f"There is no clip “{clip}” in the corpus “{slug}”.")
        done = services.withdraw_clip(None, found, reason)
        return {"clip": done.name, "withdrawn_at": done.withdrawn_at, "reason": done.withdrawn_reason}
