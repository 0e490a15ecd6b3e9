"""The published arrangements: what trains, what never moves, and where media tokens go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from tests.training import world
from training.affectgpt.batch import Batch
from training.affectgpt.llm import train_tokenizer
from training.affectgpt.lora import is_lora
from training.affectgpt.model import FROZEN, AffectGPT, fingerprint
from training.affectgpt.slots import feature_shapes, slot_lengths
from training.config import Config, load_config
from training.data import Featurizer, Sample, collate, example_of
from training.errors import TrainingError, UsageError
from training.evidence import open_media
from training.optim import parameter_groups
from training.prompt import build_example
from training.weights import assemble, identities, meta_model

SMALL_2025 = [
    "model.random_weights=true", "model.vision.hidden_size=32", "model.vision.layers=1", "model.vision.heads=2",
    "model.vision.intermediate_size=32", "model.vision.projection=24", "model.vision.image_size=28",
    "model.audio.hidden_size=32", "model.audio.layers=4", "model.audio.heads=2", "model.audio.intermediate_size=32",
    "model.llm.hidden_size=64", "model.llm.layers=2", "model.llm.heads=4", "model.llm.kv_heads=2",
    "model.llm.intermediate_size=96", "model.llm.vocab_size=600", "model.vision.pretrained=null",
    "model.audio.pretrained=null", "model.llm.pretrained=null", "model.vision.dtype=float32",
    "model.llm.dtype=float32",
]  # fmt: skip


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config("tiny")


@pytest.fixture(scope="module")
def config_2025() -> Config:
    return load_config("affectgpt-2025-stage2", SMALL_2025)


@pytest.fixture(scope="module")
def tokenizer(config: Config) -> Any:
    return train_tokenizer(["".join(config.prompt.clauses), "The person seems happy."], 600)


@pytest.fixture
def model(config: Config, tokenizer: Any) -> AffectGPT:
    return assemble(config, tokenizer)


@pytest.fixture
def model_2025(config_2025: Config, tokenizer: Any) -> AffectGPT:
    return assemble(config_2025, tokenizer)


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


def made_up(config: Config, tokenizer: Any, clips: list[dict[str, int]]) -> list[Batch]:
    """A batch of clips with so many steps of each modality, then each clip as a batch of its own."""
    shapes = feature_shapes(config.model) | {"image": feature_shapes(config.model)["video"]}
    torch.manual_seed(11)
    examples, features = [], []
    for number, steps in enumerate(clips):
        media = set(steps) | ({"multi"} if "audio" in steps and {"video", "face"} & set(steps) else set())
        media &= set(slot_lengths(config.model))
        examples.append(build_example(config, tokenizer, "a b c " * number, f"{world.FACES[number]}.", media))
        features.append({modality: torch.randn(count, *shapes[modality]) for modality, count in steps.items()})
    names = [f"clip_{number}" for number in range(len(clips))]
    alone = [collate([examples[i]], [features[i]], [names[i]]) for i in range(len(clips))]
    return [collate(examples, features, names), *alone]


def gradients(model: AffectGPT, batches: list[Batch]) -> tuple[float, dict[str, torch.Tensor]]:
    """Summed loss and gradients of these batches; a parameter that none reaches has zeros."""
    model.zero_grad(set_to_none=True)
    total = 0.0
    for batch in batches:
        loss, _ = model(batch)
        if loss.requires_grad:
            loss.backward()
        total += loss.item()
    return total, {
        name: torch.zeros_like(value) if value.grad is None else value.grad.clone()
        for name, value in model.trainable().items()
    }


# --- counts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["affectgpt-2024-stage1", "affectgpt-2024-stage2", "affectgpt-2024-original-stage2"])
def test_the_full_geometry_of_2024_has_the_paper_s_trainable_parameters(name: str) -> None:
    counts = meta_model(load_config(name)).trainable_counts()
    assert counts == {
        "video_frame_position_embedding": 24_576, "video_query_tokens": 24_576, "video_qformer": 18_905_088,
        "llama_proj": 3_149_824, "audio_position_embedding": 8_192, "audio_query_tokens": 6_144,
        "audio_qformer": 19_691_520, "audio_llama_proj": 3_149_824,
    }  # fmt: skip
    assert sum(counts.values()) == 44_959_744


@pytest.mark.parametrize("name", ["affectgpt-2025-stage1", "affectgpt-2025-stage2"])
def test_the_full_geometry_of_2025_has_the_published_trainable_parameters(name: str) -> None:
    counts = meta_model(load_config(name)).trainable_counts()
    assert counts == {
        "llm_lora": 40_370_176, "image_llama_proj": 2_756_096, "affectgpt_proj": 2_756_096,
        "audio_llama_proj": 3_673_600, "multi_llama_proj": 3_673_600, "multi_audio_embs": 1_049_600,
        "multi_video_embs": 787_456, "attention_mlp": 2_098_176, "fc_att": 2_050, "video_attention_mlp": 769,
        "audio_attention_mlp": 1_025,
    }  # fmt: skip
    assert sum(counts.values()) == 57_168_644


def test_the_full_geometry_s_frozen_parts_have_the_published_sizes() -> None:
    def size(module: torch.nn.Module) -> int:
        return sum(value.numel() for value in module.parameters())

    model = meta_model(load_config("affectgpt-2024-stage2"))
    assert size(model.visual.vision_model) == 985_952_256
    assert size(model.visual.qformer) == 105_137_664
    # 12 x 19 patches of a 128 x 204 log-mel, and the class token.
    assert model.audio.encoder.position_embedding.shape == (1, 12 * 19 + 1, 768)
    later = meta_model(load_config("affectgpt-2025-stage2"))
    assert size(later.visual) == 303_966_208
    assert size(later.audio) == 315_438_720
    assert sum(value.numel() for name, value in later.llm.named_parameters() if not is_lora(name)) == 7_615_616_512


# --- what trains and what does not ----------------------------------------------------------------------------------


def test_at_step_one_every_trainable_tensor_has_a_gradient_and_no_frozen_one(
    model: AffectGPT, config: Config, tokenizer: Any, samples: list[Sample]
) -> None:
    model.train()
    before = {name: value.clone() for name, value in model.named_parameters()}
    featurizer = Featurizer(model, config)
    batch = collate(
        [example_of(config, tokenizer, sample) for sample in samples],
        [featurizer.features(sample) for sample in samples],
        [sample.clip for sample in samples],
    )
    optimizer = torch.optim.AdamW(parameter_groups(model.named_parameters(), 0.05), lr=1e-3)
    loss, tokens = model(batch)
    (loss / tokens).backward()
    norms = {name: None if value.grad is None else float(value.grad.norm()) for name, value in model.named_parameters()}
    optimizer.step()
    # A key's bias moves all scores of a query alike, which softmax ignores: the only gradient that may vanish.
    still = [name for name in model.trainable() if (norms[name] or 0) < 1e-6 and "key.bias" not in name]
    assert still == []
    for name, value in model.named_parameters():
        frozen = name.split(".")[0] in FROZEN
        assert (norms[name] is None) == frozen
        assert torch.equal(value, before[name]) == frozen or "key.bias" in name


def test_in_2025_every_trainable_tensor_has_a_gradient_adapters_included(
    model_2025: AffectGPT, config_2025: Config, tokenizer: Any
) -> None:
    clips = [{"face": 3, "audio": 4}, {"video": 2, "audio": 1}, {"face": 2}, {"audio": 2}]
    together, *_ = made_up(config_2025, tokenizer, clips)
    picture = build_example(config_2025, tokenizer, "", "smiles.", {"multi"})
    picture.slots["image"] = picture.slots.pop("multi")
    seen = collate([picture], [{"image": torch.randn(1, 1, 24)}], ["picture"])
    model_2025.train()
    # A first step moves the adapters' second factor away from zero; only then does the first one get a gradient.
    _, first = gradients(model_2025, [together, seen])
    with torch.no_grad():
        for name, value in model_2025.trainable().items():
            value -= 0.1 * first[name] / (first[name].norm() + 1e-12)
    before = fingerprint(model_2025.llm)
    _, second = gradients(model_2025, [together, seen])
    assert [name for name, value in second.items() if not float(value.norm()) > 0] == []
    assert {name for name in second if is_lora(name)} != set()
    assert not any(value.requires_grad for name, value in model_2025.llm.named_parameters() if not is_lora(name))
    assert fingerprint(model_2025.llm) == before


@pytest.mark.parametrize("which", ["model", "model_2025"])
def test_what_is_frozen_stays_in_eval_mode_after_every_train(which: str, request: pytest.FixtureRequest) -> None:
    model: AffectGPT = request.getfixturevalue(which)
    model.eval()
    assert not any(module.training for module in model.modules())
    model.train()
    for part in FROZEN:
        training = [name for name, module in getattr(model, part).named_modules() if module.training]
        # Of the language model the adapters' dropout trains, and nothing else.
        assert all("lora_dropout" in name for name in training), part
        assert bool(training) == (part == "llm" and which == "model_2025")
    mine = [module for name, module in model.named_modules() if name and name.split(".")[0] not in FROZEN]
    assert all(module.training for module in mine)
    trainable = {name.split(".")[0] for name in model.trainable()}
    assert trainable - {"llm"} == set(model.trainable_counts()) - {"llm_lora"}


def test_adapters_begin_as_nothing_and_their_dropout_trains(
    model_2025: AffectGPT, config_2025: Config, tokenizer: Any
) -> None:
    batch, *_ = made_up(config_2025, tokenizer, [{"video": 2, "audio": 2}])
    bare = assemble(load_config("affectgpt-2025-stage2", [*SMALL_2025, "model.llm.lora.rank=0"]), tokenizer)
    assert fingerprint(bare.llm) == fingerprint(model_2025.llm)
    with torch.no_grad():
        for name, value in bare.trainable().items():
            value.copy_(model_2025.trainable()[name])
        assert torch.equal(bare.eval()(batch)[0], model_2025.eval()(batch)[0])
        for name, value in model_2025.trainable().items():
            if "lora_B" in name:
                value.normal_()
        still = [model_2025.eval()(batch)[0] for _ in range(2)]
        moving = [model_2025.train()(batch)[0] for _ in range(2)]
    assert torch.equal(*still)
    assert not torch.equal(*moving)


def test_a_target_that_the_language_model_has_not_is_named(tokenizer: Any) -> None:
    with pytest.raises(UsageError, match=r"lora.targets: qkv_proj; Qwen2ForCausalLM has .*q_proj"):
        assemble(load_config("affectgpt-2025-stage2", [*SMALL_2025, "model.llm.lora.targets=[qkv_proj]"]), tokenizer)


def test_a_clip_s_features_do_not_depend_on_training_mode(
    model: AffectGPT, config: Config, samples: list[Sample]
) -> None:
    first = Featurizer(model.eval(), config).features(samples[0])
    second = Featurizer(model.train(), config).features(samples[0])
    assert set(first) == {"video", "audio"}
    assert all(torch.equal(first[modality], second[modality]) for modality in first)


def test_random_weights_are_the_same_on_every_machine_run(config: Config, tokenizer: Any, tmp_path: Path) -> None:
    torch.manual_seed(1)
    one = identities(config, assemble(config, tokenizer))
    torch.manual_seed(2)
    assert identities(config, assemble(config, tokenizer)) == one
    other = load_config("tiny", ["model.weights_seed=5"])
    assert identities(other, assemble(other, tokenizer)) != one


def test_released_encoders_are_gone_and_training_goes_on(model: AffectGPT, config: Config, tokenizer: Any) -> None:
    batch, *_ = made_up(config, tokenizer, [{"video": 2, "audio": 2}])
    before, _ = gradients(model.eval(), [batch])
    model.release_encoders()
    assert not any(name.startswith(("visual", "audio.")) for name, _ in model.named_parameters())
    assert gradients(model.train().eval(), [batch])[0] == before
    with pytest.raises(TrainingError, match="released"):
        model.encode("video", {"frames": torch.zeros(1, 56, 56, 3, dtype=torch.uint8)}, 1)


# --- one batch of all kinds is what each clip is alone --------------------------------------------------------------

KINDS = {
    "tiny": [{"video": 8, "audio": 8}, {"video": 3}, {"audio": 5}, {}, {"video": 1, "audio": 2}],
    "2025": [{"face": 4, "audio": 8}, {"video": 3, "audio": 5}, {"audio": 2}, {}, {"face": 2},
             {"video": 3, "face": 6, "audio": 1}],
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_of_clips_in_one_batch_give_the_gradients_of_each_alone(
    kind: str, tokenizer: Any, request: pytest.FixtureRequest
) -> None:
    which = "model" if kind == "tiny" else "model_2025"
    model, config = request.getfixturevalue(which), request.getfixturevalue(which.replace("model", "config"))
    together, *alone = made_up(config, tokenizer, KINDS[kind])
    model.eval()
    loss, ours = gradients(model, [together])
    other, theirs = gradients(model, alone)
    assert loss == pytest.approx(other, rel=1e-5)
    largest = max(float(value.abs().max()) for value in theirs.values())
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-5, atol=1e-5 * max(1.0, largest), msg=name)


def test_more_frames_and_windows_than_positions_are_spread_over_them(
    model: AffectGPT, config: Config, tokenizer: Any
) -> None:
    together, *alone = made_up(config, tokenizer, [{"video": 99, "audio": 70}, {"video": 2, "audio": 1}])
    model.eval()
    loss, ours = gradients(model, [together])
    other, theirs = gradients(model, alone)
    assert loss == pytest.approx(other, rel=1e-5)
    # The last frame of the long clip stands at the last position.
    assert float(ours["video_frame_position_embedding.weight"][-1].norm()) > 0
    assert float(ours["audio_position_embedding.weight"][-1].norm()) > 0
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-4, atol=1e-4, msg=name)


def test_a_clip_s_faces_are_fused_before_its_frames(model_2025: AffectGPT, config_2025: Config, tokenizer: Any) -> None:
    both, *_ = made_up(config_2025, tokenizer, [{"video": 3, "face": 6, "audio": 2}])
    faces = Batch(both.input_ids, both.attention_mask, both.labels,
                  {name: placed for name, placed in both.media.items() if name != "video"}, both.clips)  # fmt: skip
    with torch.no_grad():
        assert torch.equal(model_2025.tokens_of("multi", both.media), model_2025.tokens_of("multi", faces.media))
    assert int(both.media["video"].start[0]) == -1
    assert int(both.media["face"].start[0]) > 0


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
        video = model.tokens_of("video", batch.media)
    changed = (embeds != plain).any(-1)
    assert not changed[0].any()
    for row, tokens in ((1, video[0]), (2, video[1])):
        start = examples[row].slots["video"]
        assert torch.equal(embeds[row, start : start + 32], tokens)
    assert int(changed[1].sum()) == 32
    assert int(changed[2].sum()) == 40


# --- dtypes and memory ----------------------------------------------------------------------------------------------


def test_what_trains_is_float32_beside_frozen_weights_of_half_precision(tokenizer: Any) -> None:
    halves = ["model.llm.dtype=bfloat16", "model.vision.dtype=bfloat16", "model.audio.dtype=bfloat16"]
    config = load_config("affectgpt-2025-stage2", [*SMALL_2025, *halves])
    model = assemble(config, tokenizer)
    for part in FROZEN:
        dtypes = {value.dtype for name, value in getattr(model, part).named_parameters() if not is_lora(name)}
        assert dtypes == {torch.bfloat16}, part
    assert {value.dtype for value in model.trainable().values()} == {torch.float32}
    batch, *_ = made_up(config, tokenizer, [{"face": 3, "audio": 2}, {"video": 2}])
    for autocast in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss, tokens = model.train()(batch)
        (loss / tokens).backward()
        reached = [value.grad for value in model.trainable().values() if value.grad is not None]
        assert all(grad.dtype == torch.float32 and grad.isfinite().all() for grad in reached)


def test_blip2_s_q_former_and_norm_stay_float32_behind_a_half_precision_vit(tokenizer: Any) -> None:
    model = assemble(load_config("tiny", ["model.vision.dtype=bfloat16"]), tokenizer)
    visual = model.visual
    assert {value.dtype for value in visual.vision_model.encoder.parameters()} == {torch.bfloat16}
    assert {value.dtype for value in visual.qformer.parameters()} == {torch.float32}
    assert visual.vision_model.post_layernorm.weight.dtype == visual.query_tokens.dtype == torch.float32
    frames = {"frames": torch.randint(0, 256, (2, 56, 56, 3), dtype=torch.uint8)}
    whole = assemble(load_config("tiny"), tokenizer)
    ours, wide = model.encode("video", frames, 2), whole.encode("video", frames, 2)
    assert ours.dtype == torch.float32
    assert float((ours - wide).norm() / wide.norm()) < 0.05


def test_recomputed_activations_give_the_same_gradients(tokenizer: Any) -> None:
    config = load_config("affectgpt-2025-stage2", [*SMALL_2025, "model.llm.lora.dropout=0"])
    batch, *_ = made_up(config, tokenizer, [{"face": 3, "audio": 2}, {"video": 2, "audio": 2}])
    plain = assemble(config, tokenizer)
    config.model.llm.checkpointing = True
    saving = assemble(config, tokenizer)
    calls = []
    saving.llm.model.layers[0].input_layernorm.register_forward_hook(lambda *_: calls.append(1))
    loss, ours = gradients(saving.train(), [batch])
    other, theirs = gradients(plain.train(), [batch])
    assert (loss, len(calls)) == (other, 2)
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    # The layers' flag is all that is in training mode.
    mlp = saving.llm.model.layers[0].mlp
    assert not mlp.training
    assert not saving.llm.model.layers[0].self_attn.training


@pytest.mark.parametrize("kind", ["blip2", "clip", "siglip"])
def test_attention_is_torch_s_fused_one_wherever_there_is_one(kind: str, tokenizer: Any) -> None:
    model = assemble(load_config("tiny", [f"model.vision.kind={kind}"]), tokenizer)
    for name, module in model.named_modules():
        if isinstance(module, PreTrainedModel):
            assert module.config._attn_implementation == "sdpa", name
