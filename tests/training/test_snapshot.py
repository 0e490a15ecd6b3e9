"""A snapshot is read only when its bytes are those of its digest."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training import world
from training.errors import UsageError
from training.snapshot import read_snapshot


def test_records_splits_and_grouping_are_read(snapshot: Path) -> None:
    read = read_snapshot(snapshot)
    assert (len(read.records), sorted(read.splits), read.grade) == (10, ["test", "train"], "fine")
    assert read.group_by == ("source", "speaker")
    assert read.training_split() == "train"
    assert [record.clip for record in read.split("test")] == ["clip_08", "clip_09"]
    assert read.records["clip_03"].description["zh"] == "人物的语气和表情说明其惊讶。"


def test_rejected_clues_are_left_out(tmp_path: Path) -> None:
    clues = [{"text": "保留", "verdict": "kept"}, {"text": "wrong", "verdict": "rejected"}]
    read = read_snapshot(world.write_snapshot(tmp_path / "s", [world.record(0, clues=clues)]))
    assert [clue["text"] for clue in read.records["clip_00"].clues] == ["保留"]


def test_a_line_separator_inside_a_text_is_no_line_end(tmp_path: Path) -> None:
    row = world.record(0, description={"en": "one\u2028two", "zh": None})
    read = read_snapshot(world.write_snapshot(tmp_path / "s", [row]))
    assert read.records["clip_00"].description["en"] == "one\u2028two"


def test_changed_bytes_are_refused_and_named(tmp_path: Path) -> None:
    folder = world.write_snapshot(tmp_path / "s", [world.record(0)])
    with open(folder / "records.jsonl", "a") as file:
        file.write(" ")
    with pytest.raises(UsageError, match="records.jsonl does not match"):
        read_snapshot(folder)


def test_a_manifest_of_another_digest_is_refused(tmp_path: Path) -> None:
    folder = world.write_snapshot(tmp_path / "s", [world.record(0)])
    manifest = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(manifest.replace('"digest": "', '"digest": "0'))
    with pytest.raises(UsageError, match="names digest"):
        read_snapshot(folder)


@pytest.mark.parametrize("path", ["../records.jsonl", "/etc/passwd", "a\\b"])
def test_a_path_outside_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    folder = world.write_snapshot(tmp_path / "s", [world.record(0)])
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  {path}\n")
    with pytest.raises(UsageError, match="line 1"):
        read_snapshot(folder)


def test_a_folder_that_is_none_and_a_split_that_is_missing_are_named(tmp_path: Path, snapshot: Path) -> None:
    with pytest.raises(UsageError, match="not a snapshot folder: SHA256SUMS"):
        read_snapshot(tmp_path)
    with pytest.raises(UsageError, match="no split 'dev'; it has: test, train"):
        read_snapshot(snapshot).split("dev")


def test_a_manifest_that_is_no_text_and_a_clip_named_twice_are_usage_errors(tmp_path: Path) -> None:
    rows = [world.record(0), world.record(0)]
    with pytest.raises(UsageError, match="line 2: clip 'clip_00' stands there twice"):
        read_snapshot(world.write_snapshot(tmp_path / "twice", rows))
    folder = world.write_snapshot(tmp_path / "bytes", [world.record(0)])
    (folder / "manifest.json").write_bytes(b"\xff")
    with pytest.raises(UsageError, match="not JSON"):
        read_snapshot(folder)
