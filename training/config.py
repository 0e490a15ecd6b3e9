"""One typed config per run: YAML preset, then ``--set key=value``, checked to the last key.

Presets live in ``training/configs``; ``base: NAME`` inherits from another preset. A name may end in
``-stage1`` or ``-stage2``; a preset's bare name is its stage 2 unless its file says otherwise.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from .affectgpt.slots import SLOTS, slot_lengths
from .errors import UsageError
from .schema import (
    AudioConfig,
    BranchConfig,
    Config,
    DataConfig,
    EvaluateConfig,
    GenerateConfig,
    ImageQFormerConfig,
    LlmConfig,
    LoraConfig,
    ModelConfig,
    PromptConfig,
    SourceConfig,
    TrainConfig,
    VisionConfig,
)
from .templates import with_template

__all__ = [
    "AudioConfig",
    "BranchConfig",
    "Config",
    "DataConfig",
    "EvaluateConfig",
    "GenerateConfig",
    "ImageQFormerConfig",
    "LlmConfig",
    "LoraConfig",
    "ModelConfig",
    "PromptConfig",
    "SourceConfig",
    "TrainConfig",
    "VisionConfig",
    "from_dict",
    "load_config",
    "names",
    "overridden",
]

MAY_BE_ZERO = (
    "seed", "weights_seed", "dropout", "init_std", "min_lr", "warmup_lr", "warmup_steps", "weight_decay", "cache_mb",
    "rank", "bucket", "clip_norm", "validation", "smoothing", "temperature", "epochs",
)  # fmt: skip
CONFIG_DIR = Path(__file__).parent / "configs"


def names() -> list[str]:
    """The presets' names, sorted."""
    return sorted(path.stem for path in CONFIG_DIR.glob("*.yaml") if not path.stem.startswith("_"))


def load_config(name_or_file: str, overrides: list[str] | None = None) -> Config:
    """Load a preset or a YAML file and apply ``key=value`` overrides.

    Raises:
        UsageError: no such preset or file, bad YAML, unknown key, wrong type, impossible value.
    """
    values = _read(name_or_file)
    _override(values, overrides or [])
    return from_dict(values)


def overridden(config: Config, overrides: Sequence[str]) -> Config:
    """A config with ``key=value`` overrides applied. Raises UsageError as ``load_config``."""
    values = config.to_dict()
    _override(values, overrides)
    return from_dict(values)


def from_dict(values: dict[str, Any]) -> Config:
    """Build and check a Config from plain values (as stored in run.json)."""
    config = _build(Config, with_template(values), "")
    _check(config)
    return config


def _override(values: dict[str, Any], overrides: Sequence[str]) -> None:
    # A template first: it takes the place of all that the preset says about the prompt.
    for item in sorted(overrides, key=lambda item: item.partition("=")[0].strip() != "prompt.template"):
        key, sign, text = item.partition("=")
        if not sign or not key.strip():
            raise UsageError(f"--set takes key=value, got {item!r}")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UsageError(f"--set {key}: {_in_a_line(error)}") from error
        if key.strip() == "prompt.template":
            values["prompt"] = {}
        _assign(values, key.strip(), value)


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
        if isinstance(value, dict) and value.get("template") is not None:
            old = {}  # a prompt's template takes the place of all that was said below
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _assign(values: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise UsageError(f"--set {dotted}: {parent} is not a section")
    values[last] = value


def _build(cls: Any, values: Any, where: str, base: Any = None) -> Any:
    """base: the section as it is by default; of ``audio_branch`` that is another one than of ``video``."""
    if not isinstance(values, dict):
        raise UsageError(f"config section {where or 'top'!r} must be a mapping, got {type(values).__name__}")
    hints = typing.get_type_hints(cls)
    unknown = sorted(map(str, set(values) - set(hints)))
    if unknown:
        raise UsageError(f"config has no key {where}{unknown[0]}; known here: {', '.join(sorted(hints))}")
    base = cls() if base is None else base
    made = {}
    for key, value in values.items():
        hint = hints[key]
        if dataclasses.is_dataclass(hint):
            made[key] = _build(hint, value, f"{where}{key}.", getattr(base, key))
        else:
            made[key] = _convert(value, hint, f"{where}{key}")
    return dataclasses.replace(base, **made)


def _convert(value: Any, hint: Any, where: str) -> Any:
    if isinstance(hint, types.UnionType):
        if value is None:
            return None
        hint = next(option for option in typing.get_args(hint) if option is not type(None))
    if typing.get_origin(hint) is list:
        (item,) = typing.get_args(hint)
        if isinstance(value, list):
            if dataclasses.is_dataclass(item):
                return [_build(item, entry, f"{where}[{index}].") for index, entry in enumerate(value)]
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
    kinds, dtypes = ("qformer", "attention"), ("float32", "bfloat16", "float16")
    for where, value, allowed in (
        ("stage", config.stage, (1, 2)),
        ("data.language", data.language, ("en", "zh")),
        ("data.target", data.target, ("description", "ov_labels", "hybrid")),
        ("data.cache", data.cache, ("disk", "memory", "none")),
        ("data.cache_dtype", data.cache_dtype, dtypes),
        ("data.faces", data.faces, ("none", "openface", "detect")),
        ("data.face_order", data.face_order, ("rgb", "bgr")),
        ("model.vision.kind", model.vision.kind, ("blip2", "clip", "siglip")),
        ("model.vision.dtype", model.vision.dtype, dtypes),
        ("model.audio.kind", model.audio.kind, ("imagebind", "ast", "hubert", "whisper")),
        ("model.audio.dtype", model.audio.dtype, dtypes),
        ("model.video.kind", model.video.kind, kinds),
        ("model.audio_branch.kind", model.audio_branch.kind, kinds),
        ("model.llm.kind", model.llm.kind, ("llama", "qwen2", "qwen3")),
        ("model.llm.dtype", model.llm.dtype, dtypes),
        ("model.llm.attention", model.llm.attention, ("sdpa", "eager")),
        ("train.precision", train.precision, ("fp32", "bf16", "fp16")),
        ("train.schedule", train.schedule, ("cosine", "original")),
        ("train.decay", train.decay, ("matrices", "original")),
        ("evaluate.select", config.evaluate.select, ("last", "validation", "test-curve")),
        ("evaluate.grouping", config.evaluate.grouping, ("lexicon", "none", "llm")),
        ("evaluate.extraction", config.evaluate.extraction, (None, "llm", "lexicon", "direct")),
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
    if model.llm.kv_heads and model.llm.heads % model.llm.kv_heads:
        raise UsageError(f"config model.llm: heads {model.llm.heads} is no multiple of kv_heads {model.llm.kv_heads}")
    grid, side = math.isqrt(model.vision.tokens), model.vision.image_size // model.vision.patch_size
    if model.vision.kind != "blip2" and (grid**2 != model.vision.tokens or grid > side):
        raise UsageError(
            f"config model.vision.tokens: {model.vision.tokens} is no square of at most {side} x {side} patches"
        )
    if model.audio.kind in ("hubert", "whisper") and data.sample_rate != 16000:
        raise UsageError(f"config data.sample_rate: {model.audio.kind} hears 16000 Hz, not {data.sample_rate}")
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
    if data.max_target >= data.max_length:
        raise UsageError("config data.max_target must be below data.max_length: the prompt needs room too")
    if not config.prompt.clauses or not config.prompt.end.strip():
        raise UsageError("config prompt.clauses and prompt.end must not be empty")
    lengths = slot_lengths(model)
    asked = {modality for slot, modality in SLOTS.items() if any(slot in clause for clause in config.prompt.clauses)}
    if not asked & set(lengths) and not model.llm.lora.rank:
        raise UsageError(f"config prompt.clauses: none has {' or '.join(SLOTS)}, so nothing would train")
    if asked - set(lengths):
        raise UsageError(
            f"config prompt.clauses: this model has no {', '.join(sorted(asked - set(lengths)))} tokens; set "
            "model.face or model.prefusion, or leave the clause out"
        )
    if data.crop_scale is not None and not (
        len(data.crop_scale) == 2 and 0 < data.crop_scale[0] <= data.crop_scale[1] <= 1
    ):
        raise UsageError("config data.crop_scale: expected [min, max] with 0 < min <= max <= 1")
