"""A synthetic world in which emotions are told by the face, the voice, the words, or by none of them alone.

Nothing here is about people: faces are drawn, voices are eSpeak's, and the rule below is ours. It is made so that
what a model has learnt can be measured against what there was to learn.

**Emotions** are the octants of pleasure, arousal and dominance (A. Mehrabian 1996, Pleasure-arousal-dominance,
Current Psychology 14:261-292), two of three bits never say which.

**Kinds of clips** (`KINDS`): told by the face (an expression), by the voice (energy, pitch and melody together), by
the words, the two other modalities being neutral; or by the *combination* only. There each modality shows two cues,
and each dimension is told by two modalities that confirm or contradict each other (`RULE`):

==========  ==============================  ==========================================================
dimension   cues                            reason
==========  ==============================  ==========================================================
pleasure    news (words), lips (face)       wry lips turn the words round: good news is mocked, bad
                                            news is a joke
arousal     energy (voice), eyes (face)     a voice is put on when the eyes turn away: the opposite is
                                            felt
dominance   pitch (voice), manner (words)   plain words in a low voice are in charge, in a high voice
                                            bluster; hedged words in a high voice condescend, in a low
                                            voice they give way
==========  ==============================  ==========================================================

So one modality alone leaves all eight emotions equally likely, any two of them four, and all three leave one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

KINDS = ("face", "voice", "words", "combination")
#: Kinds in the order of the clips: two of five clips need the combination.
CYCLE = ("face", "combination", "voice", "combination", "words")


@dataclass(frozen=True)
class Emotion:
    """An octant and its words; the first label is the emotion, a second one may be shared with a neighbour."""

    pleasure: bool
    arousal: bool
    dominance: bool
    en: tuple[str, ...]
    zh: tuple[str, ...]


EMOTIONS: dict[str, Emotion] = {
    "happy": Emotion(True, True, True, ("happy", "excited"), ("高兴", "兴奋")),
    "surprised": Emotion(True, True, False, ("surprised", "excited"), ("惊讶", "兴奋")),
    "calm": Emotion(True, False, True, ("calm",), ("平静",)),
    "relieved": Emotion(True, False, False, ("relieved", "calm"), ("释然", "平静")),
    "angry": Emotion(False, True, True, ("angry",), ("生气",)),
    "worried": Emotion(False, True, False, ("worried", "nervous"), ("担心", "紧张")),
    "contemptuous": Emotion(False, False, True, ("contemptuous",), ("轻蔑",)),
    "sad": Emotion(False, False, False, ("sad",), ("难过",)),
}
NAMES = tuple(EMOTIONS)
ROUND = len(CYCLE) * len(NAMES)  # clips until each emotion was shown once in each kind
OCTANT = {(e.pleasure, e.arousal, e.dominance): name for name, e in EMOTIONS.items()}

#: dimension -> (cue that tells it, cue that turns it round).
RULE: dict[str, tuple[str, str]] = {
    "pleasure": ("news", "lips"),
    "arousal": ("energy", "eyes"),
    "dominance": ("pitch", "manner"),
}
#: modality -> its two cues in a combination clip.
CUES: dict[str, tuple[str, str]] = {"face": ("lips", "eyes"), "voice": ("energy", "pitch"), "words": ("news", "manner")}
#: cue -> (word of the plain state, word of the other). Of `news`, `energy`, `pitch` the first one means "high".
STATES: dict[str, tuple[str, str]] = {
    "lips": ("straight", "wry"),
    "eyes": ("ahead", "away"),
    "energy": ("quick", "slow"),
    "pitch": ("low", "high"),
    "news": ("good", "bad"),
    "manner": ("plain", "hedged"),
}
MELODIES = ("lilting", "flat", "even")


@dataclass(frozen=True)
class Face:
    """An emotion's expression, or lips and eyes (`straight`, `ahead` is a face that tells nothing)."""

    expression: str | None = None
    lips: str = "straight"
    eyes: str = "ahead"


@dataclass(frozen=True)
class Tone:
    """Energy, pitch and melody of the voice; None everywhere is a plain voice."""

    energy: str | None = None
    pitch: str | None = None
    melody: str = "even"


@dataclass(frozen=True)
class Words:
    """An emotion's own words, or news and manner; None everywhere are words that tell nothing."""

    emotion: str | None = None
    news: str | None = None
    manner: str | None = None


@dataclass(frozen=True)
class Scene:
    """What a clip shows, and the emotion that this means."""

    kind: str
    emotion: str
    face: Face
    tone: Tone
    words: Words


def combined(face: Face, tone: Tone, words: Words) -> str | None:
    """The emotion that the cues of a combination clip mean by `RULE`; None where a cue is not shown."""
    shown = {"lips": face.lips, "eyes": face.eyes, "energy": tone.energy, "pitch": tone.pitch,
             "news": words.news, "manner": words.manner}  # fmt: skip
    if None in shown.values():
        return None
    plain = {cue: shown[cue] == STATES[cue][0] for cue in shown}
    return OCTANT[tuple(plain[told] == plain[turned] for told, turned in RULE.values())]  # type: ignore[index]


def meaning(face: Face, tone: Tone, words: Words) -> str | None:
    """The emotion that a face, a voice and words mean together; None where they tell nothing."""
    if words.emotion or face.expression:
        return words.emotion or face.expression
    if tone.melody != "even":
        return OCTANT[tone.melody == "lilting", tone.energy == "quick", tone.pitch == "low"]
    return combined(face, tone, words)


@cache
def cells() -> dict[str, list[tuple[Face, Tone, Words]]]:
    """Emotion -> the eight combinations of cues that mean it (64 in all)."""
    found: dict[str, list[tuple[Face, Tone, Words]]] = {name: [] for name in NAMES}
    for code in range(64):
        bits = [STATES[cue][code >> place & 1] for place, cue in enumerate(STATES)]
        lips, eyes, energy, pitch, news, manner = bits
        cell = (Face(None, lips, eyes), Tone(energy, pitch), Words(None, news, manner))
        found[str(combined(*cell))].append(cell)
    return found


def scene(index: int, seed: int) -> Scene:
    """What clip `index` shows: of every `ROUND` clips, in a random order, eight each are told by face, voice and words
    and 16 by combination, every emotion as often as any other in each kind."""
    if index < 0:
        raise ValueError(f"a clip's index is not negative, this is {index}")
    turn, place = divmod(index, ROUND)
    number = int(np.random.default_rng([seed, turn, 4]).permutation(ROUND)[place])
    kind, emotion = CYCLE[number % len(CYCLE)], NAMES[number // len(CYCLE)]
    if kind == "face":
        return Scene(kind, emotion, Face(emotion), Tone(), Words())
    if kind == "voice":
        octant = EMOTIONS[emotion]
        tone = Tone(
            STATES["energy"][not octant.arousal],
            STATES["pitch"][not octant.dominance],
            MELODIES[not octant.pleasure],
        )
        return Scene(kind, emotion, Face(), tone, Words())
    if kind == "words":
        return Scene(kind, emotion, Face(), Tone(), Words(emotion))
    choice = np.random.default_rng([seed, index, 1]).integers(8)
    return Scene(kind, emotion, *cells()[emotion][choice])
