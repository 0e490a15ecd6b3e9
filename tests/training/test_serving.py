"""A checkpoint comes back: served from a process of its own, asked by the project's client."""

import base64
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from models_ml.llm import Endpoint, ModelFailure, complete
from models_ml.mllm import describe_audio, describe_frames, with_media
from models_ml.serve import main
from tests.training import world
from training.data import Sample
from training.errors import UsageError
from training.evidence import open_media
from training.serving import joined, subtitle_in

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def served(fitted: Path) -> Any:
    command = [sys.executable, "-m", "models_ml.serve", "--factory", "training.serving:describer"]
    environ = os.environ | {"AFFECTGPT_RUN": str(fitted), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*command, "--model", "affectgpt", "--port", "0"], cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            url = process.stdout.readline().strip()  # type: ignore[union-attr]
            yield Endpoint(url, "affectgpt", timeout_s=60, max_retries=0)
        finally:
            process.terminate()


def watched(endpoint: Endpoint, path: Path) -> str:
    url = "data:video/mp4;base64," + base64.b64encode(path.read_bytes()).decode()
    return complete(endpoint, with_media("?", [{"type": "video_url", "video_url": {"url": url}}])).text


def test_it_describes_what_it_sees_and_what_it_hears(served: Endpoint, tmp_path: Path) -> None:
    films = [world.write_clip(tmp_path / f"{index}.mp4", index, audio=False) for index in (0, 3, 5)]
    seen = [watched(served, film) for film in films]
    assert all(seen)
    assert len(set(seen)) > 1  # another film, another answer
    assert seen[0] == watched(served, films[0])
    sounds = [world.write_clip(tmp_path / f"{index}.wav", index, video=False) for index in (0, 4)]
    assert all(describe_audio(served, sound.read_bytes(), "?").text for sound in sounds)


def test_it_is_asked_about_a_whole_clip_as_it_was_trained(
    served: Endpoint, fitted: Path, media: Path, tmp_path: Path
) -> None:
    film = media / "clip_02.mp4"
    assert watched(served, film) == world.record(2)["description"]["en"]  # a video's own sound is heard
    muted = world.write_clip(tmp_path / "muted.mp4", 2, audio=False)
    voice = world.write_clip(tmp_path / "voice.wav", 2, video=False)
    url = "data:video/mp4;base64," + base64.b64encode(muted.read_bytes()).decode()
    sound = {"type": "input_audio", "input_audio": {"data": base64.b64encode(voice.read_bytes()).decode(),
                                                    "format": "wav"}}  # fmt: skip
    both = complete(served, with_media("?", [{"type": "video_url", "video_url": {"url": url}}, sound])).text
    assert both == world.record(2)["description"]["en"]
    assert both != watched(served, muted)


def test_the_subtitle_of_a_request_stands_where_the_prompt_has_it(media: Path, tmp_path: Path, fitted: Path) -> None:
    from training.generate import answers, load_trained
    from training.serving import answer

    prompt = "What you saw. The subtitle is <Subtitle> I am </Subtitle> fine </Subtitle>. Now answer."
    assert subtitle_in(prompt) == "I am </Subtitle> fine"
    assert subtitle_in("no subtitle") == ""
    # Of overfit, whose prompt has no subtitle, with one: the model is asked as `answers` would ask it.
    trained = load_trained(fitted, overrides=["generate.max_new_tokens=12"])
    trained.config.data.subtitle = True
    file = media / "clip_01.mp4"
    told = answer(trained, file, None, "words that it never heard of, many of them, again and again")
    sample = Sample("x", "words that it never heard of, many of them, again and again", "", open_media(file))
    assert told == answers(trained, [sample])[0]
    assert told != answer(trained, file, None)


def test_files_that_cannot_be_put_together_are_named(tmp_path: Path) -> None:
    film = world.write_clip(tmp_path / "film.mp4", 1, audio=False)
    with pytest.raises(UsageError, match="input_audio without sound"):
        joined(film, film, tmp_path / "out.mkv")


def test_what_it_does_not_take_is_refused(served: Endpoint) -> None:
    from tests.support.tiny_media import picture

    with pytest.raises(ModelFailure, match="the function takes video_path, audio_path, prompt; the request has frames"):
        describe_frames(served, [picture()], "?")
    with pytest.raises(ModelFailure, match="asked about a clip"):
        complete(served, [{"role": "user", "content": "?"}])


def test_a_run_that_is_not_there_is_said_at_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AFFECTGPT_RUN", raising=False)
    assert main(["--factory", "training.serving:describer", "--port", "0"]) == 2
    assert "set AFFECTGPT_RUN" in capsys.readouterr().err
    monkeypatch.setenv("AFFECTGPT_RUN", str(tmp_path))
    assert main(["--factory", "training.serving:describer", "--port", "0"]) == 2
    assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.django_db
def test_in_a_workbench_it_is_a_prelabeller_like_any_other(served: Endpoint, settings: Any, tmp_path: Path) -> None:
    from annotator.prelabels import services
    from annotator.prelabels.models import Clue, PreLabeller
    from tests.annotator.prelabels.material import add_voice
    from tests.support import factories as make

    settings.MEDIA_ROOT = tmp_path / "media"
    corpus = make.create_corpus("lab", language="en")
    add_voice(make.create_clip(corpus, "one"), tmp_path)
    row = PreLabeller.objects.create(
        name="affectgpt", kind="checkpoint", modality="audio", model="affectgpt", base_url=served.base_url,
        trust="inside", parameters={"video": "video_url"},
    )  # fmt: skip
    run = services.create_run(None, corpus, prelabellers=["affectgpt"])
    assert [services.run_job(job.pk) for job in run.jobs.all()] == ["done"]
    clue = Clue.objects.get()
    assert clue.prelabeller == row
    assert clue.text
    assert clue.job.provenance["model"] == "affectgpt"
