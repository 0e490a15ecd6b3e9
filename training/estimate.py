"""``estimate``: what a run will need (memory, time, disk) before it is started; no weights, no media.

Counted: parameters, FLOPs and saved activations of the real modules (counting.py). Assumed, and said in ``basis``: how
long texts are, and which part of the device's peak a step reaches.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

import torch

from .affectgpt.slots import feature_shapes
from .config import Config, load_config
from .counting import PICTURES, Cost, Counter, used
from .errors import UsageError
from .inspection import memory, parameter_table
from .plan import steps_of_a_pass

#: Prompt and target of a description in English, tokens of a sample in the middle of EMER (media slots included).
TYPICAL_TOKENS, TYPICAL_TARGET = 420, 300
#: Part of the peak that a step is assumed to reach.
GPU_SHARE, CPU_SHARE = 0.4, 0.5
#: Dense peaks in TFLOP/s by NVIDIA's data sheets: (bf16 or fp16 with float32 sums, float32 without TF32).
GPUS = {
    "A100": (312.0, 19.5), "H100 PCIe": (756.0, 51.0), "H100": (989.0, 67.0), "H200": (989.0, 67.0),
    "H800": (989.0, 67.0), "A800": (312.0, 19.5), "L40S": (362.0, 91.6), "L4": (121.0, 30.3), "A10": (125.0, 31.2),
    "RTX A6000": (154.8, 38.7), "RTX 3090": (71.0, 35.6), "RTX 4090": (165.2, 82.6), "RTX 5090": (209.5, 104.8),
    "V100": (125.0, 15.7), "T4": (65.0, 8.1),
}  # fmt: skip


def estimate(config: Config, clips: int, gpu: str | None = None) -> dict[str, Any]:
    """What training on ``clips`` clips with this config takes, on a named GPU or on this host.

    Returns ``{config, parameters:{trainable, frozen}, memory:{weights, gradients, optimizer, activations, features,
    total}, disk:{features, checkpoints}, steps, samples, flops_per_step, seconds, basis}``. memory: bytes on the device
    in the largest step, ``features`` those of a batch. disk: of the kept features, and the bound on checkpoints.
    seconds: None where the device's speed is not known here.

    Raises:
        UsageError: a GPU of this name is not known, or clips is below 1.
    """
    if clips < 1:
        raise UsageError(f"--clips {clips}: a run has one clip at least")
    rate, share, device = speed(config, gpu)
    train, data = config.train, config.data
    counter = Counter(config)
    counted = counter.cost()
    rows = parameter_table(config, counter.model)
    sizes = memory(rows)
    batch, length, target = train.batch_size, data.max_length, data.max_target
    steps = train.epochs * (train.iters_per_epoch or steps_of_a_pass(clips, config, 1))
    samples = steps * batch * train.accumulate
    typical = min(TYPICAL_TOKENS, length), min(TYPICAL_TARGET, target)
    per_batch = features_bytes(config, 4) * batch
    needs = {
        "weights": sum(sizes["weights"].values()), "gradients": sizes["gradients"], "optimizer": sizes["optimizer"],
        "activations": counter.saved_bytes(batch, length, batch * target), "features": per_batch,
    }  # fmt: skip
    in_step = counted.step([typical[0]] * batch, batch * typical[1]) * train.accumulate
    encoding = sum(counted.encode.values())
    cached = data.cache != "none"
    if not cached:
        in_step += encoding * batch * train.accumulate
    views = data.views if data.crop_scale else 1
    once = encoding * clips * views if cached else 0.0
    trained = [row for row in rows if row["trainable"]]
    return {
        "config": config.name,
        "parameters": {
            "trainable": sum(row["parameters"] for row in trained),
            "frozen": sum(row["parameters"] for row in rows if not row["trainable"]),
        },
        "memory": {**needs, "total": sum(needs.values())},
        "disk": {
            "features": int(features_bytes(config, _size(data.cache_dtype)) * clips * views) if cached else 0,
            "checkpoints": checkpoint_bound(config, sizes["gradients"], sizes["optimizer"]),
        },
        "steps": steps, "samples": samples, "flops_per_step": in_step,
        "seconds": None if rate is None else round((steps * in_step + once) / (rate * share), 1),
        "basis": _basis(config, counted, typical, views if cached else 0, rate, share, device),
    }  # fmt: skip


def speed(config: Config, gpu: str | None) -> tuple[float | None, float, str]:
    """(peak FLOP/s, the part of it that is assumed to be reached, what it is the peak of)."""
    precision = config.train.precision
    if gpu is not None:
        known = named_peak(gpu, precision)
        if known is None:
            raise UsageError(f"--gpu {gpu!r} is not known; known are: {', '.join(GPUS)}")
        return known, GPU_SHARE, f"{gpu}, {known / 1e12:g} TFLOP/s by its data sheet"
    if torch.cuda.is_available() and config.train.device != "cpu":
        device = torch.device("cuda" if config.train.device == "auto" else config.train.device)
        rate, text = peak_of(device, precision)
        return rate, GPU_SHARE, text
    if config.train.device.startswith("cuda"):
        return None, GPU_SHARE, "no GPU here: name one with --gpu"
    rate, text = peak_of(torch.device("cpu"), precision)
    return rate, CPU_SHARE, text


def peak_of(device: torch.device, precision: str) -> tuple[float, str]:
    """FLOP/s that a device can reach: its data sheet's, else those of a product of large matrices, measured here."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        known = named_peak(name, precision)
        if known is not None:
            return known, f"{name}, {known / 1e12:g} TFLOP/s by its data sheet"
    rate = measured_rate(str(device), precision if device.type == "cuda" else "fp32")
    return rate, f"this host's {device.type}, {rate / 1e12:.3g} TFLOP/s measured with a product of matrices"


def named_peak(name: str, precision: str) -> float | None:
    """The data sheet's peak in FLOP/s of a GPU by its name; None when it is not known."""
    words = set(name.lower().replace("-", " ").split())
    for known in sorted(GPUS, key=len, reverse=True):  # "H100 PCIe" before "H100"
        if words.issuperset(known.lower().split()):
            return GPUS[known][precision == "fp32"] * 1e12
    return None


@lru_cache(maxsize=8)
def measured_rate(device: str, precision: str) -> float:
    """FLOP/s of a product of square matrices on a device: the best of five."""
    on_cpu = device == "cpu"
    size = 512 if on_cpu else 8192
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    left = torch.rand(size, size, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        left @ left
        if not on_cpu:
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - began)
    return 2.0 * size**3 / best


def mfu(flops: float, seconds: float, peak: float | None) -> float | None:
    """The part of the peak that was used for what the model needs (Chowdhery et al. 2022): recomputed activations and
    padding do not count. None where the peak is not known."""
    return flops / seconds / peak if peak and seconds > 0 else None


def features_bytes(config: Config, size: int) -> int:
    """Bytes of one clip's features at ``size`` bytes a number."""
    shapes = feature_shapes(config.model)
    total = 0
    for modality in used(config):
        if modality in PICTURES or modality == "audio":
            numbers = config.data.frames
            for extent in shapes[modality]:
                numbers *= extent
            total += numbers * size
    return total


def checkpoint_bound(config: Config, weights: int, moments: int) -> int:
    """Most bytes that a run's checkpoints take (see checkpoints.py), tokenizers and cards apart."""
    train = config.train
    for_good = train.epochs // train.keep_every if train.keep_every else 0
    best = 1 if config.evaluate.select != "last" else 0
    return weights * (train.keep + for_good + best + 1) + 2 * moments


def command(config_name: str, overrides: list[str], clips: int, gpu: str | None) -> dict[str, Any]:
    """``python -m training estimate``."""
    return estimate(load_config(config_name, overrides), clips, gpu)


def _size(dtype: str) -> int:
    return getattr(torch, dtype).itemsize


def _basis(
    config: Config, counted: Cost, typical: tuple[int, int], views: int, rate: float | None, share: float, device: str
) -> str:
    encoding = sum(counted.encode.values()) / 1e12
    parts = [
        f"FLOPs counted on the modules' shapes: {counted.step([typical[0]], typical[1]) / 1e12:.3g} TFLOP a sample of "
        f"{typical[0]} tokens, {typical[1]} of them targets",
        f"frozen encoders {encoding:.3g} TFLOP a clip, "
        + (f"run {'once' if views == 1 else f'{views} times'} and kept" if views else "run in every step"),
        f"memory for the longest batch ({config.train.batch_size} x {config.data.max_length} tokens, "
        f"{config.model.llm.attention}{', checkpointing' if config.model.llm.checkpointing else ''}), without what "
        "the allocator and the kernels take",
        device if rate is None else f"{device}, of which {100 * share:.0f} % is assumed to be reached; decoding apart",
    ]
    return "; ".join(parts)
