"""The list of checks that prove the design's promises on live data. Each room registers its own in `ready()`.

A check reads, never writes; it yields (object, detail) for each thing that does not add up.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection

Finding = tuple[str, str]


@dataclass(frozen=True)
class Check:
    """`promise` is the promise that would be broken: one holder, kept, once, frozen, …"""

    promise: str
    name: str
    find: Callable[[], Iterable[Finding]]


CHECKS: dict[str, Check] = {}


def register(promise: str, name: str, find: Callable[[], Iterable[Finding]]) -> None:
    """Add a check; the same name again replaces it."""
    CHECKS[name] = Check(promise, name, find)


def register_sql(promise: str, name: str, query: str) -> None:
    """Add a check in SQL: a SELECT of (object, detail) of what is broken."""

    def find() -> Iterator[Finding]:
        with connection.cursor() as cursor:
            cursor.execute(query)
            for found, detail in cursor.fetchall():
                yield str(found), str(detail)

    register(promise, name, find)


def broken() -> list[dict[str, Any]]:
    """`[{"promise", "object", "detail"}]` over all checks; [] when every promise holds."""
    return [
        {"promise": check.promise, "object": found, "detail": f"{check.name}: {detail}"}
        for check in CHECKS.values()
        for found, detail in check.find()
    ]
