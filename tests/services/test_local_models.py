"""Registered models in a workbench: one of transformers inside the worker, one behind an adapter elsewhere."""

from pathlib import Path
from typing import Any

import pytest

from annotator.clips.storage import put_original
from annotator.prelabels import services
from annotator.prelabels.models import Clue, Job, PreLabeller
from models_ml.media import sha256_file
from tests.annotator.prelabels.material import add_voice
from tests.support import factories as make
from tests.support import tiny_llm, tiny_media
from tests.training import world

pytestmark = pytest.mark.django_db


@pytest.fixture
def clip(settings: Any, tmp_path: Path) -> Any:
    settings.MEDIA_ROOT = tmp_path / "media"
    return add_voice(make.create_clip(make.create_corpus("lab", language="en"), "one"), tmp_path)


@pytest.fixture(scope="module")
def hearing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen2-Audio with a random encoder, whose language model was fitted to one sentence."""
    return tiny_media.make_qwen2_audio(tmp_path_factory.mktemp("hearing") / "tiny", tiny_llm.SENTENCE)


def register(folder: Path, **fields: Any) -> PreLabeller:
    known = {"name": "tiny", "kind": "local", "modality": "audio", "model": str(folder), "trust": "inside"}
    return PreLabeller.objects.create(**(known | fields))


def jobs_of(run: Any) -> list[Job]:
    return list(run.jobs.order_by("position"))


def run_all(run: Any) -> list[str | None]:
    return [services.run_job(pk) for pk in run.jobs.order_by("position").values_list("pk", flat=True)]


def test_a_registered_checkpoint_drafts_a_clue_under_its_name(clip: Any, hearing: Path) -> None:
    model = register(hearing, parameters={"device": "cpu", "dtype": "float32"})
    run = services.create_run(None, clip.corpus, prelabellers=["tiny"])
    job = jobs_of(run)[0]
    assert job.queue == "gpu"
    assert run_all(run) == ["done"]
    clue = Clue.objects.get()
    assert (clue.prelabeller, clue.modality, clue.text) == (model, "audio", tiny_llm.SENTENCE)
    job.refresh_from_db()
    assert job.provenance["model"] == str(hearing)
    assert job.provenance["parameters"]["device"] == "cpu"
    assert job.prompt_tokens > 25  # a second of sound is 25 tokens
    assert job.completion_tokens == 5
    assert job.calls == 1


@pytest.mark.parametrize("family", ["video_llava", "qwen2_5_omni"])
def test_frames_of_a_clip_go_to_a_checkpoint_that_sees(clip: Any, tmp_path: Path, family: str) -> None:
    film = world.write_clip(tmp_path / "film.mp4", 3)
    sha256 = sha256_file(film)
    stored = put_original(film, sha256, ".mp4")
    clip.media_path, clip.media_sha256, clip.has_video = stored.path, sha256, True
    clip.save()
    folder = getattr(tiny_media, f"make_{family}")(tmp_path / "sees", tiny_llm.SENTENCE)
    register(folder, modality="visual")
    run = services.create_run(None, clip.corpus, prelabellers=["tiny"])
    assert run_all(run) == ["done"]
    assert [(clue.modality, clue.text) for clue in Clue.objects.all()] == [("visual", tiny_llm.SENTENCE)]
    assert run.jobs.get().provenance["parameters"]["frames"] == 8


def test_random_weights_say_nonsense_that_no_clue_is_made_of(clip: Any, tmp_path: Path) -> None:
    """They never come to an end, and what was cut is no answer; the failed job says how it began."""
    register(tiny_media.make_qwen2_audio(tmp_path / "random"))
    run = services.create_run(None, clip.corpus, prelabellers=["tiny"])
    jobs = jobs_of(run)
    assert run_all(run) == ["failed"]
    jobs[0].refresh_from_db()
    assert jobs[0].error_code == "truncated"
    assert "the answer was cut at max_tokens: " in jobs[0].reason
    assert not Clue.objects.exists()


def test_a_restricted_clip_goes_to_a_model_inside(clip: Any, hearing: Path) -> None:
    type(clip).objects.filter(pk=clip.pk).update(licence="restricted")
    register(hearing)
    run = services.create_run(None, clip.corpus, prelabellers=["tiny"])
    assert run_all(run) == ["done"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "/nowhere/at/all"}, "there is no model folder /nowhere/at/all"),
        ({"parameters": {"devise": "cpu"}}, "has no option 'devise'"),
        ({"parameters": {"device": "cuda:99"}}, "torch sees"),
    ],
)
def test_what_is_wrong_with_a_registered_checkpoint_is_said(
    clip: Any, hearing: Path, fields: dict[str, Any], message: str
) -> None:
    register(hearing, **fields)
    run = services.create_run(None, clip.corpus, prelabellers=["tiny"])
    jobs = jobs_of(run)
    assert run_all(run) == ["failed"]
    jobs[0].refresh_from_db()
    assert jobs[0].error_code == "not-configured"
    assert message in jobs[0].reason
