"""Where pretrained weights come from: a local folder, a published ``.pth`` file, or an id of the model hub.

The hub is asked unless HF_HUB_OFFLINE is set; then its local cache has to have them. Code from a repository is never
run, and pickled weights are read with ``weights_only``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from ..config import Config, ModelConfig
from ..errors import UsageError

INDEX = "model.safetensors.index.json"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
FILE_SUFFIXES = (".pth", ".pt")
PARTS = ("vision", "image_qformer", "audio", "llm")
#: What of a BLIP-2 checkpoint each part uses; the language model in it is not read.
PREFIXES = {"vision": ("vision_model.",), "image_qformer": ("qformer.", "query_tokens")}


def used_parts(model: ModelConfig) -> tuple[str, ...]:
    """The sections of ``model`` that have frozen weights of their own in this arrangement."""
    return tuple(part for part in PARTS if part != "image_qformer" or model.vision.kind == "blip2")


def locate(model: ModelConfig, part: str) -> Path:
    """The folder or file of ``model.<part>.pretrained``; an id of the hub is looked up, and fetched where allowed.

    Raises:
        UsageError: it is neither here nor can it be fetched (the reason is named).
    """
    section = getattr(model, part)
    name, where = str(section.pretrained), f"model.{part}.pretrained"
    path = Path(name).expanduser()
    if path.is_dir() or (path.is_file() and path.suffix in FILE_SUFFIXES):
        return path
    if path.is_file():
        raise UsageError(f"config {where}: {path} is neither a folder nor one of {', '.join(FILE_SUFFIXES)}")
    if not HUB_ID.fullmatch(name):
        raise UsageError(f"config {where}: no folder {name}")
    return _from_hub(name, getattr(section, "revision", None), where, _prefixes(model, part))


def _prefixes(model: ModelConfig, part: str) -> tuple[str, ...]:
    return PREFIXES[part] if part in PREFIXES and model.vision.kind == "blip2" else ()


def offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids asking the hub."""
    return os.environ.get("HF_HUB_OFFLINE", "").strip().upper() in ("1", "ON", "YES", "TRUE")


def _from_hub(name: str, revision: str | None, where: str, prefixes: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download

    def get(patterns: list[str]) -> Path:
        return Path(
            snapshot_download(name, revision=revision, allow_patterns=patterns, local_files_only=offline())
        )  # fmt: skip

    try:
        folder = get(["*.json", "*.txt", "*.model", "*.jinja"])
        if (folder / INDEX).is_file():
            get(sorted({file.name for file in _indexed(folder, prefixes)}))
        else:
            get(["model*.safetensors"])
            if not weight_files(folder, prefixes):
                get(["pytorch_model*.bin"])
    except Exception as error:  # the hub's client raises OSErrors, ValueErrors and its own
        reason = " ".join(str(error).split())[:200]
        why = "HF_HUB_OFFLINE is set, and the hub's cache here lacks it" if offline() else reason
        raise UsageError(
            f"config {where}: no folder {name} here, and the model hub gives no such model: {why}. Give a local "
            "folder, or fetch it where the hub can be reached"
        ) from error
    if not weight_files(folder, prefixes):
        raise UsageError(f"config {where}: {name} has neither model*.safetensors nor pytorch_model*.bin")
    return folder


def weight_files(folder: Path, prefixes: Iterable[str] = ()) -> list[Path]:
    """The files of a folder that hold its weights (of a sharded one, those with a key under ``prefixes``)."""
    if (folder / INDEX).is_file():
        return [file for file in _indexed(folder, prefixes) if file.is_file()]
    return sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))


def _indexed(folder: Path, prefixes: Iterable[str]) -> list[Path]:
    try:
        listed = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"]
        wanted = tuple(prefixes)
        names = {str(file) for key, file in listed.items() if not wanted or key.startswith(wanted)}
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise UsageError(f"{folder / INDEX} is damaged: {error!r}") from error
    return [folder / name for name in sorted(names)]


def load_model(
    cls: Any, folder: Path, where: str, dtype: str, spare: tuple[str, ...] = (), attention: str = "sdpa"
) -> Any:
    """``cls.from_pretrained`` of a local folder: safetensors, or pickles read with ``weights_only``.

    Tensors that the class lacks are left, e.g. another tower's.

    Raises:
        UsageError: the folder holds no such model, or lacks tensors of it other than ``spare``.
    """
    try:
        loaded: Any = cls.from_pretrained(
            str(folder), dtype=getattr(torch, dtype), attn_implementation=attention, local_files_only=True,
            trust_remote_code=False, output_loading_info=True,
        )  # fmt: skip
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise UsageError(f"{where}: {folder}: {' '.join(str(error).split())[:300]}") from error
    model, found = loaded
    missing = sorted(key for key in found["missing_keys"] if not key.endswith(spare or ("\0",)))
    if missing:
        raise UsageError(f"{where}: {folder} lacks {len(missing)} tensors of {cls.__name__}, first {missing[0]}")
    return model


def load_prefixed(
    folder: Path, modules: dict[str, nn.Module], where: str, parameters: dict[str, nn.Parameter] | None = None
) -> None:
    """Fill modules from the safetensors files of a folder, by key prefix. Nothing may be missing.

    Raises:
        UsageError: no safetensors there, a key is missing, or a shape differs.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise UsageError(f"{where}: no .safetensors file in {folder}")
    places: dict[str, Path] = {}
    for file in files:
        try:
            with safe_open(str(file), "pt") as opened:
                places.update(dict.fromkeys(opened.keys(), file))
        except (SafetensorError, OSError) as error:
            raise UsageError(f"{where}: {file}: {error}") from error
    wanted: dict[str, torch.Tensor] = dict(parameters or {})
    for prefix, module in modules.items():
        wanted.update({prefix + name: value for name, value in module.state_dict().items()})
    missing = sorted(set(wanted) - set(places))
    if missing:
        raise UsageError(f"{where}: {folder} lacks {len(missing)} of {len(wanted)} tensors, first {missing[0]}")
    with torch.no_grad():
        for name, value in wanted.items():
            with safe_open(str(places[name]), "pt") as opened:
                tensor = opened.get_tensor(name)
            if tensor.shape != value.shape:
                raise UsageError(
                    f"{where}: {name} is {tuple(tensor.shape)} in {folder}, the config makes it {tuple(value.shape)}"
                )
            value.copy_(tensor)


def take_sizes(config: Config, folders_only: bool = False) -> None:
    """Write the sizes of the pretrained CLIP, SigLIP, HuBERT, Whisper and language model into the config.

    So ``--set model.llm.pretrained=…`` is enough. BLIP-2, AST and ImageBind keep the config's sizes: another size is
    refused when they are loaded. folders_only: ids of the hub are not looked up.

    Raises:
        UsageError: a folder has no readable config.json.
    """
    model = config.model

    def given(part: str) -> bool:
        name = getattr(model, part).pretrained
        return bool(name) and (not folders_only or Path(name).expanduser().is_dir())

    if given("vision") and model.vision.kind in ("clip", "siglip"):
        whole = read_config(locate(model, "vision"), "model.vision.pretrained")
        own = getattr(whole, "vision_config", whole)
        _take(model.vision, own, layers="num_hidden_layers", heads="num_attention_heads", hidden_size="hidden_size",
              intermediate_size="intermediate_size", image_size="image_size", patch_size="patch_size")  # fmt: skip
        width = getattr(own, "projection_dim", None) or getattr(whole, "projection_dim", None)
        model.vision.projection = width or model.vision.hidden_size
    if given("audio") and model.audio.kind == "hubert":
        whole = read_config(locate(model, "audio"), "model.audio.pretrained")
        _take(model.audio, whole, layers="num_hidden_layers", heads="num_attention_heads", hidden_size="hidden_size",
              intermediate_size="intermediate_size")  # fmt: skip
    if given("audio") and model.audio.kind == "whisper":
        whole = read_config(locate(model, "audio"), "model.audio.pretrained")
        _take(model.audio, whole, layers="encoder_layers", heads="encoder_attention_heads", hidden_size="d_model",
              intermediate_size="encoder_ffn_dim", mel_bins="num_mel_bins")  # fmt: skip
    if given("llm"):
        own = read_config(locate(model, "llm"), "model.llm.pretrained").get_text_config()
        _take(model.llm, own, layers="num_hidden_layers", heads="num_attention_heads", hidden_size="hidden_size",
              kv_heads="num_key_value_heads", intermediate_size="intermediate_size", vocab_size="vocab_size",
              max_positions="max_position_embeddings")  # fmt: skip
        if own.model_type in ("llama", "qwen2", "qwen3"):
            model.llm.kind = own.model_type


def _take(section: Any, source: Any, **keys: str) -> None:
    for ours, theirs in keys.items():
        value = getattr(source, theirs, None)
        if value is not None:
            setattr(section, ours, value)


def read_config(folder: Path, where: str) -> Any:
    """A folder's config.json as transformers reads it. Raises UsageError when it cannot."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"config {where}: {folder}: {' '.join(str(error).split())[:300]}") from error


def content_hash(path: Path, prefixes: Iterable[str] = ()) -> str:
    """sha256 over the weights of a folder or file: over the hash of each weight file, in the order of their names.

    A file's hash is remembered beside the other caches by (path, size, time of change).

    Raises:
        UsageError: there are no weights.
    """
    files = [path] if path.is_file() else weight_files(path, prefixes)
    if not files:
        raise UsageError(f"{path} holds no weights (*.safetensors or pytorch_model*.bin)")
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file_hash(file)}\n".encode())
    return digest.hexdigest()


def file_hash(file: Path) -> str:
    """sha256 of a file, read once per version of it."""
    real = file.resolve()
    facts = real.stat()
    key = f"{real}|{facts.st_size}|{facts.st_mtime_ns}"
    side = _side_file()
    try:
        known = json.loads(side.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    if isinstance(known, dict) and isinstance(known.get(key), str):
        return known[key]
    with open(real, "rb") as opened:
        made = hashlib.file_digest(opened, "sha256").hexdigest()
    known = {**known, key: made} if isinstance(known, dict) else {key: made}
    try:
        side.parent.mkdir(parents=True, exist_ok=True)
        temporary = side.with_name(f".{side.name}-{os.getpid()}")
        temporary.write_text(json.dumps(known, indent=0), encoding="utf-8")
        os.replace(temporary, side)
    except OSError:
        pass  # a read-only home: it is hashed again next time
    return made


def _side_file() -> Path:
    """``weights.json`` in EMER_CACHE, else in the user's cache folder."""
    base = os.environ.get("EMER_CACHE") or os.environ.get("XDG_CACHE_HOME")
    return Path(base) / "weights.json" if base else Path.home() / ".cache" / "emer" / "weights.json"
