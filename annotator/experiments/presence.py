"""Which trainers are there: each says so in the database every two seconds, so that a page can tell that none is."""

import importlib.util
from datetime import timedelta

from django.db.models.functions import Now

from .models import Trainer

FRESH = timedelta(seconds=30)  # a trainer that said nothing for longer is not there
FORGOTTEN = timedelta(days=1)
NEEDED = ("torch", "transformers", "safetensors")


def missing() -> list[str]:
    """What training needs and this host lacks."""
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


def say(name: str) -> None:
    """This trainer is there, by the database's clock."""
    Trainer.objects.bulk_create(
        [Trainer(name=name[:255], seen_at=Now())],
        update_conflicts=True, unique_fields=["name"], update_fields=["seen_at"],
    )  # fmt: skip


def leave(name: str) -> None:
    Trainer.objects.filter(name=name[:255]).delete()


def there() -> bool:
    """Whether any trainer is."""
    return Trainer.objects.filter(seen_at__gt=Now() - FRESH).exists()


def forget() -> int:
    """By the sweeper: remove those that have not been there for long."""
    return Trainer.objects.filter(seen_at__lt=Now() - FORGOTTEN).delete()[0]
