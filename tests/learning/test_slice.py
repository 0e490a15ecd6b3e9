"""The slice of the learning demonstration, run as anybody would: real clips, real pre-training, real runs.

A group of its own in scripts/run_tests.py, because it takes minutes. What the sizes are: benchmarks/learning/sizes.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def demonstrate(out: Path) -> str:
    """What `python -m benchmarks.learning --slice` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.learning", "--slice", "--out", str(out)],
        cwd=ROOT, capture_output=True, text=True, timeout=2400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    sys.stderr.write(done.stderr)  # how long each part took, for the log of a run with -s
    return done.stdout


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, Any]]:
    out = tmp_path_factory.mktemp("slice")
    report = demonstrate(out)
    return out, report, json.loads((out / "results.json").read_text())


@pytest.mark.parametrize("alone", ["face", "voice", "words"])
def test_all_modalities_together_tell_what_one_alone_cannot(shown, alone):
    _, _, found = shown
    gain = found["over_alone"][alone]["combination"]
    assert gain["mean"] >= 10, found["modalities"]
    assert gain["ci95"][0] > 0, gain


def test_with_another_clips_evidence_it_knows_no_more_than_how_often_labels_occur(shown):
    _, _, found = shown
    prior = max(figures["all"] for figures in found["prior"].values())
    shuffled = found["shuffled"]["shuffled"]["all"]
    assert shuffled["ci95"][0] <= prior, (shuffled, prior)
    assert found["modalities"]["all three"]["all"]["ci95"][0] > prior + 10


def test_words_alone_tell_the_clips_that_words_tell(shown):
    _, _, found = shown
    told = found["modalities"]["words"]
    assert told["words"]["ci95"][0] > max(told[kind]["ci95"][1] for kind in ("face", "voice", "combination")), told


def test_it_says_that_it_is_synthetic_and_does_nothing_twice(shown):
    out, report, found = shown
    assert found["synthetic"] is True
    assert report.splitlines()[2].startswith("**Synthetic.**")
    before = {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*") if path.is_file()}
    assert demonstrate(out) == report
    assert {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*") if path.is_file()} == before
