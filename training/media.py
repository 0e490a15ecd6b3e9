"""Which file belongs to which clip, and what is in it: found, hashed and probed before the first step.

What a file holds is remembered by its path, size and time of change (``media.jsonl`` in the cache's folder), so that
a corpus of a hundred thousand clips is read through once, not before every run.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import UsageError
from .schema import Config
from .snapshot import Record, Snapshot, safe_path
from .workers import Failed, default_workers, run_tasks

# Containers that a clip may come in; a CSV or picture of the clip's name beside it is not its media.
VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".flv", ".wmv", ".ts", ".3gp")
AUDIO_SUFFIXES = (".wav", ".m4a", ".mp3", ".flac", ".ogg", ".opus", ".aac")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
log = logging.getLogger("training")
FEW = 64  # files that are probed in this process; more of them are worth starting others


@dataclass(frozen=True)
class MediaFile:
    """A readable file of a clip: duration in seconds and which streams it holds.

    sha256: of its bytes; image: a single picture; faces: OpenFace's aligned faces of it (.npy), with their sha256.
    """

    path: Path
    duration: float
    has_video: bool
    has_audio: bool
    sha256: str | None = None
    image: bool = False
    faces: Path | None = None
    faces_sha256: str | None = None


@dataclass
class MediaReport:
    """files: clip -> its file; missing: clip -> why there is none; changed: clips whose file is not the one that the
    snapshot names by its hash."""

    files: dict[str, MediaFile]
    missing: dict[str, str]
    changed: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """``{video, audio, missing}``: clips with that stream, and clips without readable media."""
        return {
            "video": sum(file.has_video for file in self.files.values()),
            "audio": sum(file.has_audio for file in self.files.values()),
            "missing": len(self.missing),
        }


class MediaIndex:
    """Finds a clip's file: ``DIR/<sha256>.*``, then ``DIR/<clip>.*`` (or under ``DIR/video``, as MER2025 lays its clips
    out), then the path in media.jsonl.

    A record that names its own file (instruction sets) has it as ``DIR/<file>``.
    """

    def __init__(self, folder: str | Path | None, listed: dict[str, str]) -> None:
        self.folder = None if folder is None else Path(folder)
        self.listed = listed
        self.by_stem: dict[str, Path] = {}
        if self.folder is None:
            return
        if not self.folder.is_dir():
            raise UsageError(f"--media {folder}: no such folder")
        for place in (self.folder, self.folder / "video"):
            if place.is_dir():
                for stem, path in _by_stem(place).items():
                    self.by_stem.setdefault(stem, path)

    def find(self, record: Record) -> Path | None:
        if record.file is not None:
            if self.folder is None or not safe_path(record.file):
                return None
            path = self.folder / record.file
            # COCO's own names of 2014 have a prefix that LLaVA's list leaves out.
            found = (option for option in (path, path.with_name(f"COCO_train2014_{path.name}")) if option.is_file())
            return next(found, None)
        for stem in (record.media_sha256, record.clip):
            if stem and stem in self.by_stem:
                return self.by_stem[stem]
        listed = self.listed.get(record.clip)
        return Path(listed) if listed and Path(listed).is_file() else None

    def faces(self, record: Record) -> Path | None:
        """OpenFace's faces of a clip, as MER2025 lays them out."""
        if self.folder is None or not safe_path(record.clip):
            return None
        path = self.folder / "openface_face" / record.clip / f"{record.clip}.npy"
        return path if path.is_file() else None


def _by_stem(folder: Path) -> dict[str, Path]:
    """The media files of a folder by their names without suffix; of several the video."""
    order = {suffix: rank for rank, suffix in enumerate(VIDEO_SUFFIXES + AUDIO_SUFFIXES)}
    found: dict[str, Path] = {}
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        stem, suffix = os.path.splitext(entry.name)
        rank = order.get(suffix.lower())
        if rank is None or not entry.is_file():
            continue
        if stem not in found or rank < order[found[stem].suffix.lower()]:
            found[stem] = Path(entry.path)
    return found


def open_media(path: str | Path) -> MediaFile:
    """Probe and hash one file, in a limited child process. Raises models_ml.media.MediaError."""
    from models_ml.media import MediaError, probe, sha256_file

    if Path(path).suffix.lower() in IMAGE_SUFFIXES:
        return MediaFile(Path(path), **look(None, str(path)))
    found = probe(path)
    if not found.has_video and not found.has_audio:
        raise MediaError("no_streams", path)
    return MediaFile(Path(path), found.duration, found.has_video, found.has_audio, sha256_file(path))


def look(setup: None, path: str) -> dict[str, Any]:
    """The facts of one file, read in this process: ``{duration, has_video, has_audio, sha256, image}``.

    Raises models_ml.media.MediaError.
    """
    from models_ml.media import MediaError, probe_direct, sha256_file

    if Path(path).suffix.lower() in IMAGE_SUFFIXES:
        from .evidence import load_image

        load_image(Path(path), 8)
        facts: dict[str, Any] = {"duration": 0.0, "has_video": True, "has_audio": False, "image": True}
    else:
        found = probe_direct(path)
        if not found.has_video and not found.has_audio:
            raise MediaError("no_streams", path)
        facts = {"duration": found.duration, "has_video": found.has_video, "has_audio": found.has_audio}
    return {**facts, "sha256": sha256_file(path)}


def survey(
    records: Iterable[Record], snapshot: Snapshot, folder: str | Path | None, config: Config | None = None,
    memo: str | Path | None = None, workers: int | None = None,
) -> MediaReport:  # fmt: skip
    """Find, hash and probe the media of every record; what cannot be read is reported with its reason.

    config: says whether OpenFace's faces are looked for; memo: the folder that remembers what files hold.
    """
    records = list(records)
    index = MediaIndex(folder, snapshot.media)
    report = MediaReport({}, {})
    paths = {record.clip: index.find(record) for record in records}
    faces: dict[str, Path] = {}
    if config is not None and config.data.faces == "openface":
        faces = {record.clip: found for record in records if (found := index.faces(record)) is not None}
    known = Memory(memo)
    known.learn([path for path in [*paths.values(), *faces.values()] if path is not None], workers)
    for record in records:
        path = paths[record.clip]
        if path is None:
            report.missing[record.clip] = f"no media file found ({record.file})" if record.file else _NOT_FOUND
            continue
        facts = known.facts(path)
        if "error" in facts:
            report.missing[record.clip] = facts["error"]
            continue
        file = MediaFile(path, **facts)
        if record.clip in faces:
            own = known.facts(faces[record.clip])
            file = MediaFile(path, **facts, faces=faces[record.clip], faces_sha256=own.get("sha256"))
        report.files[record.clip] = file
        if record.media_sha256 is not None and file.sha256 != record.media_sha256:
            report.changed.append(record.clip)
    if report.changed:
        log.warning(
            "%d media files are not those the snapshot was made of (another sha256), first %s",
            len(report.changed), report.changed[0],
        )  # fmt: skip
    return report


_NOT_FOUND = "no media file found"


class Memory:
    """What files hold, by path, size and time of change; kept in ``FOLDER/media.jsonl``, one line a file."""

    def __init__(self, folder: str | Path | None) -> None:
        self.file = None if folder is None else Path(folder) / "media.jsonl"
        self.held: dict[str, tuple[list[int], dict[str, Any]]] = {}
        if self.file is not None and self.file.is_file():
            with open(self.file, encoding="utf-8", errors="surrogateescape") as lines:
                for line in lines:
                    with contextlib.suppress(ValueError, KeyError, TypeError):  # a line that was being written
                        row = json.loads(line)
                        self.held[row["path"]] = (row["stamp"], row["facts"])

    def learn(self, paths: Sequence[Path], workers: int | None = None) -> None:
        """Look into those files that are new or changed."""
        new = list(dict.fromkeys(path for path in paths if not self._known(path)))
        if not new:
            return
        videos = [path for path in new if path.suffix != ".npy"]
        for path in new:
            if path.suffix == ".npy":
                self._keep(path, {"sha256": _sha256(path)})
        if len(videos) <= FEW:
            with ThreadPoolExecutor(4) as pool:
                for path, facts in zip(videos, pool.map(_facts, videos), strict=True):
                    self._keep(path, facts)
            return
        log.info("looking into %d media files", len(videos))
        tasks = [str(path) for path in videos]
        for number, found in run_tasks(
            "training.media:look", None, tasks, workers=default_workers() if workers is None else workers, ahead=64
        ):
            self._keep(videos[number], {"error": found.reason} if isinstance(found, Failed) else found)

    def facts(self, path: Path) -> dict[str, Any]:
        return self.held[os.path.realpath(path)][1]

    def _known(self, path: Path) -> bool:
        # A link to a file that is known is known.
        real = os.path.realpath(path)
        return real in self.held and self.held[real][0] == _stamp(path)

    def _keep(self, path: Path, facts: dict[str, Any]) -> None:
        stamp, real = _stamp(path), os.path.realpath(path)
        self.held[real] = (stamp, facts)
        if self.file is not None:
            line = json.dumps({"path": real, "stamp": stamp, "facts": facts}) + "\n"
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with open(self.file, "ab") as file:  # one write: others append as well
                file.write(line.encode())


def _facts(path: Path) -> dict[str, Any]:
    from models_ml.media import MediaError

    try:
        return look(None, str(path))
    except MediaError as error:
        return {"error": str(error)}


def _stamp(path: Path) -> list[int]:
    facts = path.stat()
    return [facts.st_size, facts.st_mtime_ns]


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
