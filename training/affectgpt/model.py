"""AffectGPT: media features take their places in the prompt of a frozen language model.

Names of the trainable parts follow the published checkpoints (``video_query_tokens``, ``llama_proj`` ...).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..config import Config
from ..errors import UsageError
from .branches import branch_qformer, new_queries
from .encoders import AudioEncoder, VisualEncoder

FROZEN = ("visual", "audio", "llm")
TRAINABLE = (
    "video_frame_position_embedding", "video_query_tokens", "video_qformer", "llama_proj",
    "audio_position_embedding", "audio_query_tokens", "audio_qformer", "audio_llama_proj",
)  # fmt: skip


@dataclass
class Placed:
    """Features of those samples of a batch that have the modality, and where their tokens go.

    features: video (m, frames, queries, hidden) or audio (m, windows, embedding); rows: (m,) index into
    the batch; start: (m,) first position of the slot in ``input_ids``.
    """

    features: torch.Tensor
    rows: torch.Tensor
    start: torch.Tensor


@dataclass
class Batch:
    """input_ids, attention_mask, labels: (b, length); labels are -100 outside the targets."""

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor | None
    video: Placed | None
    audio: Placed | None
    clips: list[str]

    def to(self, device: torch.device) -> Batch:
        def move(placed: Placed | None) -> Placed | None:
            return placed and Placed(placed.features.to(device), placed.rows.to(device), placed.start.to(device))

        labels = None if self.labels is None else self.labels.to(device)
        return Batch(
            self.input_ids.to(device), self.attention_mask.to(device), labels,
            move(self.video), move(self.audio), self.clips,
        )  # fmt: skip


class AffectGPT(nn.Module):
    """The whole model. ``llm`` is any causal LM of transformers that takes ``inputs_embeds``."""

    def __init__(self, config: Config, llm: Any) -> None:
        super().__init__()
        model = config.model
        hidden, width = model.image_qformer.hidden_size, llm.config.hidden_size
        # Frozen parts have their own seed: another run's checkpoint must meet the same ones.
        torch.manual_seed(model.weights_seed)
        self.visual = VisualEncoder(model)
        self.audio = AudioEncoder(model.audio)
        self.llm = llm

        torch.manual_seed(config.seed)
        self.video_frame_position_embedding = nn.Embedding(model.video.positions, hidden)
        self.video_query_tokens = new_queries(model.video, hidden)
        self.video_qformer = branch_qformer(model.video, model.image_qformer, hidden)
        self.llama_proj = nn.Linear(hidden, width)

        self.audio_position_embedding = nn.Embedding(model.audio_branch.positions, model.audio.embedding)
        self.audio_query_tokens = new_queries(model.audio_branch, hidden)
        self.audio_qformer = branch_qformer(model.audio_branch, model.image_qformer, model.audio.embedding)
        self.audio_llama_proj = nn.Linear(hidden, width)

        for name in FROZEN:
            getattr(self, name).requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> AffectGPT:
        """As always, but the frozen parts stay in eval mode: no dropout, no drop-path, no statistics."""
        super().train(mode)
        for name in FROZEN:
            getattr(self, name).eval()
        return self

    @property
    def device(self) -> torch.device:
        return self.video_query_tokens.device

    def trainable(self) -> dict[str, nn.Parameter]:
        """Trainable parameters by name, in a fixed order."""
        return {name: value for name, value in self.named_parameters() if value.requires_grad}

    def trainable_count(self) -> int:
        return sum(value.numel() for value in self.trainable().values())

    def trainable_counts(self) -> dict[str, int]:
        """Trainable parameters per module of the paper's arrangement."""
        counts = dict.fromkeys(TRAINABLE, 0)
        for name, value in self.trainable().items():
            counts[name.split(".", 1)[0]] += value.numel()
        return counts

    @torch.no_grad()
    def encode_frames(self, frames: torch.Tensor) -> torch.Tensor:
        """One clip's frames (n, size, size, 3) uint8 -> (n, queries, hidden), on the CPU."""
        return self.visual(frames.to(self.device)).cpu()

    @torch.no_grad()
    def encode_audio(self, mel: torch.Tensor, segment: torch.Tensor, segments: int) -> torch.Tensor:
        """One clip's log-mel windows -> (segments, embedding), on the CPU."""
        return self.audio(mel.to(self.device), segment.to(self.device), segments).cpu()

    def video_tokens(self, features: torch.Tensor) -> torch.Tensor:
        """(m, frames, queries, hidden) -> (m, video queries, LLM width)."""
        positions = self.video_frame_position_embedding.weight[: features.shape[1]]
        hidden = (features + positions[None, :, None, :]).flatten(1, 2)
        queries = self.video_query_tokens.expand(features.shape[0], -1, -1)
        return self.llama_proj(self.video_qformer(query_embeds=queries, encoder_hidden_states=hidden).last_hidden_state)

    def audio_tokens(self, features: torch.Tensor) -> torch.Tensor:
        """(m, windows, embedding) -> (m, audio queries, LLM width)."""
        hidden = features + self.audio_position_embedding.weight[: features.shape[1]]
        queries = self.audio_query_tokens.expand(features.shape[0], -1, -1)
        return self.audio_llama_proj(
            self.audio_qformer(query_embeds=queries, encoder_hidden_states=hidden).last_hidden_state
        )

    def embed(self, batch: Batch) -> torch.Tensor:
        """The prompt's embeddings (b, length, LLM width) with media tokens in their slots."""
        embeds = self.llm.get_input_embeddings()(batch.input_ids)
        for placed, tokens_of in ((batch.video, self.video_tokens), (batch.audio, self.audio_tokens)):
            if placed is None:
                continue
            tokens = tokens_of(placed.features).to(embeds.dtype)
            columns = placed.start[:, None] + torch.arange(tokens.shape[1], device=tokens.device)
            embeds = embeds.index_put((placed.rows[:, None].expand_as(columns), columns), tokens)
        return embeds

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
    """sha256 over a module's parameters, by name, shape and value: tells frozen weights apart."""
    digest = hashlib.sha256()
    for name, value in sorted(module.named_parameters()):
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
