"""The trainable branches: from a modality's features to tokens of the LLM.

qformer    positions over time, a two-layer Q-Former (``Blip2QFormerModel``, cross-attention in each layer), a
           projection; with the paper's sizes 22,104,064 parameters for video and 22,855,680 for audio
attention  a score per step, the sum weighted by it, a projection: one token (AffectGPT 2025)
prefusion  one more token from picture and sound together (AffectGPT 2025)

Clips of different length share a batch: ``mask`` (m, time) is False where a shorter one is padded, None when none is.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers import Blip2QFormerConfig, Blip2QFormerModel

from ..config import BranchConfig, ImageQFormerConfig


def branch_qformer(branch: BranchConfig, image: ImageQFormerConfig, width: int) -> Blip2QFormerModel:
    """A Q-Former of the image Q-Former's width that reads features (…, width)."""
    config = Blip2QFormerConfig(
        hidden_size=image.hidden_size,
        num_hidden_layers=branch.layers,
        num_attention_heads=image.heads,
        intermediate_size=image.intermediate_size,
        cross_attention_frequency=1,
        encoder_hidden_size=width,
        hidden_dropout_prob=branch.dropout,
        attention_probs_dropout_prob=branch.dropout,
    )
    return Blip2QFormerModel._from_config(config, attn_implementation="sdpa")


def new_queries(branch: BranchConfig, hidden: int) -> nn.Parameter:
    queries = nn.Parameter(torch.empty(1, branch.queries, hidden))
    nn.init.normal_(queries, std=0.02)  # BLIP-2's initialisation of query tokens
    return queries


def ask(qformer: nn.Module, queries: torch.Tensor, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """What the queries (1, q, h) read out of ``hidden`` (m, n, width), where ``mask`` (m, n) is True: (m, q, h)."""
    return qformer(
        query_embeds=queries.expand(hidden.shape[0], -1, -1), encoder_hidden_states=hidden, encoder_attention_mask=mask
    ).last_hidden_state


def position_vectors(table: torch.Tensor, features: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Position embeddings for each step of each clip, (1 or m, time, width).

    A clip of more steps than ``table`` (positions, width) has rows gets them interpolated linearly over its length.
    """
    rows, steps = table.shape[0], features.shape[1]
    if steps <= rows:
        return table[None, :steps]
    if mask is None:
        lengths = torch.full((1, 1), float(steps), device=table.device)
    else:
        lengths = mask.sum(1, keepdim=True).to(torch.float32)
    scale = torch.where(lengths > rows, (rows - 1) / (lengths - 1).clamp(min=1), torch.ones_like(lengths))
    place = (torch.arange(steps, device=table.device)[None] * scale).clamp(max=rows - 1)
    low = place.floor().long()
    part = (place - low)[..., None].to(table.dtype)
    return table[low] * (1 - part) + table[(low + 1).clamp(max=rows - 1)] * part


def weighted_sum(score: nn.Linear, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Sum over time of ``hidden`` (m, time, width), each step times its score; as published, without softmax."""
    scores = score(hidden)
    if mask is not None:
        scores = scores * mask.unsqueeze(-1)
    return (scores * hidden).sum(1)


def mean_over_time(features: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """(m, time, …, width) -> (m, width): the mean over real steps, and over the tokens of a step."""
    steps = features.flatten(2, -2).mean(2) if features.ndim > 3 else features
    if mask is None:
        return steps.mean(1)
    return (steps * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)


def fuse(
    pictures: torch.Tensor, sound: torch.Tensor, picture_map: nn.Linear, sound_map: nn.Linear, mix: nn.Linear,
    weigh: nn.Linear,
) -> torch.Tensor:  # fmt: skip
    """Means over time of pictures (m, a) and sound (m, b) -> their weighted sum (m, c).

    Both are mapped to one width; the two weights come from both together, through two linear maps, without softmax.
    """
    both = [picture_map(pictures), sound_map(sound)]
    weights = weigh(mix(torch.cat(both, dim=1)))
    return weights[:, :1] * both[0] + weights[:, 1:] * both[1]
