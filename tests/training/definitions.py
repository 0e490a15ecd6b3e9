"""The definitions of the published modules in plain tensor operations, float64: what outputs are compared with."""

from __future__ import annotations

import math

import torch

Tensors = dict[str, torch.Tensor]


def linear(hidden: torch.Tensor, state: Tensors, name: str) -> torch.Tensor:
    """x W^T + b, without b where there is none."""
    out = hidden @ state[f"{name}.weight"].double().T
    return out + state[f"{name}.bias"].double() if f"{name}.bias" in state else out


def norm(hidden: torch.Tensor, state: Tensors, name: str, eps: float) -> torch.Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias, over the last dimension."""
    centred = hidden - hidden.mean(-1, keepdim=True)
    scaled = centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + eps)
    return scaled * state[f"{name}.weight"].double() + state[f"{name}.bias"].double()


def gelu(hidden: torch.Tensor) -> torch.Tensor:
    """x Phi(x)."""
    return hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))


def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int) -> torch.Tensor:
    """softmax(q k^T / sqrt(d)) v per head; (b, n, width) each."""

    def split(part: torch.Tensor) -> torch.Tensor:
        return part.reshape(*part.shape[:2], heads, -1).permute(0, 2, 1, 3)

    query, key, value = split(query), split(key), split(value)
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    weights = torch.exp(scores - scores.amax(-1, keepdim=True))
    weights = weights / weights.sum(-1, keepdim=True)
    return (weights @ value).permute(0, 2, 1, 3).flatten(2)


def patches(picture: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None, stride: int) -> torch.Tensor:
    """A convolution written as dot products with each patch, row by row: (b, c, h, w) -> (b, patches, width)."""
    size = kernel.shape[-1]
    high, wide = ((side - size) // stride + 1 for side in picture.shape[-2:])
    cut = [
        picture[:, :, row * stride : row * stride + size, column * stride : column * stride + size].flatten(1)
        for row in range(high)
        for column in range(wide)
    ]
    out = torch.stack(cut, dim=1) @ kernel.double().flatten(1).T
    return out if bias is None else out + bias.double()


def eva(pixels: torch.Tensor, state: Tensors, layers: int, heads: int, patch: int) -> torch.Tensor:
    """EVA-CLIP's ViT: queries and values have a bias, keys have none; pre-norm, eps 1e-6. (n, 3, s, s) -> tokens."""
    tokens = patches(pixels.double(), state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], patch)
    first = state["cls_token"].double().expand(len(tokens), -1, -1)
    hidden = torch.cat([first, tokens], dim=1) + state["pos_embed"].double()
    for number in range(layers):
        name = f"blocks.{number}"
        width = hidden.shape[-1]
        mixed = norm(hidden, state, f"{name}.norm1", 1e-6) @ state[f"{name}.attn.qkv.weight"].double().T
        query, key, value = mixed[..., :width], mixed[..., width : 2 * width], mixed[..., 2 * width :]
        query = query + state[f"{name}.attn.q_bias"].double()
        value = value + state[f"{name}.attn.v_bias"].double()
        hidden = hidden + linear(attention(query, key, value, heads), state, f"{name}.attn.proj")
        inner = gelu(linear(norm(hidden, state, f"{name}.norm2", 1e-6), state, f"{name}.mlp.fc1"))
        hidden = hidden + linear(inner, state, f"{name}.mlp.fc2")
    return hidden


def qformer(
    queries: torch.Tensor, seen: torch.Tensor, state: Tensors, prefix: str, layers: int, heads: int, every: int
) -> torch.Tensor:
    """BERT with queries alone: post-norm, eps 1e-12; cross-attention in every ``every``-th layer."""
    hidden = norm(queries.double(), state, f"{prefix}embeddings.LayerNorm", 1e-12)
    for number in range(layers):
        layer = f"{prefix}encoder.layer.{number}"
        for name, source in (("attention", hidden), ("crossattention", seen.double())):
            if name == "crossattention" and number % every:
                continue
            where = hidden if name == "attention" else source
            heard = attention(
                linear(hidden, state, f"{layer}.{name}.self.query"),
                linear(where, state, f"{layer}.{name}.self.key"),
                linear(where, state, f"{layer}.{name}.self.value"),
                heads,
            )
            hidden = norm(
                hidden + linear(heard, state, f"{layer}.{name}.output.dense"),
                state, f"{layer}.{name}.output.LayerNorm", 1e-12,
            )  # fmt: skip
        inner = gelu(linear(hidden, state, f"{layer}.intermediate_query.dense"))
        hidden = norm(
            hidden + linear(inner, state, f"{layer}.output_query.dense"), state, f"{layer}.output_query.LayerNorm",
            1e-12,
        )  # fmt: skip
    return hidden


def imagebind(mel: torch.Tensor, state: Tensors, layers: int, heads: int) -> torch.Tensor:
    """ImageBind's audio branch on normalised log-mel (w, frames, bins): one learned key and value more per layer."""
    stem, trunk, head = "modality_preprocessors.audio.", "modality_trunks.audio.", "modality_heads.audio."
    tokens = patches(mel.double().transpose(1, 2).unsqueeze(1), state[f"{stem}rgbt_stem.proj.weight"], None, 10)
    tokens = norm(tokens, state, f"{stem}rgbt_stem.norm_layer", 1e-5)
    first = state[f"{stem}cls_token"].double().expand(len(tokens), -1, -1)
    hidden = torch.cat([first, tokens], dim=1) + state[f"{stem}pos_embedding_helper.pos_embed"].double()
    for number in range(layers):
        name = f"{trunk}blocks.{number}"
        weight, bias = state[f"{name}.attn.in_proj_weight"].double(), state[f"{name}.attn.in_proj_bias"].double()
        query, key, value = (norm(hidden, state, f"{name}.norm_1", 1e-6) @ weight.T + bias).chunk(3, dim=-1)
        key = torch.cat([key, state[f"{name}.attn.bias_k"].double().expand(len(key), -1, -1)], dim=1)
        value = torch.cat([value, state[f"{name}.attn.bias_v"].double().expand(len(value), -1, -1)], dim=1)
        hidden = hidden + linear(attention(query, key, value, heads), state, f"{name}.attn.out_proj")
        inner = gelu(linear(norm(hidden, state, f"{name}.norm_2", 1e-6), state, f"{name}.mlp.fc1"))
        hidden = hidden + linear(inner, state, f"{name}.mlp.fc2")
    out = norm(hidden[:, 0], state, f"{head}0", 1e-6) @ state[f"{head}2.weight"].double().T
    return 20 * out / torch.sqrt((out**2).sum(-1, keepdim=True))
