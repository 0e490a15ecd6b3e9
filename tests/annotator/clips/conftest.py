"""Small real media files, made once by ffmpeg, and clips ingested from them."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from .material import make_media


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a.mp4, b.avi (both with sound), silent.mp4 (no audio), sound.mp4 (no video), two.mp4 (two frames)."""
    folder = tmp_path_factory.mktemp("media")
    make_media(folder / "a.mp4")
    make_media(folder / "b.avi", tone=400)
    make_media(folder / "silent.mp4", audio=False)
    make_media(folder / "sound.mp4", video=False)
    make_media(folder / "two.mp4", seconds=0.2, audio=False, tone=2)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "in"
    made.mkdir()
    return made


@pytest.fixture(autouse=True)
def _media_root(settings, tmp_path: Path) -> None:
    """Storage of its own per test."""
    settings.MEDIA_ROOT = tmp_path / "storage"
    settings.VAR = tmp_path / "var"


@pytest.fixture
def corpus(db: None) -> Any:
    from tests.support.factories import create_corpus  # Django's settings are read after this file

    return create_corpus("faces")


@pytest.fixture
def clip(corpus: Any, media: Path, folder: Path) -> Any:
    """A clip with sound and picture, ingested for real."""
    from annotator.clips.ingest import ingest_folder

    shutil.copy(media / "a.mp4", folder / "a.mp4")
    ingest_folder(corpus, folder)
    return corpus.clips.get(name="a")
