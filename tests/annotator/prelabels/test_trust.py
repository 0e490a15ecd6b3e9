"""Restricted clips never go to a server marked outside: every step that asks one, in every way of naming the server."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from annotator.clips.models import Clip
from annotator.prelabels import plans, services
from annotator.prelabels.models import Job, PreLabeller
from models_ml.steps import STEPS
from tests.support.factories import create_corpus

pytestmark = pytest.mark.django_db
ASKING = sorted(name for name, spec in STEPS.items() if spec.endpoint)
MakeClip = Callable[..., Clip]


def restricted_clip(whole_clip: MakeClip) -> Clip:
    """With picture, voice, words and an AU track, so that no step ends for want of something before it is refused."""
    clip = whole_clip(create_corpus(licence="restricted"))
    clip.has_video = True
    clip.save()
    return clip


def ended(clip: Clip, step: str, model: PreLabeller | None = None) -> Job:
    run = services.create_run(None, clip.corpus, prelabellers=[step])
    job = run.jobs.get()
    if model is not None:  # as a pipeline of one's own names a model for this step
        job.step = f"{step}@{model.pk}"
        job.save()
    services.run_job(job.pk)
    job.refresh_from_db()
    return job


def test_there_are_steps_of_every_kind_to_try() -> None:
    assert {"visual_objective", "visual_clue", "audio_clue", "disambiguate", "merge", "translate"} <= set(ASKING)


@pytest.mark.parametrize("step", ASKING)
def test_no_step_sends_a_restricted_clip_outside(
    scripted: Any, whole_clip: MakeClip, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    for prefix in ("LLM", "PRELABEL"):
        monkeypatch.setenv(f"{prefix}_TRUST", "outside")
    job = ended(restricted_clip(whole_clip), step)
    assert (job.state, job.error_code, job.calls) == ("failed", "outside", 0)
    assert scripted.base_url in job.reason
    assert scripted.calls() == []


@pytest.mark.parametrize("step", ASKING)
def test_no_step_sends_a_restricted_clip_to_a_registered_server_outside(
    scripted: Any, whole_clip: MakeClip, step: str
) -> None:
    model = PreLabeller.objects.create(name="far", kind="server", base_url=scripted.base_url, model="scripted")
    job = ended(restricted_clip(whole_clip), step, model)
    assert (job.state, job.error_code, job.calls) == ("failed", "outside", 0)
    assert scripted.calls() == []


@pytest.mark.parametrize("step", ASKING)
def test_a_single_restricted_clip_of_an_open_corpus_is_refused_too(
    scripted: Any, whole_clip: MakeClip, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    for prefix in ("LLM", "PRELABEL"):
        monkeypatch.setenv(f"{prefix}_TRUST", "outside")
    clip = whole_clip(create_corpus(licence="open"), licence="restricted")
    clip.has_video = True
    clip.save()
    assert ended(clip, step).error_code == "outside"
    assert scripted.calls() == []


@pytest.mark.parametrize("step", ASKING)
def test_what_was_answered_for_an_open_clip_is_not_told_to_a_restricted_one_by_a_server_outside(
    scripted: Any, whole_clip: MakeClip, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The refusal comes before the cache is asked: the step must not seem to work until the cache is empty."""
    for prefix in ("LLM", "PRELABEL"):
        monkeypatch.setenv(f"{prefix}_TRUST", "outside")
    open_clip, closed = whole_clip(create_corpus(licence="open")), restricted_clip(whole_clip)
    ended(open_clip, step)
    assert ended(closed, step).error_code == "outside"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"base_url": "http://169.254.169.254/v1"}, "hands out the keys"),
        ({"base_url": "http://[::ffff:a9fe:a9fe]/v1"}, "hands out the keys"),
        ({"base_url": "file:///etc/passwd"}, "http"),
        ({"base_url": "http://user:pw@host/v1"}, "user name"),
        ({"base_url": "http://host/v1", "parameters": {"timeout_s": "long"}}, "timeout_s"),
        ({"base_url": "http://host/v1", "parameters": {"colour": "red"}}, "colour"),
        ({"base_url": "http://host/v1", "parameters": {"video": "mp4"}}, "video"),
        ({"kind": "local", "model": "/m", "parameters": {"batch": 0}}, "batch"),
    ],
)
def test_a_server_that_could_not_be_asked_is_refused_when_it_is_registered(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        PreLabeller(**{"name": "wrong", "kind": "server", "model": "m", "modality": "audio"} | fields).full_clean()


def test_a_registered_server_may_stand_on_a_private_address_and_its_key_elsewhere() -> None:
    row = PreLabeller(name="lab", kind="server", model="m", modality="audio", base_url="http://10.0.0.7:8000/v1")
    row.api_key_env = "A_KEY_THAT_ONLY_THE_WORKER_HAS"
    row.full_clean()


def test_a_model_in_this_machine_may_see_everything() -> None:
    model = PreLabeller.objects.create(name="near", kind="local", model="/models/near", modality="audio")
    reached = plans.endpoint_for(f"audio_clue@{model.pk}")
    assert reached is not None
    assert reached.trust == "inside"
    assert plans.refusal(reached, f"audio_clue@{model.pk}", restricted=True) == ""
