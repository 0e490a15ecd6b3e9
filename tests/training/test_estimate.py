"""What a run will need: counted where it can be, against the figures of the reference."""

from __future__ import annotations

import pytest
import torch

from training.config import Config, load_config
from training.counting import Cost, Counter, language_cost
from training.errors import UsageError
from training.estimate import checkpoint_bound, estimate, mfu, named_peak, speed
from training.weights import meta_model

MIB = 2**20


@pytest.fixture(scope="module")
def paper() -> Config:
    """The paper's sizes with the language model kept in half precision."""
    return load_config("affectgpt-2024-stage2")


@pytest.fixture(scope="module")
def counted(paper: Config) -> Cost:
    return Counter(paper).cost()


def test_the_frozen_encoders_cost_what_the_reference_says(counted: Cost) -> None:
    # 4.05 TFLOP for EVA-ViT-g on 8 frames, without attention and the image Q-Former, which add 5 %.
    assert counted.encode["video"] / 1e12 == pytest.approx(4.05, rel=0.06)
    assert counted.encode["audio"] / 1e12 == pytest.approx(0.32, rel=0.05)


@pytest.mark.parametrize(("tokens", "tera"), [(150, 4.0), (250, 6.6), (420, 11.1)])
def test_a_frozen_7b_model_costs_what_the_reference_says(counted: Cost, tokens: int, tera: float) -> None:
    # The reference leaves attention out (2.5 % at 420 tokens) and puts the head on every token.
    language = counted.step([tokens], tokens) - counted.sample
    assert language / 1e12 == pytest.approx(tera, rel=0.03)


def test_what_fit_counts_for_its_mfu_is_the_language_models_share(paper: Config, counted: Cost) -> None:
    known = language_cost(meta_model(paper).llm)
    assert known.token == pytest.approx(counted.token, rel=1e-6)
    assert known.target == pytest.approx(counted.target, rel=1e-6)
    assert known.token_squared == pytest.approx(counted.token_squared, rel=0.01)
    assert counted.sample / counted.step([420], 300) < 0.002


def test_adapters_cost_the_gradient_of_their_weights_too() -> None:
    plain = load_config("tiny")
    adapted = load_config("tiny", ["model.llm.lora.rank=8"])
    one, other = (language_cost(meta_model(config).llm) for config in (plain, adapted))
    adapters = sum(value.numel() for name, value in meta_model(adapted).llm.named_parameters() if "lora_" in name)
    assert other.token == one.token + 6 * adapters
    assert Counter(adapted).cost().token == pytest.approx(other.token, rel=1e-6)


def test_saved_activations_are_those_that_autograd_really_keeps() -> None:
    # The same forward pass with real tensors on the CPU, every storage that autograd holds counted once.
    config = load_config("tiny", ["model.video.dropout=0.0", "model.audio_branch.dropout=0.0"])
    batch, length, targets = 2, 96, 40
    with torch.device("cpu"):
        from training.affectgpt.llm import random_llm

        llm = random_llm(config.model.llm, config.model.llm.vocab_size).eval().requires_grad_(False)
    own = {value.untyped_storage().data_ptr() for value in llm.parameters()}
    kept: dict[int, tuple[torch.Tensor, int]] = {}

    def pack(value: torch.Tensor) -> torch.Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = (value, storage.nbytes())
        return value

    embeds = torch.randn(batch, length, config.model.llm.hidden_size, requires_grad=True)
    mask = torch.ones(batch, length, dtype=torch.long)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        hidden = llm.get_decoder()(inputs_embeds=embeds, attention_mask=mask, use_cache=False).last_hidden_state
        logits = llm.get_output_embeddings()(hidden.flatten(0, 1)[:targets])
        loss = torch.nn.functional.cross_entropy(logits, torch.zeros(targets, dtype=torch.long))
    real = sum(size for _, size in kept.values())
    assert loss.requires_grad
    without = load_config("tiny", ["data.video=false", "data.audio=false"])
    assert Counter(without).saved_bytes(batch, length, targets) == pytest.approx(real, rel=0.1)


def test_checkpointing_keeps_less_and_half_precision_too() -> None:
    full, recomputed, half = (
        Counter(load_config("small", settings)).saved_bytes(3, 512, 3 * 256)
        for settings in ([], ["model.llm.checkpointing=true"], ["train.precision=bf16"])
    )
    assert recomputed < 0.6 * full
    assert half < full


def test_an_estimate_adds_up_and_says_what_it_assumes(paper: Config) -> None:
    found = estimate(paper, 266, "A100")
    assert found["parameters"]["trainable"] == 44_959_744
    assert (found["steps"], found["samples"]) == (8_800, 26_400)
    needs = found["memory"]
    assert needs["total"] == sum(value for name, value in needs.items() if name != "total")
    assert needs["gradients"] == 4 * 44_959_744
    assert needs["optimizer"] == 8 * 44_959_744
    assert found["flops_per_step"] / 1e12 == pytest.approx(3 * 11.4, rel=0.1)
    assert found["seconds"] > 8_800 * found["flops_per_step"] / 312e12
    assert "A100" in found["basis"]
    assert "assumed" in found["basis"]


def test_encoders_count_in_every_step_when_nothing_is_kept() -> None:
    kept, not_kept = (
        estimate(load_config("tiny", ["train.device=cpu", f"data.cache={cache}"]), 100, "A100")
        for cache in ("disk", "none")
    )
    assert not_kept["flops_per_step"] > kept["flops_per_step"]
    assert kept["disk"]["features"] == 100 * 4 * (8 * 32 * 64 + 8 * 64)
    assert not_kept["disk"]["features"] == 0


def test_this_hosts_processor_is_measured_and_a_gpu_that_is_not_there_is_not_guessed() -> None:
    rate, _, text = speed(load_config("tiny", ["train.device=cpu"]), None)
    assert rate is not None
    assert rate > 1e8
    assert "measured" in text
    if not torch.cuda.is_available():
        assert speed(load_config("tiny", ["train.device=cuda"]), None)[0] is None


def test_gpus_are_known_by_the_names_that_torch_gives_them() -> None:
    assert named_peak("NVIDIA A100-SXM4-80GB", "bf16") == 312e12
    assert named_peak("NVIDIA H100 80GB HBM3", "bf16") == 989e12
    assert named_peak("NVIDIA H100 PCIe", "bf16") == 756e12
    assert named_peak("NVIDIA H200", "fp32") == 67e12
    assert named_peak("NVIDIA GeForce RTX 4090", "fp16") == 165.2e12
    assert named_peak("NVIDIA RTX A1000 Laptop GPU", "bf16") is None


def test_bad_input_is_said() -> None:
    config = load_config("tiny")
    with pytest.raises(UsageError, match="--gpu 'Abacus' is not known; known are: A100"):
        estimate(config, 10, "Abacus")
    with pytest.raises(UsageError, match="--clips 0"):
        estimate(config, 0)


def test_mfu_is_a_share_of_the_peak() -> None:
    assert mfu(1e12, 0.5, 4e12) == 0.5
    assert mfu(1e12, 0.5, None) is None


def test_the_bound_on_checkpoints_counts_the_last_the_best_and_those_for_good() -> None:
    config = load_config("tiny", ["train.epochs=100", "train.keep=2", "train.keep_every=50",
                                  "evaluate.select=validation", "evaluate.validation=0.1"])  # fmt: skip
    assert checkpoint_bound(config, MIB, 2 * MIB) == (2 + 2 + 1 + 1) * MIB + 4 * MIB
