"""`manage.py prepare`: what `make run` does to the database before it serves: migrate, then bootstrap."""

from django.core.management import call_command
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Bring the database up to date and make what a first start needs (both are quick when done already)."

    def handle(self, *args: object, **options: object) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        call_command("bootstrap")
