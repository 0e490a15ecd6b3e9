"""Weight decay and learning rate follow the recipe; ``original`` follows the published code, faults included."""

from __future__ import annotations

import pytest
import torch

from training.optim import adamw, is_decayed, learning_rate, parameter_groups
from training.schema import TrainConfig

# Names and dimensions of what trains, one of each kind.
PARAMETERS = {
    "video_query_tokens": 3,
    "video_frame_position_embedding.weight": 2,
    "video_qformer.layernorm.weight": 1,
    "video_qformer.encoder.layer.0.attention.attention.query.weight": 2,
    "video_qformer.encoder.layer.0.attention.attention.query.bias": 1,
    "llama_proj.weight": 2,
    "llama_proj.bias": 1,
    "llm.model.layers.0.self_attn.q_proj.lora_A.default.weight": 2,
    "llm.model.layers.0.self_attn.q_proj.lora_B.default.weight": 2,
}
MATRICES = {
    "video_qformer.encoder.layer.0.attention.attention.query.weight",
    "llama_proj.weight",
    "llm.model.layers.0.self_attn.q_proj.lora_A.default.weight",
    "llm.model.layers.0.self_attn.q_proj.lora_B.default.weight",
}


def test_matrices_alone_are_decayed() -> None:
    assert {name for name, size in PARAMETERS.items() if is_decayed(name, size, "matrices")} == MATRICES


def test_the_original_decays_queries_and_positions_and_goes_by_parts_of_the_name() -> None:
    decayed = {name for name, size in PARAMETERS.items() if is_decayed(name, size, "original")}
    assert decayed == MATRICES | {"video_query_tokens", "video_frame_position_embedding.weight"}
    # The substring rule's own doing: a matrix whose name has "ln" or "bn" somewhere inside.
    assert not is_decayed("ln_vision.weight", 2, "original")
    assert not is_decayed("wellness.weight", 2, "original")
    assert is_decayed("wellness.weight", 2, "matrices")


def test_groups_hold_what_trains_once_and_nothing_frozen() -> None:
    trained = [(name, torch.nn.Parameter(torch.ones([2] * size))) for name, size in PARAMETERS.items()]
    frozen = torch.nn.Parameter(torch.ones(2, 2), requires_grad=False)
    decayed, plain = parameter_groups([*trained, ("visual.weight", frozen)], 0.05)
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.05, 0.0)
    assert len(decayed["params"]) == len(MATRICES)
    assert len(decayed["params"]) + len(plain["params"]) == len(PARAMETERS)
    assert all(value is not frozen for group in (decayed, plain) for value in group["params"])


def test_adamw_has_the_papers_betas_and_decay() -> None:
    weight = torch.nn.Parameter(torch.ones(2, 2))
    optimizer = adamw([("weight", weight)], TrainConfig())
    assert [(group["betas"], group["weight_decay"], group["lr"]) for group in optimizer.param_groups] == [
        ((0.9, 0.999), 0.05, 3e-5),
        ((0.9, 0.999), 0.0, 3e-5),
    ]


def paper(schedule: str = "cosine") -> TrainConfig:
    return TrainConfig(lr=3e-5, min_lr=1e-5, warmup_lr=1e-6, warmup_steps=1000, schedule=schedule)


@pytest.mark.parametrize("per_epoch", [88, 1000, 8800])
def test_warm_up_is_linear_then_a_cosine_ends_at_the_minimum_whatever_the_epochs_length(per_epoch: int) -> None:
    # 88 iterations per epoch against 1000 warm-up steps: the case in which the rate must not saw-tooth.
    total, config = 8800, paper()
    rates = [learning_rate(step, total, config, per_epoch) for step in range(total)]
    assert rates[0] == pytest.approx(1e-6)
    assert rates[500] == pytest.approx((1e-6 + 3e-5) / 2)
    assert rates[1000] == pytest.approx(3e-5)
    assert rates[-1] == pytest.approx(1e-5)
    assert all(a < b for a, b in zip(rates[:1000], rates[1:1001], strict=True))
    assert all(a > b for a, b in zip(rates[1000:-1], rates[1001:], strict=True))


@pytest.mark.parametrize("total", [1, 2, 5, 10])
def test_a_run_shorter_than_its_warm_up_still_reaches_the_rate(total: int) -> None:
    config = TrainConfig(lr=1e-3, min_lr=1e-3, warmup_lr=1e-6, warmup_steps=1000)
    assert max(learning_rate(step, total, config, total) for step in range(total)) == pytest.approx(1e-3)


def test_the_originals_stage_1_never_warms_up() -> None:
    # warmup_steps = iterations per epoch, as shipped: the first step counts as number 1000.
    config = paper("original")
    rates = [learning_rate(step, 100_000, config, 1000) for step in range(100_000)]
    assert rates[0] == pytest.approx(2.9995e-5, abs=1e-9)
    assert min(rates) == pytest.approx(1e-5)
    # The last epoch lies behind the minimum and rises again.
    assert rates.index(min(rates)) == 99_000
    assert rates[-1] > rates[99_000]


def test_the_originals_stage_2_saw_tooths_then_jumps() -> None:
    config = paper("original")
    rates = [learning_rate(step, 8800, config, 88) for step in range(8800)]
    for epoch in range(10):
        assert rates[epoch * 88] == pytest.approx(1e-6)
        assert rates[epoch * 88 + 87] == pytest.approx(3.5e-6, abs=0.05e-6)
    # Step number 1000 is index 32 of the eleventh epoch.
    assert rates[10 * 88 + 31] < 2e-6
    assert rates[10 * 88 + 32] == pytest.approx(2.93e-5, abs=0.01e-5)


def test_the_second_releases_rate_is_constant() -> None:
    config = TrainConfig(lr=1e-5, min_lr=1e-5, warmup_lr=1e-6, warmup_steps=500, schedule="original")
    assert {learning_rate(step, 30_000, config, 500) for step in range(30_000)} == {1e-5}
