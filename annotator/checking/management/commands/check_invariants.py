"""`manage.py check_invariants [--json]`: the design's promises, proved on the live data."""

from typing import Any

from annotator.core import invariants
from annotator.core.commands import JsonCommand


class Command(JsonCommand):
    help = "Prove the design's promises on the live data: one holder, kept, once, frozen, … Exit 1 when one is broken."

    def run(self, **options: Any) -> dict[str, Any]:
        broken = invariants.broken()
        return {"ok": not broken, "broken": broken}

    def failed(self, result: dict[str, Any]) -> bool:
        return not result["ok"]

    def summary(self, result: dict[str, Any]) -> str:
        if result["ok"]:
            return f"{len(invariants.CHECKS)} checks, nothing is broken."
        return "\n".join(f"{item['promise']}: {item['object']}: {item['detail']}" for item in result["broken"])
