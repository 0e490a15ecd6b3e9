"""Checkpoints of the trainable part: safetensors and JSON, complete or not there at all.

``RUN/checkpoints/step-00000120/`` holds ``trainable.safetensors`` (the model's trainable parameters),
``optimizer.safetensors`` (AdamW's moments and torch's random state), ``state.json`` (step, config, what the frozen
parts were), ``lineage.json`` and ``tokenizer/``. So a checkpoint can be copied away from its run. A folder without
``state.json`` was not finished; it is written under another name and renamed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from .affectgpt.llm import load_tokenizer
from .affectgpt.model import AffectGPT
from .config import Config, from_dict
from .errors import UsageError
from .lineage import is_entry
from .runlog import write_json

NAME = re.compile(r"step-(\d{8})")


@dataclass
class Checkpoint:
    """A checkpoint on disk; ``step`` optimiser steps were done."""

    path: Path
    state: dict[str, Any]
    lineage: list[dict[str, Any]]

    @property
    def step(self) -> int:
        return int(self.state["step"])

    @property
    def config(self) -> Config:
        return from_dict(self.state["config"])

    def tokenizer(self) -> Any:
        return load_tokenizer(self.path / "tokenizer")


def save_checkpoint(
    run: Path, step: int, model: AffectGPT, optimizer: torch.optim.Optimizer, tokenizer: Any, config: Config,
    frozen: dict[str, str], lineage: list[dict[str, Any]],
) -> Path:  # fmt: skip
    """Write a checkpoint, then remove the oldest beyond ``train.keep``."""
    folder = run / "checkpoints"
    folder.mkdir(exist_ok=True)
    final = folder / f"step-{step:08d}"
    temporary = folder / f".writing-{step:08d}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    trainable = {name: value.detach().cpu().contiguous() for name, value in model.trainable().items()}
    save_file(trainable, temporary / "trainable.safetensors", metadata={"format": "pt"})
    save_file(_optimizer_tensors(model, optimizer), temporary / "optimizer.safetensors")
    tokenizer.save_pretrained(str(temporary / "tokenizer"))
    write_json(temporary / "lineage.json", lineage)
    write_json(
        temporary / "state.json",
        {
            "schema": 1, "step": step, "position": step * config.train.batch_size * config.train.accumulate,
            "config": config.to_dict(), "frozen": frozen,
            "groups": [{key: value for key, value in group.items() if key != "params"}
                       for group in optimizer.param_groups],
        },
    )  # fmt: skip
    for path in sorted(temporary.rglob("*")):
        if path.is_file():
            _sync(path)
    _sync(temporary)
    shutil.rmtree(final, ignore_errors=True)
    os.rename(temporary, final)
    _sync(folder)
    for old in complete(run)[: -config.train.keep]:
        shutil.rmtree(old)
    return final


def complete(run: str | Path) -> list[Path]:
    """The finished checkpoints of a run, oldest first."""
    folder = Path(run) / "checkpoints"
    found = folder.iterdir() if folder.is_dir() else []
    return sorted(path for path in found if NAME.fullmatch(path.name) and (path / "state.json").is_file())


def open_checkpoint(path: str | Path) -> Checkpoint:
    """A checkpoint folder, or the last one of a run folder.

    Raises:
        UsageError: nothing there is a checkpoint, or it is damaged.
    """
    folder = Path(path)
    if not (folder / "state.json").is_file():
        found = complete(folder)
        if not found:
            raise UsageError(f"{path}: neither a checkpoint nor a run with one")
        folder = found[-1]
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        lineage = json.loads((folder / "lineage.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"checkpoint {folder}: {error}") from error
    whole = isinstance(state, dict) and isinstance(state.get("step"), int)
    if not whole or not all(isinstance(state.get(key), dict) for key in ("config", "frozen")):
        raise UsageError(f"checkpoint {folder}: state.json lacks step, config or frozen")
    # Without a lineage nobody could say what the checkpoint has seen, and no leak would be found.
    if not lineage or not isinstance(lineage, list) or not all(map(is_entry, lineage)):
        raise UsageError(f"checkpoint {folder}: lineage.json does not say what it was trained on")
    return Checkpoint(folder, state, lineage)


def load_trainable(checkpoint: Checkpoint, model: AffectGPT) -> None:
    """Fill the model's trainable parameters; every name and shape must match.

    Raises:
        UsageError: a tensor is missing, unknown or of another shape (the first is named).
    """
    tensors = _load(checkpoint.path / "trainable.safetensors")
    wanted = model.trainable()
    odd = sorted(set(tensors) ^ set(wanted))
    if odd:
        side = "lacks" if odd[0] in wanted else "has an unknown"
        raise UsageError(f"checkpoint {checkpoint.path} {side} tensor {odd[0]} ({len(odd)} names differ)")
    with torch.no_grad():
        for name, value in wanted.items():
            if tensors[name].shape != value.shape:
                raise UsageError(
                    f"checkpoint {checkpoint.path}: {name} is {tuple(tensors[name].shape)}, the config makes it "
                    f"{tuple(value.shape)}"
                )
            value.copy_(tensors[name])


def check_frozen(checkpoint: Checkpoint, frozen: dict[str, str]) -> None:
    """Raises UsageError when the frozen parts differ from those the checkpoint was trained against."""
    for part, identity in checkpoint.state["frozen"].items():
        if frozen.get(part) != identity:
            raise UsageError(
                f"checkpoint {checkpoint.path} was trained against other frozen weights ({part}: {identity[:24]}…, "
                f"here {str(frozen.get(part))[:24]}…); use the same sources and sizes"
            )


def load_optimizer(checkpoint: Checkpoint, model: AffectGPT, optimizer: torch.optim.Optimizer) -> None:
    """Restore AdamW's moments and torch's random state, for an exact resume."""
    tensors = _load(checkpoint.path / "optimizer.safetensors")
    for name, value in model.trainable().items():
        own = {key.split(":", 1)[1]: tensor for key, tensor in tensors.items() if key.partition(":")[0] == name}
        if own:
            optimizer.state[value] = {
                key: tensor if key == "step" else tensor.to(value.device) for key, tensor in own.items()
            }
    torch.set_rng_state(tensors["rng_cpu"])
    if "rng_cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["rng_cuda"])


def _optimizer_tensors(model: AffectGPT, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    tensors = {"rng_cpu": torch.get_rng_state()}
    if model.device.type == "cuda":
        tensors["rng_cuda"] = torch.cuda.get_rng_state()
    for name, value in model.trainable().items():
        for key, item in optimizer.state.get(value, {}).items():
            tensors[f"{name}:{key}"] = item.detach().cpu().contiguous()
    return tensors


def _load(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(str(path))
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{path}: {error}") from error


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
