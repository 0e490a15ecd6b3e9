"""The paper's arrangement: what trains, what never moves, and where media tokens go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training import world
from training.affectgpt.llm import train_tokenizer
from training.affectgpt.model import FROZEN, TRAINABLE, AffectGPT
from training.config import Config, load_config
from training.data import Featurizer, Sample, collate, example_of
from training.evidence import open_media
from training.fit import one_step
from training.optim import parameter_groups
from training.weights import assemble, meta_model


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config("tiny")


@pytest.fixture(scope="module")
def tokenizer(config: Config) -> Any:
    return train_tokenizer(["".join(config.prompt.clauses), "The person seems happy."], 600)


@pytest.fixture
def model(config: Config, tokenizer: Any) -> AffectGPT:
    return assemble(config, tokenizer)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """One of each kind: both streams, no sound, no picture, two frames only, nothing at all."""
    folder = tmp_path_factory.mktemp("kinds")
    files = [
        world.write_clip(folder / "both.mp4", 0),
        world.write_clip(folder / "silent.avi", 1, audio=False),
        world.write_clip(folder / "heard.wav", 2, video=False),
        world.write_clip(folder / "short.mp4", 3, seconds=0.25),
    ]
    made = [Sample(file.stem, "你好 hello", f"{world.FACES[i]}.", open_media(file)) for i, file in enumerate(files)]
    return [*made, Sample("text", "他走了。", "nothing is seen or heard.", None)]


@pytest.mark.parametrize("name", ["affectgpt-2024-stage1", "affectgpt-2024-stage2"])
def test_the_full_geometry_has_the_paper_s_trainable_parameters(name: str) -> None:
    counts = meta_model(load_config(name)).trainable_counts()
    assert counts == {
        "video_frame_position_embedding": 24_576, "video_query_tokens": 24_576, "video_qformer": 18_905_088,
        "llama_proj": 3_149_824, "audio_position_embedding": 8_192, "audio_query_tokens": 6_144,
        "audio_qformer": 19_691_520, "audio_llama_proj": 3_149_824,
    }  # fmt: skip
    assert sum(counts.values()) == 44_959_744


def test_the_full_geometry_s_frozen_parts_have_the_published_sizes() -> None:
    model = meta_model(load_config("affectgpt-2024-stage2"))
    assert sum(value.numel() for value in model.visual.vision_model.parameters()) == 985_952_256
    assert sum(value.numel() for value in model.visual.qformer.parameters()) == 105_137_664
    # 12 x 19 patches of a 128 x 204 log-mel, with AST's two leading tokens.
    assert model.audio.encoder.embeddings.position_embeddings.shape == (1, 12 * 19 + 2, 768)


def test_at_step_one_every_trainable_tensor_has_a_gradient_and_no_frozen_one(
    model: AffectGPT, config: Config, tokenizer: Any, samples: list[Sample]
) -> None:
    model.train()
    optimizer = torch.optim.AdamW(parameter_groups(model.named_parameters(), 0.05), lr=1e-3)
    before = {name: value.clone() for name, value in model.named_parameters()}
    config.train.batch_size = len(samples)
    examples = [example_of(config, tokenizer, sample) for sample in samples]
    line = one_step(model, optimizer, Featurizer(model, config), samples, examples, config, 0)
    assert line["grad_norm"] > 0
    norms = {name: None if value.grad is None else float(value.grad.norm()) for name, value in model.named_parameters()}
    for module in TRAINABLE:
        own = [norm for name, norm in norms.items() if name.split(".")[0] == module]
        assert own
        assert all(norm is not None for norm in own), module
        assert sum(norm for norm in own if norm) > 0, module
    # A key's bias moves all scores of a query alike, which softmax ignores: the only gradient that may vanish.
    assert [name for name, norm in norms.items() if norm is not None and norm < 1e-6 and "key.bias" not in name] == []
    for name, value in model.named_parameters():
        if name.split(".")[0] in FROZEN:
            assert norms[name] is None
            assert torch.equal(value, before[name])


def test_what_is_frozen_stays_in_eval_mode_after_every_train(model: AffectGPT) -> None:
    model.eval()
    model.train()
    for part in FROZEN:
        assert not any(module.training for module in getattr(model, part).modules())
    assert all(model.get_submodule(name).training for name in ("video_qformer", "audio_qformer"))
    trainable = {name.split(".")[0] for name, value in model.named_parameters() if value.requires_grad}
    assert trainable == set(TRAINABLE)


def test_a_clip_s_features_do_not_depend_on_training_mode(
    model: AffectGPT, config: Config, samples: list[Sample]
) -> None:
    config.data.cache = "none"
    featurizer = Featurizer(model, config)
    first = featurizer.features(samples[0])
    model.train()
    second = featurizer.features(samples[0])
    config.data.cache = "memory"
    assert first.video is not None
    assert first.audio is not None
    assert torch.equal(first.video, second.video)  # type: ignore[arg-type]
    assert torch.equal(first.audio, second.audio)  # type: ignore[arg-type]


def test_all_kinds_of_clips_in_one_batch_give_what_each_gives_alone(
    model: AffectGPT, config: Config, tokenizer: Any, samples: list[Sample]
) -> None:
    model.eval()
    featurizer = Featurizer(model, config)
    features = [featurizer.features(sample) for sample in samples]
    examples = [example_of(config, tokenizer, sample) for sample in samples]
    with torch.no_grad():
        together, tokens = model.loss_sum(collate(examples, features, [sample.clip for sample in samples]))
        alone = [
            model.loss_sum(collate([example], [feature], [sample.clip]))
            for example, feature, sample in zip(examples, features, samples, strict=True)
        ]
    assert tokens == sum(count for _, count in alone)
    assert float(together) == pytest.approx(sum(float(loss) for loss, _ in alone), rel=1e-4)


def test_media_tokens_take_their_slots_and_leave_the_text_alone(
    model: AffectGPT, config: Config, tokenizer: Any, samples: list[Sample]
) -> None:
    model.eval()
    chosen = [samples[4], samples[1], samples[0]]
    featurizer = Featurizer(model, config)
    examples = [example_of(config, tokenizer, sample) for sample in chosen]
    batch = collate(examples, [featurizer.features(sample) for sample in chosen], [sample.clip for sample in chosen])
    with torch.no_grad():
        embeds = model.embed(batch)
        plain = model.llm.get_input_embeddings()(batch.input_ids)
        video = model.video_tokens(torch.stack([featurizer.features(sample).video for sample in chosen[1:]]))
    changed = (embeds != plain).any(-1)
    assert not changed[0].any()
    for row, tokens in ((1, video[0]), (2, video[1])):
        start = examples[row].slots["video"]
        assert torch.equal(embeds[row, start : start + 32], tokens)
    assert int(changed[1].sum()) == 32
    assert int(changed[2].sum()) == 40


def test_random_weights_are_the_same_on_every_machine_run(config: Config, tokenizer: Any, tmp_path: Path) -> None:
    from training.weights import identities

    torch.manual_seed(1)
    one = identities(config, assemble(config, tokenizer))
    torch.manual_seed(2)
    assert identities(config, assemble(config, tokenizer)) == one
    other = load_config("tiny", ["model.weights_seed=5"])
    assert identities(other, assemble(other, tokenizer)) != one
