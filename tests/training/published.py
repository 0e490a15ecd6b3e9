"""State dicts with the keys and shapes of the published checkpoints; random values, or none on the meta device."""

from __future__ import annotations

import re

import torch

NORM = re.compile(r"(norm\w*|LayerNorm|ln_vision|modality_heads\.audio\.0)\.weight$")
Tensors = dict[str, torch.Tensor]
Shapes = dict[str, tuple[int, ...]]


def make(shapes: Shapes, device: str = "cpu", seed: int = 0) -> Tensors:
    """Random tensors of these shapes: norms around 1, everything else small."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return {
            name: torch.randn(shape, device=device) * 0.03 + (1.0 if NORM.search(name) else 0.0)
            for name, shape in shapes.items()
        }


def eva(width: int, layers: int, inner: int, size: int, patch: int = 14) -> Shapes:
    """eva_vit_g.pth; the real one is (1408, 40, 6144, 224)."""
    shapes: Shapes = {
        "cls_token": (1, 1, width), "pos_embed": (1, (size // patch) ** 2 + 1, width),
        "patch_embed.proj.weight": (width, 3, patch, patch), "patch_embed.proj.bias": (width,),
    }  # fmt: skip
    for number in range(layers):
        name = f"blocks.{number}"
        shapes |= {f"{name}.norm{one}.{part}": (width,) for one in (1, 2) for part in ("weight", "bias")}
        shapes |= {
            f"{name}.attn.q_bias": (width,), f"{name}.attn.v_bias": (width,),
            f"{name}.attn.qkv.weight": (3 * width, width), f"{name}.attn.proj.weight": (width, width),
            f"{name}.attn.proj.bias": (width,), f"{name}.mlp.fc1.weight": (inner, width),
            f"{name}.mlp.fc1.bias": (inner,), f"{name}.mlp.fc2.weight": (width, inner),
            f"{name}.mlp.fc2.bias": (width,),
        }  # fmt: skip
    return shapes | {"norm.weight": (width,), "norm.bias": (width,), "head.weight": (1000, width), "head.bias": (1000,)}


def qformer(prefix: str, width: int, layers: int, inner: int, seen: int, every: int) -> Shapes:
    """What stands under ``Qformer.bert.`` (12 layers, every 2) or ``video_Qformer.bert.`` (2 layers, every 1), word
    embeddings and text half left in as in LAVIS' file."""
    shapes: Shapes = {
        f"{prefix}embeddings.position_ids": (1, 512),
        f"{prefix}embeddings.word_embeddings.weight": (30523, width),
        f"{prefix}embeddings.position_embeddings.weight": (512, width),
        f"{prefix}embeddings.LayerNorm.weight": (width,), f"{prefix}embeddings.LayerNorm.bias": (width,),
    }  # fmt: skip
    for number in range(layers):
        layer = f"{prefix}encoder.layer.{number}"
        for name, source in (("attention", width), ("crossattention", seen)):
            if name == "crossattention" and number % every:
                continue
            shapes |= {f"{layer}.{name}.self.query.weight": (width, width), f"{layer}.{name}.self.query.bias": (width,)}
            shapes |= {f"{layer}.{name}.self.{one}.weight": (width, source) for one in ("key", "value")}
            shapes |= {f"{layer}.{name}.self.{one}.bias": (width,) for one in ("key", "value")}
            shapes |= _output(f"{layer}.{name}.output", width, width)
        for suffix in ("", "_query"):
            shapes |= {f"{layer}.intermediate{suffix}.dense.weight": (inner, width)}
            shapes |= {f"{layer}.intermediate{suffix}.dense.bias": (inner,)}
            shapes |= _output(f"{layer}.output{suffix}", width, inner)
    return shapes


def _output(name: str, width: int, source: int) -> Shapes:
    return {
        f"{name}.dense.weight": (width, source), f"{name}.dense.bias": (width,),
        f"{name}.LayerNorm.weight": (width,), f"{name}.LayerNorm.bias": (width,),
    }  # fmt: skip


def trained_qformer(prefix: str, width: int, inner: int, seen: int) -> Shapes:
    """A two-layer Q-Former as AffectGPT's files keep it: what trains alone."""
    everything = qformer(prefix, width, 2, inner, seen, 1)
    left = (".intermediate.", ".output.dense", ".output.LayerNorm", "embeddings.position_embeddings", "embeddings.word")
    return {
        name: shape
        for name, shape in everything.items()
        if not any(part in name for part in left) or "attention.output" in name
    }


def affectgpt_2024(width: int = 768, inner: int = 3072, heard: int = 1024, llm: int = 4096) -> Shapes:
    """Video branch and audio branch together, with a buffer of the frozen language model."""
    return {
        "video_query_tokens": (1, 32, width), "video_frame_position_embedding.weight": (32, width),
        "llama_proj.weight": (llm, width), "llama_proj.bias": (llm,),
        **trained_qformer("video_Qformer.bert.", width, inner, width),
        "audio_query_tokens": (1, 8, width), "audio_position_embedding.weight": (8, heard),
        "audio_llama_proj.weight": (llm, width), "audio_llama_proj.bias": (llm,),
        **trained_qformer("audio_Qformer.bert.", width, inner, heard),
        "llama_model.model.layers.0.self_attn.rotary_emb.inv_freq": (64,),
    }  # fmt: skip


def affectgpt_2025(
    layers: int = 28, seen: int = 768, heard: int = 1024, llm: int = 3584, keys: int = 512, inner: int = 18944,
    rank: int = 16,
) -> Shapes:  # fmt: skip
    """LoRA in peft's layout and the projections."""
    shapes: Shapes = {}
    targets = {"self_attn.q_proj": (llm, llm), "self_attn.k_proj": (llm, keys), "self_attn.v_proj": (llm, keys),
               "self_attn.o_proj": (llm, llm), "mlp.gate_proj": (llm, inner), "mlp.up_proj": (llm, inner),
               "mlp.down_proj": (inner, llm)}  # fmt: skip
    for number in range(layers):
        for name, (into, out) in targets.items():
            where = f"llama_model.base_model.model.model.layers.{number}.{name}"
            shapes |= {f"{where}.lora_A.default.weight": (rank, into), f"{where}.lora_B.default.weight": (out, rank)}
    widest = max(seen, heard)
    projections = {
        "image_llama_proj": (llm, seen), "affectgpt_proj": (llm, seen), "audio_llama_proj": (llm, heard),
        "multi_llama_proj": (llm, widest), "multi_audio_embs": (widest, heard), "multi_video_embs": (widest, seen),
        "attention_mlp": (widest, 2 * widest), "fc_att": (2, widest), "video_attention_mlp": (1, seen),
        "audio_attention_mlp": (1, heard),
    }  # fmt: skip
    for name, shape in projections.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return shapes


def imagebind(width: int = 768, layers: int = 12, inner: int = 3072, out: int = 1024) -> Shapes:
    """The audio branch of imagebind_huge.pth, with a key of each kind from the other modalities."""
    stem, trunk, head = "modality_preprocessors.audio.", "modality_trunks.audio.", "modality_heads.audio."
    shapes: Shapes = {
        f"{stem}cls_token": (1, 1, width), f"{stem}rgbt_stem.proj.weight": (width, 1, 16, 16),
        f"{stem}rgbt_stem.norm_layer.weight": (width,), f"{stem}rgbt_stem.norm_layer.bias": (width,),
        f"{stem}pos_embedding_helper.pos_embed": (1, 229, width),
        f"{head}0.weight": (width,), f"{head}0.bias": (width,), f"{head}2.weight": (out, width),
        "modality_preprocessors.vision.cls_token": (1, 1, 1280),
        "modality_trunks.text.blocks.0.norm_1.weight": (1024,),
        "modality_heads.thermal.2.weight": (1024, 768),
        "modality_postprocessors.depth.1.log_logit_scale": (),
    }  # fmt: skip
    for number in range(layers):
        name = f"{trunk}blocks.{number}"
        shapes |= {f"{name}.norm_{one}.{part}": (width,) for one in (1, 2) for part in ("weight", "bias")}
        shapes |= {
            f"{name}.attn.in_proj_weight": (3 * width, width), f"{name}.attn.in_proj_bias": (3 * width,),
            f"{name}.attn.bias_k": (1, 1, width), f"{name}.attn.bias_v": (1, 1, width),
            f"{name}.attn.out_proj.weight": (width, width), f"{name}.attn.out_proj.bias": (width,),
            f"{name}.mlp.fc1.weight": (inner, width), f"{name}.mlp.fc1.bias": (inner,),
            f"{name}.mlp.fc2.weight": (width, inner), f"{name}.mlp.fc2.bias": (width,),
        }  # fmt: skip
    return shapes
