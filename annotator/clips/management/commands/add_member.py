"""`manage.py add_member SLUG USER --role R [--create] [--remove]`."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction

from annotator.accounts.models import User
from annotator.accounts.services import create_person, find_person
from annotator.clips import services
from annotator.core.commands import JsonCommand
from annotator.core.permissions import ROLES


class Command(JsonCommand):
    help = "Give a person a role on a corpus, or take it away. Roles add up."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("user")
        parser.add_argument("--role", choices=ROLES, required=True)
        parser.add_argument(
            "--create", action="store_true", help="create the person with a random password, shown once"
        )
        parser.add_argument("--remove", action="store_true", help="take the role away")

    @transaction.atomic
    def run(self, *, slug: str, user: str, role: str, create: bool, remove: bool, **_: Any) -> dict[str, Any]:
        if create and remove:
            raise CommandError("--create and --remove exclude each other.", returncode=2)
        corpus = services.find_corpus(slug)
        password = None
        if create and not User.objects.filter(username=user).exists():
            person, password = create_person(None, user)
        else:
            person = find_person(user)
        result = {"user": person.username, "role": role, "created": password is not None, "password": password}
        if remove:
            return {**result, "removed": services.remove_member(None, corpus, person, role)}
        services.add_member(None, corpus, person, role)
        return result
