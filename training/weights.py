"""Puts a model together: pretrained parts from local folders, or random ones made on the spot and said so.

No file is ever downloaded. ``model.vision.pretrained`` and ``model.image_qformer.pretrained`` name a folder in
BLIP-2's layout (``vision_model.*``, ``qformer.*``, ``query_tokens`` in safetensors, e.g. a copy of
Salesforce/blip2-flan-t5-xxl); ``model.audio.pretrained`` an AST folder; ``model.llm.pretrained`` a causal LM with
its tokenizer.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import ASTModel

from .affectgpt.llm import load_tokenizer, pretrained_llm, random_llm, train_tokenizer
from .affectgpt.model import FROZEN, AffectGPT, build_model, fingerprint
from .config import Config
from .errors import UsageError

log = logging.getLogger("training")
PARTS = ("vision", "image_qformer", "audio", "llm")


def check_weights(config: Config) -> None:
    """Every frozen part has a source.

    Raises:
        UsageError: names each ``model.*.pretrained`` that is unset or points nowhere, and the way to set it.
    """
    unset = [part for part in PARTS if not getattr(config.model, part).pretrained]
    if unset and not config.model.random_weights:
        keys = ", ".join(f"model.{part}.pretrained" for part in unset)
        raise UsageError(
            f"config {config.name} needs pretrained weights and these keys are not set: {keys}. Set each to a local "
            "folder, e.g. --set model.llm.pretrained=/models/vicuna-7b; or set model.random_weights=true to build "
            "random ones of this size, which learn nothing useful"
        )
    for part in PARTS:
        folder = getattr(config.model, part).pretrained
        if folder and not Path(folder).is_dir():
            raise UsageError(f"config model.{part}.pretrained: no folder {folder}")


def make_tokenizer(config: Config, texts: Iterable[str]) -> Any:
    """The LLM's own tokenizer, or one trained on the prompt and ``texts``."""
    if config.model.llm.pretrained:
        return load_tokenizer(config.model.llm.pretrained)
    prompt = "".join(config.prompt.clauses) + config.prompt.question + config.prompt.end
    tokenizer = train_tokenizer([prompt, *texts], config.model.llm.vocab_size)
    log.info("tokenizer: byte-level BPE of %d tokens, trained on the spot", len(tokenizer))
    return tokenizer


def assemble(config: Config, tokenizer: Any) -> AffectGPT:
    """The model on the CPU with every frozen part in place.

    Raises:
        UsageError: a source is missing or does not fit the config's sizes.
    """
    check_weights(config)
    sources = config.model
    if sources.llm.pretrained:
        llm = pretrained_llm(sources.llm)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(sources.weights_seed)
            llm = random_llm(sources.llm, len(tokenizer)).to(getattr(torch, sources.llm.dtype))
    model = build_model(config, llm)
    if sources.vision.pretrained:
        load_prefixed(
            sources.vision.pretrained, {"vision_model.": model.visual.vision_model}, "model.vision.pretrained"
        )
    if sources.image_qformer.pretrained:
        load_prefixed(
            sources.image_qformer.pretrained, {"qformer.": model.visual.qformer}, "model.image_qformer.pretrained",
            {"query_tokens": model.visual.query_tokens},
        )  # fmt: skip
    if sources.audio.pretrained:
        load_ast(sources.audio.pretrained, model.audio.encoder)
        log.warning("audio: the head from %d to %d is random; AST has none", *reversed(model.audio.head.weight.shape))
    random = [part for part in PARTS if not getattr(sources, part).pretrained]
    if random:
        log.warning(
            "random frozen weights made on the spot (seed %d): %s; what this run shows is that the machinery learns, "
            "not what AffectGPT knows", sources.weights_seed, ", ".join(random),
        )  # fmt: skip
    return model


def load_ast(folder: str, encoder: ASTModel) -> None:
    """Fill the audio encoder from an AST folder (also of a classifier: its head is left).

    AudioSet's AST hears 10 s (1024 frames), a window here 2 s: of the position embeddings the middle steps in time
    are taken, as AST's own code does for shorter input.

    Raises:
        UsageError: no such model there, tensors are missing, or a size differs from the config's.
    """
    where = f"model.audio.pretrained: {folder}"
    try:
        loaded: Any = ASTModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(f"{where}: {str(error).splitlines()[0]}") from error
    source, found = loaded
    if found["missing_keys"]:
        raise UsageError(f"{where} lacks {len(found['missing_keys'])} tensors, first {min(found['missing_keys'])}")
    state = source.state_dict()
    name = "embeddings.position_embeddings"
    high, steps = source.embeddings.get_shape(source.config)
    ours_high, ours = encoder.embeddings.get_shape(encoder.config)
    if high == ours_high and steps > ours:
        grid = state[name][:, 2:].unflatten(1, (high, steps))
        first = steps // 2 - ours // 2
        state[name] = torch.cat([state[name][:, :2], grid[:, :, first : first + ours].flatten(1, 2)], dim=1)
    for key, value in encoder.state_dict().items():
        if key not in state or state[key].shape != value.shape:
            theirs = tuple(state[key].shape) if key in state else "missing"
            raise UsageError(f"{where}: {key} is {theirs}, the config makes it {tuple(value.shape)}")
    encoder.load_state_dict(state)


def meta_model(config: Config) -> AffectGPT:
    """The model's shapes without memory or files, for ``inspect``."""
    with torch.device("meta"):
        return build_model(config, random_llm(config.model.llm, config.model.llm.vocab_size))


def identities(config: Config, model: AffectGPT) -> dict[str, str]:
    """What tells one frozen part from another: a hash of random weights, or of a pretrained folder's files."""
    sources = {
        "visual": (config.model.vision.pretrained, config.model.image_qformer.pretrained),
        "audio": (config.model.audio.pretrained,),
        "llm": (config.model.llm.pretrained,),
    }
    found = {}
    for part in FROZEN:
        folders = [folder for folder in sources[part] if folder]
        complete = len(folders) == len(sources[part]) and part != "audio"  # AST's head is made here
        found[part] = (
            "files:" + ",".join(map(_folder_identity, folders)) if complete else
            "weights:" + fingerprint(getattr(model, part))
        )  # fmt: skip
    return found


def _folder_identity(folder: str) -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(folder).iterdir()):
        if path.suffix in (".safetensors", ".json", ".model"):
            digest.update(f"{path.name} {path.stat().st_size}\n".encode())
    return digest.hexdigest()


def load_prefixed(
    folder: str, modules: dict[str, nn.Module], where: str, parameters: dict[str, nn.Parameter] | None = None
) -> None:
    """Fill modules from the safetensors files of a folder, by key prefix. Nothing may be missing.

    Raises:
        UsageError: no safetensors there, a key is missing, or a shape differs.
    """
    files = sorted(Path(folder).glob("*.safetensors"))
    if not files:
        raise UsageError(f"{where}: no .safetensors file in {folder}")
    keys: dict[str, Path] = {}
    for file in files:
        try:
            with safe_open(str(file), "pt") as opened:
                keys.update(dict.fromkeys(opened.keys(), file))
        except (SafetensorError, OSError) as error:
            raise UsageError(f"{where}: {file}: {error}") from error
    wanted: dict[str, torch.Tensor] = dict(parameters or {})
    for prefix, module in modules.items():
        wanted.update({prefix + name: value for name, value in module.state_dict().items()})
    missing = sorted(set(wanted) - set(keys))
    if missing:
        raise UsageError(f"{where}: {folder} lacks {len(missing)} of {len(wanted)} tensors, first {missing[0]}")
    with torch.no_grad():
        for name, value in wanted.items():
            with safe_open(str(keys[name]), "pt") as opened:
                tensor = opened.get_tensor(name)
            if tensor.shape != value.shape:
                raise UsageError(
                    f"{where}: {name} is {tuple(tensor.shape)} in {folder}, the config makes it {tuple(value.shape)}"
                )
            value.copy_(tensor)
