"""Where the bytes lie: names made of hashes in Django's default storage, written whole or not at all."""

import contextlib
import hashlib
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.files import File
from django.core.files.storage import default_storage

from models_ml.media import sha256_file

MEDIA_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm")
# Purging withdrawn media excludes storing: a file must not vanish between its look-up and the clip's commit.
MEDIA_LOCK = 0x454D4552
MAX_PATH = 1000  # characters of a path that the database keeps
SUFFIXES = {
    "proxy": ".mp4",
    "muted": ".mp4",
    "audio": ".m4a",
    "wav": ".wav",
    "poster": ".jpg",
    "peaks": ".json",
    "tracks": ".json",
}


def scratch_root() -> Path:
    """A private folder for files in the making; what a killed process leaves there is swept."""
    root = Path(settings.VAR) / "tmp"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return root


@dataclass(frozen=True)
class Stored:
    """A file in storage."""

    path: str  # storage name
    sha256: str
    bytes: int


def original_name(sha256: str, suffix: str) -> str:
    """Storage name of an original; a suffix that is not a video's is left out."""
    known = suffix.lower() if suffix.lower() in MEDIA_SUFFIXES else ""
    return f"originals/{sha256[:2]}/{sha256}{known}"


def put_original(source: Path, sha256: str, suffix: str) -> Stored:
    return put(source, original_name(sha256, suffix), sha256)


def put_derived(source: Path, media_sha256: str, kind: str) -> Stored:
    """Below the original's hash, named by its own: what another ffmpeg makes lies beside, never above."""
    own = sha256_file(source)
    return put(source, f"derived/{media_sha256[:2]}/{media_sha256}/{kind}-{own[:16]}{SUFFIXES[kind]}", own)


def put_au(source: Path) -> Stored:
    own = sha256_file(source)
    return put(source, f"au/{own[:2]}/{own}.csv", own)


def put(source: Path, name: str, sha256: str) -> Stored:
    """Copy `source` to the storage name `name`, whose content it then is for good.

    On a file system: written beside, synced, renamed, so that a name that exists is complete whatever was
    killed. Raises OSError (disk full; the source changed while it was read).
    """
    size = source.stat().st_size
    if not default_storage.exists(name):
        try:
            target = Path(default_storage.path(name))
        except NotImplementedError:  # object storage: one atomic put
            with source.open("rb") as file:
                saved = default_storage.save(name, File(file))
            if saved != name:  # somebody else was faster with the same bytes
                default_storage.delete(saved)
        else:
            _copy_whole(source, target, sha256)
    return Stored(name, sha256, size)


def _copy_whole(source: Path, target: Path, sha256: str) -> None:
    for folder in reversed([p for p in target.parents if p.is_relative_to(settings.MEDIA_ROOT)]):
        folder.mkdir(mode=settings.FILE_UPLOAD_DIRECTORY_PERMISSIONS or 0o777, parents=True, exist_ok=True)
    part = target.parent / f".{uuid.uuid4().hex}.part"
    try:
        digest = hashlib.sha256()
        with source.open("rb") as read, part.open("xb") as write:
            os.fchmod(write.fileno(), settings.FILE_UPLOAD_PERMISSIONS or 0o600)
            while block := read.read(1 << 20):
                digest.update(block)
                write.write(block)
            write.flush()
            os.fsync(write.fileno())
        if digest.hexdigest() != sha256:
            raise OSError(None, "the file changed while it was read")
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def local_path(name: str) -> Path | None:
    """A local file with the content of the storage name, None when there is none; fetched into a cache where
    storage is remote."""
    try:
        path = Path(default_storage.path(name))
    except NotImplementedError:
        return _fetched(name)
    return path if path.is_file() else None


def referenced_path(path: str) -> Path | None:
    """The file of a reference if it lies below one of MEDIA_IMPORT_ROOTS, links resolved; a relative path is
    looked for below each. None when there is no such file, or it lies elsewhere."""
    roots = settings.MEDIA_IMPORT_ROOTS
    for candidate in [Path(path)] if Path(path).is_absolute() else [root / path for root in roots]:
        real = candidate.resolve()
        if any(real.is_relative_to(root) for root in roots) and real.is_file():
            return real
    return None


def _fetched(name: str) -> Path | None:
    cached = Path(settings.VAR) / "cache" / name  # names are made of hashes: what is there is right
    if not cached.is_file():
        if not default_storage.exists(name):
            return None
        cached.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = cached.parent / f".{uuid.uuid4().hex}.part"
        with default_storage.open(name, "rb") as read, part.open("xb") as write:
            shutil.copyfileobj(read, write)
        os.replace(part, cached)
    return cached


def exists(name: str) -> bool:
    return default_storage.exists(name)


def delete(name: str) -> None:
    """Remove a file from storage and from the cache; it may be gone already."""
    default_storage.delete(name)
    with contextlib.suppress(FileNotFoundError):
        (Path(settings.VAR) / "cache" / name).unlink()
