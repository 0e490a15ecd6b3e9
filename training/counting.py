"""What a step costs, counted: matrix multiplications and saved activations of the real modules on fake tensors.

The modules run forward and backward with shapes alone (torch's FakeTensorMode): no memory, no weights, seconds for the
paper's sizes. FLOPs are those of matrix products, convolutions and attention, two per multiply-add.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from .affectgpt.batch import Placed
from .affectgpt.inputs import CHUNK_FRAMES
from .affectgpt.model import AffectGPT
from .affectgpt.slots import PICTURES, feature_shapes, slot_lengths
from .config import Config
from .weights import meta_model

DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
# Two lengths fix what grows with a sequence's length and with its square.
SHORT, LONG = 64, 128


@dataclass(frozen=True)
class Cost:
    """FLOPs of training, forward and backward: per sample (branches), per token and per token squared (language model:
    its layers, its attention), per target token (head); ``encode``: of the frozen encoders, per sample, once."""

    sample: float
    token: float
    token_squared: float
    target: float
    encode: dict[str, float]

    def step(self, lengths: Iterable[int], targets: int) -> float:
        """FLOPs of a step on samples of these lengths (tokens of prompt and target) from kept features."""
        return self.target * targets + sum(
            self.sample + self.token * length + self.token_squared * length**2 for length in lengths
        )


class Counter:
    """The modules of a config on fake tensors."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.fake, self.model = _fake_model(config)

    def cost(self) -> Cost:
        """Count what training costs."""
        short, long = (self._flops(lambda n=n: _language(self.model, self.config, 1, n)) for n in (SHORT, LONG))
        squared = (long / LONG - short / SHORT) / (LONG - SHORT)
        return Cost(
            sample=self._flops(lambda: _branches(self.model, self.config, 1)),
            token=short / SHORT - squared * SHORT,
            token_squared=squared,
            target=self._flops(lambda: _head(self.model, self.config, 1)),
            encode=self._encoders(),
        )

    def saved_bytes(self, batch: int, length: int, targets: int) -> int:
        """Bytes of the activations that a forward pass keeps for its backward pass: ``batch`` sequences of ``length``
        tokens, ``targets`` target tokens in all. With ``llm.checkpointing``: the layers' inputs, and one layer's own.
        """
        model, config = self.model, self.config
        language = self._saved(lambda: _language(model, config, batch, length))
        if config.model.llm.checkpointing:
            sizes = model.llm.config.get_text_config()
            number = (DTYPES[config.train.precision] or getattr(torch, config.model.llm.dtype)).itemsize
            inputs = sizes.num_hidden_layers * batch * length * sizes.hidden_size * number
            language = language // sizes.num_hidden_layers + inputs
        return sum(
            (language, self._saved(lambda: _branches(model, config, batch)),
             self._saved(lambda: _head(model, config, targets)))
        )  # fmt: skip

    def _flops(self, run: Any) -> float:
        """FLOPs of ``run()`` and, where it trains, of its backward pass."""
        ops = torch.ops.aten
        attention = {
            ops._scaled_dot_product_flash_attention_for_cpu: _attention,
            ops._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
        }
        with self.fake, FlopCounterMode(display=False, custom_mapping=attention) as counter:
            outcome = run()
            if outcome.requires_grad:
                outcome.float().sum().backward()
        return float(counter.get_total_flops())

    def _saved(self, run: Any) -> int:
        """Bytes that autograd keeps of ``run()``, parameters apart, each storage once."""
        own = {value.untyped_storage()._cdata for value in self.model.parameters()}
        kept: dict[int, tuple[torch.UntypedStorage, int]] = {}

        def pack(value: torch.Tensor) -> torch.Tensor:
            storage = value.untyped_storage()
            if storage._cdata not in own:
                kept[storage._cdata] = (storage, storage.nbytes())  # held, so that its number is not given away again
            return value

        with self.fake, torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
            outcome = run()
        del outcome
        return sum(size for _, size in kept.values())

    def _encoders(self) -> dict[str, float]:
        """FLOPs of each frozen encoder over one clip, of at most a window of sound per frame."""
        found = {}
        frames, size = self.config.data.frames, self.config.model.vision.image_size
        for modality in used(self.config):
            if modality in PICTURES:
                found[modality] = self._flops(
                    lambda: _untrained(self.model.visual, torch.empty(frames, size, size, 3, dtype=torch.uint8))
                )
            elif modality == "audio":
                found[modality] = self._flops(lambda: _heard(self.model, self.config))
        return found


def language_cost(llm: Any) -> Cost:
    """The same for a language model that is there, by its layers' sizes instead of by running it: what a run's MFU
    counts. Branches are left out: at the paper's sizes they are 0.2 % of a step."""
    layers = [module for module in llm.get_decoder().modules() if isinstance(module, nn.Linear)]
    sizes = llm.config.get_text_config()
    width = sizes.num_attention_heads * (
        getattr(sizes, "head_dim", 0) or sizes.hidden_size // sizes.num_attention_heads
    )
    # Forward and the gradient of the input; of what trains also that of the weights. Attention: two products forward,
    # five backward.
    return Cost(
        sample=0.0,
        token=float(sum((6 if layer.weight.requires_grad else 4) * layer.weight.numel() for layer in layers)),
        token_squared=14.0 * width * sizes.num_hidden_layers,
        target=4.0 * llm.get_output_embeddings().weight.numel(),
        encode={},
    )


def _fake_model(config: Config) -> tuple[FakeTensorMode, AffectGPT]:
    """The model with tensors that have a shape and a dtype, and no contents."""
    model = meta_model(config).train()
    fake = FakeTensorMode()
    with fake:
        for module in model.modules():
            held: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
            for tensors in held:
                for name, value in tensors.items():
                    if value is None:
                        continue
                    made = torch.empty(value.shape, dtype=value.dtype)
                    tensors[name] = nn.Parameter(made, value.requires_grad) if isinstance(value, nn.Parameter) else made
    return fake, model


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward(gradient: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return sdpa_backward_flop_count(gradient, query, key, value)


def _autocast(config: Config) -> Any:
    dtype = DTYPES[config.train.precision]
    return torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None)


def _language(model: AffectGPT, config: Config, batch: int, length: int) -> torch.Tensor:
    """The language model's layers on embeddings that need a gradient."""
    width = model.llm.config.get_text_config().hidden_size
    embeds = torch.empty(batch, length, width, dtype=getattr(torch, config.model.llm.dtype), requires_grad=True)
    with _autocast(config):
        return (
            model.llm.get_decoder()(
                inputs_embeds=embeds, attention_mask=torch.ones(batch, length, dtype=torch.long), use_cache=False
            )
        ).last_hidden_state


def _head(model: AffectGPT, config: Config, targets: int) -> torch.Tensor:
    """Logits and loss of so many target tokens."""
    width = model.llm.config.get_text_config().hidden_size
    hidden = torch.empty(targets, width, dtype=getattr(torch, config.model.llm.dtype), requires_grad=True)
    with _autocast(config):
        logits = model.llm.get_output_embeddings()(hidden)
    return nn.functional.cross_entropy(logits.float(), torch.zeros(targets, dtype=torch.long), reduction="sum")


def _branches(model: AffectGPT, config: Config, batch: int) -> torch.Tensor:
    """Every modality's features to its tokens."""
    media = fake_media(config, batch)
    with _autocast(config):
        tokens = [model.tokens_of(modality, media) for modality in media]
    return torch.cat([torch.zeros(1), *(value.float().flatten() for value in tokens)])


def fake_media(config: Config, batch: int) -> dict[str, Placed]:
    """Media of ``batch`` clips that have everything the config can use."""
    shapes, frames = feature_shapes(config.model), config.data.frames
    media = {}
    for modality in used(config):
        rows = torch.arange(batch)
        if modality == "multi":
            media[modality] = Placed(None, None, rows, rows)
        else:
            media[modality] = Placed(torch.empty(batch, frames, *shapes[modality]), None, rows, rows)
    return media


def used(config: Config) -> list[str]:
    """The modalities that the config trains on, ``image`` (of instruction sets) left out."""
    there = set(slot_lengths(config.model)) - {"image"}
    if not config.data.video:
        there.discard("video")
    if config.data.faces == "none":
        there.discard("face")
    if not config.data.audio:
        there.discard("audio")
    if "audio" not in there or not there & set(PICTURES):
        there.discard("multi")
    return sorted(there)


def _untrained(module: Any, *inputs: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return module(*inputs)


def _heard(model: AffectGPT, config: Config) -> torch.Tensor:
    audio, data = config.model.audio, config.data
    shapes: dict[str, Sequence[int]] = {"hubert": (data.frames, round(data.window_seconds * data.sample_rate))}
    if audio.kind == "whisper":
        whole = torch.empty(1, audio.mel_bins, CHUNK_FRAMES, dtype=getattr(torch, audio.dtype))
        return _untrained(lambda mel: model.audio.encoder(mel).last_hidden_state, whole)
    shape = shapes.get(audio.kind, (data.frames, audio.mel_frames, audio.mel_bins))
    return _untrained(model.audio.window, torch.empty(*shape))
