"""One typed config per run: YAML preset, then ``--set key=value``, checked to the last key.

Presets live in ``training/configs``; ``base: NAME`` inherits from another preset. A name may end in
``-stage1`` or ``-stage2``; a preset's bare name is its stage 2 unless its file says otherwise.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .errors import UsageError

MAY_BE_ZERO = (
    "seed", "weights_seed", "dropout", "init_std", "min_lr", "warmup_lr", "warmup_steps", "weight_decay", "cache_mb",
)  # fmt: skip
CONFIG_DIR = Path(__file__).parent / "configs"


@dataclass
class DataConfig:
    language: str = "en"  # language of subtitle and target; the other one stands in where it is missing
    target: str = "description"  # description | ov_labels
    subtitle: bool = True  # False: the subtitle slot stays empty
    frames: int = 8  # frames per clip
    window_seconds: float = 2.0  # length of one audio window (ImageBind: 2 s)
    sample_rate: int = 16000
    max_length: int = 512  # prompt + target, in tokens
    max_target: int = 320  # of which at most this many for the target
    crop_scale: list[float] | None = None  # [min, max] area of a random resized crop in training; null: none
    cache: str = "memory"  # memory | none: keep the frozen encoders' features between epochs
    cache_mb: int = 4096  # least recently used clips leave above this


@dataclass
class PromptConfig:
    clauses: list[str] = field(default_factory=list)  # a clause that names a missing modality is left out
    question: str = "From what clues can we infer the person's emotional state?"
    end: str = "###"  # closes the target and stops generation


@dataclass
class VisionConfig:
    pretrained: str | None = None
    hidden_size: int = 1408
    layers: int = 39
    heads: int = 16
    intermediate_size: int = 6144
    image_size: int = 224
    patch_size: int = 14
    init_std: float = 0.02  # of random weights; transformers' own 1e-10 would make every picture look alike


@dataclass
class ImageQFormerConfig:
    pretrained: str | None = None
    hidden_size: int = 768
    layers: int = 12
    heads: int = 12
    intermediate_size: int = 3072
    cross_attention_frequency: int = 2
    queries: int = 32
    init_std: float = 0.02


@dataclass
class BranchConfig:
    """A trainable Q-Former: hidden size, heads and feed-forward follow the image Q-Former."""

    layers: int = 2
    queries: int = 32
    positions: int = 32
    dropout: float = 0.1


@dataclass
class AudioConfig:
    pretrained: str | None = None
    hidden_size: int = 768
    layers: int = 12
    heads: int = 12
    intermediate_size: int = 3072
    mel_bins: int = 128
    mel_frames: int = 204
    patch_size: int = 16
    stride: int = 10
    embedding: int = 1024
    scale: float = 20.0  # length of an embedding after normalisation (ImageBind)
    init_std: float = 0.02


@dataclass
class LlmConfig:
    pretrained: str | None = None
    hidden_size: int = 4096
    layers: int = 32
    heads: int = 32
    intermediate_size: int = 11008
    vocab_size: int = 32000  # upper bound when the tokenizer is trained on the spot
    max_positions: int = 2048
    dtype: str = "float32"  # float32 | bfloat16 | float16, of the frozen weights
    init_std: float = 0.02


@dataclass
class ModelConfig:
    random_weights: bool = False  # True: frozen parts are made on the spot from weights_seed
    weights_seed: int = 0
    vision: VisionConfig = field(default_factory=VisionConfig)
    image_qformer: ImageQFormerConfig = field(default_factory=ImageQFormerConfig)
    video: BranchConfig = field(default_factory=BranchConfig)
    audio: AudioConfig = field(default_factory=AudioConfig)
    audio_branch: BranchConfig = field(default_factory=lambda: BranchConfig(queries=8, positions=8))
    llm: LlmConfig = field(default_factory=LlmConfig)


@dataclass
class TrainConfig:
    epochs: int = 1
    iters_per_epoch: int | None = None  # null: as many as one pass over the split takes
    batch_size: int = 3
    accumulate: int = 1
    lr: float = 3e-5
    min_lr: float = 1e-5
    warmup_lr: float = 1e-6
    warmup_steps: int = 0  # counted in optimiser steps over the whole run
    weight_decay: float = 0.05
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    clip_norm: float = 1.0
    precision: str = "fp32"  # fp32 | bf16 (autocast)
    device: str = "auto"  # auto | cpu | cuda
    threads: int | None = None  # torch CPU threads; null leaves torch's choice
    log_every: int = 1
    save_every: int = 200
    keep: int = 2  # checkpoints kept


@dataclass
class GenerateConfig:
    max_new_tokens: int = 300
    batch_size: int = 8


@dataclass
class Config:
    name: str = "custom"
    stage: int = 2
    seed: int = 42
    data: DataConfig = field(default_factory=DataConfig)
    prompt: PromptConfig = field(default_factory=PromptConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    generate: GenerateConfig = field(default_factory=GenerateConfig)

    @property
    def grade(self) -> str:
        """The grade of records this stage trains on (stage 1 coarse, stage 2 fine)."""
        return "coarse" if self.stage == 1 else "fine"

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def names() -> list[str]:
    """The presets' names, sorted."""
    return sorted(path.stem for path in CONFIG_DIR.glob("*.yaml") if not path.stem.startswith("_"))


def load_config(name_or_file: str, overrides: list[str] | None = None) -> Config:
    """Load a preset or a YAML file and apply ``key=value`` overrides.

    Raises:
        UsageError: no such preset or file, bad YAML, unknown key, wrong type, impossible value.
    """
    values = _read(name_or_file)
    for item in overrides or []:
        key, sign, text = item.partition("=")
        if not sign or not key.strip():
            raise UsageError(f"--set takes key=value, got {item!r}")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UsageError(f"--set {key}: {_in_a_line(error)}") from error
        _assign(values, key.strip(), value)
    return from_dict(values)


def from_dict(values: dict[str, Any]) -> Config:
    """Build and check a Config from plain values (as stored in run.json)."""
    config = _build(Config, values, "")
    _check(config)
    return config


def _read(name_or_file: str, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    if name_or_file in seen:
        raise UsageError(f"config {name_or_file!r} inherits from itself: {' -> '.join((*seen, name_or_file))}")
    path = Path(name_or_file)
    stage: int | None = None
    if path.suffix not in (".yaml", ".yml"):
        path = CONFIG_DIR / f"{name_or_file}.yaml"
        if not path.is_file():
            bare, _, suffix = name_or_file.rpartition("-stage")
            if bare and suffix in ("1", "2"):
                stage, path = int(suffix), CONFIG_DIR / f"{bare}.yaml"
    if not path.is_file():
        raise UsageError(f"no config {name_or_file!r}; presets: {', '.join(names())}; or give a .yaml file")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"config {path}: {_in_a_line(error)}") from error
    if not isinstance(values, dict):
        raise UsageError(f"config {path}: expected a mapping at the top")
    base = values.pop("base", None)
    if not isinstance(values.get("name", ""), str):
        raise UsageError(f"config name: {values['name']!r} is not str")
    if base is not None:
        neighbour = path.parent / f"{base}.yaml"
        values = _merge(_read(str(neighbour) if neighbour.is_file() else str(base), (*seen, name_or_file)), values)
    values.setdefault("name", path.stem)
    if base is not None and values["name"].startswith("_"):
        values["name"] = path.stem
    if stage is not None:
        values["stage"], values["name"] = stage, name_or_file
    return values


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _assign(values: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise UsageError(f"--set {dotted}: {parent} is not a section")
    values[last] = value


def _build(cls: Any, values: Any, where: str) -> Any:
    if not isinstance(values, dict):
        raise UsageError(f"config section {where or 'top'!r} must be a mapping, got {type(values).__name__}")
    hints = typing.get_type_hints(cls)
    unknown = sorted(map(str, set(values) - set(hints)))
    if unknown:
        raise UsageError(f"config has no key {where}{unknown[0]}; known here: {', '.join(sorted(hints))}")
    made = {}
    for key, value in values.items():
        hint = hints[key]
        if dataclasses.is_dataclass(hint):
            made[key] = _build(hint, value, f"{where}{key}.")
        else:
            made[key] = _convert(value, hint, f"{where}{key}")
    return cls(**made)


def _convert(value: Any, hint: Any, where: str) -> Any:
    if isinstance(hint, types.UnionType):
        if value is None:
            return None
        hint = next(option for option in typing.get_args(hint) if option is not type(None))
    if typing.get_origin(hint) is list:
        (item,) = typing.get_args(hint)
        if isinstance(value, list):
            return [_convert(entry, item, where) for entry in value]
    elif hint is float and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            return float(value)  # YAML 1.1 reads 3e-5 as a string
        except ValueError:
            value = str(value)
    elif hint is bool:
        if isinstance(value, bool):
            return value
    elif isinstance(value, hint) and not isinstance(value, bool):
        return value
    raise UsageError(f"config {where}: {value!r} is not {getattr(hint, '__name__', hint)}")


def _numbers(section: Any, where: str) -> Iterator[tuple[str, float]]:
    """Every number of a config with its dotted key; lists have their own checks."""
    for key, value in vars(section).items():
        if dataclasses.is_dataclass(value):
            yield from _numbers(value, f"{where}{key}.")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield f"{where}{key}", value


def _check(config: Config) -> None:
    data, model, train = config.data, config.model, config.train
    for where, value, allowed in (
        ("stage", config.stage, (1, 2)),
        ("data.language", data.language, ("en", "zh")),
        ("data.target", data.target, ("description", "ov_labels")),
        ("data.cache", data.cache, ("memory", "none")),
        ("model.llm.dtype", model.llm.dtype, ("float32", "bfloat16", "float16")),
        ("train.precision", train.precision, ("fp32", "bf16")),
    ):
        if value not in allowed:
            raise UsageError(f"config {where}: {value!r} is none of {', '.join(map(str, allowed))}")
    for where, number in _numbers(config, ""):
        if not math.isfinite(number):
            raise UsageError(f"config {where}: {number} is not a finite number")
        if number < 0 or (number == 0 and where.rpartition(".")[2] not in MAY_BE_ZERO):
            raise UsageError(f"config {where}: {number} must be above 0")
        if where in ("seed", "model.weights_seed") and number >= 2**63:
            raise UsageError(f"config {where}: {number} must be below 2**63")
    for name in ("vision", "image_qformer", "audio", "llm"):
        part = getattr(model, name)
        if part.hidden_size % part.heads:
            raise UsageError(
                f"config model.{name}: hidden_size {part.hidden_size} is no multiple of heads {part.heads}"
            )
    for name, size in (
        ("vision.image_size", model.vision.image_size),
        ("audio.mel_bins", model.audio.mel_bins),
        ("audio.mel_frames", model.audio.mel_frames),
    ):
        patch = model.vision.patch_size if name.startswith("vision") else model.audio.patch_size
        if size < patch:
            raise UsageError(f"config model.{name}: {size} is below patch_size {patch}")
    for name, branch in (("video", model.video), ("audio_branch", model.audio_branch)):
        if branch.dropout >= 1:
            raise UsageError(f"config model.{name}.dropout: {branch.dropout} must be below 1")
    if len(train.betas) != 2 or not all(0 <= beta < 1 for beta in train.betas):
        raise UsageError(f"config train.betas: {train.betas} is not two numbers from 0 to below 1")
    if not 8000 <= data.sample_rate <= 20480:  # a mel frame of 25 ms has to fit a 512-point FFT
        raise UsageError(f"config data.sample_rate: {data.sample_rate} is not between 8000 and 20480")
    if data.window_seconds < 0.025:
        raise UsageError(f"config data.window_seconds: {data.window_seconds} is shorter than a mel frame (0.025)")
    if data.frames > model.video.positions or data.frames > model.audio_branch.positions:
        raise UsageError(
            f"config data.frames: {data.frames} frames and windows need as many positions, but there are "
            f"model.video.positions={model.video.positions}, model.audio_branch.positions="
            f"{model.audio_branch.positions}"
        )
    if data.max_target >= data.max_length:
        raise UsageError("config data.max_target must be below data.max_length: the prompt needs room too")
    if not config.prompt.clauses or not config.prompt.end.strip():
        raise UsageError("config prompt.clauses and prompt.end must not be empty")
    if not any(slot in clause for clause in config.prompt.clauses for slot in ("<AudioHere>", "<ImageHere>")):
        raise UsageError("config prompt.clauses: none has <AudioHere> or <ImageHere>, so nothing would train")
    if data.crop_scale is not None and not (
        len(data.crop_scale) == 2 and 0 < data.crop_scale[0] <= data.crop_scale[1] <= 1
    ):
        raise UsageError("config data.crop_scale: expected [min, max] with 0 < min <= max <= 1")
