"""The training benchmark's parts that need no GPU to be right."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from benchmarks.training import LENGTHS, copies, full_size, in_turns, write_descriptions
from training.snapshot import read_snapshot


def clips(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / f"synthetic_{number:05d}.mp4").write_bytes(bytes([number]) * 40)
    return folder


def test_descriptions_are_as_long_as_the_published_ones(tmp_path):
    file = write_descriptions(tmp_path / "descriptions.csv", clips(tmp_path / "clips", 200))
    with file.open(encoding="utf-8", newline="") as lines:
        words = [len(row["english"].split()) for row in csv.DictReader(lines)]
    least, mean, most = LENGTHS
    assert least <= min(words)
    assert max(words) <= most
    assert sum(words) / len(words) == pytest.approx(mean, rel=0.1)
    assert len(read_snapshot(f"emer-v2:{file}").records) == 200


def test_copies_of_a_clip_are_other_files_with_the_same_content(tmp_path):
    source = clips(tmp_path / "clips", 2)
    made = sorted(copies(source, tmp_path / "many").iterdir())
    bytes_of = [path.read_bytes() for path in made]
    assert len(set(bytes_of)) == len(made) > 2
    assert all(any(found.startswith(path.read_bytes()) for path in source.iterdir()) for found in bytes_of)


def test_arms_take_turns():
    order: list[tuple[str, int]] = []
    took = in_turns({name: lambda number, name=name: order.append((name, number)) for name in "ab"})
    assert order[:4] == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert len(took["a"]) == len(took["b"]) < len(order) / 2


def test_a_preset_of_full_size_is_measured_by_the_same_code_on_a_processor():
    found = full_size("tiny", tokens=96, steps=3, device="cpu")
    assert found["trainable"] == 222_976
    assert found["tokens_per_s"] > 0
    assert found["mfu"] > 0
    assert found["largest_batch"] is None  # asked of a GPU only
