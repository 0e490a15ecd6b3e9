"""Fixtures of the pre-labelling tests: clips with a voice and a face, a scripted model server."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import translation

from tests.support import scripted_server

if TYPE_CHECKING:
    from annotator.clips.models import Clip, Corpus

MODEL_VARIABLES = [
    f"{prefix}_{name}"
    for prefix in ("LLM", "PRELABEL")
    for name in (
        *("BASE_URL", "MODEL", "API_KEY", "TRUST", "TIMEOUT", "MAX_RETRIES", "STREAM"),
        *("CONCURRENCY", "RATE", "PRICE_IN", "PRICE_OUT", "GPUS", "VIDEO", "AUDIO"),
    )
]


@pytest.fixture(autouse=True)
def _own_language() -> Iterator[None]:
    """A page read in Chinese leaves that language on in this thread; the next test begins without one."""
    yield
    translation.deactivate()


@pytest.fixture
def media_root(settings, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = tmp_path / "media"
    return tmp_path


@pytest.fixture
def whole_clip(media_root: Path) -> Callable[..., Any]:
    """Make a clip with subtitle, voice and face."""
    from tests.annotator.prelabels.material import add_face, add_voice
    from tests.support.factories import create_clip

    def make(corpus: "Corpus", name: str | None = None, f0: float = 180.0, **fields: object) -> "Clip":
        clip = add_voice(create_clip(corpus, name, **fields), media_root, f0)
        return add_face(clip, media_root, AU06=1.5, AU12=2.5)

    return make


@pytest.fixture
def no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """No endpoint is configured."""
    for name in MODEL_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def scripted(no_models: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[scripted_server.Running]:
    """Both endpoints point at a scripted server of our own."""
    with scripted_server.running(tmp_path / "calls.jsonl") as server:
        for prefix in ("LLM", "PRELABEL"):
            monkeypatch.setenv(f"{prefix}_BASE_URL", server.base_url)
            monkeypatch.setenv(f"{prefix}_MODEL", "scripted")
            monkeypatch.setenv(f"{prefix}_MAX_RETRIES", "0")
        yield server
