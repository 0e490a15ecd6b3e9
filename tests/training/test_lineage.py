"""A leak is found by name, by media and by group, across every stage of a checkpoint's past."""

from __future__ import annotations

from pathlib import Path

from tests.training import world
from training.lineage import describe, entry, leaks, summary
from training.snapshot import Snapshot, read_snapshot


def _snapshot(folder: Path, group_by: tuple[str, ...] = (), **changes: object) -> Snapshot:
    return read_snapshot(world.write_snapshot(folder, [world.record(0, **changes)], group_by=group_by))


def test_name_media_hash_and_grouped_fields_are_compared(tmp_path: Path) -> None:
    seen = _snapshot(tmp_path / "seen", media_sha256="a" * 64, source="film", speaker="王")
    past = [entry(seen, "all", 1, seen.split("all"))]
    cases = {
        "name": {"source": "x", "speaker": "x"},
        "media hash": {"clip": "other", "media_sha256": "a" * 64, "source": "x", "speaker": "x"},
        "speaker": {"clip": "other", "source": "x", "speaker": "王"},
    }
    for by, changes in cases.items():
        now = _snapshot(tmp_path / by, ("speaker",), **changes)
        found = leaks(past, now, now.split("all"))
        assert [leak.by for leak in found] == [by]
        assert "1 of 1 clips under test" in describe(found, 1)


def test_a_shared_speaker_is_no_leak_where_nobody_grouped_by_speaker(tmp_path: Path) -> None:
    seen = _snapshot(tmp_path / "seen", speaker="王")
    now = _snapshot(tmp_path / "now", clip="other", source="x", speaker="王")
    assert leaks([entry(seen, "all", 2, seen.split("all"))], now, now.split("all")) == []


def test_what_is_unknown_matches_nothing(tmp_path: Path) -> None:
    keys = ("source", "speaker")
    seen = _snapshot(tmp_path / "seen", keys, media_sha256=None, source=None, speaker=None)
    now = _snapshot(tmp_path / "now", keys, clip="other", media_sha256=None, source=None, speaker=None)
    assert leaks([entry(seen, "all", 2, seen.split("all"))], now, now.split("all")) == []


def test_the_first_stage_counts_as_well_as_the_last(tmp_path: Path) -> None:
    one, two = _snapshot(tmp_path / "one"), _snapshot(tmp_path / "two", clip="second", source="s", speaker="s")
    past = [entry(one, "train", 1, one.split("all")), entry(two, "all", 2, two.split("all"))]
    assert [leak.snapshot.split("split ")[1] for leak in leaks(past, one, one.split("all"))] == ["train)"]
    assert [stage["clips"] for stage in summary(past)] == [1, 1]
