"""Puts a model together: pretrained parts, or random ones made on the spot and said so.

``model.<part>.pretrained`` names a local folder, an id of the model hub (asked unless HF_HUB_OFFLINE is set) or a
published ``.pth``. ``vision`` and ``image_qformer`` of kind blip2: BLIP-2's layout (``vision_model.*``, ``qformer.*``,
``query_tokens`` in safetensors, e.g. Salesforce/blip2-flan-t5-xxl for both), or ``eva_vit_g.pth`` and LAVIS'
``blip2_pretrained_flant5xxl.pth``. ``audio``: ``imagebind_huge.pth``, or a folder of the config's kind. ``llm``: a
causal LM with its tokenizer. ``model.original`` lays a checkpoint of the published code over that.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from .affectgpt.llm import load_tokenizer, meta_llm, pretrained_llm, random_llm, train_tokenizer
from .affectgpt.model import FROZEN, AffectGPT, build_model, fingerprint
from .affectgpt.pretrained import PREFIXES, content_hash, locate, take_sizes, used_parts
from .config import Config
from .errors import UsageError
from .originals import overlay
from .schema import LlmConfig

log = logging.getLogger("training")


def check_weights(config: Config) -> None:
    """Every frozen part has a source that is here; the sizes of pretrained ones are written into the config.

    Raises:
        UsageError: names each ``model.*.pretrained`` that is unset or points nowhere, and the way to set it.
    """
    parts = used_parts(config.model)
    unset = [part for part in parts if not getattr(config.model, part).pretrained]
    if unset and not config.model.random_weights:
        names = ", ".join(f"model.{part}.pretrained" for part in unset)
        raise UsageError(
            f"config {config.name} needs pretrained weights and these keys are not set: {names}. Set each to a local "
            "folder or an id of the model hub, e.g. --set model.llm.pretrained=/models/vicuna-7b; or set "
            "model.random_weights=true to build random ones of this size, which learn nothing useful"
        )
    for part in parts:
        if getattr(config.model, part).pretrained:
            locate(config.model, part)
    if config.model.original and not Path(config.model.original).is_file():
        raise UsageError(f"config model.original: no file {config.model.original}")
    take_sizes(config)


def make_tokenizer(config: Config, texts: Iterable[str]) -> Any:
    """The LLM's own tokenizer, or one trained on the prompt and ``texts``."""
    if config.model.llm.pretrained:
        return load_tokenizer(locate(config.model, "llm"))
    prompt = "".join(config.prompt.clauses) + config.prompt.question + config.prompt.end
    tokenizer = train_tokenizer([prompt, *texts], config.model.llm.vocab_size)
    log.info("tokenizer: byte-level BPE of %d tokens, trained on the spot", len(tokenizer))
    return tokenizer


def assemble(
    config: Config, tokenizer: Any, device: torch.device | None = None, encoders_only: bool = False
) -> AffectGPT:
    """The model with every frozen part in place, on the CPU unless ``device`` says where to build it.

    Random weights depend on the kind of device that they are made on: the CPU's are the same everywhere.
    encoders_only: for who only encodes media; a language model of no use takes the place of the config's (unless an
    original checkpoint has to fit it).

    Raises:
        UsageError: a source is missing or does not fit the config's sizes.
    """
    check_weights(config)
    sources = config.model
    encoders_only = encoders_only and not sources.original
    with torch.device(device or "cpu"):
        if encoders_only:
            llm = random_llm(LlmConfig(hidden_size=8, layers=1, heads=1, intermediate_size=8), 8)
        elif sources.llm.pretrained:
            llm = pretrained_llm(sources)
        else:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(sources.weights_seed)
                llm = random_llm(sources.llm, len(tokenizer))
        model = build_model(config, llm)
    for part in ("vision", "audio"):
        if getattr(sources, part).pretrained or (part == "vision" and sources.image_qformer.pretrained):
            encoder = model.visual if part == "vision" else model.audio
            encoder.load(sources)
            encoder.requires_grad_(False)
    if sources.original:
        overlay(sources.original, model)
    if device is not None:
        model.to(device)
    parts = [part for part in used_parts(sources) if not (encoders_only and part == "llm")]
    random = [part for part in parts if not getattr(sources, part).pretrained]
    if random:
        log.warning(
            "random frozen weights made on the spot (seed %d): %s; what this run shows is that the machinery learns, "
            "not what AffectGPT knows", sources.weights_seed, ", ".join(random),
        )  # fmt: skip
    return model.train(model.training)


def meta_model(config: Config) -> AffectGPT:
    """The model's shapes without memory, for ``inspect``; sizes of pretrained folders that are here are taken over."""
    take_sizes(config, folders_only=True)
    with torch.device("meta"):
        return build_model(config, meta_llm(config.model))


def identities(config: Config, model: AffectGPT) -> dict[str, str]:
    """What tells one frozen part from another: ``files:`` and a hash of pretrained weights' content, ``weights:`` and a
    hash of random ones; of the encoders together with what else decides their features."""
    sources = config.model
    vision, audio = sources.vision, sources.audio
    settings = {
        "visual": f"{vision.kind} {vision.tokens} {vision.image_size} {vision.dtype}",
        "audio": f"{audio.kind} {audio.last_layers} {audio.scale} {audio.dtype}",
        "llm": "",
    }
    parts = {"visual": [part for part in used_parts(sources) if part in PREFIXES], "audio": ["audio"], "llm": ["llm"]}
    found = {}
    for name in FROZEN:
        pretrained = all(getattr(sources, part).pretrained for part in parts[name])
        # AST's head is made here, and an original checkpoint may have replaced some of the frozen tensors.
        ours = name in model.overlaid or (name == "audio" and audio.kind == "ast")
        digest = hashlib.sha256(settings[name].encode())
        if pretrained and not ours:
            for part in parts[name]:
                prefixes = PREFIXES.get(part, ()) if vision.kind == "blip2" else ()
                digest.update(content_hash(locate(sources, part), prefixes).encode())
            found[name] = f"files:{digest.hexdigest()}"
        else:
            digest.update(fingerprint(getattr(model, name)).encode())
            found[name] = f"weights:{digest.hexdigest()}"
    return found
