"""Generation from a checkpoint: batched with KV cache, greedy unless told otherwise; and the ``generate`` command.

Greedy by default, because a score that is drawn by lot cannot be compared. Clips of like prompt length share a batch,
so little is padded. In fp32 a clip's text does not depend on what else is in its batch; in bf16 or fp16 sums are
rounded differently in batches of another shape, so a close call between two words may fall the other way. A draw
(``generate.sample``) takes its luck from (seed, clip) alone, so the same holds for it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from .affectgpt.model import AffectGPT, resolve_device
from .cache import FeatureStore, Memory, cache_folder, open_store
from .checkpoints import Checkpoint, check_frozen, load_trainable, open_checkpoint
from .config import Config, overridden
from .data import Featurizer, Sample, collate_prompts, has, prompt_of
from .errors import UsageError
from .evidence import open_media
from .prompt import Prompt, encode
from .schema import GenerateConfig
from .weights import assemble, identities

MAY_BE_SET = ("generate.", "data.cache", "data.workers", "train.device", "train.threads")  # of a trained run


@dataclass
class Trained:
    """A checkpoint brought back to life, in eval mode; or a model in memory (``checkpoint`` None) while it trains."""

    checkpoint: Checkpoint | None
    config: Config
    model: AffectGPT
    tokenizer: Any
    store: FeatureStore | None = None

    def __post_init__(self) -> None:
        # A pretrained folder brings habits of its own (Qwen's: sampling, a penalty on repetition); of these only the
        # tokens that end a text are kept.
        llm, own = self.model.llm, self.tokenizer.eos_token_id
        theirs = getattr(llm.generation_config, "eos_token_id", None)
        ends = {own} | set(theirs if isinstance(theirs, list) else [theirs])
        pad = self.tokenizer.pad_token_id
        llm.generation_config = GenerationConfig(
            eos_token_id=sorted(end for end in ends if end is not None), pad_token_id=own if pad is None else pad,
            do_sample=False, num_beams=1, use_cache=True,
        )  # fmt: skip

    @cached_property
    def featurizer(self) -> Featurizer:
        """Kept with the model, so that a second evaluation in one process need not encode again."""
        return Featurizer(self.model, self.config, self.store)


class StopAtText(StoppingCriteria):
    """Ends each row of the batch once its new text holds the stop sign, however the sign was tokenised.

    Only the last few tokens are decoded: 0.02 ms a step for 8 rows, a hundredth of a small model's step.
    """

    def __init__(self, tokenizer: Any, stop: str) -> None:
        self.tokenizer = tokenizer
        self.stop = stop
        # A sign of k bytes spans at most k tokens; one more may carry its first byte behind other text.
        self.window = max(len(encode(tokenizer, stop)), len(stop.encode())) + 1

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **kwargs: Any) -> torch.Tensor:
        tails = self.tokenizer.batch_decode(input_ids[:, -self.window :], skip_special_tokens=True)
        return torch.tensor([self.stop in tail for tail in tails], device=input_ids.device)


class Draw(LogitsProcessor):
    """Leaves one token per row, drawn by temperature and top-p; each row draws from a generator of its own.

    So a clip's text does not depend on its batch, which torch's one generator for all rows could not give.
    """

    def __init__(self, config: GenerateConfig, clips: Sequence[str]) -> None:
        self.warpers: list[LogitsProcessor] = [TemperatureLogitsWarper(config.temperature)]
        if config.top_p < 1:
            self.warpers.append(TopPLogitsWarper(config.top_p))
        self.luck = [
            np.random.default_rng(int.from_bytes(hashlib.sha256(f"{config.seed}\n{clip}".encode()).digest()[:8]))
            for clip in clips
        ]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        for warp in self.warpers:
            scores = warp(input_ids, scores)
        shares = scores.double().softmax(-1).cumsum(-1)
        drawn = torch.tensor([[luck.random()] for luck in self.luck], dtype=shares.dtype, device=shares.device)
        chosen = torch.searchsorted(shares, drawn * shares[:, -1:], right=True).clamp(max=scores.shape[-1] - 1)
        return torch.full_like(scores, -torch.inf).scatter(1, chosen, 0.0)  # type: ignore[return-value]


def load_trained(
    run: str | Path, device: str | None = None, overrides: Sequence[str] = (), keep: bool = False
) -> Trained:
    """A checkpoint folder, ``RUN@best|last|step-…``, or a run's best or last one.

    overrides: ``key=value`` on the checkpoint's config; keep: features are kept as the config says, which pays when
    clips are asked about again; otherwise nothing is kept, as in a server.

    Raises:
        UsageError: it cannot be used.
    """
    checkpoint = open_checkpoint(run)
    config = with_overrides(checkpoint.config, overrides)
    tokenizer = checkpoint.tokenizer()
    model = assemble(config, tokenizer)
    frozen = identities(config, model)
    check_frozen(checkpoint, frozen)
    load_trainable(checkpoint, model)
    model.to(resolve_device(device or config.train.device)).eval()
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    if keep:
        store = open_store(config, frozen, cache_folder(config, checkpoint.path.parent.parent))
    else:
        store = FeatureStore(config, frozen, Memory(0))
    return Trained(checkpoint, config, model, tokenizer, store)


def with_overrides(config: Config, overrides: Sequence[str]) -> Config:
    """A trained run's config with ``key=value`` of MAY_BE_SET. Raises UsageError for any other key."""
    for item in overrides:
        if not item.strip().startswith(MAY_BE_SET):
            raise UsageError(f"--set {item}: of a trained run only {', '.join(MAY_BE_SET)} may be set")
    return overridden(config, overrides)


def answers(trained: Trained, samples: Sequence[Sample]) -> list[str]:
    """What the model says to each sample's media and subtitle, up to the stop sign, in the samples' order.

    Raises:
        TrainingError: a clip's media does not decode.
    """
    texts: dict[int, str] = {}
    for indices, found in answer_batches(trained, samples, batches_of(trained, samples)):
        texts.update(zip(indices, found, strict=True))
    return [texts[index] for index in range(len(samples))]


def batches_of(trained: Trained, samples: Sequence[Sample]) -> list[list[int]]:
    """Indices of the samples, cut into batches of like prompt length, the longest first: what does not fit into memory
    fails at once. A function of the samples and the config alone."""
    lengths = [len(_prompt(trained, sample).ids) for sample in samples]
    order = sorted(range(len(samples)), key=lambda index: (-lengths[index], index))
    size = trained.config.generate.batch_size
    return [order[start : start + size] for start in range(0, len(order), size)]


@torch.no_grad()
def answer_batches(
    trained: Trained, samples: Sequence[Sample], batches: Sequence[list[int]]
) -> Iterator[tuple[list[int], list[str]]]:
    """(indices, their texts), batch by batch, so that what was made can be kept before the next one.

    Raises:
        TrainingError: a clip's media does not decode.
    """
    for indices in batches:
        chosen = [samples[index] for index in indices]
        made = _generated(trained, chosen, [trained.featurizer.features(sample) for sample in chosen])
        yield indices, [text_of(trained, tokens) for tokens in made]


def text_of(trained: Trained, tokens: torch.Tensor) -> str:
    """New tokens as text, up to the stop sign."""
    text = trained.tokenizer.decode(tokens, skip_special_tokens=True)
    return text.split(trained.config.prompt.end)[0].strip()


def _generated(trained: Trained, samples: list[Sample], features: list[dict[str, torch.Tensor]]) -> torch.Tensor:
    """The new tokens of a batch (rows, longest), padded behind each row's end."""
    config, model = trained.config.generate, trained.model
    batch = collate_prompts(
        [_prompt(trained, sample) for sample in samples], features, [sample.clip for sample in samples]
    ).to(model.device)
    draws = config.sample and config.temperature > 0
    return model.llm.generate(
        inputs_embeds=model.embed(batch),
        attention_mask=batch.attention_mask,
        max_new_tokens=config.max_new_tokens,
        logits_processor=LogitsProcessorList([Draw(config, batch.clips)] if draws else []),  # leaves one token
        stopping_criteria=StoppingCriteriaList([StopAtText(trained.tokenizer, trained.config.prompt.end)]),
    )


def _prompt(trained: Trained, sample: Sample) -> Prompt:
    return prompt_of(trained.config, trained.tokenizer, sample)


@torch.no_grad()
def timed_generation(trained: Trained, samples: Sequence[Sample], batch_size: int) -> dict[str, Any]:
    """``{clips, tokens, seconds, clips_per_second, tokens_per_second, texts}`` of generating in batches of this size.

    Features are made before the clock starts. ``tokens`` counts those up to each row's end; ``texts`` are in the
    samples' order, so that two batch sizes can be held against each other.
    """
    features = [trained.featurizer.features(sample) for sample in samples]
    lengths = [len(_prompt(trained, sample).ids) for sample in samples]
    order = sorted(range(len(samples)), key=lambda index: (-lengths[index], index))
    texts, tokens = [""] * len(samples), 0
    began = time.perf_counter()
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        made = _generated(trained, [samples[row] for row in rows], [features[row] for row in rows])
        for row, new in zip(rows, made, strict=True):
            texts[row] = text_of(trained, new)
        tokens += int((made != trained.model.llm.generation_config.pad_token_id).sum())
    if trained.model.device.type == "cuda":
        torch.cuda.synchronize(trained.model.device)
    seconds = time.perf_counter() - began
    return {
        "clips": len(samples), "tokens": tokens, "seconds": seconds, "clips_per_second": len(samples) / seconds,
        "tokens_per_second": tokens / seconds, "texts": texts,
    }  # fmt: skip


def generate(run: str, clip: str, subtitle: str | None = None, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """``{run, checkpoint, clip, text, media:{video, audio}, seconds}`` for one media file.

    Raises:
        UsageError: the run or the media file cannot be read, or what is overridden is not of generation.
    """
    from models_ml.media import MediaError

    began = time.monotonic()
    try:
        media = open_media(clip)
    except MediaError as error:
        raise UsageError(f"--clip: {error}") from error
    trained = load_trained(run, overrides=overrides)
    assert trained.checkpoint is not None
    sample = Sample(Path(clip).stem, subtitle or "", "", media)
    given = has(trained.config, sample)
    return {
        "run": str(Path(run).absolute()), "checkpoint": trained.checkpoint.path.name, "clip": str(clip),
        "text": answers(trained, [sample])[0], "media": {"video": "video" in given, "audio": "audio" in given},
        "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip
