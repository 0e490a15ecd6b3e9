"""Checkpoints of the trainable part: safetensors and JSON, complete or not there at all.

``RUN/checkpoints/step-00000120/`` holds ``trainable.safetensors`` (every trainable parameter, LoRA's included),
``optimizer.safetensors`` (AdamW's moments and the random state of every process; only in the last checkpoint, since no
other is gone on from), ``state.json`` (step, epoch, config, snapshot digest, git revision, environment, what the frozen
parts were), ``lineage.json``, ``card.json``, ``README.md`` and ``tokenizer/``. So a checkpoint can be copied away from
its run. A folder without ``state.json`` was not finished; it is written under another name and renamed.

Disk: at most ``keep`` last ones, one per ``keep_every`` epochs, the best one and the one that is being written hold
weights; at most two of them hold moments (twice the weights).
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
from .cards import write_card
from .config import Config, from_dict
from .errors import UsageError
from .lineage import is_entry
from .runlog import write_json

NAME = re.compile(r"step-(\d{8,})")
SCHEMA = 2


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
    run: Path, state: dict[str, Any], trainable: dict[str, torch.Tensor], resume: dict[str, torch.Tensor],
    tokenizer: Any, lineage: list[dict[str, Any]],
) -> Path:  # fmt: skip
    """Write the checkpoint after ``state["step"]`` steps and call it the last one. ``resume``: what ``load_resume``
    shall give back. Tensors are on the CPU. What is no longer needed stays until ``prune``."""
    folder = run / "checkpoints"
    folder.mkdir(exist_ok=True)
    name = f"step-{state['step']:08d}"
    temporary = folder / f".writing-{name}"
    for left in folder.glob(".writing-*"):
        shutil.rmtree(left)
    temporary.mkdir()
    save_file(trainable, temporary / "trainable.safetensors", metadata={"format": "pt"})
    save_file(resume, temporary / "optimizer.safetensors")
    tokenizer.save_pretrained(str(temporary / "tokenizer"))
    write_json(temporary / "lineage.json", lineage)
    write_json(temporary / "state.json", {"schema": SCHEMA, **state})
    write_card(temporary, run)
    for path in sorted(temporary.rglob("*")):
        if path.is_file():
            _sync(path)
    _sync(temporary)
    final = folder / name
    shutil.rmtree(final, ignore_errors=True)
    os.rename(temporary, final)
    _sync(folder)
    write_json(folder / "last.json", {"checkpoint": name, "why": f"the latest; training stood at step {state['step']}"})
    return final


def prune(run: Path, keep: int, for_good: int | None = None) -> None:
    """Remove all but the last ``keep`` checkpoints, the best one, and those at a multiple of ``for_good`` steps; and
    the optimizer's state from all but the last."""
    found = complete(run)
    best = _named(run, "best.json")
    for index, path in enumerate(found):
        if index < len(found) - 1:
            (path / "optimizer.safetensors").unlink(missing_ok=True)
        good = bool(for_good) and int(path.name[len("step-") :]) % int(for_good or 1) == 0
        if index < len(found) - keep and path.name != best and not good:
            shutil.rmtree(path)


def complete(run: str | Path) -> list[Path]:
    """The finished checkpoints of a run, oldest first."""
    folder = Path(run) / "checkpoints"
    found = folder.iterdir() if folder.is_dir() else []
    return sorted(path for path in found if NAME.fullmatch(path.name) and (path / "state.json").is_file())


def find_checkpoint(place: str | Path) -> Path:
    """The checkpoint that ``place`` means: a checkpoint folder; ``RUN@step-00000120``, ``RUN@best`` or ``RUN@last``;
    or a run folder, whose best one counts where one was chosen (``best.json``), else its last.

    Raises:
        UsageError: nothing there is a checkpoint, or the run has none of that name.
    """
    folder, wanted = Path(place), None
    if not folder.exists() and "@" in str(place):
        text, _, wanted = str(place).rpartition("@")
        folder = Path(text)
    if wanted is None and (folder / "state.json").is_file():
        return folder
    found = complete(folder)
    if not found:
        raise UsageError(f"{place}: neither a checkpoint nor a run with one")
    names = [path.name for path in found]
    best = _named(folder, "best.json")
    if wanted in (None, "best") and best is not None:
        if best not in names:
            raise UsageError(f"{place}: best.json names {best}, which is not there; there are: {', '.join(names)}")
        return found[names.index(best)]
    if wanted == "best":
        raise UsageError(f"{place}: no best checkpoint was chosen (no best.json)")
    if wanted not in (None, "last", *names):
        raise UsageError(f"{place}: no such checkpoint; there are: {', '.join(names)}, last")
    return found[-1] if wanted in (None, "last") else found[names.index(wanted)]


def open_checkpoint(place: str | Path) -> Checkpoint:
    """Read the checkpoint that ``place`` means (see ``find_checkpoint``).

    Raises:
        UsageError: nothing there is a checkpoint, or it is damaged.
    """
    folder = find_checkpoint(place)
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


def load_resume(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """What ``save_checkpoint`` was given as ``resume``. Raises UsageError when it is gone (see ``prune``)."""
    if not (checkpoint.path / "optimizer.safetensors").is_file():
        raise UsageError(f"checkpoint {checkpoint.path} holds no optimizer state: a run goes on from its last one only")
    return _load(checkpoint.path / "optimizer.safetensors")


def _named(run: Path, file: str) -> str | None:
    """The checkpoint's name in ``best.json`` or ``last.json``; None where the file is missing or says nothing."""
    try:
        value = json.loads((run / "checkpoints" / file).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    name = value.get("checkpoint") if isinstance(value, dict) else None
    return name if isinstance(name, str) else None


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
