"""Way 3 in an environment of its own: a bare Python with two copied files, asked in a run of the workbench."""

import io
import os
import shutil
import subprocess
import venv
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotator.prelabels import services
from annotator.prelabels.models import Clue, PreLabeller
from models_ml.llm import Endpoint, ModelFailure
from models_ml.mllm import describe_frames
from tests.annotator.prelabels.material import add_voice, tone
from tests.support import factories as make
from tests.support.tiny_media import picture

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with nothing but Python, and beside it the server's one file and an adapter."""
    folder = tmp_path_factory.mktemp("elsewhere")
    venv.create(folder / "env", with_pip=False, system_site_packages=False)
    for source in ("models_ml/serve.py", "docs/adapters/level.py", "docs/adapters/salmonn.py"):
        shutil.copy(ROOT / source, folder)
    return folder


def bare(environment: Path, *words: str) -> dict[str, Any]:
    """How to run its Python: nothing of this project is on its path."""
    return {
        "args": [str(environment / "env/bin/python"), *words],
        "cwd": environment,
        "env": {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in os.environ},
        "text": True,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
    }


@pytest.fixture(scope="module")
def adapter(environment: Path) -> Iterator[str]:
    with subprocess.Popen(**bare(environment, "serve.py", "level:describe", "--port", "0")) as process:
        try:
            yield process.stdout.readline().strip()  # type: ignore[union-attr]
        finally:
            process.terminate()


def test_the_environment_has_nothing_of_this_one(environment: Path) -> None:
    code = "import importlib.util as u; print([u.find_spec(n) for n in ('torch', 'PIL', 'django', 'models_ml')])"
    done = subprocess.run(**bare(environment, "-c", code), check=True)
    assert done.stdout.strip() == "[None, None, None, None]"


@pytest.mark.django_db
def test_its_function_hears_the_clip_and_its_sentence_becomes_a_clue(
    adapter: str, settings: Any, tmp_path: Path
) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"
    corpus = make.create_corpus("lab", language="en")
    clip = add_voice(make.create_clip(corpus, "one"), tmp_path)
    PreLabeller.objects.create(
        name="level", kind="server", modality="audio", model="describe", base_url=adapter, trust="inside"
    )
    run = services.create_run(None, corpus, prelabellers=["level"])
    assert [services.run_job(job.pk) for job in run.jobs.all()] == ["done"]
    clue = Clue.objects.get()
    with wave.open(io.BytesIO(tone(180.0, phase=clip.pk / 1000))) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
    expected = -10 * np.log10(np.mean(samples**2))
    assert clue.text == f"The sound has a level of {expected:.1f} dB below full scale."
    assert clue.prelabeller.name == "level"
    assert run.jobs.get().provenance["model"] == "describe"


def test_without_pillow_it_says_that_it_takes_no_pictures(adapter: str) -> None:
    with pytest.raises(ModelFailure, match="no Pillow, so it takes no pictures") as caught:
        describe_frames(Endpoint(adapter, "describe", max_retries=0, trust="inside"), [picture()], "?")
    assert caught.value.code == "http_400"


def test_the_research_adapter_says_at_once_what_it_lacks(environment: Path) -> None:
    """SALMONN's own code and weights are not here; its adapter names what to set instead of failing at the first
    clip."""
    done = subprocess.run(**bare(environment, "serve.py", "--factory", "salmonn:load", "--port", "0"), check=False)
    assert done.returncode == 2
    assert "set SALMONN_CONFIG" in done.stderr
