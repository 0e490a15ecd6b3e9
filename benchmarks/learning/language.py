"""Pre-training of the small language model on the synthetic world's texts, and on nothing else.

A text is a prompt in the form that AffectGPT uses, with key words of the clues where the media's tokens will stand,
and the description behind it; or a caption of the world "elsewhere". Each clue is left out now and then, so the model
has to make do with what there is. No clip's text is used: texts are drawn anew, from the same language.
"""

from __future__ import annotations

import logging
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from models_ml.synthetic.world import Words, scene
from models_ml.synthetic.world_clips import MEASURED_AUS
from models_ml.synthetic.world_lines import line
from models_ml.synthetic.world_texts import PLACES, caption, description, gist
from training.affectgpt.llm import train_tokenizer
from training.config import Config
from training.prompt import encode

log = logging.getLogger("learning")
CAPTION_QUESTION = "What is seen and heard?"
LEFT_OUT = 0.2  # how often a clue is left out
CAPTIONS = 0.2  # share of captions among the texts


def text(index: int, config: Config, seed: int, whole: bool = False) -> tuple[list[str], str]:
    """Text number `index`: the pieces of its prompt, and what is to be said. `whole`: a description with all clues."""
    rng = np.random.default_rng([seed, index, 3])
    if rng.random() < CAPTIONS and not whole:
        said, seen, heard = _captioned(rng)
        question, subtitle = CAPTION_QUESTION, line(Words(), rng)[1]
    else:
        shown = scene(int(rng.integers(1_000_000)), seed)
        said = description(shown.face, shown.tone, shown.words, shown.emotion)[1]
        seen, heard = (list(words) for words in gist(shown.face, shown.tone))
        question, subtitle = config.prompt.question, line(shown.words, rng)[1]
    for words in (seen, heard):
        rng.shuffle(words)
        if rng.random() < LEFT_OUT and not whole:
            words.clear()
    slots = {"<AudioHere>": ", ".join(heard), "<ImageHere>": ", ".join(seen)}
    filled = "".join(config.prompt.clauses).replace("{question}", question).replace("{subtitle}", subtitle)
    return [slots.get(part, part) for part in re.split("(<AudioHere>|<ImageHere>)", filled)], said + config.prompt.end


def _captioned(rng: np.random.Generator) -> tuple[str, list[str], list[str]]:
    chosen = rng.choice(sorted(PLACES), int(rng.integers(0, 5)), replace=False)
    aus = {str(au): float(rng.uniform(1.0, 4.8)) for au in chosen if au in MEASURED_AUS}
    voice = {"pitch": float(rng.uniform(-0.5, 0.5)), "tempo": float(rng.uniform(-0.42, 0.42)),
             "loudness": float(rng.uniform(-6, 6)), "melody": float(rng.uniform(0, 2))}  # fmt: skip
    said = caption(aus, float(rng.uniform(-1.6, 1.6)), voice)
    seen, _, heard = said.removeprefix("Seen: ").removesuffix(".").partition(". Heard: ")
    return said, seen.split(", "), heard.split(", ")


def pretrain_language(
    config: Config, out: Path, steps: int, seed: int, answer_weight: float = 0.0, batch: int = 32
) -> dict[str, float]:
    """Train tokenizer and model, save them as a folder for ``model.llm.pretrained``, and return how good they are.

    The perplexity per token of new texts, over all of the text and over what is said ("answer"), and how often exactly
    the right thing is said when all clues are given as key words ("concludes").
    """
    size = config.model.llm
    drawn = [text(index, config, seed) for index in range(4000)]
    tokenizer = train_tokenizer([piece for pieces, said in drawn for piece in (*pieces, said)], size.vocab_size)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=size.hidden_size, num_hidden_layers=size.layers,
            num_attention_heads=size.heads, num_key_value_heads=size.heads, intermediate_size=size.intermediate_size,
            max_position_embeddings=size.max_positions, initializer_range=size.init_std, pad_token_id=0,
            bos_token_id=1, eos_token_id=2, tie_word_embeddings=False,
        )
    )  # fmt: skip
    lr = 2e-3
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, pct_start=0.1)
    model.train()
    for step in range(steps):
        first = 10_000 + step * batch
        loss, answer = _losses(model, [text(first + i, config, seed) for i in range(batch)], tokenizer)
        optimizer.zero_grad()
        (loss + answer_weight * answer).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            log.info("language model, step %d of %d: loss %.3f", step, steps, loss.item())
    model.eval()
    with torch.no_grad():
        new = [
            _losses(model, [text(i, config, seed + 1) for i in range(at, at + 64)], tokenizer)
            for at in range(0, 512, 64)
        ]
    model.save_pretrained(str(out))
    tokenizer.save_pretrained(str(out))
    figures = {"text": _perplexity(new, 0), "answer": _perplexity(new, 1),
               "concludes": _concludes(model, tokenizer, config, seed + 1)}  # fmt: skip
    return {"tokens": len(tokenizer), "parameters": sum(p.numel() for p in model.parameters()), **figures}


def _perplexity(losses: list[tuple[torch.Tensor, torch.Tensor]], which: int) -> float:
    return round(math.exp(float(torch.stack([loss[which] for loss in losses]).mean())), 4)


@torch.no_grad()
def _concludes(model: Any, tokenizer: Any, config: Config, seed: int, count: int = 256) -> float:
    right = 0
    for first in range(0, count, 64):
        texts = [text(first + i, config, seed, whole=True) for i in range(64)]
        prompts = [_prompt(pieces, tokenizer) for pieces, _ in texts]
        length = max(map(len, prompts))
        ids = torch.tensor([[0] * (length - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (length - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        made = model.generate(ids, attention_mask=mask, max_new_tokens=64, do_sample=False)
        for (_, said), tokens in zip(texts, made[:, length:], strict=True):
            right += tokenizer.decode(tokens).startswith(said)
    return round(right / count, 3)


def _prompt(pieces: list[str], tokenizer: Any) -> list[int]:
    return [tokenizer.bos_token_id, *(token for piece in pieces for token in encode(tokenizer, piece))]


def _losses(
    model: LlamaForCausalLM, texts: list[tuple[list[str], str]], tokenizer: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean cross-entropy per token of the whole texts, and of what is said."""
    rows, starts = [], []
    for pieces, said in texts:
        prompt = _prompt(pieces, tokenizer)
        rows.append(prompt + encode(tokenizer, said))
        starts.append(len(prompt))
    length = max(map(len, rows))
    ids = torch.zeros((len(rows), length), dtype=torch.long)
    for row, own in enumerate(rows):
        ids[row, : len(own)] = torch.tensor(own)
    sizes = torch.tensor(list(map(len, rows)))[:, None]
    at = torch.arange(length)[None]
    logits = model(input_ids=ids, attention_mask=(at < sizes).long()).logits[:, :-1]
    loss = nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    real, answer = (at < sizes)[:, 1:], ((at >= torch.tensor(starts)[:, None]) & (at < sizes))[:, 1:]
    return loss[real].mean(), loss[answer].mean()
