"""``python -m training fit``: what it writes, what it prints, and what it refuses before it trains."""

from __future__ import annotations

import json
import shutil
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
    assert lineage[0]["clips"][0] == {
        "clip": "clip_00", "sha256": None, "source": "film_0", "speaker": "speaker_0", "licence": "open",
    }  # fmt: skip
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
    real = AffectGPT.tokens_of
    monkeypatch.setattr(AffectGPT, "tokens_of", lambda self, *of: real(self, *of) * float("inf"))
    code, said, err = command(*quick, "--out", tmp_path / "run")
    assert (code, said) == (1, None)
    assert "step 1: loss nan; gradient norm nan at lr 0.003" in err
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["state"] == "failed"
    assert "clips: clip_" in facts["reason"]
    assert not (tmp_path / "run" / "metrics.jsonl").read_text()


def test_of_several_batches_the_one_whose_loss_is_not_finite_is_named(
    command: Any, quick: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = AffectGPT.loss_sum

    def loss_sum(self: AffectGPT, batch: Any) -> Any:
        loss, tokens = real(self, batch)
        return (loss * float("nan") if batch.clips == ["clip_01"] else loss), tokens

    monkeypatch.setattr(AffectGPT, "loss_sum", loss_sum)
    words = [*quick, "--set", "train.batch_size=1", "train.accumulate=3"]
    code, _, err = command(*words, "--out", tmp_path / "run")
    assert (code, "clips: clip_01. Lower" in err) == (1, True)


def test_a_gradient_that_is_not_finite_under_a_finite_loss_is_told_apart_and_moves_nothing(
    command: Any, quick: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training import fit

    real, models = fit.assemble, []

    def assemble(*of: Any) -> AffectGPT:
        model = real(*of)
        model.llama_proj.weight.register_hook(lambda gradient: gradient * float("inf"))
        models.append((model, {name: value.detach().clone() for name, value in model.trainable().items()}))
        return model

    monkeypatch.setattr(fit, "assemble", assemble)
    code, _, err = command(*quick, "--out", tmp_path / "run")
    assert (code, "is finite, its gradient is not" in err) == (1, True)
    (model, before), *_ = models
    assert all(torch.equal(value, before[name]) for name, value in model.trainable().items())


def test_fp16_skips_a_step_whose_gradient_overflowed_and_counts_it(
    command: Any, quick: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training import fit

    real = fit.assemble

    def assemble(*of: Any) -> AffectGPT:
        model, steps = real(*of), iter(range(99))
        model.llama_proj.weight.register_hook(lambda gradient: gradient * (float("inf") if next(steps) == 1 else 1.0))
        return model

    monkeypatch.setattr(fit, "assemble", assemble)
    run = tmp_path / "run"
    words = [*quick, "--set", "train.precision=fp16", "train.epochs=2"]
    code, _, err = command(*words, "--out", run)
    assert code == 0
    lines = read_metrics(run / "metrics.jsonl")
    assert [line["grad_norm"] is None for line in lines] == [False, True, False, False]
    assert "1 steps were skipped because fp16 gradients overflowed, last step 2" in err
    assert json.loads((complete(run)[-1] / "state.json").read_text())["overflows"] == [2]
    # The loss scale was halved after the overflow and is part of what a resumed run takes up.
    scale = load_file(complete(run)[-1] / "optimizer.safetensors")["scaler:scale"]
    assert float(scale) == torch.amp.GradScaler("cpu").get_scale() / 2


def test_fp16_that_never_stops_overflowing_ends_the_run(
    command: Any, quick: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training import fit

    real = fit.assemble

    def assemble(*of: Any) -> AffectGPT:
        model = real(*of)
        model.llama_proj.weight.register_hook(lambda gradient: gradient * float("inf"))
        return model

    monkeypatch.setattr(fit, "assemble", assemble)
    monkeypatch.setattr(fit, "HOPELESS", 3)
    words = [*quick, "--set", "train.precision=fp16", "train.epochs=4"]
    code, _, err = command(*words, "--out", tmp_path / "run")
    assert (code, "step 3: fp16 gradients overflowed 3 steps in a row" in err) == (1, True)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_near_to_full_precision(command: Any, quick: list, tmp_path: Path, precision: str) -> None:
    for name in ("fp32", precision):
        assert command(*quick, "--out", tmp_path / name, "--set", f"train.precision={name}")[0] == 0
    full, half = (read_metrics(tmp_path / name / "metrics.jsonl")[0]["loss"] for name in ("fp32", precision))
    assert half == pytest.approx(full, rel=0.02)
    assert half != full


def test_gradients_are_clipped_unless_the_recipe_says_not_to(command: Any, quick: list, tmp_path: Path) -> None:
    moved = {}
    for clip in (0, 0.001):
        run = tmp_path / str(clip)
        assert command(*quick, "--out", run, "--set", f"train.clip_norm={clip}")[0] == 0
        assert read_metrics(run / "metrics.jsonl")[0]["grad_norm"] > 1  # told as it was before clipping
        moments = load_file(complete(run)[-1] / "optimizer.safetensors")
        moved[clip] = sum(float(value.norm()) for name, value in moments.items() if name.endswith(":exp_avg"))
    assert moved[0.001] < 0.01 * moved[0]


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


def test_sources_beside_the_snapshot_are_drawn_by_weight_and_stand_in_the_lineage(
    command: Any, quick: list, tmp_path: Path, media: Path
) -> None:
    rows = [world.record(index, clip=f"other_{index}", source=f"o{index}", speaker=f"o{index}") for index in range(3)]
    other = world.write_snapshot(
        tmp_path / "other", rows, media={row["clip"]: media / f"clip_0{5 + i}.mp4" for i, row in enumerate(rows)}
    )
    run = tmp_path / "run"
    sources = f"data.sources=[{{path: {other}, weight: 3.0}}]"
    assert command(*quick, sources, "train.epochs=4", "--out", run)[0] == 0
    facts = json.loads((run / "run.json").read_text())
    assert [(stage["name"], stage["clips"]) for stage in facts["lineage"]] == [("one", 3), ("one", 3)]
    assert (facts["snapshot"]["samples"], facts["steps"]) == (6, 12)
    # A source that holds the snapshot's test clip leaks into it.
    leak = world.write_snapshot(tmp_path / "leak", [world.record(3)], media={"clip_03": media / "clip_03.mp4"})
    code, _, err = command(*quick, f"data.sources=[{{path: {leak}}}]", "--out", tmp_path / "leaks")
    assert (code, "leak: 1 of 1 clips under test" in err) == (2, True)


def test_what_is_left_out_or_cut_is_counted_in_the_run(command: Any, tmp_path: Path, media: Path) -> None:
    long = "The person smiles broadly and looks calm. " * 30
    texts = {0: {"zh": None, "en": long}, 1: {"zh": None, "en": None}}
    rows = [world.record(index, description=text) for index, text in texts.items()] + [world.record(2)]
    snapshot = world.write_snapshot(tmp_path / "s", rows)
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "clip_00.mp4").symlink_to(media / "clip_00.mp4")
    words = ["fit", "--config", "tiny", "--snapshot", snapshot, "--media", tmp_path / "media", "--no-register",
             "--missing-media", "text-only", "--set", "train.epochs=1", "data.max_target=40"]  # fmt: skip
    code, _, err = command(*words, "--out", tmp_path / "run")
    assert code == 0
    assert "1 samples have target that are too long and lose their end, first clip_00" in err
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert {row["clip"]: row["reason"] for row in facts["skipped"]} == {
        "clip_01": "no description", "clip_02": "no media file found; goes on as text alone",
    }  # fmt: skip
    assert facts["cut"] == {"subtitle": 0, "clues": 0, "target": 1, "turns": 0}
