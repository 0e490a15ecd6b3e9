"""The frozen picture encoders: frames (n, size, size, 3) uint8 RGB -> tokens (n, tokens, width).

blip2   EVA-CLIP ViT-g/14 as ``Blip2VisionModel``, BLIP-2's image Q-Former as ``Blip2QFormerModel`` (AffectGPT 2024)
clip    ``CLIPVisionModelWithProjection``: the image embedding (AffectGPT 2025), or patches averaged on a grid
siglip  ``SiglipVisionModel``: its pooled output, or patches averaged on a grid

Pictures are normalised here, on the encoder's device.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    Blip2QFormerConfig,
    Blip2QFormerModel,
    Blip2VisionConfig,
    Blip2VisionModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from ..config import ImageQFormerConfig, ModelConfig, VisionConfig
from ..errors import UsageError
from . import keys
from .pretrained import load_model, load_prefixed, locate

# OpenAI CLIP's normalisation, which EVA-CLIP uses as well; SigLIP's is 0.5 all over.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def visual_encoder(config: ModelConfig) -> Blip2Encoder | TowerEncoder:
    """The encoder that the config names, with random weights of its sizes from torch's current generator."""
    return Blip2Encoder(config) if config.vision.kind == "blip2" else TowerEncoder(config.vision)


class Pixels(nn.Module):
    """uint8 pictures to the normalised ones that an encoder was trained on."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """(n, size, size, 3) uint8 -> (n, 3, size, size) float32."""
        return (frames.permute(0, 3, 1, 2).float() / 255.0 - self.mean.float()) / self.std.float()


class WideLayerNorm(nn.LayerNorm):
    """A norm that is computed in float32 whatever comes in, as LAVIS' ln_vision behind a half-precision ViT."""

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return nn.functional.layer_norm(
            hidden.float(), self.normalized_shape, self.weight.float(), self.bias.float(), self.eps
        )


class Blip2Encoder(nn.Module):
    """Pictures to image Q-Former tokens (n, queries, hidden). The ViT is in ``vision.dtype``, the rest in float32."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        vision, image = config.vision, config.image_qformer
        self.vision_model = Blip2VisionModel._from_config(_blip2_vision(vision), attn_implementation="sdpa")
        self.vision_model.to(getattr(torch, vision.dtype))
        # LAVIS' ln_vision has eps 1e-5; transformers builds it with the blocks' 1e-6.
        self.vision_model.post_layernorm = WideLayerNorm(vision.hidden_size, eps=1e-5)
        self.qformer = Blip2QFormerModel._from_config(
            _image_qformer(image, vision.hidden_size), attn_implementation="sdpa"
        )
        self.query_tokens = nn.Parameter(torch.empty(1, image.queries, image.hidden_size))
        nn.init.normal_(self.query_tokens, std=image.init_std)
        self.pixels = Pixels(CLIP_MEAN, CLIP_STD)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames (n, size, size, 3) uint8 -> (n, queries, hidden)."""
        patches = self.vision_model(pixel_values=self.pixels(frames)).last_hidden_state
        queries = self.query_tokens.expand(patches.shape[0], -1, -1)
        return self.qformer(query_embeds=queries, encoder_hidden_states=patches).last_hidden_state

    def load(self, config: ModelConfig) -> None:
        """Fill from ``vision.pretrained`` and ``image_qformer.pretrained``: BLIP-2 folders or published ``.pth`` files.

        Raises:
            UsageError: a tensor is missing or of another shape than the config's sizes make it.
        """
        filled: set[str] = set()
        for part in ("vision", "image_qformer"):
            if not getattr(config, part).pretrained:
                continue
            path, where = locate(config, part), f"model.{part}.pretrained"
            if path.is_file():
                filled |= self._load_original(path, where, part, config)
            elif part == "vision":
                load_prefixed(path, {"vision_model.": self.vision_model}, where)
                filled |= {f"vision_model.{name}" for name in self.vision_model.state_dict()}
            else:
                load_prefixed(path, {"qformer.": self.qformer}, where, {"query_tokens": self.query_tokens})
        # eva_vit_g.pth has no ln_vision: LAVIS keeps it in the file of its Q-Former.
        norm = "vision_model.post_layernorm.weight"
        if config.vision.pretrained and norm not in filled:
            raise UsageError(
                f"model.vision.pretrained: {config.vision.pretrained} has no ln_vision, and neither has "
                "model.image_qformer.pretrained; give LAVIS' blip2_pretrained_….pth there"
            )

    def _load_original(self, path: Path, where: str, part: str, config: ModelConfig) -> set[str]:
        renamed = keys.lavis(keys.read_original(path, where), config.vision.layers)
        wanted: keys.Tensors = dict(self.state_dict())
        mine = "vision_model." if part == "vision" else ("qformer.", "query_tokens", "vision_model.post_layernorm.")
        renamed.leave(name for name in renamed.tensors if not name.startswith(mine))
        needed = {name for name in wanted if name.startswith(mine) and "post_layernorm" not in name}
        report = keys.fill(wanted, renamed, where, needed)
        if report.missing:
            raise UsageError(f"{where}: {path} lacks {len(report.missing)} of {len(needed)} tensors: {report}")
        keys.log_report(path, report)
        return set(report.loaded)


class TowerEncoder(nn.Module):
    """CLIP's or SigLIP's vision tower: one pooled token per picture, or its patches on a grid."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.kind, self.tokens = config.kind, config.tokens
        self.grid = math.isqrt(config.tokens)
        self.dtype = getattr(torch, config.dtype)
        self.encoder: Any = (
            CLIPVisionModelWithProjection._from_config(_clip(config), attn_implementation="sdpa")
            if config.kind == "clip"
            else SiglipVisionModel._from_config(_siglip(config), attn_implementation="sdpa")
        )
        self.encoder.to(self.dtype)
        half = (0.5, 0.5, 0.5)
        self.pixels = Pixels(CLIP_MEAN, CLIP_STD) if config.kind == "clip" else Pixels(half, half)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames (n, size, size, 3) uint8 -> (n, tokens, width): width is CLIP's projection for the pooled token, else
        the tower's hidden size."""
        seen = self.encoder(pixel_values=self.pixels(frames).to(self.dtype))
        if self.tokens == 1:
            pooled = seen.image_embeds if self.kind == "clip" else seen.pooler_output
            return pooled.unsqueeze(1).float()
        patches = seen.last_hidden_state.float()
        if self.kind == "clip":
            patches = patches[:, 1:]  # behind the class token
        side = math.isqrt(patches.shape[1])
        grid = nn.functional.adaptive_avg_pool2d(patches.transpose(1, 2).unflatten(2, (side, side)), self.grid)
        return grid.flatten(2).transpose(1, 2)

    def load(self, config: ModelConfig) -> None:
        """Fill from ``vision.pretrained``, its normalisation from the folder's preprocessor_config.json.

        Raises:
            UsageError: no such model there.
        """
        if not config.vision.pretrained:
            return
        folder = locate(config, "vision")
        cls = CLIPVisionModelWithProjection if self.kind == "clip" else SiglipVisionModel
        self.encoder = load_model(cls, folder, "model.vision.pretrained", config.vision.dtype)
        try:
            said = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
            self.pixels = Pixels(tuple(said["image_mean"]), tuple(said["image_std"]))
        except (OSError, ValueError, KeyError, TypeError):
            pass  # the family's own normalisation


def _blip2_vision(config: VisionConfig) -> Blip2VisionConfig:
    return Blip2VisionConfig(
        hidden_size=config.hidden_size,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=config.intermediate_size,
        image_size=config.image_size,
        patch_size=config.patch_size,
        initializer_range=config.init_std,
    )


def _image_qformer(config: ImageQFormerConfig, width: int) -> Blip2QFormerConfig:
    return Blip2QFormerConfig(
        hidden_size=config.hidden_size,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=config.intermediate_size,
        cross_attention_frequency=config.cross_attention_frequency,
        encoder_hidden_size=width,
        initializer_range=config.init_std,
    )


def _clip(config: VisionConfig) -> CLIPVisionConfig:
    return CLIPVisionConfig(
        hidden_size=config.hidden_size,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=config.intermediate_size,
        image_size=config.image_size,
        patch_size=config.patch_size,
        projection_dim=config.projection,
        initializer_range=config.init_std,
    )


def _siglip(config: VisionConfig) -> SiglipVisionConfig:
    return SiglipVisionConfig(
        hidden_size=config.hidden_size,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=config.intermediate_size,
        image_size=config.image_size,
        patch_size=config.patch_size,
    )
