"""AffectGPT: media features take their places in the prompt of a frozen language model.

Two arrangements, chosen per modality by the config: Q-Formers (2024) and attention with pre-fusion and LoRA (2025).
Names of the trainable parts follow the published checkpoints (``video_query_tokens``, ``llama_proj``,
``affectgpt_proj`` ...).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from ..config import Config
from ..errors import TrainingError, UsageError
from .batch import Batch, Placed
from .branches import ask, branch_qformer, fuse, mean_over_time, new_queries, position_vectors, weighted_sum
from .encoders import audio_encoder, visual_encoder
from .lora import add_lora, is_lora, lora_dropouts
from .slots import PICTURES, feature_shapes

__all__ = ["FROZEN", "AffectGPT", "Batch", "Placed", "build_model", "fingerprint", "resolve_device"]

FROZEN = ("visual", "audio", "llm")
LORA = "llm_lora"  # the adapters, in counts per module
FRAMES_AT_ONCE = 64


class AffectGPT(nn.Module):
    """The whole model. ``llm`` is any causal LM of transformers that takes ``inputs_embeds``."""

    def __init__(self, config: Config, llm: Any) -> None:
        super().__init__()
        model = config.model
        self.arrangement = model
        self.overlaid: set[str] = set()  # frozen parts of which an original checkpoint replaced tensors
        # Frozen parts have their own seed: another run's checkpoint must meet the same ones.
        torch.manual_seed(model.weights_seed)
        self.visual: Any = visual_encoder(model)
        self.audio: Any = audio_encoder(model.audio)
        self.llm = llm
        for name in FROZEN:
            getattr(self, name).requires_grad_(False)

        torch.manual_seed(config.seed)
        hidden, width = model.image_qformer.hidden_size, llm.config.get_text_config().hidden_size
        shapes = feature_shapes(model)
        seen, heard = shapes["video"][-1], shapes["audio"][-1]
        if model.video.kind == "qformer":
            self.video_frame_position_embedding = nn.Embedding(model.video.positions, seen)
            self.video_query_tokens = new_queries(model.video, hidden)
            self.video_qformer = branch_qformer(model.video, model.image_qformer, seen)
            self.llama_proj = nn.Linear(hidden, width)
        else:
            self.video_attention_mlp = nn.Linear(seen, 1)
            self.affectgpt_proj = nn.Linear(seen, width)
            self.image_llama_proj = nn.Linear(seen, width)
        if model.audio_branch.kind == "qformer":
            self.audio_position_embedding = nn.Embedding(model.audio_branch.positions, heard)
            self.audio_query_tokens = new_queries(model.audio_branch, hidden)
            self.audio_qformer = branch_qformer(model.audio_branch, model.image_qformer, heard)
            self.audio_llama_proj = nn.Linear(hidden, width)
        else:
            self.audio_attention_mlp = nn.Linear(heard, 1)
            self.audio_llama_proj = nn.Linear(heard, width)
        if model.prefusion:
            widest = max(seen, heard)
            self.multi_video_embs = nn.Linear(seen, widest)
            self.multi_audio_embs = nn.Linear(heard, widest)
            self.attention_mlp = nn.Linear(2 * widest, widest)
            self.fc_att = nn.Linear(widest, 2)
            self.multi_llama_proj = nn.Linear(widest, width)
        add_lora(llm, model.llm.lora)
        if model.llm.checkpointing:
            # Its name since transformers 5.23, and the one before.
            enable = getattr(llm, "activation_checkpointing_enable", None) or llm.gradient_checkpointing_enable
            enable({"use_reentrant": False})
        self.train(self.training)

    def train(self, mode: bool = True) -> AffectGPT:
        """As always, but the frozen parts stay in eval mode: no dropout, no drop-path, no SpecAugment.

        Two things inside the language model do train: the adapters' dropout, and the flag of its layers that makes
        them recompute activations (``checkpointing``); a layer's own parts stay in eval mode.
        """
        super().train(mode)
        for name in FROZEN:
            if getattr(self, name) is not None:
                getattr(self, name).eval()
        if mode:
            for dropout in lora_dropouts(self.llm):
                dropout.train()
        if mode and self.arrangement.llm.checkpointing:
            for layer in self.llm.modules():
                if isinstance(layer, GradientCheckpointingLayer):
                    layer.training = True
        return self

    @property
    def device(self) -> torch.device:
        return self.audio_llama_proj.weight.device

    def trainable(self) -> dict[str, nn.Parameter]:
        """Trainable parameters by name, in a fixed order."""
        return {name: value for name, value in self.named_parameters() if value.requires_grad}

    def trainable_count(self) -> int:
        return sum(value.numel() for value in self.trainable().values())

    def trainable_counts(self) -> dict[str, int]:
        """Trainable parameters per module of the published arrangement, adapters under ``llm_lora``."""
        counts: dict[str, int] = {}
        for name, value in self.trainable().items():
            part = LORA if is_lora(name) else name.split(".", 1)[0]
            counts[part] = counts.get(part, 0) + value.numel()
        return counts

    def release_encoders(self) -> None:
        """Let go of the picture and sound encoders, once every clip's features are kept: their memory is freed."""
        self.visual = self.audio = None

    def encode(self, modality: str, inputs: dict[str, torch.Tensor], segments: int) -> torch.Tensor:
        """One clip's inputs (see inputs.media_inputs) through its frozen encoder: pictures (n, tokens, width), sound
        (segments, width); float32 on the CPU."""
        return self.encode_many(modality, [inputs], segments)[0]

    @torch.no_grad()
    def encode_many(
        self, modality: str, several: Sequence[dict[str, torch.Tensor]], segments: int | Sequence[int]
    ) -> list[torch.Tensor]:
        """``encode`` of several clips in one forward pass; ``segments`` is one number for all or one for each.

        Autocast has no say here: frozen parts run in their own dtype, so features are the same in every precision.
        """
        if self.visual is None:
            raise TrainingError(
                "the encoders were released, and features that were kept are gone or damaged: go on with --resume, "
                "which makes them again"
            )
        moved = [{name: value.to(self.device) for name, value in inputs.items()} for inputs in several]
        with torch.autocast(self.device.type, enabled=False):
            if modality == "audio":
                counts = [segments] * len(moved) if isinstance(segments, int) else list(segments)
                made, lengths = self.audio(self.audio.together(moved, counts), sum(counts)), counts
            else:
                frames = [inputs["frames"] for inputs in moved]
                lengths = [len(part) for part in frames]
                made = torch.cat([self.visual(part) for part in torch.cat(frames).split(FRAMES_AT_ONCE)])
        return [part.clone() for part in made.float().cpu().split(lengths)]

    def tokens_of(self, modality: str, media: dict[str, Placed]) -> torch.Tensor:
        """A modality's features to its tokens (m, slot length, LLM width)."""
        placed = media[modality]
        if modality == "multi":
            return self._multi_tokens(media).unsqueeze(1)
        if placed.features is None:
            raise ValueError(f"no features of {modality}")
        features = placed.features.to(torch.float32)
        if modality == "audio":
            return self._audio_tokens(features, placed.mask)
        if modality == "image" and self.arrangement.video.kind == "attention":
            return self.image_llama_proj(mean_over_time(features, placed.mask)).unsqueeze(1)
        return self._video_tokens(features, placed.mask)

    def _video_tokens(self, features: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Frames or face crops (m, time, tokens, width); both go through the same weights, as published."""
        if self.arrangement.video.kind == "attention":
            return self.affectgpt_proj(weighted_sum(self.video_attention_mlp, features.mean(2), mask)).unsqueeze(1)
        positions = position_vectors(self.video_frame_position_embedding.weight, features, mask)
        hidden = (features + positions[:, :, None]).flatten(1, 2)
        per_token = None if mask is None else mask.repeat_interleave(features.shape[2], dim=1)
        return self.llama_proj(ask(self.video_qformer, self.video_query_tokens, hidden, per_token))

    def _audio_tokens(self, features: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Sound (m, time, width)."""
        if self.arrangement.audio_branch.kind == "attention":
            return self.audio_llama_proj(weighted_sum(self.audio_attention_mlp, features, mask)).unsqueeze(1)
        hidden = features + position_vectors(self.audio_position_embedding.weight, features, mask)
        return self.audio_llama_proj(ask(self.audio_qformer, self.audio_query_tokens, hidden, mask))

    def _multi_tokens(self, media: dict[str, Placed]) -> torch.Tensor:
        """Pre-fusion (m, LLM width) of the rows that have sound and pictures: a clip's faces, else its frames."""
        rows = media["multi"].rows

        def mean_of(placed: Placed) -> tuple[torch.Tensor, torch.Tensor]:
            if placed.features is None:
                raise ValueError("no features to fuse")
            same = placed.rows[None] == rows[:, None]
            mean = mean_over_time(placed.features.to(torch.float32), placed.mask)
            return mean[same.int().argmax(1)], same.any(1, keepdim=True)

        pictures: torch.Tensor | None = None
        for modality in PICTURES:
            if modality in media:
                own, there = mean_of(media[modality])
                pictures = own if pictures is None else torch.where(there, own, pictures)
        if pictures is None:
            raise ValueError("no pictures to fuse")
        sound, _ = mean_of(media["audio"])
        return self.multi_llama_proj(
            fuse(pictures, sound, self.multi_video_embs, self.multi_audio_embs, self.attention_mlp, self.fc_att)
        )

    def embed(self, batch: Batch) -> torch.Tensor:
        """The prompt's embeddings (b, length, LLM width) with media tokens in their slots."""
        embeds = self.llm.get_input_embeddings()(batch.input_ids)
        for modality, placed in batch.media.items():
            tokens, rows, start = self.tokens_of(modality, batch.media).to(embeds.dtype), placed.rows, placed.start
            if "multi" in batch.media:  # some are there to be fused, without a slot of their own
                tokens, rows, start = tokens[start >= 0], rows[start >= 0], start[start >= 0]
            columns = start[:, None] + torch.arange(tokens.shape[1], device=tokens.device)
            embeds = embeds.index_put((rows[:, None].expand_as(columns), columns), tokens)
        return embeds

    def forward(self, batch: Batch) -> tuple[torch.Tensor, int]:
        """``loss_sum``, as what wraps a module (DDP, FSDP) calls it."""
        return self.loss_sum(batch)

    def loss_sum(self, batch: Batch) -> tuple[torch.Tensor, int]:
        """Summed cross-entropy of the target tokens, and how many there are.

        The head runs on the targets' positions only: the prompt's logits would be thrown away.
        """
        if batch.labels is None:
            raise ValueError("loss_sum needs labels")
        hidden = self.llm.get_decoder()(
            inputs_embeds=self.embed(batch), attention_mask=batch.attention_mask, use_cache=False
        ).last_hidden_state
        labels = batch.labels[:, 1:]
        wanted = labels != -100
        logits = self.llm.get_output_embeddings()(hidden[:, :-1][wanted])
        loss = nn.functional.cross_entropy(logits.float(), labels[wanted], reduction="sum")
        return loss, int(wanted.sum())


def build_model(config: Config, llm: Any) -> AffectGPT:
    """AffectGPT around ``llm``; the caller's random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        return AffectGPT(config, llm)


def fingerprint(module: nn.Module) -> str:
    """sha256 over a module's frozen parameters, by name, shape and value: tells frozen weights apart.

    Adapters are left out, so that a language model is the same one with and without them.
    """
    digest = hashlib.sha256()
    own = [(name.replace(".base_layer.", "."), value) for name, value in module.named_parameters() if not is_lora(name)]
    for name, value in sorted(own, key=lambda item: item[0]):
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def resolve_device(name: str) -> torch.device:
    """``auto`` is CUDA where there is one.

    Raises:
        UsageError: cuda is asked for and absent, or the name means nothing.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError("train.device=cuda, but torch sees no CUDA device; use cpu or auto")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"config train.device: {name!r} is none of auto, cpu, cuda, cuda:0 …")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"config train.device: {name!r}, but torch sees {torch.cuda.device_count()} CUDA devices")
    return device
