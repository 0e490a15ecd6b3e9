"""The frozen sound encoders: an utterance's inputs (see inputs.py) -> one embedding per time segment.

imagebind  ImageBind's audio branch (AffectGPT 2024); its weights are under a non-commercial licence
ast        Audio Spectrogram Transformer (``ASTModel``, Gong et al. 2021), the free substitute: the same 12 blocks of
           768 on 16 x 16 patches every 10 steps, with ImageBind's head (linear map, vector of fixed length) of our own
hubert     HuBERT or its like by ``AutoModel`` (AffectGPT 2025: chinese-hubert-large), windows of the raw wave
whisper    Whisper's encoder; the whole utterance is heard, its hidden states are averaged over each segment
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from transformers import ASTConfig, ASTModel, AutoModel, HubertConfig, HubertModel, WhisperConfig, WhisperModel
from transformers.models.whisper.modeling_whisper import WhisperEncoder as WhisperStack

from ..config import AudioConfig, ModelConfig
from ..errors import UsageError
from . import keys
from .imagebind import ImageBindAudio, load_imagebind
from .inputs import CHUNK_STEPS
from .pretrained import load_model, locate

WHERE = "model.audio.pretrained"
# AudioSet statistics of log-mel values (AST; ImageBind took them over).
MEL_MEAN, MEL_STD = -4.268, 9.138
# The windows of a segment may be several; Whisper's pieces have no such limit, because they are 15 times as long.
WINDOWS_AT_ONCE = 64


def audio_encoder(config: AudioConfig) -> SoundEncoder:
    """The encoder that the config names, with random weights of its sizes from torch's current generator."""
    kinds: dict[str, type[SoundEncoder]] = {
        "imagebind": ImageBindEncoder, "ast": AstEncoder, "hubert": HubertEncoder, "whisper": WhisperEncoder,
    }  # fmt: skip
    return kinds[config.kind](config)


class SoundEncoder(nn.Module):
    """``forward(inputs, segments)`` takes the arrays of one clip or, with their indices moved on, of several."""

    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        self.dtype = getattr(torch, config.dtype)

    def forward(self, inputs: dict[str, torch.Tensor], segments: int) -> torch.Tensor:
        """-> (segments, width) float32. A segment heard through several windows gets their mean."""
        windows = inputs["mel"] if "mel" in inputs else inputs["waves"]
        embedding = torch.cat([self.window(part) for part in windows.split(WINDOWS_AT_ONCE)]).float()
        segment = inputs["segment"]
        total = embedding.new_zeros(segments, embedding.shape[-1]).index_add_(0, segment, embedding)
        count = torch.bincount(segment, minlength=segments).clamp(min=1).unsqueeze(-1)
        return total / count

    def window(self, windows: torch.Tensor) -> torch.Tensor:
        """Windows (w, …) -> (w, width)."""
        raise NotImplementedError

    def load(self, config: ModelConfig) -> None:
        """Fill from ``audio.pretrained``. Raises UsageError when it holds no such model."""
        raise NotImplementedError

    def together(self, several: list[dict[str, torch.Tensor]], segments: list[int]) -> dict[str, torch.Tensor]:
        """The inputs of several clips laid end to end, so that one ``forward`` does them all."""
        first = several[0]
        offsets = [sum(segments[:index]) for index in range(len(segments))]
        made = {name: torch.cat([inputs[name] for inputs in several]) for name in first if name != "segment"}
        made["segment"] = torch.cat(
            [inputs["segment"] + offset for inputs, offset in zip(several, offsets, strict=True)]
        )
        return made


class ImageBindEncoder(SoundEncoder):
    def __init__(self, config: AudioConfig) -> None:
        super().__init__(config)
        self.encoder = ImageBindAudio(config).to(self.dtype)

    def window(self, windows: torch.Tensor) -> torch.Tensor:
        return self.encoder((windows - MEL_MEAN) / MEL_STD)

    def load(self, config: ModelConfig) -> None:
        path = locate(config, "audio")
        if not path.is_file():
            raise UsageError(
                f"{WHERE}: {path} is no imagebind_huge.pth; for an AST folder set model.audio.kind=ast as well"
            )
        keys.log_report(path, load_imagebind(str(path), self.encoder, WHERE))


class AstEncoder(SoundEncoder):
    def __init__(self, config: AudioConfig) -> None:
        super().__init__(config)
        self.encoder = ASTModel._from_config(_ast(config), attn_implementation="sdpa").to(self.dtype)
        self.head = nn.Linear(config.hidden_size, config.embedding, bias=False, dtype=self.dtype)
        nn.init.normal_(self.head.weight, std=config.hidden_size**-0.5)
        self.scale = config.scale

    def window(self, windows: torch.Tensor) -> torch.Tensor:
        heard = self.encoder(input_values=((windows - MEL_MEAN) / MEL_STD).to(self.dtype)).pooler_output
        return nn.functional.normalize(self.head(heard).float(), dim=-1) * self.scale

    def load(self, config: ModelConfig) -> None:
        """Fill from an AST folder (also of a classifier: its head is left).

        AudioSet's AST hears 10 s (1024 frames), a window here 2 s: of the position embeddings the middle steps in
        time are taken, as AST's own code does for shorter input.
        """
        folder = locate(config, "audio")
        source = load_model(ASTModel, folder, WHERE, config.audio.dtype)
        state = source.state_dict()
        name = "embeddings.position_embeddings"
        high, steps = source.embeddings.get_shape(source.config)
        ours_high, ours = self.encoder.embeddings.get_shape(self.encoder.config)
        if high == ours_high and steps > ours:
            grid = state[name][:, 2:].unflatten(1, (high, steps))
            first = steps // 2 - ours // 2
            state[name] = torch.cat([state[name][:, :2], grid[:, :, first : first + ours].flatten(1, 2)], dim=1)
        for key, value in self.encoder.state_dict().items():
            if key not in state or state[key].shape != value.shape:
                theirs = tuple(state[key].shape) if key in state else "missing"
                raise UsageError(f"{WHERE}: {folder}: {key} is {theirs}, the config makes it {tuple(value.shape)}")
        self.encoder.load_state_dict(state)
        keys.log.warning(
            "audio: the head from %d to %d is random; AST has none", *reversed(self.head.weight.shape)
        )  # fmt: skip


class HubertEncoder(SoundEncoder):
    """Mean of the last hidden states, then over time, as AffectGPT 2025 takes it."""

    def __init__(self, config: AudioConfig) -> None:
        super().__init__(config)
        self.last = config.last_layers
        self.encoder: Any = HubertModel._from_config(_hubert(config), attn_implementation="sdpa").to(self.dtype)
        right_convolutions(self.encoder)

    def window(self, windows: torch.Tensor) -> torch.Tensor:
        heard = self.encoder(windows.to(self.dtype), output_hidden_states=True)
        return mean_of_last(heard, self.last).mean(1)

    def load(self, config: ModelConfig) -> None:
        folder = locate(config, "audio")
        # Some checkpoints leave out the vector that SpecAugment masks with; a frozen encoder never uses it.
        self.encoder = load_model(AutoModel, folder, WHERE, config.audio.dtype, spare=("masked_spec_embed",))
        if getattr(self.encoder, "main_input_name", "") != "input_values":
            raise UsageError(f"{WHERE}: {folder} is a {type(self.encoder).__name__}, which does not take a raw wave")
        right_convolutions(self.encoder)


def right_convolutions(encoder: nn.Module) -> None:
    """Let the encoder's convolutions in bfloat16 on a CPU go without oneDNN.

    On processors with AMX its kernels give wrong numbers for some shapes (pytorch/pytorch issues 163347 and 169688;
    with torch 2.13 also for narrow grouped ones as HuBERT's position embedding). Products of matrices are not
    concerned, and would be forty times slower.
    """
    for module in encoder.modules():
        if isinstance(module, nn.Conv1d):
            module.register_forward_pre_hook(_leave_onednn)
            module.register_forward_hook(_return_to_onednn, always_call=True)


def _leave_onednn(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
    backend: Any = torch.backends.mkldnn
    module.onednn_was = backend.enabled
    if inputs[0].device.type == "cpu" and inputs[0].dtype == torch.bfloat16:
        backend.enabled = False


def _return_to_onednn(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
    backend: Any = torch.backends.mkldnn
    backend.enabled = module.onednn_was


class WhisperEncoder(SoundEncoder):
    def __init__(self, config: AudioConfig) -> None:
        super().__init__(config)
        self.last = config.last_layers
        self.encoder: Any = WhisperStack._from_config(_whisper(config), attn_implementation="sdpa").to(self.dtype)

    def forward(self, inputs: dict[str, torch.Tensor], segments: int) -> torch.Tensor:
        """Pieces (c, bins, 3000) and each segment's hidden states (segments, 2) in them -> (segments, width)."""
        states = torch.cat(
            [
                mean_of_last(self.encoder(piece.to(self.dtype), output_hidden_states=True), self.last)
                for piece in inputs["mel"].split(WINDOWS_AT_ONCE // 8)
            ]
        ).flatten(0, 1)
        return torch.stack([states[start:end].mean(0) for start, end in inputs["spans"].tolist()])

    def load(self, config: ModelConfig) -> None:
        whole = load_model(WhisperModel, locate(config, "audio"), WHERE, config.audio.dtype)
        self.encoder = whole.get_encoder()

    def together(self, several: list[dict[str, torch.Tensor]], segments: list[int]) -> dict[str, torch.Tensor]:
        pieces = [len(inputs["mel"]) for inputs in several]
        offsets = [sum(pieces[:index]) * CHUNK_STEPS for index in range(len(pieces))]
        return {
            "mel": torch.cat([inputs["mel"] for inputs in several]),
            "spans": torch.cat([inputs["spans"] + offset for inputs, offset in zip(several, offsets, strict=True)]),
        }


def mean_of_last(output: Any, count: int) -> torch.Tensor:
    """(b, time, width) float32: the mean of the last ``count`` hidden states.

    The very last is the normalised one; ``hidden_states`` ends with that or the raw one, as the class has it.
    """
    states = [*output.hidden_states[:-1], output.last_hidden_state]
    if count > len(states):
        raise UsageError(f"config model.audio.last_layers: {count}, but the encoder has {len(states)} hidden states")
    return torch.stack([state.float() for state in states[-count:]]).mean(0)


def _ast(config: AudioConfig) -> ASTConfig:
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


def _hubert(config: AudioConfig) -> HubertConfig:
    """HuBERT-large's arrangement: norms before the layers and in the convolutions, which have at most 512 channels."""
    channels = min(512, config.hidden_size)
    return HubertConfig(
        hidden_size=config.hidden_size,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=config.intermediate_size,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        conv_bias=True,
        conv_dim=(channels,) * 7,
        num_conv_pos_embedding_groups=math.gcd(16, config.hidden_size),
        initializer_range=config.init_std,
    )


def _whisper(config: AudioConfig) -> WhisperConfig:
    return WhisperConfig(
        d_model=config.hidden_size,
        encoder_layers=config.layers,
        encoder_attention_heads=config.heads,
        encoder_ffn_dim=config.intermediate_size,
        num_mel_bins=config.mel_bins,
        max_source_positions=CHUNK_STEPS,
        init_std=config.init_std,
    )
