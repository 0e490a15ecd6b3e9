"""The paper's prompt, built by one function for training and for generation.

Media slots are positions, not tokens of the vocabulary: the text is cut at ``<AudioHere>`` and
``<ImageHere>``, each part is tokenised, and a slot is a run of placeholders whose start is remembered. So a
subtitle that spells ``<ImageHere>`` is plain text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from .config import Config
from .errors import UsageError

SLOTS = {"<AudioHere>": "audio", "<ImageHere>": "video"}
PLACEHOLDER = 0  # its embedding is overwritten; any valid id will do
IGNORED = -100


@dataclass
class Prompt:
    """ids of the prompt with BOS first; slots: modality -> start of its run of placeholders."""

    ids: list[int]
    slots: dict[str, int] = field(default_factory=dict)
    subtitle_cut: int = 0  # characters taken off the subtitle


@dataclass
class Example:
    """A prompt and its target; labels are IGNORED over the prompt."""

    ids: list[int]
    labels: list[int]
    slots: dict[str, int]
    subtitle_cut: int = 0
    target_cut: int = 0  # tokens taken off the target


def clean(text: str | None, end: str) -> str:
    """Text as data: None and blanks become "", and the stop sign inside it is spaced out so that it stops nothing."""
    return (text or "").strip().replace(end, " ".join(end))


def build_prompt(config: Config, tokenizer: Any, subtitle: str | None, video: bool, audio: bool) -> Prompt:
    """The prompt of one clip. A clause that names a missing modality is left out.

    When the prompt exceeds ``max_length - max_target``, the subtitle's end is cut until it fits; that budget does
    not depend on the target, so training and generation see the same prompt.

    Raises:
        UsageError: the prompt does not fit even without a subtitle.
    """
    present = {"video": video, "audio": audio}
    clauses = [
        clause
        for clause in config.prompt.clauses
        if all(present[modality] for slot, modality in SLOTS.items() if slot in clause)
    ]
    text = clean(subtitle, config.prompt.end) if config.data.subtitle else ""
    budget = config.data.max_length - config.data.max_target
    prompt = _assemble(config, tokenizer, clauses, text)
    if len(prompt.ids) <= budget:
        return prompt
    low, high = 0, len(text)  # the longest prefix that fits lies in [low, high)
    if len(_assemble(config, tokenizer, clauses, "").ids) > budget:
        raise UsageError(
            f"the prompt takes {len(_assemble(config, tokenizer, clauses, '').ids)} tokens without any subtitle, but "
            f"data.max_length - data.max_target leaves {budget}"
        )
    while high - low > 1:
        middle = (low + high) // 2
        if len(_assemble(config, tokenizer, clauses, text[:middle]).ids) <= budget:
            low = middle
        else:
            high = middle
    prompt = _assemble(config, tokenizer, clauses, text[:low])
    prompt.subtitle_cut = len(text) - low
    return prompt


def _assemble(config: Config, tokenizer: Any, clauses: list[str], subtitle: str) -> Prompt:
    lengths = {"video": config.model.video.queries, "audio": config.model.audio_branch.queries}
    prompt = Prompt([tokenizer.bos_token_id])
    # Cut at the slots before any data enters the text.
    for part in re.split("(" + "|".join(map(re.escape, SLOTS)) + ")", "".join(clauses)):
        modality = SLOTS.get(part)
        if modality is None:
            filled = part.replace("{question}", config.prompt.question).replace("{subtitle}", subtitle)
            prompt.ids += encode(tokenizer, filled)
            continue
        if modality in prompt.slots:
            raise UsageError(f"config prompt.clauses: {part} stands there twice")
        prompt.slots[modality] = len(prompt.ids)
        prompt.ids += [PLACEHOLDER] * lengths[modality]
    return prompt


def build_example(
    config: Config, tokenizer: Any, subtitle: str | None, target: str, video: bool, audio: bool
) -> Example:
    """Prompt, then target and stop sign; a target above ``max_target`` tokens loses its end, never its stop sign."""
    prompt = build_prompt(config, tokenizer, subtitle, video, audio)
    stop = encode(tokenizer, config.prompt.end)
    # With the stop sign attached, as generation will have to produce it.
    whole = encode(tokenizer, clean(target, config.prompt.end) + config.prompt.end)
    cut = max(0, len(whole) - config.data.max_target)
    if cut:
        body = encode(tokenizer, clean(target, config.prompt.end))[: max(0, config.data.max_target - len(stop))]
        whole = body + stop
    return Example(prompt.ids + whole, [IGNORED] * len(prompt.ids) + whole, prompt.slots, prompt.subtitle_cut, cut)


def encode(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a piece of text, no special tokens added or recognised inside it."""
    return tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"] if text else []
