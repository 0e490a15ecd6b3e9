"""From token sequences and features of several samples to one padded batch."""

from __future__ import annotations

import torch

from .affectgpt.model import Batch, Placed
from .errors import TrainingError
from .prompt import IGNORED, Example, Prompt

#: What the frozen encoders made of one clip: modality -> pictures (frames, tokens, width), sound (windows, width).
Features = dict[str, torch.Tensor]


def collate(examples: list[Example], features: list[Features], clips: list[str]) -> Batch:
    """Right-padded batch for training. Padding is masked by length, never by the value of a token."""
    return _batch([example.ids for example in examples], [example.labels for example in examples],
                  [example.slots for example in examples], features, clips, left=False)  # fmt: skip


def collate_prompts(prompts: list[Prompt], features: list[Features], clips: list[str]) -> Batch:
    """Left-padded batch for generation, so that every row's next token stands at the end."""
    return _batch([prompt.ids for prompt in prompts], None, [prompt.slots for prompt in prompts], features, clips,
                  left=True)  # fmt: skip


def _batch(
    ids: list[list[int]], labels: list[list[int]] | None, slots: list[dict[str, int]], features: list[Features],
    clips: list[str], left: bool,
) -> Batch:  # fmt: skip
    length = max(map(len, ids))
    shape = (len(ids), length)
    input_ids = torch.zeros(shape, dtype=torch.long)
    mask = torch.zeros(shape, dtype=torch.long)
    targets = None if labels is None else torch.full(shape, IGNORED, dtype=torch.long)
    offsets = []
    for row, own in enumerate(ids):
        offset = length - len(own) if left else 0
        offsets.append(offset)
        input_ids[row, offset : offset + len(own)] = torch.tensor(own)
        mask[row, offset : offset + len(own)] = 1
        if targets is not None and labels is not None:
            targets[row, offset : offset + len(own)] = torch.tensor(labels[row])
    media = {}
    fused = {row for row, own in enumerate(slots) if "multi" in own}
    for modality in sorted({modality for own in slots for modality in own} | ({*_given(features, fused)})):
        # What is fused needs its features here, also where it has no slot of its own (start -1).
        rows = [row for row, own in enumerate(slots) if modality in own or (row in fused and modality in features[row])]
        start = torch.tensor([slots[row][modality] + offsets[row] if modality in slots[row] else -1 for row in rows])
        if modality == "multi":  # made from the others
            media[modality] = Placed(None, None, torch.tensor(rows), start)
            continue
        for row in rows:
            if modality not in features[row]:
                raise TrainingError(f"clip {clips[row]}: the probe found a {modality} stream, but nothing decodes")
        values, padded = pad([features[row][modality] for row in rows])
        media[modality] = Placed(values, padded, torch.tensor(rows), start)
    return Batch(input_ids, mask, targets, media, clips)


def _given(features: list[Features], rows: set[int]) -> set[str]:
    return {modality for row in rows for modality in features[row]}


def pad(values: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Features (time_i, …) of several clips as (m, time, …) with zeros behind the shorter ones, and the mask (m, time)
    of what is real; None when nothing was padded."""
    lengths = [len(value) for value in values]
    if len(set(lengths)) == 1:
        return torch.stack(values), None
    out = values[0].new_zeros(len(values), max(lengths), *values[0].shape[1:])
    for row, value in enumerate(values):
        out[row, : len(value)] = value
    return out, torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]


def pinned(batch: Batch) -> Batch:
    """The batch in page-locked memory, from which a GPU copies while it computes."""

    def pin(value: torch.Tensor | None) -> torch.Tensor | None:
        return None if value is None else value.pin_memory()

    media = {
        modality: Placed(pin(placed.features), pin(placed.mask), placed.rows.pin_memory(), placed.start.pin_memory())
        for modality, placed in batch.media.items()
    }
    return Batch(batch.input_ids.pin_memory(), batch.attention_mask.pin_memory(), pin(batch.labels), media, batch.clips)
