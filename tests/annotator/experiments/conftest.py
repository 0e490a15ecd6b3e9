"""A frozen snapshot of one clip; runs and snapshots in a folder of the test."""

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def roots(settings: Any, tmp_path: Path) -> Path:
    settings.SNAPSHOT_ROOT = tmp_path / "snapshots"
    settings.RUNS_ROOT = tmp_path / "runs"
    settings.VAR = tmp_path / "var"
    return tmp_path


@pytest.fixture
def snapshot(roots: Path) -> Any:
    from annotator.snapshots.services import freeze_snapshot  # not before Django has read its settings
    from tests.support.factories import create_clip, create_corpus, create_record

    corpus = create_corpus("study")
    create_record(create_clip(corpus, "样本"))
    return freeze_snapshot(None, corpus, "v1")
