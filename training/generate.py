"""Greedy, batched generation from a checkpoint, and the ``generate`` command for one media file.

Greedy, because a score that is drawn by lot cannot be compared; batched, because clips are many.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from .affectgpt.model import AffectGPT, resolve_device
from .checkpoints import Checkpoint, check_frozen, load_trainable, open_checkpoint
from .config import Config
from .data import Featurizer, Sample, collate_prompts, has, prompt_of
from .errors import UsageError
from .evidence import open_media
from .prompt import encode
from .weights import assemble, identities


@dataclass
class Trained:
    """A checkpoint brought back to life, in eval mode."""

    checkpoint: Checkpoint
    config: Config
    model: AffectGPT
    tokenizer: Any


class StopAtText(StoppingCriteria):
    """Ends each row of the batch once its new text holds the stop sign, however the sign was tokenised."""

    def __init__(self, tokenizer: Any, stop: str) -> None:
        self.tokenizer = tokenizer
        self.stop = stop
        # A sign of k bytes spans at most k tokens; one more may carry its first byte behind other text.
        self.window = max(len(encode(tokenizer, stop)), len(stop.encode())) + 1

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **kwargs: Any) -> torch.Tensor:
        tails = self.tokenizer.batch_decode(input_ids[:, -self.window :], skip_special_tokens=True)
        return torch.tensor([self.stop in tail for tail in tails], device=input_ids.device)


def load_trained(run: str | Path, device: str | None = None) -> Trained:
    """The last checkpoint of a run (or a checkpoint folder). Raises UsageError when it cannot be used."""
    checkpoint = open_checkpoint(run)
    config = checkpoint.config
    tokenizer = checkpoint.tokenizer()
    model = assemble(config, tokenizer)
    check_frozen(checkpoint, identities(config, model))
    load_trainable(checkpoint, model)
    model.to(resolve_device(device or config.train.device)).eval()
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    return Trained(checkpoint, config, model, tokenizer)


@torch.no_grad()
def answers(trained: Trained, samples: list[Sample]) -> list[str]:
    """What the model says to each sample's media and subtitle, greedily, up to the stop sign.

    Raises:
        TrainingError: a clip's media does not decode.
    """
    config, tokenizer = trained.config, trained.tokenizer
    featurizer = Featurizer(trained.model, config)
    texts: list[str] = []
    size = config.generate.batch_size
    for start in range(0, len(samples), size):
        chosen = samples[start : start + size]
        batch = collate_prompts(
            [prompt_of(config, tokenizer, sample) for sample in chosen],
            [featurizer.features(sample) for sample in chosen],
            [sample.clip for sample in chosen],
        ).to(trained.model.device)
        made = trained.model.llm.generate(
            inputs_embeds=trained.model.embed(batch),
            attention_mask=batch.attention_mask,
            max_new_tokens=config.generate.max_new_tokens,
            do_sample=False,
            num_beams=1,
            pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            stopping_criteria=StoppingCriteriaList([StopAtText(tokenizer, config.prompt.end)]),
        )
        texts += [
            text.split(config.prompt.end)[0].strip() for text in tokenizer.batch_decode(made, skip_special_tokens=True)
        ]
    return texts


def generate(run: str, clip: str, subtitle: str | None = None) -> dict[str, Any]:
    """``{run, checkpoint, clip, text, media:{video, audio}, seconds}`` for one media file.

    Raises:
        UsageError: the run or the media file cannot be read.
    """
    from models_ml.media import MediaError

    began = time.monotonic()
    try:
        media = open_media(clip)
    except MediaError as error:
        raise UsageError(f"--clip: {error}") from error
    trained = load_trained(run)
    sample = Sample(Path(clip).stem, subtitle or "", "", media)
    video, audio = has(sample)
    return {
        "run": str(Path(run).absolute()), "checkpoint": trained.checkpoint.path.name, "clip": str(clip),
        "text": answers(trained, [sample])[0], "media": {"video": video, "audio": audio},
        "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip
