"""The frozen encoders: picture -> image Q-Former tokens, audio window -> one embedding.

Visual: EVA-CLIP ViT-g/14 as ``Blip2VisionModel`` and BLIP-2's image Q-Former as ``Blip2QFormerModel``.
Audio: the paper uses ImageBind, which transformers does not have and whose licence is non-commercial.
Declared substitute: the Audio Spectrogram Transformer (``ASTModel``, Gong et al. 2021), whose geometry
ImageBind's audio branch shares (12 blocks of 768, patch 16 stride 10 on 128 x 204 log-mel), followed by
ImageBind's head: a linear map to 1024 and a vector of fixed length 20.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers import ASTConfig, ASTModel, Blip2QFormerConfig, Blip2QFormerModel, Blip2VisionConfig, Blip2VisionModel

from ..config import AudioConfig, ImageQFormerConfig, ModelConfig, VisionConfig

# OpenAI CLIP's normalisation, which EVA-CLIP uses as well.
PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)
# AudioSet statistics of log-mel values (AST; ImageBind took them over).
MEL_MEAN, MEL_STD = -4.268, 9.138


def vision_config(config: VisionConfig) -> Blip2VisionConfig:
    return Blip2VisionConfig(
        hidden_size=config.hidden_size,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=config.intermediate_size,
        image_size=config.image_size,
        patch_size=config.patch_size,
        initializer_range=config.init_std,
    )


def image_qformer_config(config: ImageQFormerConfig, width: int) -> Blip2QFormerConfig:
    return Blip2QFormerConfig(
        hidden_size=config.hidden_size,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=config.intermediate_size,
        cross_attention_frequency=config.cross_attention_frequency,
        encoder_hidden_size=width,
        initializer_range=config.init_std,
    )


def audio_config(config: AudioConfig) -> ASTConfig:
    return ASTConfig(
        hidden_size=config.hidden_size,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=config.intermediate_size,
        patch_size=config.patch_size,
        frequency_stride=config.stride,
        time_stride=config.stride,
        max_length=config.mel_frames,
        num_mel_bins=config.mel_bins,
        initializer_range=config.init_std,
    )


class VisualEncoder(nn.Module):
    """Pictures to image Q-Former tokens; frozen."""

    pixel_mean: torch.Tensor
    pixel_std: torch.Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.vision_model = Blip2VisionModel(vision_config(config.vision))
        # LAVIS' ln_vision has eps 1e-5; transformers builds it with the blocks' 1e-6.
        self.vision_model.post_layernorm.eps = 1e-5
        qformer = image_qformer_config(config.image_qformer, config.vision.hidden_size)
        self.qformer = Blip2QFormerModel(qformer)
        self.query_tokens = nn.Parameter(torch.empty(1, config.image_qformer.queries, qformer.hidden_size))
        nn.init.normal_(self.query_tokens, std=config.image_qformer.init_std)
        self.register_buffer("pixel_mean", torch.tensor(PIXEL_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(PIXEL_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames (n, size, size, 3) as uint8 RGB -> tokens (n, queries, hidden)."""
        pixels = frames.permute(0, 3, 1, 2).to(self.pixel_mean.dtype) / 255.0
        pixels = (pixels - self.pixel_mean) / self.pixel_std
        patches = self.vision_model(pixel_values=pixels).last_hidden_state
        queries = self.query_tokens.expand(patches.shape[0], -1, -1)
        return self.qformer(query_embeds=queries, encoder_hidden_states=patches).last_hidden_state


class AudioEncoder(nn.Module):
    """Log-mel windows to one embedding per time segment; frozen."""

    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        self.encoder = ASTModel(audio_config(config))
        self.head = nn.Linear(config.hidden_size, config.embedding, bias=False)
        nn.init.normal_(self.head.weight, std=config.hidden_size**-0.5)
        self.scale = config.scale

    def forward(self, mel: torch.Tensor, segment: torch.Tensor, segments: int) -> torch.Tensor:
        """Windows (w, mel_frames, mel_bins) and each one's segment (w,) -> (segments, embedding).

        A segment longer than one window is heard through several; their embeddings are averaged.
        """
        mel = (mel - MEL_MEAN) / MEL_STD
        embedding = self.head(self.encoder(input_values=mel.to(self.head.weight.dtype)).pooler_output)
        embedding = nn.functional.normalize(embedding, dim=-1) * self.scale
        total = embedding.new_zeros(segments, embedding.shape[-1]).index_add_(0, segment, embedding)
        count = torch.bincount(segment, minlength=segments).clamp(min=1).unsqueeze(-1)
        return total / count
