"""How much of everything: the whole demonstration, and the slice of it that fits into the tests."""

from __future__ import annotations

from dataclasses import dataclass

from models_ml.synthetic.world_clips import Part


@dataclass(frozen=True)
class Size:
    """Clips per part, steps of pre-training, epochs of the stages (an epoch is `iters` steps)."""

    name: str
    elsewhere: int
    coarse: int
    fine: int
    val: int
    test: int
    vision_steps: int
    audio_steps: int
    language_steps: int
    caption_epochs: int
    stage1_epochs: int
    stage1_iters: int
    stage2_epochs: int
    stage2_iters: int
    seeds: tuple[int, ...]
    answer_weight: float = 0.0  # of the answers' own loss in the language model's: the rule sooner, the rest later
    seed: int = 7  # of the world
    table: bool = True  # False: the modalities' arms only

    def parts(self) -> list[Part]:
        """The world's parts; people are in one part only."""
        return [
            Part("elsewhere", self.elsewhere, tuple(range(48)), self.seed, "elsewhere"),
            Part("coarse", self.coarse, tuple(range(0, 48)), self.seed),
            Part("fine", self.fine, tuple(range(48, 64)), self.seed + 1),
            Part("val", self.val, tuple(range(64, 72)), self.seed + 2),
            Part("test", self.test, tuple(range(72, 124)), self.seed + 3),
        ]


FULL = Size(
    "full", elsewhere=1600, coarse=3000, fine=80, val=80, test=2000, vision_steps=2000, audio_steps=1000,
    language_steps=700, caption_epochs=60, stage1_epochs=100, stage1_iters=10, stage2_epochs=30, stage2_iters=10,
    seeds=(1, 2, 3),
)  # fmt: skip
SLICE = Size(
    "slice", elsewhere=240, coarse=240, fine=120, val=40, test=160, vision_steps=440, audio_steps=220,
    language_steps=300, caption_epochs=8, stage1_epochs=16, stage1_iters=10, stage2_epochs=12, stage2_iters=10,
    seeds=(1,), answer_weight=1.0, table=False,
)  # fmt: skip
