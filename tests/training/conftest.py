"""Clips, a snapshot of them, and one fitted run, made once per session."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.training import world
from training.__main__ import main

CLIPS = 10


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten clips that differ in picture and sound, named clip_00.mp4 to clip_09.mp4."""
    folder = tmp_path_factory.mktemp("media")
    for index in range(CLIPS):
        world.write_clip(folder / f"clip_{index:02d}.mp4", index)
    return folder


@pytest.fixture(scope="session")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fine records of the ten clips: eight to train on, two to test."""
    names = [f"clip_{index:02d}" for index in range(CLIPS)]
    return world.write_snapshot(
        tmp_path_factory.mktemp("snapshot") / "one",
        [world.record(index) for index in range(CLIPS)],
        {"train": names[:8], "test": names[8:]},
    )


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fine records of four of the clips, for runs that need no more."""
    rows = [world.record(index) for index in range(4)]
    return world.write_snapshot(
        tmp_path_factory.mktemp("few") / "few", rows, {"train": [row["clip"] for row in rows[:3]], "test": ["clip_03"]}
    )


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run ``python -m training …`` in this process: (exit code, JSON of the last line or None, stderr)."""

    def run(*words: Any) -> tuple[int, dict[str, Any] | None, str]:
        capsys.readouterr()
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        lines = said.out.strip().splitlines()
        return code, json.loads(lines[-1]) if lines else None, said.err

    return run


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory, media: Path, snapshot: Path) -> Path:
    """A run of the overfit config on the eight training clips."""
    run = tmp_path_factory.mktemp("runs") / "overfit"
    code = main(
        ["fit", "--config", "overfit", "--snapshot", str(snapshot), "--media", str(media), "--out", str(run),
         "--no-register"]
    )  # fmt: skip
    assert code == 0
    return run


@pytest.fixture
def quick(few: Path, media: Path) -> list[Any]:
    """Arguments of a fit on three clips that takes two steps."""
    return ["fit", "--config", "tiny", "--snapshot", few, "--media", media, "--no-register",
            "--set", "train.epochs=1", "--set", "train.batch_size=2", "--set", "train.threads=1"]  # fmt: skip
