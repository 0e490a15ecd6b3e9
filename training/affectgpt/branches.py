"""The trainable branches: positions over time, a two-layer Q-Former, a projection into the LLM.

Q-Formers are ``Blip2QFormerModel`` with 2 layers and cross-attention in each; with the paper's sizes the
video branch holds 22,104,064 parameters and the audio branch 22,855,680.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers import Blip2QFormerConfig, Blip2QFormerModel

from ..config import BranchConfig, ImageQFormerConfig


def branch_qformer(branch: BranchConfig, image: ImageQFormerConfig, width: int) -> Blip2QFormerModel:
    return Blip2QFormerModel(
        Blip2QFormerConfig(
            hidden_size=image.hidden_size,
            num_hidden_layers=branch.layers,
            num_attention_heads=image.heads,
            intermediate_size=image.intermediate_size,
            cross_attention_frequency=1,
            encoder_hidden_size=width,
            hidden_dropout_prob=branch.dropout,
            attention_probs_dropout_prob=branch.dropout,
        )
    )


def new_queries(branch: BranchConfig, hidden: int) -> nn.Parameter:
    queries = nn.Parameter(torch.empty(1, branch.queries, hidden))
    nn.init.normal_(queries, std=0.02)  # BLIP-2's initialisation of query tokens
    return queries
