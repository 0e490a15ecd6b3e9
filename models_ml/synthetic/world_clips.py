"""Media of the synthetic world: small H.264/AAC files with a drawn face and a spoken line, and what is in them.

A part of the world (`Part`) is made in blocks of 40 clips by several processes; a person is filmed eight times in a
row. A block whose facts are written is complete; making a part again makes the blocks that are missing. A clip is a
function of the part's name, people and seed and of its index.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from models_ml.media import sha256_file
from models_ml.synthetic import timeline
from models_ml.synthetic.pool import fresh_processes
from models_ml.synthetic.scenarios import FACES
from models_ml.synthetic.speech import envelope, in_a_room
from models_ml.synthetic.world import Face, Scene, Tone, Words, scene
from models_ml.synthetic.world_lines import line
from models_ml.synthetic.world_people import Person, person
from models_ml.synthetic.world_speech import RATE, say

FPS = 3
SIDE = 128  # pixels of the picture, which shows the face only
CROP = (60, 85, 300, 325)  # of the drawn picture
BLOCK = 40  # clips that are made as one piece of work
TAKE = 8  # clips of one person in a row, which count as cut from one source
#: AUs of the expressions and of wry lips (FACS: dimpler and lip tightener).
EXPRESSIONS: dict[str, dict[str, float]] = {
    "happy": FACES["happy"],
    "surprised": FACES["surprise"],
    "calm": {"AU07": 2.4, "AU12": 1.6},
    "relieved": {"AU01": 2.0, "AU12": 2.6, "AU45": 3.9},
    "angry": FACES["angry"],
    "worried": FACES["worried"],
    "contemptuous": {"AU10": 2.6, "AU14": 3.8},
    "sad": FACES["sad"],
}
WRY = {"AU14": 4.2, "AU23": 3.6}
AWAY = 1.5  # how far eyes turn away, in units of `draw_face`
#: Factors on tempo and pitch, decibels, factor on the melody.
ENERGY: dict[str | None, tuple[float, float]] = {"quick": (1.24, 4.0), "slow": (0.80, -4.0), None: (1.0, 0.0)}
PITCH: dict[str | None, float] = {"low": 0.76, "high": 1.32, None: 1.0}
MELODY: dict[str, float] = {"lilting": 1.9, "flat": 0.15, "even": 0.8}
#: What the encoders are pre-trained to measure.
MEASURED_AUS = tuple(f"AU{n:02d}" for n in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45))
VISUAL_MEASURES = (*MEASURED_AUS, "gaze")
VOICE_MEASURES = ("pitch", "tempo", "loudness", "melody")


@dataclass(frozen=True)
class Part:
    """`count` clips of a world for one purpose; parts of one world have different people and clips.

    `world` "elsewhere" has random action units and voices and no emotion: what encoders are pre-trained on.
    """

    name: str
    count: int
    people: tuple[int, ...]
    seed: int
    world: str = "here"

    def clip(self, index: int) -> str:
        return f"{self.name}_{index:05d}"

    def who(self, index: int) -> Person:
        return person(self.world, self.people[index // TAKE % len(self.people)])


@dataclass(frozen=True)
class Voice:
    """How a line is said, relative to the person's usual voice."""

    pitch: float
    melody: float
    tempo: float
    gain_db: float


def make_part(folder: str | Path, part: Part, processes: int = 2) -> list[dict[str, Any]]:
    """Write the clips of a part below `folder` and return their facts, in order.

    Facts: `{clip, media, sha256, duration, speaker, source, zh, en, scene | None, aus, gaze, voice}`; `aus` and
    `gaze` per video frame, `voice` as measured in `VOICE_MEASURES`.
    """
    if part.count < 1 or part.count % BLOCK or part.seed < 0 or not part.people:
        raise ValueError(
            f"part {part.name}: {part.count} clips are no multiple of {BLOCK}, or people or seed are wrong"
        )
    folder = Path(folder)
    (folder / "facts").mkdir(parents=True, exist_ok=True)
    (folder / "media").mkdir(exist_ok=True)
    missing = [block for block in range(part.count // BLOCK) if not _facts(folder, part, block).is_file()]
    if missing and processes > 1:
        with fresh_processes(processes) as pool:
            list(pool.map(partial(make_block, folder, part), missing))
    else:
        for block in missing:
            make_block(folder, part, block)
    found = []
    for block in range(part.count // BLOCK):
        found += [json.loads(row) for row in _facts(folder, part, block).read_text(encoding="utf-8").splitlines()]
    return found


def _facts(folder: Path, part: Part, block: int) -> Path:
    return folder / "facts" / f"{part.name}_s{part.seed}_{block:04d}.jsonl"


def make_block(folder: Path, part: Part, block: int) -> None:
    """Make a block's clips, then its facts."""
    rows = [make_world_clip(folder / "media", part, index) for index in range(block * BLOCK, (block + 1) * BLOCK)]
    target = _facts(folder, part, block)
    partial_file = target.with_name(f".{target.name}.{os.getpid()}")
    partial_file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    os.replace(partial_file, target)


def make_world_clip(out: Path, part: Part, index: int) -> dict[str, Any]:
    """Write one clip; returns its facts."""
    rng = np.random.default_rng([part.seed, index, 2])
    who = part.who(index)
    if part.world == "here":
        shown = scene(index, part.seed)
        told: dict[str, Any] | None = _plain(shown)
        face, gaze, voice = _aus(shown.face, rng), _gaze(shown.face, rng), _voice(shown.tone, rng)
        zh, en = line(shown.words, rng)
    else:
        told = None
        face, gaze, voice = _random_aus(rng), float(rng.uniform(-1.6, 1.6)) * (rng.random() < 0.6), _random_voice(rng)
        zh, en = line(Words(), rng)
    spoken = say(en, who, voice.pitch, voice.melody, voice.tempo, voice.gain_db)
    start = float(rng.uniform(0.1, 0.25))
    frames = int(np.ceil((start + len(spoken) / RATE + float(rng.uniform(0.1, 0.25))) * FPS))
    duration = frames / FPS
    wave = in_a_room(spoken, start, duration, rng, RATE)
    tracks = timeline.timeline(face, envelope(wave, frames, FPS, RATE), FPS, rng)
    looks = _looks(gaze, frames, rng)
    name = part.clip(index)
    path = out / f"{name}.mp4"
    unfinished = out / f".{name}.{os.getpid()}.mp4"
    write_media(unfinished, _pictures(who, tracks, looks, rng), wave)
    os.replace(unfinished, path)
    return {
        "clip": name, "media": path.name, "sha256": sha256_file(path), "duration": round(duration, 3),
        "speaker": who.speaker.code, "source": f"{part.name}-{part.seed}-take-{index // TAKE:04d}", "zh": zh, "en": en,
        "scene": told,
        "aus": {au: [round(float(v), 2) for v in tracks[au]] for au in MEASURED_AUS},
        "gaze": [round(float(v), 2) for v in looks],
        "voice": {
            "pitch": round(float(np.log2(voice.pitch)), 3), "tempo": round(float(np.log2(voice.tempo)), 3),
            "loudness": round(voice.gain_db, 2), "melody": round(voice.melody, 2),
        },
    }  # fmt: skip


def _plain(shown: Scene) -> dict[str, Any]:
    return {"kind": shown.kind, "emotion": shown.emotion, "face": vars(shown.face), "tone": vars(shown.tone),
            "words": vars(shown.words)}  # fmt: skip


def scene_of(facts: dict[str, Any]) -> Scene:
    """The scene that a clip's facts tell."""
    told = facts["scene"]
    return Scene(told["kind"], told["emotion"], Face(**told["face"]), Tone(**told["tone"]), Words(**told["words"]))


def _aus(face: Face, rng: np.random.Generator) -> dict[str, float]:
    wanted = EXPRESSIONS[face.expression] if face.expression else WRY if face.lips == "wry" else {}
    return {au: float(np.clip(value * rng.uniform(0.85, 1.15), 0.5, 5.0)) for au, value in wanted.items()}


def _gaze(face: Face, rng: np.random.Generator) -> float:
    side = (-1.0, 1.0)[int(rng.integers(2))]
    return side * AWAY * float(rng.uniform(0.85, 1.1)) if face.eyes == "away" else 0.0


def _voice(tone: Tone, rng: np.random.Generator) -> Voice:
    tempo, gain = ENERGY[tone.energy]
    near = rng.uniform(0.97, 1.03, 3)
    return Voice(
        PITCH[tone.pitch] * float(near[0]),
        MELODY[tone.melody] * float(near[1]),
        tempo * float(near[2]),
        gain + float(rng.uniform(-1, 1)),
    )


def _random_aus(rng: np.random.Generator) -> dict[str, float]:
    """Up to four action units of any strength: combinations that no emotion has."""
    chosen = rng.choice([au for au in MEASURED_AUS if au != "AU25"], int(rng.integers(0, 5)), replace=False)
    return {str(au): float(rng.uniform(1.0, 4.8)) for au in chosen}


def _random_voice(rng: np.random.Generator) -> Voice:
    return Voice(
        float(2 ** rng.uniform(-0.5, 0.5)),
        float(rng.uniform(0.05, 2.0)),
        float(2 ** rng.uniform(-0.42, 0.42)),
        float(rng.uniform(-6, 6)),
    )


def _looks(gaze: float, frames: int, rng: np.random.Generator) -> np.ndarray:
    """Where the eyes look in each frame: small wandering, and the turn from the first sixth to near the end."""
    place = (np.arange(frames) + 0.5) / frames
    turned = (place > 0.15) & (place < 0.92)
    return rng.uniform(-0.2, 0.2, frames) + gaze * turned


def _pictures(who: Person, tracks: dict[str, np.ndarray], looks: np.ndarray, rng: np.random.Generator) -> Iterator[Any]:
    from PIL import Image

    from models_ml.synthetic.draw import draw_face
    from models_ml.synthetic.look import mark

    seconds = np.arange(len(looks)) / FPS
    phase, speed = rng.uniform(0, 2 * np.pi, 2), rng.uniform(0.15, 0.3, 2)
    sway = 4.0 * np.sin(2 * np.pi * speed[0] * seconds + phase[0])
    nod = 3.0 * np.sin(2 * np.pi * speed[1] * seconds + phase[1])
    plate = mark()
    for i in range(len(looks)):
        aus = {au: float(values[i]) for au, values in tracks.items()}
        drawn = draw_face(who.speaker, aus, offset=(float(sway[i]), float(nod[i])), gaze=(float(looks[i]), 0.0))
        picture = drawn.crop(CROP).resize((SIDE, SIDE), Image.Resampling.BOX)
        picture.paste(plate, (SIDE - plate.width - 2, SIDE - plate.height - 2), plate)
        yield picture


def write_media(path: Path, pictures: Iterator[Any], wave: np.ndarray) -> None:
    """An MP4 of these pictures at FPS and this sound (samples in [-1, 1] at RATE)."""
    import av

    with av.open(str(path), "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "crf": "22"})
        video.width = video.height = SIDE
        video.pix_fmt = "yuv420p"
        # The number of threads changes the bytes, and those are to depend on seed and index only.
        video.codec_context.thread_count = 1
        audio = container.add_stream("aac", rate=RATE, layout="mono", options={"aac_coder": "fast"})
        for picture in pictures:
            container.mux(video.encode(av.VideoFrame.from_image(picture)))
        container.mux(video.encode())
        samples = np.round(wave * 32767).astype("<i2")[None]
        for at in range(0, samples.shape[1], 1024):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[:, at : at + 1024]), "s16", "mono")
            frame.sample_rate, frame.pts = RATE, at
            container.mux(audio.encode(frame))
        container.mux(audio.encode())
