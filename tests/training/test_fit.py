"""``python -m training fit``: what it writes, what it prints, and what it refuses before it trains."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training import world
from training.affectgpt.model import AffectGPT
from training.checkpoints import complete
from training.runlog import read_metrics, register

ROOT = Path(__file__).parents[2]


def test_fit_prints_one_json_and_leaves_a_run_that_explains_itself(
    command: Any, quick: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_VAR", str(tmp_path))
    code, said, _ = command(*quick, "--out", tmp_path / "run")
    assert code == 0
    assert not (tmp_path / "runs").exists()  # --no-register
    assert set(said) == {"run", "steps", "loss", "trainable_parameters", "media", "seconds"}
    assert (said["run"], said["steps"]) == (str(tmp_path / "run"), 2)
    assert said["media"] == {"video": 3, "audio": 3, "missing": 0}
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (facts["state"], facts["stage"], facts["result"]) == ("finished", 2, said)
    assert facts["snapshot"]["split"] == "train"
    assert facts["lineage"][0]["clips"] == 3
    assert facts["environment"]["torch"] == torch.__version__
    assert facts["started"] <= facts["finished"]
    lineage = json.loads((tmp_path / "run" / "lineage.json").read_text())
    assert lineage[0]["clips"][0] == {"clip": "clip_00", "sha256": None, "source": "film_0", "speaker": "speaker_0"}
    steps = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [line["step"] for line in steps] == [1, 2]
    assert all(line["loss"] > 0 and line["grad_norm"] > 0 and line["lr"] > 0 and line["tokens"] > 0 for line in steps)
    checkpoint = complete(tmp_path / "run")[-1]
    saved = load_file(checkpoint / "trainable.safetensors")
    assert sum(value.numel() for value in saved.values()) == said["trainable_parameters"]
    assert not any(name.startswith(("visual", "audio.", "llm")) for name in saved)


def test_a_used_folder_is_refused_and_untouched(command: Any, quick: list, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    code, said, err = command(*quick, "--out", tmp_path)
    assert (code, said) == (2, None)
    assert "already used" in err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_no_readable_media_exits_2_and_names_the_count(command: Any, quick: list, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    words = [tmp_path / "empty" if isinstance(word, Path) and word.name.startswith("media") else word for word in quick]
    code, _, err = command(*words, "--out", tmp_path / "run")
    assert code == 2
    assert "3 of 3 clips have no readable media" in err
    assert not (tmp_path / "run").exists()


def test_text_only_goes_on_without_media_and_says_so(command: Any, tmp_path: Path, media: Path) -> None:
    rows = [world.record(index) for index in range(3)]
    snapshot = world.write_snapshot(tmp_path / "s", rows, media={"clip_01": media / "clip_01.mp4"})
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "clip_02.mp4").write_text("not a film")
    words = ["fit", "--config", "tiny", "--snapshot", snapshot, "--media", tmp_path / "media", "--no-register",
             "--set", "train.epochs=1"]  # fmt: skip
    code, _, err = command(*words, "--out", tmp_path / "run")
    assert code == 2
    assert "2 of 3" in err
    assert "clip_02.mp4" in err
    code, said, err = command(*words, "--out", tmp_path / "run", "--missing-media", "text-only")
    assert code == 0
    assert said["media"] == {"video": 1, "audio": 1, "missing": 2}
    assert "text only" in err


def test_text_alone_runs_and_moves_nothing(command: Any, quick: list, tmp_path: Path) -> None:
    words = [word for word in quick if not (isinstance(word, Path) and word.name.startswith("media"))]
    words.remove("--media")
    code, said, _ = command(*words, "--out", tmp_path / "run", "--missing-media", "text-only")
    assert code == 0
    assert said["media"] == {"video": 0, "audio": 0, "missing": 3}
    assert all(line["grad_norm"] == 0 for line in read_metrics(tmp_path / "run" / "metrics.jsonl"))


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("state.json", "[]", "state.json lacks"),
        ("state.json", "{}", "state.json lacks"),
        ("lineage.json", "[]", "does not say what it was trained on"),
        ("lineage.json", '[{"digest": "x"}]', "does not say what it was trained on"),
        ("tokenizer/tokenizer_config.json", "[]", "cannot be read"),
        ("trainable.safetensors", "short", "trainable.safetensors"),
    ],
)
def test_a_damaged_checkpoint_is_one_clear_line(
    command: Any, fitted: Path, media: Path, tmp_path: Path, file: str, content: str, words: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(fitted, run)
    (complete(run)[-1] / file).write_text(content)
    code, said, err = command("generate", "--run", run, "--clip", media / "clip_01.mp4")
    assert (code, said) == (2, None)
    assert words in err.splitlines()[-1]
    assert err.splitlines()[-1].startswith("error: ")


def test_a_folder_that_cannot_be_made_is_a_usage_error(command: Any, quick: list, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    code, _, err = command(*quick, "--out", tmp_path / "file" / "run")
    assert (code, "Not a directory" in err.splitlines()[-1]) == (2, True)


@pytest.mark.parametrize(("config", "grade", "needed"), [("tiny", "coarse", "fine"), ("tiny-stage1", "fine", "coarse")])
def test_the_wrong_grade_is_refused_with_the_reason(
    command: Any, tmp_path: Path, media: Path, config: str, grade: str, needed: str
) -> None:
    snapshot = world.write_snapshot(tmp_path / "s", [world.record(0, grade=grade)], grade=grade)
    code, _, err = command("fit", "--config", config, "--snapshot", snapshot, "--media", media, "--out", tmp_path / "r")
    assert code == 2
    assert f"trains on {needed} records" in err


def test_stage_2_starts_from_stage_1_and_inherits_lineage_and_tokenizer(
    command: Any, quick: list, tmp_path: Path, media: Path
) -> None:
    rows = [world.record(index, clip=f"coarse_{index}", grade="coarse", source=f"c{index}", speaker=f"c{index}")
            for index in range(4)]  # fmt: skip
    coarse = world.write_snapshot(
        tmp_path / "coarse", rows, grade="coarse", media={row["clip"]: media / "clip_00.mp4" for row in rows}
    )
    first = tmp_path / "stage1"
    assert command("fit", "--config", "tiny-stage1", "--snapshot", coarse, "--out", first, "--no-register",
                   "--set", "train.epochs=2")[0] == 0  # fmt: skip
    assert command(*quick, "--out", tmp_path / "stage2", "--init", first)[0] == 0
    facts = json.loads((tmp_path / "stage2" / "run.json").read_text())
    assert [(stage["stage"], stage["grade"]) for stage in facts["lineage"]] == [(1, "coarse"), (2, "fine")]
    one, two = complete(first)[-1], complete(tmp_path / "stage2")[-1]
    assert (one / "tokenizer" / "tokenizer.json").read_bytes() == (two / "tokenizer" / "tokenizer.json").read_bytes()


def test_a_checkpoint_of_another_size_or_other_frozen_weights_is_refused(
    command: Any, quick: list, fitted: Path, tmp_path: Path
) -> None:
    cases = (("model.weights_seed=9", "other frozen weights"), ("model.video.queries=4", "is (1, 32, 64)"))
    for change, words in cases:
        code, _, err = command(*quick, "--out", tmp_path / change, "--init", fitted, "--set", change,
                               "--allow-leak")  # fmt: skip
        assert code == 2
        assert words in err
        assert json.loads((tmp_path / change / "run.json").read_text())["state"] == "failed"


def test_fit_with_init_refuses_a_test_split_that_the_checkpoint_has_seen(
    command: Any, quick: list, fitted: Path, tmp_path: Path, media: Path
) -> None:
    rows = [world.record(index) for index in range(10)]
    swapped = world.write_snapshot(tmp_path / "s", rows, {"train": ["clip_08"], "test": ["clip_00", "clip_09"]})
    words = ["fit", "--config", "overfit", "--snapshot", swapped, "--media", media, "--init", fitted, "--no-register",
             "--set", "train.epochs=1"]  # fmt: skip
    code, _, err = command(*words, "--out", tmp_path / "run")
    assert code == 2
    assert "leak: 1 of 2 clips under test" in err
    assert "clip_00" in err
    code, _, err = command(*words, "--out", tmp_path / "run", "--allow-leak")
    assert code == 0
    assert err.splitlines()[0].startswith("WARNING leak: 1 of 2")


def test_a_loss_that_is_not_finite_stops_the_run_with_the_reason(
    command: Any, quick: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = AffectGPT.video_tokens
    monkeypatch.setattr(AffectGPT, "video_tokens", lambda self, features: real(self, features) * float("inf"))
    code, said, err = command(*quick, "--out", tmp_path / "run")
    assert (code, said) == (1, None)
    assert "step 1: loss nan" in err
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["state"] == "failed"
    assert "clips: clip_" in facts["reason"]


def test_records_without_a_description_are_left_out_and_named(command: Any, tmp_path: Path, media: Path) -> None:
    nothing = {"zh": None, "en": None}
    rows = [world.record(0), world.record(1, description=nothing),
            world.record(2, description={"zh": "他很难过。", "en": None})]  # fmt: skip
    snapshot = world.write_snapshot(tmp_path / "s", rows)
    words = ["fit", "--config", "tiny", "--media", media, "--no-register", "--set", "train.epochs=1"]
    code, _, err = command(*words, "--snapshot", snapshot, "--out", tmp_path / "run")
    assert code == 0
    assert "1 records have no description and are left out, first clip_01" in err
    assert "1 records have their description in the other language" in err
    bare = world.write_snapshot(tmp_path / "bare", [world.record(0, description=nothing)])
    code, _, err = command(*words, "--snapshot", bare, "--out", tmp_path / "none")
    assert code == 2
    assert "no record has a description" in err


def test_accumulation_gives_the_gradient_of_the_whole_batch(command: Any, quick: list, tmp_path: Path) -> None:
    plain = ["--set", "model.video.dropout=0.0", "model.audio_branch.dropout=0.0"]
    shapes = {"whole": (3, 1), "parts": (1, 3)}
    first = {}
    for name, (batch, parts) in shapes.items():
        sizes = ["--set", f"train.batch_size={batch}", "--set", f"train.accumulate={parts}"]
        assert command(*quick, *plain, *sizes, "--out", tmp_path / name)[0] == 0
        first[name] = read_metrics(tmp_path / name / "metrics.jsonl")[0]
    assert first["parts"]["tokens"] == first["whole"]["tokens"]
    assert first["parts"]["loss"] == pytest.approx(first["whole"]["loss"], rel=1e-4)
    assert first["parts"]["grad_norm"] == pytest.approx(first["whole"]["grad_norm"], rel=1e-3)


def test_the_cache_changes_no_loss(command: Any, quick: list, tmp_path: Path) -> None:
    for mode in ("memory", "none"):
        assert command(*quick, "--out", tmp_path / mode, "--set", f"data.cache={mode}")[0] == 0
    memory, none = ([line["loss"] for line in read_metrics(tmp_path / mode / "metrics.jsonl")]
                    for mode in ("memory", "none"))  # fmt: skip
    assert memory == none


def test_random_crops_train_and_do_not_depend_on_chance(command: Any, quick: list, tmp_path: Path) -> None:
    crop = ["--set", "data.crop_scale=[0.5, 1.0]"]
    for name, more in (("a", crop), ("b", crop), ("plain", [])):
        assert command(*quick, *more, "--out", tmp_path / name)[0] == 0
    a, b, plain = ([line["loss"] for line in read_metrics(tmp_path / name / "metrics.jsonl")]
                   for name in ("a", "b", "plain"))  # fmt: skip
    assert a == b
    assert a != plain


def _start(words: list) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "training", *map(str, words)], cwd=ROOT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _wait_for_step(run: Path, step: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end and process.poll() is None:
        lines = read_metrics(run / "metrics.jsonl")
        if lines and lines[-1]["step"] >= step:
            return
        time.sleep(0.01)
    raise AssertionError(f"step {step} never came")


def test_a_run_killed_in_mid_epoch_goes_on_with_the_same_losses(command: Any, quick: list, tmp_path: Path) -> None:
    # Batch 2 over 3 clips: epochs end inside a batch. Dropout is on, so the random state must come back too.
    words = [*quick, "--set", "train.epochs=21", "--set", "train.save_every=10"]
    assert command(*words, "--out", tmp_path / "whole")[0] == 0
    run = tmp_path / "killed"
    process = _start([*words, "--out", run])
    _wait_for_step(run, 13, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert json.loads((run / "run.json").read_text())["state"] == "running"
    code, said, err = command(*words, "--out", run, "--resume")
    assert code == 0
    assert "resumed after step " in err
    whole, resumed = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("whole", "killed"))
    assert [line["step"] for line in resumed] == list(range(1, 43))
    for key in ("loss", "lr", "grad_norm"):
        assert [line[key] for line in resumed] == [line[key] for line in whole]
    last = [load_file(complete(tmp_path / name)[-1] / "trainable.safetensors") for name in ("whole", "killed")]
    assert all(torch.equal(last[0][name], last[1][name]) for name in last[0])
    assert len(complete(run)) == 2
    # A finished run is finished: the same answer, no further step.
    assert command(*words, "--out", run, "--resume")[1] == said


def test_sigterm_saves_before_it_stops(command: Any, quick: list, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = [*quick, "--set", "train.epochs=400"]
    process = _start([*words, "--out", run])
    _wait_for_step(run, 3, process)
    process.terminate()
    assert process.wait(60) == 1
    facts = json.loads((run / "run.json").read_text())
    assert facts["state"] == "stopped"
    assert complete(run)[-1].name == f"step-{read_metrics(run / 'metrics.jsonl')[-1]['step']:08d}"


def test_resume_refuses_another_config_another_snapshot_and_an_empty_folder(
    command: Any, quick: list, tmp_path: Path, media: Path
) -> None:
    run = tmp_path / "run"
    assert command(*quick, "--out", run)[0] == 0
    code, _, err = command(*quick, "--out", run, "--resume", "--set", "train.lr=1e-5")
    assert (code, "differs from the run's in: train" in err) == (2, True)
    other = world.write_snapshot(tmp_path / "s", [world.record(index) for index in range(3)])
    words = [other if isinstance(word, Path) and word.name == "few" else word for word in quick]
    code, _, err = command(*words, "--out", run, "--resume")
    assert (code, "was on snapshot" in err) == (2, True)
    code, _, err = command(*quick, "--out", tmp_path / "new", "--resume")
    assert (code, "holds no run" in err) == (2, True)


@pytest.mark.parametrize("kept", [1, 0])
def test_a_resumed_run_keeps_what_it_began_from_though_init_is_not_said_again(
    command: Any, quick: list, tmp_path: Path, kept: int
) -> None:
    first, run = tmp_path / "first", tmp_path / "second"
    words = [*quick, "--set", "train.save_every=1"]
    assert command(*quick, "--out", first)[0] == 0
    assert command(*words, "--out", run, "--init", first)[0] == 0
    whole = load_file(complete(run)[-1] / "trainable.safetensors")
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "state": "running", "result": None}))  # as a kill leaves it
    for checkpoint in complete(run)[kept:]:
        shutil.rmtree(checkpoint)
    code, _, err = command(*words, "--out", run, "--resume", "--init", tmp_path / "second")
    assert (code, "began from" in err or "neither a checkpoint" in err) == (2, True)
    assert command(*words, "--out", run, "--resume")[0] == 0
    last = complete(run)[-1]
    assert len(json.loads((last / "lineage.json").read_text())) == 2
    assert json.loads((run / "run.json").read_text())["init"] == facts["init"] == str(complete(first)[-1])
    again = load_file(last / "trainable.safetensors")
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_resume_refuses_other_media_and_a_run_json_that_is_none(command: Any, quick: list, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert command(*quick, "--out", run)[0] == 0
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "state": "running", "result": None}))
    (tmp_path / "none").mkdir()
    words = [tmp_path / "none" if isinstance(word, Path) and word.name.startswith("media") else word for word in quick]
    code, _, err = command(*words, "--out", run, "--resume", "--missing-media", "text-only")
    assert (code, "began with media" in err) == (2, True)
    for text in ("[]", "{}"):
        (run / "run.json").write_text(text)
        code, _, err = command(*quick, "--out", run, "--resume")
        assert (code, "run.json" in err) == (2, True)


def test_two_processes_never_write_one_run(command: Any, quick: list, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = [*quick, "--set", "train.epochs=400"]
    process = _start([*words, "--out", run])
    try:
        _wait_for_step(run, 1, process)
        code, _, err = command(*words, "--out", run, "--resume")
        assert (code, "another process is writing this run" in err) == (2, True)
    finally:
        process.kill()
        process.wait()


def test_a_run_is_listed_once_where_the_workbench_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_VAR", str(tmp_path))
    for _ in range(2):
        assert register(Path("/runs/情感"), "2025-01-01T00:00:00+00:00") == tmp_path / "runs" / "index.jsonl"
    lines = (tmp_path / "runs" / "index.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"run": "/runs/情感", "started": "2025-01-01T00:00:00+00:00"}]
    monkeypatch.setenv("WORKBENCH_VAR", str(tmp_path / "nowhere"))
    assert register(Path("/runs/a"), "x") is None


def test_fit_lists_its_run(command: Any, quick: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_VAR", str(tmp_path))
    assert command(*[word for word in quick if word != "--no-register"], "--out", tmp_path / "listed")[0] == 0
    assert json.loads((tmp_path / "runs" / "index.jsonl").read_text())["run"] == str(tmp_path / "listed")


@pytest.mark.parametrize("command_name", [[], ["fit"], ["evaluate"], ["inspect"], ["fetch"]])
def test_help_needs_no_torch(command_name: list[str]) -> None:
    code = "import sys; sys.modules['torch'] = None; from training.__main__ import main; sys.exit(main(sys.argv[1:]))"
    asked = subprocess.run(
        [sys.executable, "-c", code, *command_name, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert asked.returncode == 0
    assert "usage: python -m training" in asked.stdout


def test_without_torch_a_command_says_what_is_missing() -> None:
    code = "import sys; sys.modules['torch'] = None; from training.__main__ import main; sys.exit(main(sys.argv[1:]))"
    asked = subprocess.run(
        [sys.executable, "-c", code, "inspect", "--config", "tiny"], cwd=ROOT, capture_output=True, text=True,
        check=False, env={**os.environ},
    )  # fmt: skip
    assert asked.returncode == 2
    assert "training needs torch" in asked.stderr
    assert "requirements/ml.txt" in asked.stderr


def test_inspect_shows_modules_and_counts_without_weights(command: Any) -> None:
    code, said, _ = command("inspect", "--config", "affectgpt-2024-stage2")
    assert code == 0
    assert (said["trainable"], said["grade"], said["weights"]["llm"]) == (44_959_744, "fine", "not set")
    rows = {row["name"]: row for row in said["modules"]}
    assert rows["llama_proj"]["shapes"] == {"weight": [4096, 768], "bias": [4096]}
    assert rows["llm"]["trainable"] is False


def test_a_pretrained_preset_without_its_files_says_which(command: Any, snapshot: Path, tmp_path: Path) -> None:
    words = ["fit", "--config", "affectgpt-2024-stage2", "--snapshot", snapshot, "--out", tmp_path / "run"]
    code, _, err = command(*words)
    assert code == 2
    assert all(f"model.{part}.pretrained" in err for part in ("vision", "image_qformer", "audio", "llm"))
    code, _, err = command(*words, *[
        word for part in ("vision", "image_qformer", "audio", "llm")
        for word in ("--set", f"model.{part}.pretrained=/nowhere/{part}")
    ])  # fmt: skip
    assert code == 2
    assert "no folder /nowhere/vision" in err
