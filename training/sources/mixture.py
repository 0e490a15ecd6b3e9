"""The sources beside ``--snapshot``: read, split chosen, media found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..config import Config
from ..errors import UsageError
from ..media import MediaReport, survey
from ..snapshot import Record, Snapshot, read_snapshot


@dataclass
class Source:
    """One entry of data.sources: number from 1 on (0 is --snapshot), the records it gives, their media."""

    number: int
    snapshot: Snapshot
    split: str
    records: list[Record]
    media: MediaReport


def load_sources(config: Config, memo: str | Path | None = None) -> list[Source]:
    """Read data.sources and look up their media.

    memo: the folder that remembers what files hold. Raises UsageError: a source cannot be read, is of another grade
    than the stage trains on, or names no split that is there.
    """
    found = []
    for number, entry in enumerate(config.data.sources, 1):
        if not entry.path:
            raise UsageError(f"config data.sources[{number - 1}].path is not set")
        snapshot = read_snapshot(entry.path)
        if snapshot.grade and snapshot.grade != config.grade:
            raise UsageError(
                f"config data.sources[{number - 1}]: {entry.path} holds {snapshot.grade} records, stage {config.stage} "
                f"trains on {config.grade} ones"
            )
        split = entry.split or snapshot.training_split()
        records = snapshot.split(split)
        found.append(Source(number, snapshot, split, records, survey(records, snapshot, entry.media, config, memo)))
    return found
