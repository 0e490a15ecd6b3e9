"""`manage.py issue_token USER [--scope S …] [--days N]`."""

from argparse import ArgumentParser
from typing import Any

from annotator.accounts import services
from annotator.core.commands import JsonCommand


class Command(JsonCommand):
    help = "Issue an API token; it is shown once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user")
        parser.add_argument(
            "--scope",
            action="extend",
            nargs="+",
            default=[],
            metavar="ACTION",
            help="narrow the token; all the roles allow if left out",
        )
        parser.add_argument(
            "--days", type=int, metavar="N", help="its life in days; without it the token does not expire"
        )

    def run(self, *, user: str, scope: list[str], days: int | None, **_: Any) -> dict[str, Any]:
        person = services.find_person(user)
        token, text = services.issue_token(None, person, scopes=scope, days=days)
        return {
            "token": text,
            "prefix": token.prefix,
            "user": person.username,
            "scopes": token.scopes,
            "expires": token.expires_at.isoformat() if token.expires_at else None,
        }
