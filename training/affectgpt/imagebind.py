"""ImageBind-huge's audio branch (Girdhar et al. 2023, arXiv 2305.05665): 2 s of sound -> one embedding of length 20.

A vision transformer on a log-mel picture: 16 x 16 patches every 10 steps of 128 mel bins x 204 frames make 12 x 19
tokens of width 768; with a class token 229. Twelve pre-norm blocks of 12 heads, whose attention sees one learned key
and value more than there are tokens. The class token is normalised, mapped to 1024 and scaled to a fixed length.

Written from the description; no code of the original is here. Its **weights are under a non-commercial licence**
(CC BY-NC-SA 4.0): ``model.audio.pretrained=imagebind_huge.pth`` is an option, and kind ``ast`` the free substitute.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from ..config import AudioConfig
from ..errors import UsageError
from . import keys

NORM_EPS = 1e-6  # of blocks and head; the patches' own norm has torch's 1e-5


class Block(nn.Module):
    """Pre-norm self-attention with a learned key and value of its own, then a GELU MLP. No drop-path: it is frozen."""

    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.heads
        self.norm_1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.qkv = nn.Linear(width, 3 * width)
        self.bias_k = nn.Parameter(torch.empty(1, 1, width))
        self.bias_v = nn.Parameter(torch.empty(1, 1, width))
        self.projection = nn.Linear(width, width)
        self.norm_2 = nn.LayerNorm(width, eps=NORM_EPS)
        self.fc1 = nn.Linear(width, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, width)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(b, tokens, width) -> the same."""
        query, key, value = self.qkv(self.norm_1(hidden)).chunk(3, dim=-1)
        one_more = (hidden.shape[0], -1, -1)
        key = torch.cat([key, self.bias_k.expand(one_more)], dim=1)
        value = torch.cat([value, self.bias_v.expand(one_more)], dim=1)
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (query, key, value))
        seen = nn.functional.scaled_dot_product_attention(query, key, value)
        hidden = hidden + self.projection(seen.transpose(1, 2).flatten(2))
        return hidden + self.fc2(nn.functional.gelu(self.fc1(self.norm_2(hidden))))


class ImageBindAudio(nn.Module):
    """Normalised log-mel windows -> embeddings. Random weights come from torch's current generator."""

    log_scale: torch.Tensor

    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        width = config.hidden_size
        high = (config.mel_bins - config.patch_size) // config.stride + 1
        wide = (config.mel_frames - config.patch_size) // config.stride + 1
        self.patch = nn.Conv2d(1, width, config.patch_size, config.stride, bias=False)
        self.patch_norm = nn.LayerNorm(width)
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.position_embedding = nn.Parameter(torch.empty(1, high * wide + 1, width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.head = nn.Linear(width, config.embedding, bias=False)
        self.register_buffer("log_scale", torch.tensor(math.log(config.scale)))
        self._initialise(config.init_std)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """Windows (w, mel_frames, mel_bins), already (x - mean) / std -> (w, embedding) of length ``scale``."""
        picture = mel.to(self.patch.weight.dtype).transpose(1, 2).unsqueeze(1)
        tokens = self.patch_norm(self.patch(picture).flatten(2).transpose(1, 2))
        tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1) + self.position_embedding
        for block in self.blocks:
            tokens = block(tokens)
        embedding = self.head(self.norm(tokens[:, 0]))
        return nn.functional.normalize(embedding.float(), dim=-1) * self.log_scale.float().exp()

    @torch.no_grad()
    def _initialise(self, std: float) -> None:
        for name, value in self.named_parameters():
            if "norm" in name:
                continue  # ones and zeros
            if name.endswith(".bias"):
                value.zero_()
            elif name == "head.weight":
                nn.init.normal_(value, std=value.shape[1] ** -0.5)
            else:
                nn.init.trunc_normal_(value, std=std)


def load_imagebind(path: str, encoder: ImageBindAudio, where: str = "model.audio.pretrained") -> keys.KeyReport:
    """Fill the branch from ``imagebind_huge.pth``; the other modalities' weights in it are not read.

    Raises:
        UsageError: the file cannot be read with ``weights_only``, a tensor is missing or has another shape.
    """
    renamed = keys.imagebind(keys.read_original(path, where))
    wanted: keys.Tensors = dict(encoder.state_dict())
    # The scale is a constant (20) that some copies of the file leave out.
    report = keys.fill(wanted, renamed, where, needed=set(wanted) - {"log_scale"})
    if report.missing:
        raise UsageError(f"{where}: {path} lacks {len(report.missing)} of {len(wanted)} tensors: {report}")
    return report
