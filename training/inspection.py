"""``inspect``: modules, sizes, counts and memory of a config, on the meta device: no memory, no files."""

from __future__ import annotations

from typing import Any

import torch

from .affectgpt.lora import is_lora
from .affectgpt.model import FROZEN, LORA, AffectGPT
from .affectgpt.pretrained import used_parts
from .affectgpt.slots import feature_shapes, slot_lengths
from .config import Config, load_config
from .weights import meta_model


def inspect(config_name: str, overrides: list[str] | None = None) -> dict[str, Any]:
    """``{config, stage, grade, modules:[{name, class, parameters, trainable, shapes, bytes}], trainable, frozen,
    weights, memory, tokens, features}``.

    ``shapes`` lists the module's own tensors for what trains; ``weights`` says where each frozen part comes from;
    ``memory`` is in bytes, without activations; ``tokens`` of the LLM and ``features`` per modality.
    """
    config = load_config(config_name, overrides)
    model = meta_model(config)
    modules = parameter_table(config, model)
    weights = {
        part: getattr(config.model, part).pretrained or ("random" if config.model.random_weights else "not set")
        for part in used_parts(config.model)
    }
    return {
        "config": config.name, "stage": config.stage, "grade": config.grade, "modules": modules,
        "trainable": sum(row["parameters"] for row in modules if row["trainable"]),
        "frozen": sum(row["parameters"] for row in modules if not row["trainable"]),
        "weights": weights, "memory": memory(modules), "tokens": slot_lengths(config.model),
        "features": {name: list(shape) for name, shape in feature_shapes(config.model).items()},
    }  # fmt: skip


def parameter_table(config: Config, model: AffectGPT | None = None) -> list[dict[str, Any]]:
    """One row per module of the arrangement: ``{name, class, parameters, trainable, shapes, bytes:{dtype: n}}``, frozen
    parts first; built on the meta device unless ``model`` is given. Adapters stand apart as ``llm_lora``."""
    model = model or meta_model(config)
    groups: dict[str, dict[str, torch.Tensor]] = {}
    for name, parameter in model.named_parameters():
        part, _, rest = name.partition(".")
        group = LORA if is_lora(name) else part
        groups.setdefault(group, {})[rest or part] = parameter
    first = [name for name in FROZEN if name in groups]
    rows = []
    for name in (*first, *(name for name in groups if name not in first)):
        own = groups[name]
        trains = any(value.requires_grad for value in own.values())
        module = getattr(model, "llm" if name == LORA else name)
        sizes: dict[str, int] = {}
        for value in own.values():
            dtype = str(value.dtype).removeprefix("torch.")
            sizes[dtype] = sizes.get(dtype, 0) + value.numel() * value.element_size()
        rows.append(
            {
                "name": name,
                "class": "LoRA" if name == LORA else type(module).__name__,
                "parameters": sum(value.numel() for value in own.values()),
                "trainable": trains,
                "shapes": {key: list(value.shape) for key, value in own.items()} if trains and name != LORA else {},
                "bytes": sizes,
            }
        )
    return rows


def memory(modules: list[dict[str, Any]]) -> dict[str, Any]:
    """Bytes of a parameter table: ``{weights:{dtype: n}, gradients, optimizer}``; AdamW keeps two float32 moments."""
    weights: dict[str, int] = {}
    for row in modules:
        for dtype, size in row["bytes"].items():
            weights[dtype] = weights.get(dtype, 0) + size
    trainable = [row for row in modules if row["trainable"]]
    return {
        "weights": weights,
        "gradients": sum(sum(row["bytes"].values()) for row in trainable),
        "optimizer": 8 * sum(row["parameters"] for row in trainable),
    }
