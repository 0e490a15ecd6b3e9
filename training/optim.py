"""AdamW's parameter groups and the learning rate: ours, and the published code's with its faults.

``original`` in either place does what the published code does, so that its runs can be told from ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from .schema import TrainConfig

# Learned inputs: they set a level as biases do, and no matrix multiplies by them.
LEARNED_INPUTS = ("query_tokens", "position_embedding")


def parameter_groups(
    named: Iterable[tuple[str, torch.nn.Parameter]], decay: float, rule: str = "matrices"
) -> list[dict[str, Any]]:
    """Two groups, decayed first, of what trains (LoRA's matrices included).

    matrices: matrices are decayed; biases, norms, query tokens and positions are not.
    original: not decayed is what has fewer than two dimensions or ``bias``, ``ln`` or ``bn`` anywhere in its name, so
    query tokens and positions are decayed (Video-LLaMA's runner).
    """
    decayed: list[torch.nn.Parameter] = []
    plain: list[torch.nn.Parameter] = []
    for name, value in named:
        if value.requires_grad:
            (decayed if is_decayed(name, value.ndim, rule) else plain).append(value)
    return [{"params": decayed, "weight_decay": decay}, {"params": plain, "weight_decay": 0.0}]


def is_decayed(name: str, dimensions: int, rule: str) -> bool:
    """Whether weight decay applies to a parameter; ``rule`` as in ``parameter_groups``."""
    if rule == "original":
        return dimensions >= 2 and not any(part in name for part in ("bias", "ln", "bn"))
    return dimensions >= 2 and not any(part in name for part in LEARNED_INPUTS)


def adamw(named: Iterable[tuple[str, torch.nn.Parameter]], train: TrainConfig) -> torch.optim.AdamW:
    """The recipe's optimiser over what trains."""
    groups = parameter_groups(named, train.weight_decay, train.decay)
    return torch.optim.AdamW(groups, lr=train.lr, betas=(train.betas[0], train.betas[1]))


def learning_rate(step: int, total: int, config: TrainConfig, per_epoch: int) -> float:
    """The rate at optimiser step ``step`` (0 first) of ``total``, ``per_epoch`` of them an epoch."""
    if config.schedule == "original":
        return _original(step, total, config, per_epoch)
    return _cosine(step, total, config)


def warmup_of(config: TrainConfig, total: int) -> int:
    """Warm-up steps of a run of ``total`` steps: the config's, but at most a tenth of a run that is too short."""
    if config.schedule == "original":
        return config.warmup_steps
    return config.warmup_steps if config.warmup_steps < total else total // 10


def _cosine(step: int, total: int, config: TrainConfig) -> float:
    """Linear warm-up, then a cosine that ends at ``min_lr``, both over the steps of the whole run, whatever the
    number of iterations per epoch."""
    warmup = warmup_of(config, total)
    if step < warmup:
        return config.warmup_lr + (config.lr - config.warmup_lr) * step / warmup
    progress = (step - warmup) / max(1, total - 1 - warmup)
    return _on_cosine(progress, config)


def _original(step: int, total: int, config: TrainConfig, per_epoch: int) -> float:
    """LAVIS's LinearWarmupCosineLRScheduler as the published runner calls it: epochs count from 1, so the first step
    is number ``per_epoch``; the warm-up is asked by that number and filled in by the index inside the epoch.

    So a warm-up no longer than an epoch never runs; a longer one starts anew each epoch (saw-tooth); and the last
    epoch lies behind the cosine's minimum.
    """
    epoch, index = divmod(step, per_epoch)
    number = (epoch + 1) * per_epoch + index
    if number < config.warmup_steps:
        rise = (config.lr - config.warmup_lr) * index / max(1, config.warmup_steps)
        return min(config.lr, config.warmup_lr + rise)
    return _on_cosine(number / max(1, total), config, clamp=False)


def _on_cosine(progress: float, config: TrainConfig, clamp: bool = True) -> float:
    progress = min(1.0, progress) if clamp else progress
    return config.min_lr + (config.lr - config.min_lr) * 0.5 * (1 + math.cos(math.pi * progress))
