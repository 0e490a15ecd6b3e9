"""Weight decay and learning rate follow the recipe."""

from __future__ import annotations

import pytest
import torch

from training.config import TrainConfig, load_config
from training.optim import learning_rate, parameter_groups
from training.weights import meta_model


def test_biases_norms_and_vectors_are_not_decayed() -> None:
    model = meta_model(load_config("tiny"))
    decayed, plain = parameter_groups(model.named_parameters(), 0.05)
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.05, 0.0)
    names = {id(value): name for name, value in model.named_parameters()}
    assert all(value.ndim >= 2 for value in decayed["params"])
    assert all(names[id(value)].endswith("bias") or "ayer" in names[id(value)] for value in plain["params"])
    assert len(decayed["params"]) + len(plain["params"]) == len(model.trainable())
    assert any(names[id(value)] == "video_query_tokens" for value in decayed["params"])


def test_frozen_parameters_are_in_no_group() -> None:
    frozen = torch.nn.Parameter(torch.ones(2, 2), requires_grad=False)
    assert [group["params"] for group in parameter_groups([("a", frozen)], 0.1)] == [[], []]


@pytest.mark.parametrize("epochs", [1, 100])
def test_warm_up_is_linear_then_a_cosine_ends_at_the_minimum_whatever_the_epochs_length(epochs: int) -> None:
    # 88 iterations per epoch against 1000 warm-up steps: the case in which the rate must not saw-tooth.
    total, config = 8800, TrainConfig(epochs=epochs, lr=3e-5, min_lr=1e-5, warmup_lr=1e-6, warmup_steps=1000)
    rates = [learning_rate(step, total, config) for step in range(total)]
    assert rates[0] == pytest.approx(1e-6)
    assert rates[500] == pytest.approx((1e-6 + 3e-5) / 2)
    assert rates[1000] == pytest.approx(3e-5)
    assert rates[-1] == pytest.approx(1e-5)
    assert all(a < b for a, b in zip(rates[:1000], rates[1:1001], strict=True))
    assert all(a > b for a, b in zip(rates[1000:-1], rates[1001:], strict=True))


@pytest.mark.parametrize("total", [1, 2, 5, 10])
def test_a_run_shorter_than_its_warm_up_still_reaches_the_rate(total: int) -> None:
    config = TrainConfig(lr=1e-3, min_lr=1e-3, warmup_lr=1e-6, warmup_steps=1000)
    assert max(learning_rate(step, total, config) for step in range(total)) == pytest.approx(1e-3)
