"""The page that launches: configs that fit, errors at their fields, the estimate, commands for a cluster."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from annotator.core.errors import Invalid, NotConfigured
from annotator.experiments import curves, estimates, presence, queries
from annotator.experiments.models import Estimate, Trainer, TrainingRun
from annotator.snapshots.models import Snapshot
from annotator.snapshots.services import freeze_snapshot
from tests.support.factories import create_clip, create_member, create_record

pytestmark = pytest.mark.django_db
NEW = "/experiments/new/"
ANSWER = {
    "config": "tiny",
    "parameters": {"trainable": 44_959_744, "frozen": 7_000_000_000},
    "memory": {"weights": 14 << 30, "gradients": 1 << 30, "optimizer": 2 << 30, "activations": 6 << 30,
               "features": 1 << 30, "total": 24 << 30},
    "steps": 8800, "samples": 26400, "flops_per_step": 1e13, "seconds": 3725, "basis": "measured on 20 steps <here>",
}  # fmt: skip


@pytest.fixture
def manager(snapshot: Snapshot) -> Client:
    client = Client()
    client.force_login(create_member(snapshot.corpus, "manager"))
    return client


def options(page: str, name: str) -> list[str]:
    (select,) = re.findall(rf'<select name="{name}".*?</select>', page, re.DOTALL)
    return re.findall(r'value="([^"]*)"', select)


def form(snapshot: Snapshot, **more: str) -> dict[str, object]:
    return {"snapshot": snapshot.pk, "config": "tiny", "name": "v1", **more}


def test_the_configs_are_those_of_the_snapshots_grade(manager: Client, snapshot: Snapshot) -> None:
    create_record(create_clip(snapshot.corpus, "grob"), "coarse")
    coarse = freeze_snapshot(None, snapshot.corpus, "c1", grade="coarse")
    for frozen, stage in ((snapshot, "2"), (coarse, "1")):
        page = manager.get(f"{NEW}?snapshot={frozen.pk}&name=kept").content.decode()
        names = options(page, "config")
        assert names
        assert all((name in ("tiny-stage1",) or name.endswith("-stage1")) == (stage == "1") for name in names)
        assert 'value="kept"' in page
    page = manager.get(NEW).content.decode()
    assert options(page, "snapshot") == [str(coarse.pk), str(snapshot.pk)]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("train.epochs=many", "train.epochs"),
        ("train.epocs=3", "train.epocs"),
        ("train.epochs", "Line 1 is not key=value"),
        ("# fine\n\n=3", "Line 3 is not key=value"),
        ("seed=1\nseed=2", "Line 2 sets “seed” again"),
        ("train.lr=<script>alert(1)</script>", "train.lr"),
    ],
)
def test_a_wrong_setting_is_said_at_its_field(manager: Client, snapshot: Snapshot, lines: str, said: str) -> None:
    for button in ("launch", "estimate", "commands"):
        answer = manager.post(NEW, form(snapshot, overrides=lines, **{button: "1"}))
        assert answer.status_code == 422
        page = answer.content.decode()
        (row,) = re.findall(r'<div class="form-row"><label for="id_overrides">.*?</div>', page, re.DOTALL)
        assert said in row
        assert "<script>alert" not in page
        assert lines.splitlines()[-1].replace("<", "&lt;").replace(">", "&gt;") in page  # what was typed is kept
    assert not TrainingRun.objects.exists()


def test_settings_and_choices_reach_the_run(manager: Client, snapshot: Snapshot) -> None:
    lines = "train.epochs=3\n# a comment\nprompt.question = Why? = How?\n"
    answer = manager.post(NEW, form(snapshot, overrides=lines, text_only="on", launch="1"))
    assert answer.status_code == 302
    run = TrainingRun.objects.get()
    assert run.overrides == {"train.epochs": "3", "prompt.question": "Why? = How?"}
    assert (run.text_only, run.launched, run.state) == (True, True, "queued")
    page = manager.get(f"/experiments/{run.pk}/").content.decode()
    assert "prompt.question=Why? = How?" in page
    assert "No trainer is running" in page
    presence.say("a trainer")
    assert "It waits for the trainer" in manager.get(f"/experiments/{run.pk}/").content.decode()
    Trainer.objects.update(seen_at=timezone.now() - presence.FRESH)
    assert "No trainer is running" in manager.get(f"/experiments/{run.pk}/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_a_web_server_without_torch_leaves_it_to_a_trainer_elsewhere(
    manager: Client, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "NEEDED", ("torch_that_is_not_here",))
    answer = manager.post(NEW, form(snapshot, launch="1"))
    assert answer.status_code == 422
    assert "Training needs torch_that_is_not_here" in answer.content.decode()
    presence.say("gpu-host 7")
    presence.say("gpu-host 7")
    assert Trainer.objects.count() == 1
    assert manager.post(NEW, form(snapshot, launch="1")).status_code == 302
    call_command("trainer", "--once")  # here it takes nothing that it could not do
    assert TrainingRun.objects.get().state == "queued"


def test_the_commands_are_shown_and_nothing_is_started(manager: Client, snapshot: Snapshot) -> None:
    page = manager.post(NEW, form(snapshot, overrides="train.lr=1e-4", commands="1")).content.decode()
    assert "accelerate launch -m training fit" in page
    assert f"http://testserver/api/v1/snapshots/{snapshot.pk}/" in page
    assert "--set train.lr=1e-4" in page
    assert not TrainingRun.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("config", "tiny-stage1"),
        ("snapshot", "0"),
        ("init", "99"),
        ("name", "../x"),
        ("config", "/etc"),
        ("gpu", "x" * 81),
    ],
)
def test_a_wrong_choice_is_said_at_its_field(manager: Client, snapshot: Snapshot, field: str, value: str) -> None:
    answer = manager.post(NEW, {**form(snapshot, launch="1"), field: value})
    assert answer.status_code == 422
    assert f"id_{field}" in answer.content.decode()
    assert "errorlist" in answer.content.decode()


def test_an_estimate_is_asked_once_and_shown_when_it_is_there(manager: Client, snapshot: Snapshot) -> None:
    page = manager.post(NEW, form(snapshot, estimate="1")).content.decode()
    row = Estimate.objects.get()
    assert (row.config, row.clips, row.state) == ("tiny", 1, "queued")
    assert f'hx-get="/experiments/estimates/{row.pk}/"' in page
    manager.post(NEW, form(snapshot, estimate="1", name="another-name"))
    assert Estimate.objects.count() == 1
    manager.post(NEW, form(snapshot, estimate="1", overrides="train.batch_size=2"))
    assert Estimate.objects.count() == 2
    part = f"/experiments/estimates/{row.pk}/"
    assert manager.get(part).status_code == 200
    Estimate.objects.filter(pk=row.pk).update(state="done", answer=ANSWER)
    answer = manager.get(part)
    assert answer.status_code == 286
    page = answer.content.decode()
    for said in ("24.0\xa0GB", "1 h 02 min", "8,800", "44,959,744", "measured on 20 steps &lt;here&gt;"):
        assert said in page
    assert "hx-get" not in page
    assert "24.0\xa0GB" in manager.post(NEW, form(snapshot, estimate="1")).content.decode()  # at once


def test_an_estimate_that_failed_says_why_and_is_asked_again(manager: Client, snapshot: Snapshot) -> None:
    manager.post(NEW, form(snapshot, estimate="1"))
    row = Estimate.objects.get()
    Estimate.objects.filter(pk=row.pk).update(state="failed", reason="error: <no> such thing")
    page = manager.get(f"/experiments/estimates/{row.pk}/").content.decode()
    assert "No estimate could be made." in page
    assert "error: &lt;no&gt; such thing" in page
    manager.post(NEW, form(snapshot, estimate="1"))
    assert Estimate.objects.get().state == "queued"


def test_an_estimate_that_nobody_answers_is_said_to_be_so(manager: Client, snapshot: Snapshot) -> None:
    manager.post(NEW, form(snapshot, estimate="1"))
    Estimate.objects.update(asked_at=timezone.now() - estimates.PATIENCE - timedelta(seconds=1))
    answer = manager.get(f"/experiments/estimates/{Estimate.objects.get().pk}/")
    assert answer.status_code == 286
    assert "No worker has answered." in answer.content.decode()


def test_an_older_answer_without_some_figures_is_shown_as_far_as_it_goes(manager: Client, snapshot: Snapshot) -> None:
    row = estimates.ask("tiny", {}, 1)
    Estimate.objects.filter(pk=row.pk).update(state="done", answer={"memory": {"total": 1024}, "seconds": None})
    page = manager.get(f"/experiments/estimates/{row.pk}/").content.decode()
    assert "1.0\xa0KB" in page
    assert "not known" in page


def test_the_command_that_estimates_is_called_as_it_is_and_its_last_word_is_kept(roots: Path) -> None:
    with pytest.raises(NotConfigured) as caught:
        estimates.run_command("no-such-config", {}, 3)
    assert caught.value.message
    row = estimates.ask("no-such-config", {}, 3)
    assert estimates.answer(row.pk) == "failed"
    assert Estimate.objects.get().reason
    assert estimates.answer(row.pk) == ""  # a second delivery does nothing


def test_training_estimates_what_the_page_shows(roots: Path) -> None:
    row = estimates.ask("tiny", {"train.epochs": 2, "train.batch_size": "3"}, 7)
    assert estimates.answer(row.pk) == "done", Estimate.objects.get().reason
    told = Estimate.objects.get().answer
    assert told["steps"] == 2 * 3
    assert told["memory"]["total"] >= sum(told["memory"][part] for part in ("weights", "gradients", "optimizer"))
    assert told["parameters"]["trainable"] > 0
    assert set(told["memory"]) <= set(estimates.MEMORY)


def test_a_gpus_name_is_a_name(roots: Path) -> None:
    for name in ("--help", "a\nb", "x;y", "<b>"):
        with pytest.raises(Invalid, match="GPU"):
            estimates.ask("tiny", {}, 3, name)
    assert estimates.ask("tiny", {}, 3, "NVIDIA H100 80GB HBM3").gpu


def test_the_clips_are_those_of_the_training_split(snapshot: Snapshot) -> None:
    for number in range(9):
        create_record(create_clip(snapshot.corpus, f"c{number}"))
    split = freeze_snapshot(None, snapshot.corpus, "split", sizes={"train": 7, "test": 3}, group_by=[])
    assert queries.trained_on(split) == 7
    assert queries.trained_on(snapshot) == 1


@pytest.mark.parametrize(("seconds", "said"), [(None, ""), (0.4, "0 s"), (59.6, "1 min 00 s"), (3725, "1 h 02 min"),
                                               (float("nan"), ""), (-1, ""), ("x", "")])  # fmt: skip
def test_a_duration_is_told_in_words(seconds: object, said: str) -> None:
    assert curves.duration(seconds) == said
