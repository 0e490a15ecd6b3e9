"""What tensors of published checkpoints are called here: one function per published layout.

Each takes a state dict and returns ``Renamed``: the tensors under our names, and what was left on purpose or is not
known. ``fill`` copies them into a module and gives a ``KeyReport`` in which every key of either side stands once.
The rules are facts of the published files (Video-LLaMA, LAVIS' BLIP-2, EVA, ImageBind, AffectGPT).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..errors import UsageError

log = logging.getLogger("training")

# Of a whole LAVIS or AffectGPT file: heads and language models that these classes do not have.
OTHER_PARTS = ("t5_model.", "t5_proj.", "opt_model.", "opt_proj.", "vision_proj.", "text_proj.", "itm_head.", "temp",
               "audio_encoder.", "acoustic_encoder.")  # fmt: skip
PLAIN = (
    "video_query_tokens", "video_frame_position_embedding.weight", "audio_query_tokens",
    "audio_position_embedding.weight",
)  # fmt: skip
PROJECTIONS = (
    "llama_proj", "audio_llama_proj", "image_llama_proj", "affectgpt_proj", "multi_llama_proj", "multi_audio_embs",
    "multi_video_embs", "attention_mlp", "fc_att", "video_attention_mlp", "audio_attention_mlp",
)  # fmt: skip
LORA = re.compile(r"llama_model\.base_model\.model\.(.+\.lora_[AB]\.default\.weight)")
QFORMER_LEFT = re.compile(
    r"embeddings\.position_ids|embeddings\.(word|position)_embeddings\..+|"
    r"encoder\.layer\.\d+\.(intermediate|output)\..+|pooler\..+"
)
EVA = (
    (re.compile(r"cls_token"), "embeddings.class_embedding"),
    (re.compile(r"pos_embed"), "embeddings.position_embedding"),
    (re.compile(r"patch_embed\.proj\.(weight|bias)"), r"embeddings.patch_embedding.\1"),
    (re.compile(r"blocks\.(\d+)\.norm([12])\.(weight|bias)"), r"encoder.layers.\1.layer_norm\2.\3"),
    (re.compile(r"blocks\.(\d+)\.attn\.qkv\.(weight|bias)"), r"encoder.layers.\1.self_attn.qkv.\2"),
    (re.compile(r"blocks\.(\d+)\.attn\.proj\.(weight|bias)"), r"encoder.layers.\1.self_attn.projection.\2"),
    (re.compile(r"blocks\.(\d+)\.mlp\.(fc[12])\.(weight|bias)"), r"encoder.layers.\1.mlp.\2.\3"),
)
IMAGEBIND = (
    (re.compile(r"modality_preprocessors\.audio\.cls_token"), "cls_token"),
    (re.compile(r"modality_preprocessors\.audio\.pos_embedding_helper\.pos_embed"), "position_embedding"),
    (re.compile(r"modality_preprocessors\.audio\.rgbt_stem\.proj\.weight"), "patch.weight"),
    (re.compile(r"modality_preprocessors\.audio\.rgbt_stem\.norm_layer\.(weight|bias)"), r"patch_norm.\1"),
    (re.compile(r"modality_trunks\.audio\.blocks\.(\d+)\.attn\.in_proj_(weight|bias)"), r"blocks.\1.qkv.\2"),
    (re.compile(r"modality_trunks\.audio\.blocks\.(\d+)\.attn\.out_proj\.(weight|bias)"), r"blocks.\1.projection.\2"),
    (re.compile(r"modality_trunks\.audio\.blocks\.(\d+)\.attn\.bias_([kv])"), r"blocks.\1.bias_\2"),
    (re.compile(r"modality_trunks\.audio\.blocks\.(\d+)\.norm_([12])\.(weight|bias)"), r"blocks.\1.norm_\2.\3"),
    (re.compile(r"modality_trunks\.audio\.blocks\.(\d+)\.mlp\.(fc[12])\.(weight|bias)"), r"blocks.\1.\2.\3"),
    (re.compile(r"modality_heads\.audio\.0\.(weight|bias)"), r"norm.\1"),
    (re.compile(r"modality_heads\.audio\.2\.weight"), "head.weight"),
    (re.compile(r"modality_postprocessors\.audio\.1\.log_logit_scale"), "log_scale"),
)  # fmt: skip

Tensors = dict[str, torch.Tensor]


@dataclass
class Renamed:
    """tensors: by our name; source: our name -> the published key (keys) it was made of."""

    tensors: Tensors = field(default_factory=dict)
    source: dict[str, list[str]] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)

    def put(self, name: str, tensor: torch.Tensor, *keys: str) -> None:
        self.tensors[name] = tensor
        self.source[name] = list(keys)

    def leave(self, names: Iterable[str]) -> None:
        """Ignore these of our names after all: another part's."""
        for name in list(names):
            del self.tensors[name]
            self.ignored += self.source.pop(name)

    def nest(self, prefix: str, ours: str, other: Renamed) -> None:
        """Take over what ``other`` made of the keys that stood under ``prefix``."""
        for name, tensor in other.tensors.items():
            self.put(ours + name, tensor, *(prefix + key for key in other.source[name]))
        self.ignored += [prefix + key for key in other.ignored]
        self.unexpected += [prefix + key for key in other.unexpected]


@dataclass
class KeyReport:
    """loaded, missing: names here; unexpected, ignored: keys of the file. Ignored keys are known and not needed."""

    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, list[str]]:
        return {key: sorted(value) for key, value in vars(self).items()}

    def __str__(self) -> str:
        def some(keys: list[str]) -> str:
            shown = ", ".join(sorted(keys)[:3])
            return f"{len(keys)} ({shown}{', …' if len(keys) > 3 else ''})" if keys else "0"

        return (
            f"{len(self.loaded)} tensors loaded, missing {some(self.missing)}, unexpected {some(self.unexpected)}, "
            f"ignored {some(self.ignored)}"
        )


def read_original(path: str | Path, where: str) -> Tensors:
    """The tensors of a published ``.pth``, of its ``model`` entry where it has one; memory-mapped.

    Only tensors and plain values are unpickled (``weights_only``): a file cannot run code.

    Raises:
        UsageError: no such file, it needs more than that, or it holds no tensors.
    """
    if not Path(path).is_file():
        raise UsageError(f"{where}: no file {path}")
    try:
        content: Any = torch.load(str(path), map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except Exception as error:  # damaged files raise what pickle, zipfile and torch please
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"{where}: {path} cannot be read with weights_only: {reason}") from error
    for key in ("model", "state_dict", "module"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    tensors = {key: value for key, value in content.items() if isinstance(value, torch.Tensor)} if isinstance(
        content, dict
    ) else {}  # fmt: skip
    if not tensors:
        raise UsageError(f"{where}: {path} holds no tensors")
    return tensors


def _is_zip(path: str | Path) -> bool:
    """torch's format since 1.6; older files cannot be memory-mapped."""
    with open(path, "rb") as file:
        return file.read(4) == b"PK\x03\x04"


def eva(state: Tensors, layers: int) -> Renamed:
    """``eva_vit_g.pth`` (no prefix) -> names of ``Blip2VisionModel``.

    The fused bias is q_bias, zeros, v_bias: keys have none. Left: blocks behind the ``layers`` used, final norm, head.
    """
    made = Renamed()
    for key, tensor in state.items():
        block = re.match(r"blocks\.(\d+)\.", key)
        if block and int(block[1]) >= layers:
            made.ignored.append(key)
            continue
        bias = re.fullmatch(r"blocks\.(\d+)\.attn\.([qv])_bias", key)
        if bias:
            number, letter = bias.groups()
            if letter == "v":
                continue
            other = key.replace("q_bias", "v_bias")
            if other not in state:
                made.unexpected.append(key)
                continue
            fused = torch.cat([tensor, torch.zeros_like(tensor), state[other]])
            made.put(f"encoder.layers.{number}.self_attn.qkv.bias", fused, key, other)
            continue
        name = _first_match(EVA, key)
        if name:
            made.put(name, tensor, key)
        else:
            known = re.match(r"(norm|fc_norm|head)\.|.*\.(rope|relative_position_index|mask)", key)
            (made.ignored if known else made.unexpected).append(key)
    for key in state:  # a v_bias without its q_bias
        if key.endswith("attn.v_bias") and key.replace("v_bias", "q_bias") not in state and key not in made.ignored:
            made.unexpected.append(key)
    return made


def qformer(state: Tensors) -> Renamed:
    """What follows ``Qformer.bert.`` -> names of ``Blip2QFormerModel``: word embeddings and the text half are left."""
    made = Renamed()
    for key, tensor in state.items():
        if QFORMER_LEFT.fullmatch(key):
            made.ignored.append(key)
            continue
        name = key.replace("embeddings.LayerNorm.", "layernorm.")
        name = name.replace(".attention.self.", ".attention.attention.")
        name = name.replace(".crossattention.self.", ".crossattention.attention.")
        made.put(name, tensor, key)
    return made


def imagebind(state: Tensors) -> Renamed:
    """``imagebind_huge.pth`` -> names of ``ImageBindAudio``; the other modalities' branches are left."""
    made = Renamed()
    for key, tensor in state.items():
        name = _first_match(IMAGEBIND, key)
        if name:
            # Published as a convolution's (1, 1, h) or an attention's (1, 1, h); both are used as they are.
            made.put(name, tensor, key)
        elif re.match(r"modality_(preprocessors|trunks|heads|postprocessors)\.(?!audio\.)\w+\.", key):
            made.ignored.append(key)
        else:
            made.unexpected.append(key)
    return made


def lavis(state: Tensors, layers: int) -> Renamed:
    """LAVIS' BLIP-2 (``visual_encoder.``, ``ln_vision``, ``Qformer.bert.``, ``query_tokens``) or a bare
    ``eva_vit_g.pth`` -> names of ``Blip2Encoder`` with ``layers`` blocks."""
    made = Renamed()
    if "cls_token" in state:
        made.nest("", "vision_model.", eva(state, layers))
        return made
    vision, text = "visual_encoder.", "Qformer.bert."
    for key, tensor in state.items():
        if key == "query_tokens":
            made.put(key, tensor, key)
        elif key.startswith("ln_vision."):
            made.put(f"vision_model.post_layernorm.{key.removeprefix('ln_vision.')}", tensor, key)
        elif key.startswith(OTHER_PARTS) or key.startswith("Qformer.cls."):
            made.ignored.append(key)
        elif not key.startswith((vision, text)):
            made.unexpected.append(key)
    made.nest(vision, "vision_model.", eva(_under(state, vision), layers))
    made.nest(text, "qformer.", qformer(_under(state, text)))
    return made


def affectgpt(state: Tensors, layers: int) -> Renamed:
    """A ``.pth`` of Video-LLaMA or AffectGPT (2024, 2025) -> names of our ``AffectGPT``, whose ViT has ``layers``."""
    made = Renamed()
    video, audio = "video_Qformer.bert.", "audio_Qformer.bert."
    encoder: Tensors = {}
    for key, tensor in state.items():
        lora = LORA.fullmatch(key)
        if key in PLAIN or key.rpartition(".")[0] in PROJECTIONS:
            made.put(key, tensor, key)
        elif lora:
            made.put(f"llm.{lora[1]}", tensor, key)
        elif key.startswith(("llama_model.", "video_Qformer.cls.", "audio_Qformer.cls.")):
            made.ignored.append(key)
        elif not key.startswith((video, audio)):
            encoder[key] = tensor
    made.nest(video, "video_qformer.", qformer(_under(state, video)))
    made.nest(audio, "audio_qformer.", qformer(_under(state, audio)))
    made.nest("", "visual.", lavis(encoder, layers))
    return made


def _under(state: Tensors, prefix: str) -> Tensors:
    return {key.removeprefix(prefix): tensor for key, tensor in state.items() if key.startswith(prefix)}


def fill(wanted: Tensors, renamed: Renamed, where: str, needed: Iterable[str] | None = None) -> KeyReport:
    """Copy into the tensors of ``wanted`` (parameters and buffers by name) what ``renamed`` has for them.

    ``needed``: names whose absence is reported as missing (default: all of ``wanted``). What has no place in ``wanted``
    is unexpected. A tensor is converted to the dtype of its place; one on the meta device is checked, not filled.

    Raises:
        UsageError: a shape differs (key, both shapes).
    """
    report = KeyReport(ignored=list(renamed.ignored), unexpected=list(renamed.unexpected))
    with torch.no_grad():
        for name, tensor in renamed.tensors.items():
            if name not in wanted:
                report.unexpected += renamed.source[name]
                continue
            place = wanted[name]
            if place.shape != tensor.shape:
                keys = " + ".join(renamed.source[name])
                raise UsageError(f"{where}: {keys} is {tuple(tensor.shape)}, the config makes it {tuple(place.shape)}")
            if place.device.type != "meta":
                place.copy_(tensor)
            report.loaded.append(name)
    missing = set(wanted if needed is None else needed) - set(report.loaded)
    report.missing = sorted(missing)
    return report


def log_report(path: str | Path, report: KeyReport) -> None:
    """Say what became of a file's keys; unexpected ones are a warning."""
    log.log(logging.WARNING if report.unexpected else logging.INFO, "%s: %s", path, report)


def _first_match(rules: Iterable[tuple[re.Pattern[str], str]], key: str) -> str | None:
    for pattern, name in rules:
        match = pattern.fullmatch(key)
        if match:
            return match.expand(name)
    return None
