"""The published EMER files give the known counts: these files are no part of this project.

EMER_PUBLISHED names a folder with gt-eng.csv, gt-chi.csv, final-EMER-reason.csv and check-openset.csv.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from models_ml.formats import read_emer_v1, read_emer_v2


@pytest.fixture(scope="module")
def folder() -> Path:
    where = os.environ.get("EMER_PUBLISHED")
    if not where:
        pytest.skip("EMER_PUBLISHED names no folder: the published files are not part of this project")
    return Path(where)


def test_emer_v1(folder: Path) -> None:
    found = read_emer_v1(folder / "gt-eng.csv", folder / "gt-chi.csv")
    assert len(found.rows) == 100
    assert not found.warnings
    assert Counter(row["label"] for row in found.rows) == {
        "angry": 36, "happy": 32, "worried": 17, "sad": 11, "surprise": 4}  # fmt: skip
    empty = [row["clip"][-4:] for row in found.rows if row["subtitle"]["en"] is None]
    assert empty == ["2021", "2449", "3239", "4264", "4422", "5079", "6591"]
    assert empty == [row["clip"][-4:] for row in found.rows if row["subtitle"]["zh"] is None]


def test_emer_v2(folder: Path) -> None:
    found = read_emer_v2(folder / "final-EMER-reason.csv", folder / "check-openset.csv")
    assert len(found.rows) == 332
    assert len({row["name"] for row in found.repaired}) == 88
    assert len(found.warnings) == 10  # Chinese words inside the English text
    assert sum(row["subtitle"]["zh"] is not None for row in found.rows) == 310
    assert sum(len(row["ov_labels"]["en"]) for row in found.rows) == 1121
    assert not any("Input:" in row["description"]["en"] or "Output:" in row["description"]["en"] for row in found.rows)
    clues = Counter(clue["modality"] for row in found.rows for clue in row["clues"] if clue["language"] == "zh")
    assert clues == {"visual": 332 - 3, "audio": 332 - 25, "text": 332 - 20}  # the others say that there is none
    v1 = read_emer_v1(folder / "gt-eng.csv", None)
    assert len({row["clip"] for row in found.rows} & {row["clip"] for row in v1.rows}) == 39
