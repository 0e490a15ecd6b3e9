"""One process or many: what ``fit`` asks of accelerate, torch.distributed and mixed precision, in one place.

``python -m training fit …`` runs alone; ``accelerate launch -m training fit …`` (or ``torchrun``) starts as many
processes as its config says. Gradients are shared by DDP, or the model is cut over the processes by FSDP 2, as that
config says. The loss of a step is the same however many processes share its batches.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import torch
from torch import nn

from .affectgpt.model import AffectGPT, Batch, resolve_device
from .errors import MissingDependency, UsageError
from .schema import TrainConfig

log = logging.getLogger("training")
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
Tensors = dict[str, torch.Tensor]


class Processes:
    """The processes of a run and this one's place among them (``rank`` of ``count``; ``main``: the one that writes)."""

    def __init__(self, train: TrainConfig) -> None:
        """Raises UsageError when the device is not there, or accelerate's config asks for what cannot be had."""
        self.precision = train.precision
        self.device = resolve_device(train.device)
        self.rank, self.count, self.sharded = 0, 1, False
        self.accelerator: Any = None
        self.step_module: nn.Module | None = None
        if launched_for("DEEPSPEED"):
            raise UsageError(
                "DeepSpeed is not supported; FSDP 2 cuts the frozen weights in the same way: accelerate config with "
                "distributed_type FSDP, fsdp_version 2"
            )
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            self._join(self.device.type == "cpu")
        self.main = self.rank == 0
        if not self.main:
            log.setLevel(logging.ERROR)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")

    def _join(self, cpu: bool) -> None:
        """Meet the other processes, as accelerate's config has them. Precision stays ours (autocast, loss scaling): the
        same code on every device."""
        try:
            import accelerate
        except ImportError as error:
            raise MissingDependency(
                f"several processes need accelerate ({error}); pip install -r requirements/ml.txt"
            ) from error
        # DDP finds what a batch without sound (or pictures) does not use; evaluation may keep the others waiting.
        handlers: list[Any] = [
            accelerate.DistributedDataParallelKwargs(find_unused_parameters=True),
            accelerate.InitProcessGroupKwargs(timeout=timedelta(hours=6)),
        ]
        self.accelerator = accelerate.Accelerator(
            cpu=cpu, mixed_precision="no", device_placement=False, kwargs_handlers=handlers
        )
        self.rank, self.count = self.accelerator.process_index, self.accelerator.num_processes
        self.device = torch.device("cpu") if cpu else self.accelerator.device
        self.sharded = launched_for("FSDP")
        if not self.sharded:
            return
        state = self.accelerator.state
        if cpu:  # accelerate cuts models over GPUs only; torch does it over CPUs too
            state.distributed_type = accelerate.DistributedType.FSDP
            state.fsdp_plugin = accelerate.FullyShardedDataParallelPlugin(
                fsdp_version=2, cpu_ram_efficient_loading=False
            )
        if not self.accelerator.is_fsdp2:
            raise UsageError("FSDP needs fsdp_version: 2 in accelerate's config; version 1 flattens frozen weights in")
        # Every process has loaded the weights, and they are the same.
        state.fsdp_plugin.cpu_ram_efficient_loading = False

    def prepare(self, model: AffectGPT, optimizer: torch.optim.Optimizer) -> None:
        """Wrap the model as the processes need it; ``optimizer`` holds the parameters of the wrapped one afterwards."""
        if self.count == 1:
            self.step_module = model
            return
        module = Shared(model, self.sharded)
        prepared = self.accelerator.prepare(module, optimizer) if self.sharded else self.accelerator.prepare(module)
        self.step_module = prepared[0] if self.sharded else prepared

    def loss_sum(self, batch: Batch) -> torch.Tensor:
        """Summed loss of a batch of this process, in the run's precision. Call after ``prepare``."""
        if self.step_module is None:
            raise RuntimeError("loss_sum before prepare")
        with self.autocast():
            loss, _ = self.step_module(batch.to(self.device))
        return loss

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Mixed precision as the config has it."""
        dtype = DTYPES.get(self.precision)
        return torch.autocast(self.device.type, dtype) if dtype else contextlib.nullcontext()

    def backward(self, loss: torch.Tensor, tokens: int, last: bool) -> None:
        """Add the gradient of ``loss / tokens``, ``tokens`` those of the step's batches in all processes; at the step's
        ``last`` batch of this process gradients are shared."""
        # DDP and FSDP average over processes; the step's loss is a sum over them.
        loss = self.scaler.scale(loss * (self.count / tokens))
        waiting = self.count > 1 and not last and self.step_module is not None
        with self.accelerator.no_sync(self.step_module) if waiting else contextlib.nullcontext():
            # In one process, text alone reaches nothing that trains.
            if loss.requires_grad:
                loss.backward()

    def update(self, optimizer: torch.optim.Optimizer, clip_norm: float) -> float:
        """Clip and step; returns the norm before clipping over all processes. When it is not finite nothing moves."""
        parameters = [value for group in optimizer.param_groups for value in group["params"]]
        if isinstance(self.step_module, Shared) and self.sharded:
            self._forget_unused(branches(self.step_module.model))
        if all(value.grad is None for value in parameters):
            return 0.0
        self.scaler.unscale_(optimizer)
        total = torch.nn.utils.get_total_norm([value.grad for value in parameters if value.grad is not None])
        norm = float(_whole(total))
        if clip_norm and norm > clip_norm:
            torch.nn.utils.clip_grads_with_norm_(parameters, clip_norm, total)
        if self.scaler.is_enabled():
            self.scaler.step(optimizer)
            self.scaler.update()
        elif _finite(norm):
            optimizer.step()
        return norm

    def _forget_unused(self, parameters: list[nn.Parameter]) -> None:
        """As without FSDP: what no batch of the step has used has no gradient, so AdamW does not move it."""
        with_gradient = [value for value in parameters if value.grad is not None]
        gradients: list[Any] = [value.grad for value in with_gradient]
        used = torch.stack([gradient.to_local().any() for gradient in gradients]).to(torch.float32)
        for value, count in zip(with_gradient, self.accelerator.reduce(used).tolist(), strict=True):
            if not count:
                value.grad = None

    def total(self, *values: float) -> list[float]:
        """Each value summed over the processes, exactly the same in all of them."""
        if self.count == 1:
            return list(values)
        return self.accelerator.reduce(torch.tensor(values, dtype=torch.float64, device=self.device)).tolist()

    def gathered(self, value: Any) -> list[Any]:
        """The value of every process, by rank."""
        if self.count == 1:
            return [value]
        found: list[Any] = [None] * self.count
        torch.distributed.all_gather_object(found, value)
        return found

    def wait(self) -> None:
        if self.count > 1:
            self.accelerator.wait_for_everyone()

    @contextlib.contextmanager
    def main_first(self) -> Iterator[None]:
        """The main process does it, then the others find it done."""
        if not self.main:
            self.wait()
        yield
        if self.main:
            self.wait()

    def seed(self, seed: int) -> None:
        """Dropout differs between processes, and is the same from run to run."""
        torch.manual_seed(seed + self.rank)

    def close(self) -> None:
        """Leave the others, and leave nothing behind for another run in this process."""
        if self.count > 1 and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        if not self.main:
            log.setLevel(logging.INFO)
        if self.accelerator is not None:
            self.accelerator.state._reset_state(reset_partial_state=True)
            self.accelerator.gradient_state._reset_state()

    def resume_state(self, model: AffectGPT, optimizer: torch.optim.Optimizer) -> Tensors:
        """AdamW's moments, the loss scale and every process's random state, for ``restore``; every process calls."""
        tensors: Tensors = {}
        for name, value in model.trainable().items():
            for key, item in optimizer.state.get(value, {}).items():
                tensors[f"{name}:{key}"] = _whole(item)
        own = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            own["cuda"] = torch.cuda.get_rng_state(self.device)
        for rank, found in enumerate(self.gathered(own)):
            tensors.update({f"rng_{kind}:{rank}": state for kind, state in found.items()})
        if self.scaler.is_enabled():
            state = self.scaler.state_dict()
            tensors["scaler:scale"] = torch.tensor(state["scale"], dtype=torch.float64)
            tensors["scaler:growth"] = torch.tensor(state["_growth_tracker"])
        return tensors

    def restore(self, tensors: Tensors, model: AffectGPT, optimizer: torch.optim.Optimizer) -> None:
        """Take up what ``resume_state`` gave. Call after ``prepare``."""
        for name, value in model.trainable().items():
            own = {key.rpartition(":")[2]: item for key, item in tensors.items() if key.rpartition(":")[0] == name}
            if own:
                optimizer.state[value] = {
                    key: item if key == "step" else _like(item, value) for key, item in own.items()
                }
        if self.scaler.is_enabled() and "scaler:scale" in tensors:
            state = {**self.scaler.state_dict(), "scale": float(tensors["scaler:scale"])}
            self.scaler.load_state_dict({**state, "_growth_tracker": int(tensors["scaler:growth"])})
        torch.set_rng_state(tensors[f"rng_cpu:{self.rank}"])
        if self.device.type == "cuda" and f"rng_cuda:{self.rank}" in tensors:
            torch.cuda.set_rng_state(tensors[f"rng_cuda:{self.rank}"], self.device)


class Shared(nn.Module):
    """The model as several processes step it: each has a gradient to share, whatever its batch lacks."""

    def __init__(self, model: AffectGPT, sharded: bool) -> None:
        super().__init__()
        self.model = model
        self.sharded = sharded
        # DDP shares the gradients that some process has, but each needs a backward pass: text alone has this one.
        self.touch = None if sharded else nn.Parameter(torch.zeros(1, device=model.device))
        # What FSDP cuts one by one: the language model's layers.
        self._no_split_modules = sorted(getattr(model.llm, "_no_split_modules", None) or [])

    def forward(self, batch: Batch) -> tuple[torch.Tensor, int]:
        loss, tokens = self.model(batch)
        if self.touch is not None:
            return (loss if loss.requires_grad else loss + 0.0 * self.touch.sum()), tokens
        # FSDP shares the gradients of all its parameters or hangs (`_forget_unused` takes out what nobody used).
        for value in branches(self.model):
            loss = loss + 0.0 * value.sum()
        return loss, tokens


def branches(model: AffectGPT) -> list[nn.Parameter]:
    """What trains and is not used by every batch: all but the language model's adapters."""
    return [value for name, value in model.trainable().items() if not name.startswith("llm.")]


def trainable_tensors(model: AffectGPT) -> Tensors:
    """What a checkpoint keeps, whole and on the CPU; every process calls."""
    return {name: _whole(value.detach()) for name, value in model.trainable().items()}


def launched_for(what: str) -> bool:
    """Whether ``accelerate launch`` asked for FSDP or DEEPSPEED."""
    return os.environ.get(f"ACCELERATE_USE_{what}", "false").lower() == "true"


def _whole(value: torch.Tensor) -> torch.Tensor:
    """A tensor on the CPU, put together again where it is cut over processes."""
    whole = value.full_tensor() if hasattr(value, "full_tensor") else value
    return whole.detach().cpu().contiguous()


def _like(whole: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """``whole`` where ``other`` lies, cut over processes as ``other`` is."""
    mesh = getattr(other, "device_mesh", None)
    if mesh is None:
        return whole.to(other.device)
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(whole.to(other.device), mesh, other.placements)  # type: ignore[attr-defined]


def _finite(value: float) -> bool:
    return value == value and abs(value) != float("inf")
