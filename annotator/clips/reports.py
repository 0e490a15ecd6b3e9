"""What an ingest did: the same shape for the command, REST and the upload page."""

from dataclasses import dataclass, field
from typing import Any

from .names import shown


@dataclass
class Report:
    """Counts of clips, and lists that name what was not plain."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    duplicates: list[dict[str, str]] = field(default_factory=list)
    repaired: list[dict[str, str]] = field(default_factory=list)
    warnings: list[dict[str, str]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)

    def duplicate(self, name: str, of: str) -> None:
        self.duplicates.append({"name": shown(name), "of": shown(of)})

    def repair(self, name: str, field_name: str, rule: str) -> None:
        self.repaired.append({"name": shown(name), "field": field_name, "rule": rule})

    def warn(self, name: str, reason: str) -> None:
        self.warnings.append({"name": shown(name), "reason": shown(reason)})

    def fail(self, reason: str, *, name: str | None = None, line: int | None = None) -> None:
        """Something that was left out: named by its clip (or file), by its line, or by both."""
        entry: dict[str, Any] = {}
        if name is not None:
            entry["name"] = shown(name)
        if line is not None:
            entry["line"] = line
        self.failed.append({**entry, "reason": shown(reason)})

    def as_dict(self) -> dict[str, Any]:
        return {
            "created": self.created,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "duplicates": self.duplicates,
            "repaired": self.repaired,
            "warnings": self.warnings,
            "failed": self.failed,
        }
