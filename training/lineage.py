"""Which clips a checkpoint has seen, and the rule that nobody is tested on them.

A lineage is a list of entries, oldest first, one per training stage: the snapshot's digest and the split that was
trained on, with each clip's name, media hash, groups and licence.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from .errors import UsageError
from .snapshot import Record, Snapshot

log = logging.getLogger("training")


@dataclass(frozen=True)
class Leak:
    """A clip of the split under test that the checkpoint may have seen, and by what."""

    clip: str
    by: str  # name | media hash | source | speaker
    value: str
    snapshot: str


def entry(snapshot: Snapshot, split: str, stage: int, records: list[Record]) -> dict[str, Any]:
    """The lineage entry of training on these records of a split."""
    return {
        "digest": snapshot.digest,
        "name": snapshot.name,
        "corpus": snapshot.corpus,
        "grade": snapshot.grade,
        "split": split,
        "stage": stage,
        "group_by": list(snapshot.group_by),
        "synthetic": snapshot.synthetic,
        "clips": [
            {"clip": row.clip, "sha256": row.media_sha256, "source": row.source, "speaker": row.speaker,
             "licence": row.licence}
            for row in records
        ],
    }  # fmt: skip


def is_entry(value: Any) -> bool:
    """Whether a value read from a file is such an entry."""
    return (
        isinstance(value, dict)
        and all(isinstance(value.get(key), str) for key in ("digest", "name", "split"))
        and all(isinstance(value.get(key), list) for key in ("group_by", "clips"))
        and all(isinstance(clip, dict) for clip in value["clips"])
    )


def summary(lineage: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lineage with counts in place of the clips, for run.json."""
    return [{**stage, "clips": len(stage["clips"])} for stage in lineage]


def leaks(lineage: list[dict[str, Any]], snapshot: Snapshot, records: list[Record]) -> list[Leak]:
    """The records under test that stand in the lineage, each once, in the records' order.

    Groups count when either side's snapshot was split by them. Names count within one corpus name or another alike:
    the same clip name in two corpora is the same published clip.
    """
    found: dict[str, Leak] = {}
    for stage in lineage:
        where = f"{stage['name']} ({stage['digest'][:12]}, split {stage['split']})"
        keys = [("name", "clip", "clip"), ("media hash", "sha256", "media_sha256")]
        keys += [(group, group, group) for group in sorted({*stage["group_by"], *snapshot.group_by})]
        for by, theirs, ours in keys:
            seen = {row[theirs] for row in stage["clips"] if row.get(theirs)}
            for record in records:
                value = getattr(record, ours)
                if value in seen and record.clip not in found:
                    found[record.clip] = Leak(record.clip, by, value, where)
    return [found[record.clip] for record in records if record.clip in found]


def describe(found: list[Leak], total: int) -> str:
    first = found[0]
    return (
        f"leak: {len(found)} of {total} clips under test were seen in training; first {first.clip}, by {first.by} "
        f"{first.value!r} in {first.snapshot}"
    )


def refuse_leak(lineage: list[dict[str, Any]], snapshot: Snapshot, records: list[Record], allow: bool) -> str | None:
    """Print what leaks, first of all. Returns that line when it is allowed; raises UsageError when it is not."""
    found = leaks(lineage, snapshot, records)
    if not found:
        return None
    message = describe(found, len(records))
    if not allow:
        raise UsageError(f"{message}; to go on all the same, use --allow-leak")
    log.warning("%s (allowed by --allow-leak)", message)
    return message
