"""A config is checked to the last key before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.config import from_dict, load_config, names
from training.errors import UsageError


@pytest.mark.parametrize("name", names())
def test_every_preset_loads_and_survives_a_round_trip(name: str) -> None:
    config = load_config(name)
    assert config.name == name
    assert from_dict(config.to_dict()) == config


def test_set_overrides_any_key_and_reads_exponents() -> None:
    config = load_config("tiny", ["train.lr=1e-4", "data.language=zh", "model.llm.pretrained=/models/llm"])
    assert (config.train.lr, config.data.language, config.model.llm.pretrained) == (1e-4, "zh", "/models/llm")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.lrr=1", "no key train.lrr"),
        ("train.epochs=many", "train.epochs"),
        ("train.batch_size=0", "above 0"),
        ("data.language=fr", "data.language"),
        ("data.max_target=5000", "max_target"),
        ("data.crop_scale=[0.9, 0.1]", "crop_scale"),
        ("lr", "key=value"),
        ("train.lr.deep=1", "not a section"),
        ("model.llm.heads=3", "model.llm: hidden_size 128 is no multiple of heads 3"),
        ("model.vision.image_size=3", "model.vision.image_size"),
        ("model.vision.patch_size=0", "model.vision.patch_size: 0 must be above 0"),
        ("model.audio.mel_frames=5", "model.audio.mel_frames"),
        ("model.video.dropout=1", "model.video.dropout"),
        ("model.llm.vocab_size=-3", "model.llm.vocab_size"),
        ("train.betas=[0.9]", "train.betas"),
        ("train.betas=[0.9, 1]", "train.betas"),
        ("train.warmup_steps=-1", "train.warmup_steps"),
        ("train.min_lr=.nan", "train.min_lr: nan is not a finite number"),
        ("train.lr=1e400", "train.lr: inf is not a finite number"),
        ("train.threads=-1", "train.threads"),
        ("seed=-1", "seed"),
        ("seed=99999999999999999999", "below 2"),
        ("data.sample_rate=44100", "data.sample_rate"),
        ("data.window_seconds=0.001", "data.window_seconds"),
        ("prompt.clauses=[a]", "nothing would train"),
        ("train.lr=[", "--set train.lr: .*expected"),
        ("model.llm.kv_heads=3", "no multiple of kv_heads 3"),
        ("model.audio.kind=clap", "model.audio.kind: 'clap' is none of imagebind, ast, hubert, whisper"),
        ("prompt.clauses=['<MultiHere>', '<AudioHere>']", "this model has no multi tokens; set"),
    ],
)
def test_a_bad_override_is_named(override: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as raised:
        load_config("tiny", [override])
    assert "\n" not in str(raised.value)


def test_a_key_of_a_section_leaves_its_others_as_they_were() -> None:
    branch = load_config("affectgpt-2024-stage2", ["model.audio_branch.dropout=0.2"]).model.audio_branch
    assert (branch.queries, branch.positions, branch.dropout) == (8, 8, 0.2)


def test_what_an_encoder_cannot_take_is_named() -> None:
    for overrides, words in (
        (["model.vision.kind=clip", "model.vision.tokens=5"], "model.vision.tokens: 5 is no square"),
        (["model.vision.kind=siglip", "model.vision.tokens=25"], "25 is no square of at most 4 x 4 patches"),
        (["model.audio.kind=hubert", "data.sample_rate=8000"], "hubert hears 16000 Hz, not 8000"),
    ):
        with pytest.raises(UsageError, match=words):
            load_config("tiny", overrides)


def test_a_file_inherits_from_a_preset(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("base: tiny\ntrain: {lr: 1.0e-4}\n", encoding="utf-8")
    config = load_config(str(file))
    assert (config.train.lr, config.train.batch_size) == (1e-4, load_config("tiny").train.batch_size)


def test_unknown_names_broken_files_and_circles_are_usage_errors(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("base: b\n")
    (tmp_path / "b.yaml").write_text("base: a\n")
    (tmp_path / "broken.yaml").write_text("train: [unclosed")
    (tmp_path / "list.yaml").write_text("- 1\n")
    for name, words in (("nothing", "no config"), ("a", "inherits"), ("broken", "broken"), ("list", "mapping")):
        with pytest.raises(UsageError, match=words):
            load_config(name if name == "nothing" else str(tmp_path / f"{name}.yaml"))
