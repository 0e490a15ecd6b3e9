"""The paper's prompt, built by one function for training and for generation.

Media slots are positions, not tokens of the vocabulary: the text is cut at ``<AudioHere>``, ``<ImageHere>`` and
their like, each part is tokenised, and a slot is a run of placeholders whose start is remembered. So a
subtitle that spells ``<ImageHere>`` is plain text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from .affectgpt.slots import SLOTS, slot_lengths
from .config import Config
from .errors import UsageError

PLACEHOLDER = 0  # its embedding is overwritten; any valid id will do
IGNORED = -100
CLUES = {"{visual_clues}": "visual", "{audio_clues}": "audio", "{text_clues}": "text"}
DATA = re.compile("|".join(map(re.escape, ("{question}", "{subtitle}", *CLUES))))


@dataclass
class Prompt:
    """ids of the prompt with BOS first; slots: modality -> start of its run of placeholders."""

    ids: list[int]
    slots: dict[str, int] = field(default_factory=dict)
    subtitle_cut: int = 0  # characters taken off the subtitle
    clues_cut: int = 0  # characters taken off the clues


@dataclass
class Example:
    """A prompt and its target; labels are IGNORED over the prompt."""

    ids: list[int]
    labels: list[int]
    slots: dict[str, int]
    subtitle_cut: int = 0
    target_cut: int = 0  # tokens taken off the target
    clues_cut: int = 0
    turns_cut: int = 0  # last turns of a conversation that were left out


@dataclass(frozen=True)
class Asked:
    """What a prompt is made of. media: modalities that the clip has; clues: modality -> text; form: which clauses
    (``clauses`` of a clip, ``image`` of a picture, ``image_turns`` and ``video_turns`` of conversations)."""

    question: str
    subtitle: str | None = None
    media: frozenset[str] = frozenset()
    clues: dict[str, str] = field(default_factory=dict)
    form: str = "clauses"


def clean(text: str | None, end: str) -> str:
    """Text as data: None, NaN and blanks become "", and the stop sign inside it is spaced out so that it stops
    nothing."""
    return text.strip().replace(end, " ".join(end)) if isinstance(text, str) else ""


def modalities_of(config: Config, form: str = "clauses") -> set[str]:
    """The modalities whose encoders a form of the template needs; pre-fusion needs sound and pictures."""
    return set(_shown_by(tuple(getattr(config.prompt, form))))


@lru_cache(maxsize=16)
def _shown_by(clauses: tuple[str, ...]) -> frozenset[str]:
    found = {modality for clause in clauses for modality in _slots_in(clause)}
    return frozenset(found | {"audio", "video", "face"} if "multi" in found else found)


def build_prompt(
    config: Config, tokenizer: Any, subtitle: str | None, media: set[str], clues: dict[str, str] | None = None,
    question: str | None = None,
) -> Prompt:  # fmt: skip
    """The prompt of one clip with these modalities and clues; see ``prompt_for``."""
    asked = Asked(config.prompt.question if question is None else question, subtitle, frozenset(media), clues or {})
    return prompt_for(config, tokenizer, asked)


def prompt_for(config: Config, tokenizer: Any, asked: Asked) -> Prompt:
    """The prompt. A clause that names a missing modality, or clues that the clip has not, is left out.

    When it exceeds ``max_length - max_target``, the subtitle's end is cut until it fits, then that of the clues; the
    budget does not depend on the target, so training and generation see the same prompt.

    Raises:
        UsageError: the template has no such form, or does not fit even without subtitle and clues.
    """
    end = config.prompt.end
    clauses = getattr(config.prompt, asked.form)
    if not clauses:
        raise UsageError(f"the prompt's template has no form {asked.form!r}, which these samples need")
    clues = {modality: text for modality, own in asked.clues.items() if (text := clean(own, end))}
    seen = asked.media | {"video"} if "image" in asked.media else asked.media
    kept = [
        clause
        for clause in clauses
        if _slots_in(clause) <= seen and all(modality in clues for name, modality in CLUES.items() if name in clause)
    ]
    data = {"{question}": asked.question, "{subtitle}": clean(asked.subtitle, end) if config.data.subtitle else ""}
    data |= {name: clues.get(modality, "") for name, modality in CLUES.items()}
    budget = config.data.max_length - config.data.max_target

    def made(values: dict[str, str]) -> Prompt:
        return _assemble(config, tokenizer, kept, asked, values)

    prompt = made(data)
    if len(prompt.ids) <= budget:
        return prompt
    subtitle_cut = clues_cut = 0
    for name in ("{subtitle}", *CLUES):
        whole = data[name]
        if not whole or not any(name in clause for clause in kept):
            continue
        low, high = 0, len(whole)  # the longest prefix that fits lies in [low, high)
        while high - low > 1:
            middle = (low + high) // 2
            if len(made({**data, name: whole[:middle]}).ids) <= budget:
                low = middle
            else:
                high = middle
        data[name] = whole[:low]
        if name == "{subtitle}":
            subtitle_cut = len(whole) - low
        else:
            clues_cut += len(whole) - low
        prompt = made(data)
        if len(prompt.ids) <= budget:
            prompt.subtitle_cut, prompt.clues_cut = subtitle_cut, clues_cut
            return prompt
    raise UsageError(
        f"the prompt takes {len(prompt.ids)} tokens without any subtitle or clue, but data.max_length - "
        f"data.max_target leaves {budget}"
    )


def _slots_in(clause: str) -> set[str]:
    return {modality for slot, modality in SLOTS.items() if slot in clause}


def _assemble(config: Config, tokenizer: Any, clauses: list[str], asked: Asked, data: dict[str, str]) -> Prompt:
    lengths = slot_lengths(config.model)
    prompt = Prompt([tokenizer.bos_token_id])
    # Cut at the slots before any data enters the text.
    for part in re.split("(" + "|".join(map(re.escape, SLOTS)) + ")", "".join(clauses)):
        modality = SLOTS.get(part)
        if modality is None:
            # In one go: data that spells "{audio_clues}" stays data.
            filled = DATA.sub(lambda found: data[found.group()], part)
            own = set(DATA.findall(part)) - {"{question}"} or asked.question not in _questions(config)
            prompt.ids += encode(tokenizer, filled) if own else _encoded(tokenizer, filled)
            continue
        if modality == "video" and "image" in asked.media and "image" in lengths:
            modality = "image"
        if modality in prompt.slots:
            raise UsageError(f"config prompt.{asked.form}: {part} stands there twice")
        prompt.slots[modality] = len(prompt.ids)
        prompt.ids += [PLACEHOLDER] * lengths[modality]
    return prompt


def _questions(config: Config) -> tuple[str, str]:
    return (config.prompt.question, config.prompt.label_question)


def build_example(
    config: Config, tokenizer: Any, subtitle: str | None, target: str, media: set[str],
    clues: dict[str, str] | None = None, question: str | None = None,
) -> Example:  # fmt: skip
    """Prompt, then target and stop sign; a target above ``max_target`` tokens loses its end, never its stop sign."""
    return answered(config, tokenizer, build_prompt(config, tokenizer, subtitle, media, clues, question), target)


def answered(config: Config, tokenizer: Any, prompt: Prompt, target: str) -> Example:
    """A prompt and its answer."""
    whole, cut = _answer(config, tokenizer, target)
    return Example(
        prompt.ids + whole, [IGNORED] * len(prompt.ids) + whole, prompt.slots, prompt.subtitle_cut, cut,
        prompt.clues_cut,
    )  # fmt: skip


def conversation(config: Config, tokenizer: Any, asked: Asked, turns: list[tuple[str, str]]) -> Example:
    """Several questions and answers about one clip or picture, ``asked`` with the first question.

    A later turn opens as ``prompt.turn`` says: without the stop sign that the answer before it ended in. Turns that
    ``max_length`` has no room for are left out, the last ones first.
    """
    first = answered(config, tokenizer, prompt_for(config, tokenizer, asked), turns[0][1])
    for number, (question, answer) in enumerate(turns[1:], 1):
        opening = encode(tokenizer, config.prompt.turn.replace("{question}", clean(question, config.prompt.end)))
        whole, cut = _answer(config, tokenizer, answer)
        if len(first.ids) + len(opening) + len(whole) > config.data.max_length:
            first.turns_cut = len(turns) - number
            break
        first.ids += opening + whole
        first.labels += [IGNORED] * len(opening) + whole
        first.target_cut += cut
    return first


def _answer(config: Config, tokenizer: Any, target: str) -> tuple[list[int], int]:
    """Ids of an answer with its stop sign, and how many tokens were taken off its end."""
    stop = _encoded(tokenizer, config.prompt.end)
    # With the stop sign attached, as generation will have to produce it.
    whole = encode(tokenizer, clean(target, config.prompt.end) + config.prompt.end)
    cut = max(0, len(whole) - config.data.max_target)
    if cut:
        body = encode(tokenizer, clean(target, config.prompt.end))[: max(0, config.data.max_target - len(stop))]
        whole = body + list(stop)
    return whole, cut


def encode(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a piece of text, no special tokens added or recognised inside it."""
    return tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"] if text else []


@lru_cache(maxsize=512)
def _encoded(tokenizer: Any, text: str) -> tuple[int, ...]:
    """``encode`` of a text that comes again and again: a template's own."""
    return tuple(encode(tokenizer, text))
