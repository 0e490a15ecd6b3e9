"""What has to be known and made of one media file before it becomes a clip. No database here: runs in a pool."""

import os
import stat
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from models_ml import face, media
from models_ml.media import MediaError

from . import storage, tracks
from .names import storable
from .storage import scratch_root
from .store import Item


def fingerprint(path: Path) -> str:
    """sha256 of a regular file with content. Raises MediaError (empty, unreadable), OSError."""
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise MediaError("unreadable", path, "not a regular file")
    if found.st_size == 0:
        raise MediaError("empty", path)
    return media.sha256_file(path)


def open_media(item: Item, path: Path, *, keep: str, suffix: str | None = None) -> Item:
    """Probe `path`, make its derived files, put both into storage and fill them into `item` (whose sha256 is
    that of the file). `keep`: "copy" stores the original, "reference" only its path.

    Raises MediaError when the file is no clip (unreadable, no video stream, zero length …), OSError.
    """
    if item.sha256 is None:
        item.sha256 = fingerprint(path)
    facts = media.probe(path)
    media.check(facts, path)
    with tempfile.TemporaryDirectory(prefix="derive-", dir=scratch_root()) as scratch:
        made = media.derive(path, scratch, probe=facts)
        if (measured := tracks.measured(made, Path(scratch))) is not None:
            made["tracks"] = measured
        item.derived = {kind: storage.put_derived(file, item.sha256, kind) for kind, file in made.items()}
    item.probe = asdict(facts)
    return keep_original(item, path, keep=keep, suffix=suffix)


def keep_original(item: Item, path: Path, *, keep: str, suffix: str | None = None) -> Item:
    """Store the original (`copy`) or note where it lies (`reference`). Raises OSError."""
    if keep == "copy":
        stored = storage.put_original(path, str(item.sha256), suffix if suffix is not None else path.suffix)
        item.media, item.media_path = "stored", stored.path
    else:
        real = str(path.resolve())
        if len(real) > storage.MAX_PATH or not storable(real):
            raise OSError(None, _("the path is too long or not UTF-8: it cannot be kept as a reference"))
        item.media, item.media_path = "reference", real
    return item


def read_au(path: Path) -> tuple[storage.Stored, dict[str, Any], str]:
    """An OpenFace CSV in storage, its peak frame ({} where no face was tracked) and a remark, "" for none.

    Raises face.AuTrackError naming file and line, OSError.
    """
    track = face.read_openface(path)
    remark, peak = "", {}
    try:
        peak = face.peak(track)
    except face.AuTrackError as error:
        remark = f"{path.name}: {error}"
    return storage.put_au(path), peak, remark
