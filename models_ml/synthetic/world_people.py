"""The synthetic world's people: drawn faces and eSpeak voices, as many as are asked for, each by its number.

`everyone(world)` of different worlds have no face and no voice in common.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from models_ml.synthetic.curves import Colour, mix
from models_ml.synthetic.scenarios import Speaker

#: eSpeak's voices with a pitch that a log-mel spectrogram resolves, and the factor that puts each at about 190 Hz.
#: The encoders are pre-trained on the first tuple's voices only; the corpus speaks with the others.
VOICES: dict[str, tuple[tuple[str, float], ...]] = {
    "elsewhere": (("Female1", 1.10), ("Female3", 0.95), ("Female5", 0.97), ("Linda", 0.87)),
    "here": (("Female2", 1.02), ("Female4", 1.11), ("Annie", 0.83), ("Steph", 1.06)),
}
SKINS: tuple[Colour, Colour, Colour] = ((246, 214, 190), (214, 164, 128), (124, 80, 56))
HAIRS: tuple[Colour, ...] = (
    (30, 24, 26), (62, 42, 32), (96, 64, 40), (148, 104, 62), (196, 160, 106), (120, 52, 34), (118, 114, 112),
)  # fmt: skip
IRISES: tuple[Colour, ...] = ((66, 44, 32), (88, 66, 42), (74, 104, 122), (84, 112, 84), (104, 110, 116))
STYLES = ("short", "long", "bob", "receding")


@dataclass(frozen=True)
class Person:
    """A speaker whose vocal tract is `tract` times as short as the eSpeak voice's (formants times `tract`)."""

    speaker: Speaker
    tract: float


@lru_cache(maxsize=256)
def person(world: str, number: int) -> Person:
    """Person `number` of a world ("elsewhere": where encoders are pre-trained; "here": where the corpus is).

    Usual pitch, rate and tract differ by a few per cent: far less than the cues of the voice.
    """
    rng = np.random.default_rng([sorted(VOICES).index(world), number, 77])
    share = float(rng.uniform(0, 2))
    skin = mix(SKINS[int(share)], SKINS[int(share) + 1], share % 1)
    hair = mix(HAIRS[int(rng.integers(len(HAIRS)))], (20, 16, 16), float(rng.uniform(0, 0.35)))
    shirt, wall = (tuple(int(v) for v in rng.integers(low, high, 3)) for low, high in ((50, 225), (180, 222)))
    style = STYLES[int(rng.integers(len(STYLES)))]
    voice, factor = VOICES[world][int(rng.integers(len(VOICES[world])))]
    tract = float(rng.uniform(0.94, 1.08))
    speaker = Speaker(
        code=f"{world}-{number:02d}",
        language="en",
        voice=voice,
        # A shorter tract is made by playing faster, which raises the pitch as well.
        pitch=factor * float(rng.uniform(0.95, 1.05)) / tract,
        words_per_minute=round(190 * float(rng.uniform(0.95, 1.05)) / tract),
        spread=float(rng.uniform(0.9, 1.1)),
        skin=skin,
        hair=hair,
        iris=IRISES[int(rng.integers(len(IRISES)))],
        shirt=shirt,  # type: ignore[arg-type]
        wall=wall,  # type: ignore[arg-type]
        lips=mix(mix(skin, (170, 60, 70), 0.55), (120, 40, 50), float(rng.uniform(0, 0.3))),
        style=style,
        brow=float(rng.uniform(0.8, 1.3)),
        width=float(rng.uniform(0.95, 1.05)),
        glasses=bool(rng.random() < 0.25),
        lashes=style in ("long", "bob"),
    )
    return Person(speaker, tract)
