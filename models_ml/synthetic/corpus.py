"""The synthetic corpus: clips, OpenFace files, subtitles, labels and a manifest, a function of seed and index."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models_ml.media import sha256_file
from models_ml.synthetic import speech, timeline
from models_ml.synthetic.scenarios import FACES, OPENERS, SCENARIOS, SPEAKERS, VOICES, Scenario, Speaker

if TYPE_CHECKING:
    from PIL import Image

FPS = 25
MIN_SECONDS = 3.0
TAKE = 8  # clips of one speaker that count as cut from one source video
LICENCE = "open"


def clip_name(index: int, seed: int) -> str:
    """Names of different seeds differ, so that two corpora can be put together."""
    return f"synthetic_{index:05d}" if seed == 0 else f"synthetic_s{seed}_{index:05d}"


def plan(index: int, seed: int) -> tuple[Scenario, Speaker, str, str, np.random.Generator]:
    """What clip `index` shows: scenario, speaker, subtitles (zh, en) and its own random numbers."""
    if index < 0:
        raise ValueError(f"a clip's index is not negative, this is {index}")
    rng = np.random.default_rng([seed, index])
    round_number, at = divmod(index, len(SCENARIOS))
    scenario = SCENARIOS[at]
    # Each round hands the lines to other speakers; the first is fixed, so that the demo shows all of them.
    speaker = SPEAKERS[(at + round_number) % len(SPEAKERS)]
    zh, en = OPENERS[int(rng.integers(len(OPENERS)))] if round_number else ("", "")
    return scenario, speaker, zh + scenario.zh, en + scenario.en, rng


def make_clip(out_dir: str | Path, index: int, seed: int) -> dict[str, Any]:
    """Write one clip and its `au/<name>.csv`; every 6th is an AVI (MPEG-4, PCM), the others MP4 (H.264, AAC).

    Returns `{name, emotion, language, speaker, subtitle_zh, subtitle_en, au:{AU: intensity at the apex},
    media, sha256, duration, voice}`. Depends on (seed, index) only.
    """
    out_dir = Path(out_dir)
    (out_dir / "au").mkdir(parents=True, exist_ok=True)
    scenario, speaker, zh, en, rng = plan(index, seed)
    name = clip_name(index, seed)
    face = FACES[scenario.emotion] if scenario.face is None else scenario.face
    face = {au: round(float(np.clip(value * rng.uniform(0.9, 1.15), 1.2, 4.8)), 2) for au, value in face.items()}
    voice_name = scenario.voice or scenario.emotion

    spoken = speech.speak(zh if speaker.language == "zh" else en, speaker, VOICES[voice_name])
    start = float(rng.uniform(0.35, 0.6))
    duration = max(MIN_SECONDS, start + len(spoken) / speech.RATE + float(rng.uniform(0.5, 0.8)))
    n_frames = round(duration * FPS)
    duration = n_frames / FPS
    wave = speech.in_a_room(spoken, start, duration, rng)
    tracks = timeline.timeline(face, speech.envelope(wave, n_frames, FPS), FPS, rng)

    suffix = ".avi" if index % 6 == 5 else ".mp4"
    path = out_dir / f"{name}{suffix}"
    partial = path.with_name(f".{path.name}.part{suffix}")
    _encode(partial, _pictures(speaker, tracks, n_frames, rng), wave, suffix)
    os.replace(partial, path)
    lost = 2 if index % 5 == 4 else 0
    csv_text = timeline.openface_csv(tracks, FPS, rng, lost=lost)
    (out_dir / "au" / f"{name}.csv").write_text(csv_text, encoding="utf-8")
    return {
        "name": name,
        "emotion": scenario.emotion,
        "language": speaker.language,
        "speaker": speaker.code,
        "subtitle_zh": zh,
        "subtitle_en": en,
        "au": face,
        "voice": voice_name,
        "media": path.name,
        "sha256": sha256_file(path),
        "duration": round(duration, 3),
    }


def make_corpus(out_dir: str | Path, n: int = 12, seed: int = 0) -> list[dict[str, Any]]:
    """Write clips 0…n-1, `au/`, subtitles.csv, labels.csv and manifest.jsonl below `out_dir`; item i is the
    same for every n. Returns `make_clip`'s answers. Raises ValueError when n < 1.
    """
    if n < 1:
        raise ValueError(f"a corpus has at least one clip, not {n}")
    out_dir = Path(out_dir)
    items = [make_clip(out_dir, index, seed) for index in range(n)]
    _write_csv(
        out_dir / "subtitles.csv",
        ["name", "chinese", "english"],
        [[item["name"], item["subtitle_zh"], item["subtitle_en"]] for item in items],
    )
    _write_csv(out_dir / "labels.csv", ["name", "label"], [[item["name"], item["emotion"]] for item in items])
    with (out_dir / "manifest.jsonl").open("w", encoding="utf-8") as file:
        for index, item in enumerate(items):
            keys = ("name", "media", "sha256", "duration", "speaker", "subtitle_zh", "subtitle_en")
            row = {key: item[key] for key in keys}
            source = f"synthetic-{item['speaker']}-{index // (len(SPEAKERS) * TAKE) + 1}"
            row |= {"source": source, "licence": LICENCE, "label": item["emotion"]}
            file.write(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n")
    return items


def _pictures(
    speaker: Speaker, tracks: dict[str, np.ndarray], n: int, rng: np.random.Generator
) -> Iterator[Image.Image]:
    """The frames one by one: the face, a slowly swaying head that nods with the voice, eyes that wander."""
    from models_ml.synthetic.draw import draw_face

    seconds = np.arange(n) / FPS
    phase, speed = rng.uniform(0, 2 * np.pi, 3), rng.uniform(0.15, 0.3, 3)
    sway = 4.0 * np.sin(2 * np.pi * speed[0] * seconds + phase[0])
    nod = 2.0 * np.sin(2 * np.pi * speed[1] * seconds + phase[1]) + 0.6 * tracks["AU25"]
    look_x = 0.4 * np.round(np.sin(2 * np.pi * speed[2] * seconds + phase[2]), 0)
    for i in range(n):
        aus = {au: float(values[i]) for au, values in tracks.items()}
        yield draw_face(speaker, aus, offset=(float(sway[i]), float(nod[i])), gaze=(float(look_x[i]), 0.0))


def _encode(path: Path, pictures: Iterator[Image.Image], wave: np.ndarray, suffix: str) -> None:
    import av

    with av.open(str(path), "w", format="avi" if suffix == ".avi" else "mp4") as container:
        if suffix == ".avi":
            video = container.add_stream("mpeg4", rate=FPS, options={"qscale": "3"})
            video.bit_rate = 2_000_000
            audio = container.add_stream("pcm_s16le", rate=speech.RATE, layout="mono")
        else:
            video = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "21"})
            audio = container.add_stream("aac", rate=speech.RATE, layout="mono")
        video.width = video.height = 360
        video.pix_fmt = "yuv420p"
        # The number of threads changes the bytes, and those are to depend on seed and index only.
        video.codec_context.thread_count = 1
        for picture in pictures:
            container.mux(video.encode(av.VideoFrame.from_image(picture)))
        container.mux(video.encode())
        samples = np.round(wave * 32767).astype("<i2")[None]
        for at in range(0, samples.shape[1], 1024):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[:, at : at + 1024]), "s16", "mono")
            frame.sample_rate, frame.pts = speech.RATE, at
            container.mux(audio.encode(frame))
        container.mux(audio.encode())


def _write_csv(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
