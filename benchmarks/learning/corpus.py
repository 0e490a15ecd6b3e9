"""The world's clips as snapshots: coarse records of a careless pre-labeller, fine ones of somebody who looked.

Snapshots, all marked synthetic and grouped by speaker and take:

captions   what clips of the world "elsewhere" show, without emotions: where the trainable part is pre-trained
coarse     `train`: what the pre-labeller wrote
fine       `train`, `val` and `test`: what is really there
…-silent   coarse and fine with one grey, silent file for all clips: for the arm that has the words alone
shuffled   the test clips, each with another one's media and subtitle
swapped    the test clips, each with another one's media and its own subtitle
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from models_ml.synthetic.world import EMOTIONS, Face, Tone, Words
from models_ml.synthetic.world_clips import FPS, SIDE, make_part, scene_of, write_media
from models_ml.synthetic.world_speech import RATE
from models_ml.synthetic.world_texts import caption, clues, description, prelabelled

from .sizes import Size

Record = dict[str, Any]
OF_MEDIA = ("media_sha256", "duration")
ORDER = {"visual": 0, "audio": 1, "text": 2}


def make_clips(folder: Path, size: Size, processes: int) -> dict[str, list[dict[str, Any]]]:
    """Every part's facts; media lie below `folder`/media."""
    return {part.name: make_part(folder, part, processes) for part in size.parts()}


def make_snapshots(folder: Path, world: Path, facts: dict[str, list[dict[str, Any]]], size: Size) -> None:
    """Write every snapshot below `folder`."""
    media = {fact["clip"]: world / "media" / fact["media"] for part in facts.values() for fact in part}
    captions = [caption_record(fact) for fact in facts["elsewhere"]]
    coarse = [coarse_record(fact, size.seed) for fact in facts["coarse"]]
    fine = [fine_record(fact) for part in ("fine", "val", "test") for fact in facts[part]]
    splits = {name: [fact["clip"] for fact in facts[part]] for name, part in SPLITS.items()}
    write_snapshot(folder / "captions", captions, {"train": _names(captions)}, "coarse", media)
    write_snapshot(folder / "coarse", coarse, {"train": _names(coarse)}, "coarse", media)
    write_snapshot(folder / "fine", fine, splits, "fine", media)

    blank = world / "media" / "silent.mp4"
    if not blank.is_file():
        write_blank(blank)
    for name, records, parts in (("coarse", coarse, {"train": _names(coarse)}), ("fine", fine, splits)):
        # No hash: one file stands for all, and is not a leak.
        silent = [{**record, "media_sha256": None} for record in records]
        write_snapshot(folder / f"{name}-silent", silent, parts, name, dict.fromkeys(media, blank))

    test = [record for record in fine if record["clip"] in set(splits["test"])]
    others = [test[i] for i in derangement(len(test), size.seed)]
    borrowed = {record["clip"]: media[other["clip"]] for record, other in zip(test, others, strict=True)}
    for name, keys in (
        ("shuffled", ("media_sha256", "duration", "subtitle")),
        ("swapped", ("media_sha256", "duration")),
    ):
        rows = [{**own, **{key: other[key] for key in keys}} for own, other in zip(test, others, strict=True)]
        write_snapshot(folder / name, rows, {"test": _names(rows)}, "fine", borrowed)


SPLITS = {"train": "fine", "val": "val", "test": "test"}


def _names(records: Iterable[Record]) -> list[str]:
    return [record["clip"] for record in records]


def derangement(count: int, seed: int) -> list[int]:
    """A permutation without a fixed point: a random cycle through all."""
    if count < 2:
        raise ValueError("one clip has no other to change with")
    round_trip = np.random.default_rng([seed, 9]).permutation(count)
    found = [0] * count
    for place, index in enumerate(round_trip):
        found[index] = int(round_trip[(place + 1) % count])
    return found


def fine_record(fact: dict[str, Any]) -> Record:
    """What is really there."""
    shown = scene_of(fact)
    return _record(fact, "fine", shown.face, shown.tone, shown.words, shown.emotion, shown.emotion)


def coarse_record(fact: dict[str, Any], seed: int) -> Record:
    """What the pre-labeller makes of it."""
    number = int(hashlib.sha256(fact["clip"].encode()).hexdigest()[:12], 16)
    shown = scene_of(fact)
    return _record(fact, "coarse", *prelabelled(shown, np.random.default_rng([seed, number])), None)


def _record(
    fact: dict[str, Any], grade: str, face: Face, tone: Tone, words: Words, emotion: str, label: str | None
) -> Record:
    found: list[Record] = [
        {"modality": modality, "aspect": aspect, "language": language, "text": text, "span": None, "verdict": "kept",
         "prelabel": None}
        for modality, aspect, texts in clues(face, tone, words)
        for language, text in zip(("zh", "en"), texts, strict=True)
    ]  # fmt: skip
    found.sort(key=lambda clue: (ORDER[clue["modality"]], clue["aspect"], clue["language"], clue["text"]))
    zh, en = description(face, tone, words, emotion)
    labels = EMOTIONS[emotion]
    return {
        **_base(fact, grade), "label": label, "clues": found, "description": {"zh": zh, "en": en},
        "ov_labels": {"zh": list(labels.zh), "en": list(labels.en)},
    }  # fmt: skip


def caption_record(fact: dict[str, Any]) -> Record:
    """What a clip of the world "elsewhere" shows and sounds like; no emotion."""
    said = caption({au: max(track) for au, track in fact["aus"].items()}, max(fact["gaze"], key=abs), fact["voice"])
    return {
        **_base(fact, "coarse"), "label": None, "clues": [], "description": {"zh": None, "en": said},
        "ov_labels": {"zh": [], "en": []},
    }  # fmt: skip


def _base(fact: dict[str, Any], grade: str) -> Record:
    return {
        "clip": fact["clip"], "media_sha256": fact["sha256"], "duration": fact["duration"], "source": fact["source"],
        "speaker": fact["speaker"], "licence": "open", "subtitle": {"zh": fact["zh"], "en": fact["en"]},
        "grade": grade,
    }  # fmt: skip


def write_snapshot(
    folder: Path, records: list[Record], splits: dict[str, list[str]], grade: str, media: dict[str, Path]
) -> None:
    """A snapshot folder, digest and hashes right; nothing is written when one of the same digest is there."""
    files = {"records.jsonl": "".join(_line(record) for record in sorted(records, key=lambda row: row["clip"]))}
    for name, clips in splits.items():
        files[f"splits/{name}.txt"] = "".join(f"{clip}\n" for clip in sorted(clips))
    sums = "".join(f"{hashlib.sha256(files[name].encode()).hexdigest()}  {name}\n" for name in sorted(files))
    if (folder / "SHA256SUMS").is_file() and (folder / "SHA256SUMS").read_text() == sums:
        return
    listed = [
        {"clip": row["clip"], "sha256": row["media_sha256"], "url": None,
         "path": os.path.relpath(media[row["clip"]], folder)}
        for row in sorted(records, key=lambda row: row["clip"])
    ]  # fmt: skip
    files["media.jsonl"] = "".join(json.dumps(row) + "\n" for row in listed)
    manifest = {
        "schema": 1, "name": folder.name, "corpus": "synthetic-world", "grade": grade, "synthetic": True,
        "query": {"group_by": ["source", "speaker"]}, "counts": {"records": len(records)},
        "splits": {name: len(clips) for name, clips in splits.items()},
        "files": [{"path": name, "bytes": len(text.encode()), "sha256": hashlib.sha256(text.encode()).hexdigest()}
                  for name, text in sorted(files.items())],
        "digest": hashlib.sha256(sums.encode()).hexdigest(),
    }  # fmt: skip
    files["manifest.json"] = json.dumps(manifest, indent=1) + "\n"
    (folder / "splits").mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "SHA256SUMS").write_text(sums)  # last: a folder without it is not whole


def _line(record: Record) -> str:
    return json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n"


def write_blank(path: Path) -> None:
    """Three seconds of grey and of silence."""
    from PIL import Image

    seconds = 3
    grey = Image.new("RGB", (SIDE, SIDE), (128, 128, 128))
    write_media(path, iter([grey] * (seconds * FPS)), np.zeros(seconds * RATE, dtype=np.float32))
