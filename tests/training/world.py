"""Makes what training eats: clips with sound (PyAV) and snapshot folders, small and different from each other."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import av
import numpy as np

RATE = 16000
COLOURS = [(230, 40, 40), (40, 200, 60), (50, 70, 230), (230, 210, 40), (200, 60, 210), (50, 210, 220),
           (240, 140, 30), (240, 240, 240), (110, 60, 20), (20, 110, 80)]  # fmt: skip
FACES = [
    "smiles broadly",
    "frowns hard",
    "lets the mouth corners drop",
    "opens the eyes wide",
    "presses the lips",
    "raises the inner brows",
    "wrinkles the nose",
    "looks calmly ahead",
    "drops the jaw",
    "narrows the eyes",
]
VOICES = [
    "bright and quick",
    "loud and sharp",
    "low and slow",
    "high and breathless",
    "flat and tense",
    "soft and shaky",
    "harsh and clipped",
    "even and quiet",
    "rising in pitch",
    "cold and measured",
]
FEELINGS = ["happy", "angry", "sad", "surprised", "worried", "afraid", "disgusted", "calm", "astonished", "contempt"]
GEFUEHLE = ["高兴", "生气", "难过", "惊讶", "担心", "害怕", "厌恶", "平静", "震惊", "轻蔑"]


def write_clip(
    path: Path, index: int, *, seconds: float = 2.0, fps: int = 8, audio: bool = True, video: bool = True
) -> Path:
    """A moving coloured square on a grey ground and a tone of its own; different for every index."""
    codecs = {".avi": ("mpeg4", "mp2"), ".wav": ("", "pcm_s16le")}.get(path.suffix, ("libx264", "aac"))
    with av.open(str(path), "w") as container:
        if video:
            pictures = container.add_stream(codecs[0], rate=fps)
            pictures.width = pictures.height = 96
            pictures.pix_fmt = "yuv420p"
        if audio:
            sound = container.add_stream(codecs[1], rate=RATE)
            sound.layout = "mono"
        if video:
            for number in range(max(2, round(seconds * fps))):
                frame = np.full((96, 96, 3), 60, np.uint8)
                left = (8 + 9 * index + 5 * number) % 56
                top = (13 * index) % 56
                frame[top : top + 40, left : left + 40] = COLOURS[index % len(COLOURS)]
                for packet in pictures.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")):
                    container.mux(packet)
            for packet in pictures.encode():
                container.mux(packet)
        if audio:
            time = np.arange(round(seconds * RATE)) / RATE
            wave = 0.3 * np.sin(2 * np.pi * (140 + 90 * index) * time) * (1 + np.sin(2 * np.pi * (1 + index) * time))
            samples = (wave * 12000).astype(np.int16)[None]
            heard = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            heard.sample_rate = RATE
            resampler = av.AudioResampler(
                format=sound.format, layout="mono", rate=RATE, frame_size=sound.codec_context.frame_size or 1024
            )
            for frame in [*resampler.resample(heard), *resampler.resample(None)]:
                for packet in sound.encode(frame):
                    container.mux(packet)
            for packet in sound.encode():
                container.mux(packet)
    return path


def record(index: int, **changes: Any) -> dict[str, Any]:
    """A records.jsonl line with every key, descriptions and labels of its own."""
    feeling, gefuehl = FEELINGS[index % 10], GEFUEHLE[index % 10]
    english = f"The person {FACES[index % 10]} and the voice is {VOICES[index % 10]}, so the person seems {feeling}."
    row = {
        "clip": f"clip_{index:02d}", "media_sha256": None, "duration": 2.0, "source": f"film_{index}",
        "speaker": f"speaker_{index}", "licence": "open", "subtitle": {"zh": None, "en": None}, "label": None,
        "clues": [], "description": {"zh": f"人物的语气和表情说明其{gefuehl}。", "en": english},
        "ov_labels": {"zh": [gefuehl], "en": [feeling]}, "grade": "fine",
    }  # fmt: skip
    return {**row, **changes}


def write_snapshot(
    folder: Path, rows: list[dict[str, Any]], splits: dict[str, list[str]] | None = None, *, grade: str = "fine",
    group_by: tuple[str, ...] = ("source", "speaker"), media: dict[str, Path] | None = None, name: str = "one",
) -> Path:  # fmt: skip
    """A snapshot folder whose digest and hashes are right."""
    (folder / "splits").mkdir(parents=True)
    rows = sorted(rows, key=lambda row: row["clip"])
    lines = [json.dumps(row, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n" for row in rows]
    (folder / "records.jsonl").write_text("".join(lines), encoding="utf-8")
    for split, clips in (splits or {"all": [row["clip"] for row in rows]}).items():
        (folder / "splits" / f"{split}.txt").write_text("".join(f"{clip}\n" for clip in sorted(clips)))
    covered = sorted(["records.jsonl", *(f"splits/{path.name}" for path in (folder / "splits").iterdir())])
    sums = "".join(f"{hashlib.sha256((folder / path).read_bytes()).hexdigest()}  {path}\n" for path in covered)
    (folder / "SHA256SUMS").write_text(sums)
    listed = [
        {
            "clip": row["clip"],
            "sha256": row["media_sha256"],
            "url": None,
            "path": str((media or {}).get(row["clip"])) if (media or {}).get(row["clip"]) else None,
        }
        for row in rows
    ]
    (folder / "media.jsonl").write_text("".join(json.dumps(line) + "\n" for line in listed))
    manifest = {
        "schema": 1, "name": name, "corpus": "demo", "grade": grade, "query": {"group_by": list(group_by)},
        "digest": hashlib.sha256(sums.encode()).hexdigest(),
        "files": [{"path": path, "bytes": (folder / path).stat().st_size,
                   "sha256": hashlib.sha256((folder / path).read_bytes()).hexdigest()}
                  for path in [*covered, "media.jsonl"]],
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
