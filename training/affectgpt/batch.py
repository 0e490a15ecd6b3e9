"""What the model is given: token ids, and media features with the places where their tokens go."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass
class Placed:
    """Features of those samples of a batch that have a modality, and where their tokens go.

    features: (m, time, tokens, width) of pictures or (m, time, width) of sound, None for ``multi``, which the model
    makes from the others; mask: (m, time), False where a shorter clip is padded, None when none is; rows: (m,) index
    into the batch; start: (m,) first position of the slot in ``input_ids``, -1 where the prompt has no slot for it and
    it is there for ``multi`` alone.
    """

    features: torch.Tensor | None
    mask: torch.Tensor | None
    rows: torch.Tensor
    start: torch.Tensor

    def to(self, device: torch.device) -> Placed:
        def move(value: torch.Tensor | None) -> torch.Tensor | None:
            return value if value is None else value.to(device, non_blocking=True)

        return Placed(
            move(self.features),
            move(self.mask),
            self.rows.to(device, non_blocking=True),
            self.start.to(device, non_blocking=True),
        )


@dataclass
class Batch:
    """input_ids, attention_mask, labels: (b, length); labels are -100 outside the targets; media by modality."""

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor | None
    media: dict[str, Placed]
    clips: list[str]

    def to(self, device: torch.device) -> Batch:
        return Batch(
            self.input_ids.to(device, non_blocking=True),
            self.attention_mask.to(device, non_blocking=True),
            None if self.labels is None else self.labels.to(device, non_blocking=True),
            {modality: placed.to(device) for modality, placed in self.media.items()},
            self.clips,
        )
