"""The presets: their recipes, their launch commands, and that each of their arrangements trains."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import torch

from training.__main__ import parser
from training.affectgpt.llm import random_llm, train_tokenizer
from training.affectgpt.model import build_model
from training.affectgpt.pretrained import used_parts
from training.affectgpt.slots import feature_shapes, slot_lengths
from training.collate import collate
from training.config import CONFIG_DIR, load_config, names
from training.inspection import inspect, memory, parameter_table
from training.prompt import build_example

EXPECTED = {
    "tiny", "overfit", "small", "affectgpt-2024-stage1", "affectgpt-2024-stage2", "affectgpt-2024-original-stage1",
    "affectgpt-2024-original-stage2", "affectgpt-2025-stage1", "affectgpt-2025-stage2", "modern-stage1",
    "modern-stage2",
}  # fmt: skip
# Any arrangement in a few thousand weights: the kinds, branches, adapters and prompt stay the preset's own.
REDUCED = [
    "model.random_weights=true", "model.vision.pretrained=null", "model.audio.pretrained=null",
    "model.llm.pretrained=null", "model.vision.hidden_size=32", "model.vision.layers=1", "model.vision.heads=2",
    "model.vision.intermediate_size=32", "model.vision.projection=24", "model.vision.image_size=56",
    "model.image_qformer.hidden_size=32", "model.image_qformer.layers=2", "model.image_qformer.heads=2",
    "model.image_qformer.intermediate_size=32", "model.audio.hidden_size=32", "model.audio.layers=4",
    "model.audio.heads=2", "model.audio.intermediate_size=32", "model.audio.embedding=24", "model.llm.hidden_size=64",
    "model.llm.layers=1", "model.llm.heads=4", "model.llm.kv_heads=2", "model.llm.intermediate_size=64",
    "model.llm.vocab_size=500", "model.llm.init_std=0.15",
]  # fmt: skip


def header(name: str) -> str:
    """The comment at the top of a preset's file, without its marks."""
    lines = (CONFIG_DIR / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    top = lines[: next(number for number, line in enumerate(lines) if not line.startswith("#"))]
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in top)


def test_these_presets_are_there() -> None:
    assert set(names()) == EXPECTED


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_preset_begins_with_its_launch_command_and_the_command_is_one(name: str) -> None:
    whole = header(name)
    command = whole.replace("\\\n", " ").splitlines()[0]
    words = shlex.split(command)
    assert words[:4] == ["python", "-m", "training", "fit"]
    options = parser().parse_args(words[3:])
    assert options.config == name
    config = load_config(name, options.set)
    # With what the header sets, nothing that a run needs is left unsaid.
    unset = [part for part in used_parts(config.model) if not getattr(config.model, part).pretrained]
    assert not unset or config.model.random_weights
    if name.endswith(("stage1", "stage2")):
        assert config.stage == int(name[-1])
        assert ("--init" in words) == (config.stage == 2)
    for key in re.findall(r"\b((?:data|model|train|prompt|generate)\.[a-z_.0-9]+)=", whole):
        load_config(name)  # every key that the header speaks of is one
        section: Any = load_config(name)
        for part in key.split("."):
            section = getattr(section, part)


@pytest.mark.parametrize("name", ["tiny", "overfit", "small"])
def test_a_bare_name_is_stage_2_and_takes_a_stage(name: str) -> None:
    assert (load_config(name).grade, load_config(f"{name}-stage1").grade) == ("fine", "coarse")
    assert load_config(f"{name}-stage2").model == load_config(name).model


def test_the_paper_s_recipe_and_the_published_code_s() -> None:
    for stage, per_epoch in ((1, 1000), (2, 88)):
        ours, theirs = (load_config(f"affectgpt-2024-{kind}stage{stage}") for kind in ("", "original-"))
        for config in (ours, theirs):
            train = config.train
            assert (train.epochs, train.iters_per_epoch, train.batch_size) == (100, per_epoch, 3)
            assert (train.lr, train.min_lr, train.warmup_lr) == (3e-5, 1e-5, 1e-6)
            assert (train.weight_decay, train.betas, train.accumulate) == (0.05, [0.9, 0.999], 1)
            assert config.data.crop_scale == [0.5, 1.0]
        assert (ours.train.schedule, ours.train.decay, ours.train.clip_norm) == ("cosine", "matrices", 1.0)
        assert (ours.train.precision, ours.generate.sample, ours.data.max_length) == ("bf16", False, 1024)
        assert ours.train.warmup_steps == per_epoch
        assert (theirs.train.schedule, theirs.train.decay, theirs.train.clip_norm) == ("original", "original", 0)
        assert (theirs.train.precision, theirs.generate.sample, theirs.data.max_length) == ("fp16", True, 512)
        assert (theirs.train.warmup_steps, theirs.data.one_source_per_batch) == (1000, True)
        assert (theirs.generate.top_p, theirs.generate.temperature, theirs.generate.max_new_tokens) == (0.9, 1.0, 300)
        assert (theirs.model.vision.dtype, theirs.model.llm.dtype) == ("float16", "float16")


def test_the_recipe_of_2025() -> None:
    one, two = load_config("affectgpt-2025-stage1"), load_config("affectgpt-2025-stage2")
    assert (one.train.epochs, one.train.iters_per_epoch, two.train.iters_per_epoch) == (60, 5000, 500)
    assert one.train.lr == one.train.min_lr == 1e-5
    assert (one.model.llm.lora.rank, one.model.llm.lora.alpha, one.model.llm.lora.dropout) == (16, 32, 0.05)
    assert slot_lengths(one.model) == {"video": 1, "audio": 1, "image": 1, "face": 1, "multi": 1}
    assert (one.data.max_length, one.generate.max_new_tokens, one.model.audio.last_layers) == (1024, 1200, 4)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_each_arrangement_takes_steps_and_its_loss_falls(name: str) -> None:
    config = load_config(name, REDUCED)
    for part in ("vision", "audio", "llm"):
        getattr(config.model, part).dtype = "float32"
    tokenizer = train_tokenizer(["".join(config.prompt.clauses), "The person seems happy."], 500)
    model = build_model(config, random_llm(config.model.llm, len(tokenizer))).eval()
    asked = {modality for modality in slot_lengths(config.model) if modality != "image"}
    shapes = feature_shapes(config.model)
    torch.manual_seed(0)
    features = [{own: torch.randn(2, *shapes[own]) for own in asked if own != "multi"} for _ in range(2)]
    examples = [build_example(config, tokenizer, "", answer, asked) for answer in ("She smiles.", "He frowns.")]
    batch = collate(examples, features, ["a", "b"])
    optimizer = torch.optim.AdamW(model.trainable().values(), lr=1e-2)
    losses = []
    for _ in range(12):
        loss, tokens = model(batch)
        optimizer.zero_grad()
        (loss / tokens).backward()
        optimizer.step()
        losses.append(loss.item() / tokens)
    assert losses[-1] < 0.9 * losses[0]


def test_inspect_adds_up_and_says_what_memory_it_takes() -> None:
    said = inspect("affectgpt-2025-stage2")
    rows = {row["name"]: row for row in said["modules"]}
    assert said["trainable"] == 57_168_644
    assert rows["llm_lora"]["parameters"] == 40_370_176
    assert (rows["llm"]["trainable"], rows["llm_lora"]["trainable"]) == (False, True)
    assert rows["affectgpt_proj"]["shapes"] == {"weight": [3584, 768], "bias": [3584]}
    assert said["frozen"] == sum(rows[part]["parameters"] for part in ("visual", "audio", "llm"))
    taken = said["memory"]
    assert taken["weights"]["bfloat16"] == 2 * (rows["visual"]["parameters"] + rows["llm"]["parameters"])
    assert taken["weights"]["float32"] == 4 * (rows["audio"]["parameters"] + said["trainable"])
    assert (taken["gradients"], taken["optimizer"]) == (4 * said["trainable"], 8 * said["trainable"])
    assert said["tokens"]["multi"] == 1
    assert said["features"] == {"video": [1, 768], "face": [1, 768], "audio": [1024]}
    assert memory(parameter_table(load_config("affectgpt-2025-stage2"))) == taken
