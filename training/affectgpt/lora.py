"""Low-rank adapters on the language model's linear layers (Hu et al. 2021), by peft; imported only when asked for.

The adapters are put into the model in place: it stays the class that it was. They train in float32, whatever the frozen
weights' dtype; their names follow the published checkpoints (``…q_proj.lora_A.default.weight``).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..config import LoraConfig
from ..errors import MissingDependency, UsageError


def add_lora(llm: Any, config: LoraConfig) -> None:
    """Adapters of ``config.rank`` on every linear layer that ``config.targets`` names; rank 0 adds none.

    Raises:
        UsageError: the model has no layer of one of these names.
        MissingDependency: peft is not installed.
    """
    if not config.rank:
        return
    there = {name.rpartition(".")[2] for name, module in llm.named_modules() if isinstance(module, nn.Linear)}
    unknown = sorted(set(config.targets) - there)
    if unknown or not config.targets:
        raise UsageError(
            f"config model.llm.lora.targets: {', '.join(unknown) or 'none given'}; {type(llm).__name__} has the linear "
            f"layers {', '.join(sorted(there))}"
        )
    try:
        import peft
    except ImportError as error:
        raise MissingDependency(
            f"model.llm.lora.rank={config.rank} needs peft ({error}); pip install -r requirements/ml.txt"
        ) from error
    peft.inject_adapter_in_model(
        peft.LoraConfig(
            r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout, target_modules=list(config.targets),
            bias="none",
        ),
        llm,
    )  # fmt: skip
    for name, value in llm.named_parameters():
        if is_lora(name):
            value.data = value.data.to(torch.float32)


def is_lora(name: str) -> bool:
    """Whether a parameter of this name is an adapter's."""
    return ".lora_A." in name or ".lora_B." in name


def lora_dropouts(llm: nn.Module) -> list[nn.Module]:
    """The adapters' dropout modules: what trains inside a model that is otherwise in eval mode."""
    return [module for name, module in llm.named_modules() if ".lora_dropout." in name]
