"""What is written about a clip of the synthetic world: a careful description, and a pre-labeller's careless one.

No word of the evidence is an emotion word of the metric's lexicon; the emotion stands in the last sentence only.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models_ml.synthetic.world import EMOTIONS, NAMES, STATES, Face, Scene, Tone, Words, combined, meaning

Pair = tuple[str, str]  # (zh, en)

EXPRESSIONS: dict[str, Pair] = {
    "happy": ("面颊上提，嘴角上扬", "cheeks raised, lips smiling"),
    "surprised": ("双眼大睁，下巴张开", "eyes wide, jaw dropped"),
    "calm": ("眼睑微垂，略带浅笑", "lids low, smile faint"),
    "relieved": ("闭上双眼，眉心舒展", "eyes closed, lips smiling"),
    "angry": ("眉头紧锁，目光逼人", "brows knit, eyes glaring"),
    "worried": ("眉毛上抬聚拢，嘴唇拉长", "brows drawn up, lips stretched"),
    "contemptuous": ("上唇抬起，嘴角现窝", "upper lip lifted, dimple"),
    "sad": ("眉心上抬，嘴角下垂", "inner brows up, lips drooping"),
}
CONTENT: dict[str, Pair] = {
    "happy": ("在欢庆", "celebrate"),
    "surprised": ("说没料到", "did not see it coming"),
    "calm": ("说一点不急", "take their time"),
    "relieved": ("说险情已过", "tell of an escape"),
    "angry": ("在威胁人", "threaten"),
    "worried": ("怕出最坏的事", "await the worst"),
    "contemptuous": ("看低别人", "look down on others"),
    "sad": ("在哀悼", "mourn"),
}
#: Words of the cues in Chinese; the English ones are the states' own.
ZH = {
    "straight": "平直", "wry": "歪斜", "ahead": "直视", "away": "移开", "quick": "快", "slow": "慢", "low": "低",
    "high": "高", "lilting": "起伏", "flat": "单调", "even": "平稳", "good": "好", "bad": "坏", "plain": "直白",
    "hedged": "含糊",
}  # fmt: skip


def seen(face: Face) -> Pair:
    """The visual clue (zh, en)."""
    if face.expression:
        return EXPRESSIONS[face.expression]
    return f"嘴唇{ZH[face.lips]}，目光{ZH[face.eyes]}", f"lips {face.lips}, eyes {face.eyes}"


def heard(tone: Tone) -> Pair:
    """The audio clue (zh, en)."""
    if tone.energy is None or tone.pitch is None:
        return "语调平常", "voice ordinary"
    said = (tone.energy, tone.pitch, tone.melody)
    return "语调" + "、".join(ZH[word] for word in said), "voice {}, {}, {}".format(*said)


def read(words: Words) -> Pair:
    """The text clue (zh, en)."""
    if words.emotion:
        zh, en = CONTENT[words.emotion]
        return f"话里{zh}", f"words {en}"
    if words.news is None or words.manner is None:
        return "话里没有线索", "words tell nothing"
    zh = f"话里是{ZH[words.news]}消息，说得{ZH[words.manner]}"
    return zh, f"words {words.manner}, {words.news} news"


def clues(face: Face, tone: Tone, words: Words) -> list[tuple[str, str, Pair]]:
    """(modality, aspect, sentence in zh and en) of the three clues."""
    return [
        ("visual", "expression", seen(face)),
        ("audio", "prosody", heard(tone)),
        ("text", "content", read(words)),
    ]


#: dimension -> its two poles (zh, en), the high one first.
POLES: dict[str, tuple[Pair, Pair]] = {
    "pleasure": (("正面", "pleasant"), ("负面", "unpleasant")),
    "arousal": (("激烈", "stirred"), ("平缓", "quiet")),
    "dominance": (("强势", "strong"), ("弱势", "weak")),
}


def description(face: Face, tone: Tone, words: Words, emotion: str) -> Pair:
    """Evidence first, then the conclusion (zh, en). Where only the combination tells, each dimension's two cues stand
    together with what they mean; else the clues stand one after the other."""
    feeling = EMOTIONS[emotion]
    high = (feeling.pleasure, feeling.arousal, feeling.dominance)
    poles = [pair[not up] for pair, up in zip(POLES.values(), high, strict=True)]
    if combined(face, tone, words) is None:
        found = [text for _, _, text in clues(face, tone, words)]
        zh = "；".join(text for text, _ in found) + f"。合起来{'、'.join(pole[0] for pole in poles)}"
        en = " ".join(text[0].upper() + text[1:] + "." for _, text in found)
        en += " So {}, {}, {}".format(*(pole[1] for pole in poles))
    else:
        pairs = [
            (f"{ZH[str(words.news)]}消息，嘴唇{ZH[face.lips]}", f"{str(words.news).title()} news, lips {face.lips}"),
            (f"语调{ZH[str(tone.energy)]}，目光{ZH[face.eyes]}", f"Voice {tone.energy}, eyes {face.eyes}"),
            (f"语调{ZH[str(tone.pitch)]}，话{ZH[str(words.manner)]}", f"Pitch {tone.pitch}, words {words.manner}"),
        ]
        zh = "；".join(f"{cues[0]}：{pole[0]}" for cues, pole in zip(pairs, poles, strict=True))
        en = " ".join(f"{cues[1]}: {pole[1]}." for cues, pole in zip(pairs, poles, strict=True))[:-1]
    return f"{zh}。因此此人{'、'.join(feeling.zh)}。", f"{en}: {' and '.join(feeling.en)}."


#: Words that the clues of an expression come down to.
GIST: dict[str, tuple[str, ...]] = {
    "happy": ("cheeks", "smile"), "surprised": ("wide", "jaw"), "calm": ("lids", "faint"),
    "relieved": ("closed", "smile"), "angry": ("knit", "glare"), "worried": ("drawn", "stretch"),
    "contemptuous": ("lifted", "dimple"), "sad": ("inner", "droop"),
}  # fmt: skip


def gist(face: Face, tone: Tone) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is seen and what is heard, in key words."""
    seen_words = GIST[face.expression] if face.expression else (face.lips, face.eyes)
    plain = tone.energy is None or tone.pitch is None
    return seen_words, ("ordinary",) if plain else (str(tone.energy), str(tone.pitch), tone.melody)


#: What the action units move; strong from `STRONG`, not worth a word below `WEAK`.
PLACES = {
    "AU01": "inner brows", "AU02": "outer brows", "AU04": "frown", "AU05": "upper lids", "AU06": "cheeks",
    "AU07": "lids", "AU09": "nose", "AU10": "upper lip", "AU12": "smile", "AU14": "dimple", "AU15": "droop",
    "AU17": "chin", "AU20": "stretch", "AU23": "tight lips", "AU26": "jaw", "AU45": "closed",
}  # fmt: skip
WEAK, STRONG = 1.0, 3.0
#: voice measure -> (name, its values' range).
SCALES = {"pitch": ("pitch", 0.5), "tempo": ("pace", 0.42), "loudness": ("level", 6.0), "melody": ("swing", None)}


def caption(aus: dict[str, float], gaze: float, voice: dict[str, float]) -> str:
    """What a clip of the world "elsewhere" shows and sounds like, without any emotion: moved parts of the face, and
    the voice's measures on a scale from 1 to 5. `aus`: the highest intensity of each action unit."""
    moved = [
        f"{place}{' strong' if aus[au] >= STRONG else ''}" for au, place in PLACES.items() if aus.get(au, 0.0) >= WEAK
    ]
    if abs(gaze) >= 0.7:
        moved.append("gaze aside")
    heard_of = []
    for measure, (name, reach) in SCALES.items():
        share = voice[measure] / 2.0 if reach is None else (voice[measure] + reach) / (2 * reach)
        heard_of.append(f"{name} {1 + min(4, max(0, int(share * 5)))}")
    return f"Seen: {', '.join(moved) or 'no move'}. Heard: {', '.join(heard_of)}."


#: How often the pre-labeller overlooks what contradicts: wry lips, eyes that turn away, a pitch against the manner.
FACE_VALUE = 0.6
#: How often it reports a face's or a voice's clue that is not there at all.
ERROR = 0.1
#: How often it sees or hears nothing where a face or a voice alone tells the emotion, and calls the person calm.
MISSED = 0.25


def prelabelled(shown: Scene, rng: np.random.Generator) -> tuple[Face, Tone, Words, str]:
    """What a careless pre-labeller makes of a clip: clues and emotion.

    It believes the words (`FACE_VALUE`: in a combination clip each cue that turns something round goes unnoticed,
    so good news is good), errs at random (`ERROR`), and misses what a single modality tells (`MISSED`). It reads
    the words rightly and concludes by the world's rule from the clues that it believes.
    """
    face, tone, words = shown.face, shown.tone, shown.words
    if shown.kind == "combination":
        if rng.random() < FACE_VALUE:
            face = replace(face, lips="straight")
        if rng.random() < FACE_VALUE:
            face = replace(face, eyes="ahead")
        if rng.random() < FACE_VALUE:
            tone = replace(tone, pitch="low")
    elif rng.random() < MISSED:
        face = Face() if shown.kind == "face" else face
        tone = Tone() if shown.kind == "voice" else tone
    if rng.random() < ERROR:
        face = _any_face(shown, rng)
    if rng.random() < ERROR:
        tone = _any_tone(shown, rng)
    return face, tone, words, meaning(face, tone, words) or "calm"


def _any_face(shown: Scene, rng: np.random.Generator) -> Face:
    if shown.kind == "combination":
        return Face(None, *(STATES[cue][int(rng.integers(2))] for cue in ("lips", "eyes")))
    return Face(NAMES[int(rng.integers(len(NAMES)))])


def _any_tone(shown: Scene, rng: np.random.Generator) -> Tone:
    energy, pitch = (STATES[cue][int(rng.integers(2))] for cue in ("energy", "pitch"))
    if shown.kind == "combination":
        return Tone(energy, pitch)
    return Tone(energy, pitch, ("lilting", "flat")[int(rng.integers(2))])
