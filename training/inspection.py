"""``inspect``: modules, sizes and trainable counts of a config, on the meta device: no memory, no files."""

from __future__ import annotations

from typing import Any

from .affectgpt.model import FROZEN, TRAINABLE
from .config import load_config
from .weights import meta_model


def inspect(config_name: str, overrides: list[str] | None = None) -> dict[str, Any]:
    """``{config, stage, grade, modules:[{name, class, parameters, trainable, shapes}], trainable, frozen, weights}``.

    ``shapes`` lists the module's own tensors for what trains; ``weights`` says where each frozen part comes from.
    """
    config = load_config(config_name, overrides)
    model = meta_model(config)
    modules = []
    for name in (*FROZEN, *TRAINABLE):
        part = getattr(model, name)
        own = {name: part} if not hasattr(part, "named_parameters") else dict(part.named_parameters())
        modules.append(
            {
                "name": name,
                "class": type(part).__name__,
                "parameters": sum(value.numel() for value in own.values()),
                "trainable": any(value.requires_grad for value in own.values()),
                "shapes": {key: list(value.shape) for key, value in own.items()} if name in TRAINABLE else {},
            }
        )
    weights = {
        part: getattr(config.model, part).pretrained or ("random" if config.model.random_weights else "not set")
        for part in ("vision", "image_qformer", "audio", "llm")
    }
    return {
        "config": config.name, "stage": config.stage, "grade": config.grade, "modules": modules,
        "trainable": model.trainable_count(),
        "frozen": sum(value.numel() for value in model.parameters() if not value.requires_grad),
        "weights": weights,
    }  # fmt: skip
