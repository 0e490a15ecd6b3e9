"""AdamW's parameter groups and the learning rate, both as the paper's recipe has them."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from .config import TrainConfig


def parameter_groups(named: Iterable[tuple[str, torch.nn.Parameter]], decay: float) -> list[dict]:
    """Two groups: decayed matrices, and what is not decayed (fewer than two dimensions: biases, norms)."""
    decayed: list[torch.nn.Parameter] = []
    plain: list[torch.nn.Parameter] = []
    for name, value in named:
        if not value.requires_grad:
            continue
        norm = any(part in ("layernorm", "LayerNorm") for part in name.split("."))
        (plain if value.ndim < 2 or name.endswith(".bias") or norm else decayed).append(value)
    return [{"params": decayed, "weight_decay": decay}, {"params": plain, "weight_decay": 0.0}]


def warmup_of(config: TrainConfig, total: int) -> int:
    """Warm-up steps of a run of ``total`` steps: the config's, but at most a tenth of a run that is too short."""
    return config.warmup_steps if config.warmup_steps < total else total // 10


def learning_rate(step: int, total: int, config: TrainConfig) -> float:
    """The rate at optimiser step ``step`` (0 first) of ``total``: linear warm-up, then cosine to ``min_lr``.

    Both run over the steps of the whole run, whatever the number of iterations per epoch.
    """
    warmup = warmup_of(config, total)
    if step < warmup:
        return config.warmup_lr + (config.lr - config.warmup_lr) * step / warmup
    progress = (step - warmup) / max(1, total - 1 - warmup)
    return config.min_lr + (config.lr - config.min_lr) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
