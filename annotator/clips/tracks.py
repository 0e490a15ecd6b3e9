"""What the timeline below a player draws: times of frames, action units, pitch and intensity.

What is measured on the media (frames, pitch, intensity) never changes and is a derived file, made at ingest or, for
clips that came before, when it is first asked for. The action units are read from the clip's track each time, of the
person whom the clip is about now: a track that came later, or another person, shows at once.
"""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
from django.db import connection, transaction

from models_ml import tracks
from models_ml.face import AuTrackError
from models_ml.media import MediaError

from . import people, storage
from .models import Clip, DerivedMedia

FILE = "tracks.json"
NOTHING: dict[str, Any] = {"frames": None, "pitch": None, "intensity": None}
# What of it a mode of work may see; another modality's curves would give away what the mode hides.
SEEN = {"": ("frames", "au", "pitch", "intensity"), "visual": ("frames", "au"), "audio": ("pitch", "intensity")}
logger = structlog.get_logger(__name__)


def measured(made: Mapping[str, Path], folder: Path) -> Path | None:
    """`tracks.json` in `folder`, measured on the files just made (by kind); None where that failed, which is logged:
    a clip is whole without it, and it is tried again when somebody looks."""
    try:
        found = tracks.measure(made.get("proxy"), made.get("wav"))
    except MediaError as error:
        logger.warning("pitch, intensity and frame times cannot be measured", error=str(error))
        return None
    path = folder / FILE
    path.write_text(json.dumps(found, separators=(",", ":"), allow_nan=False), encoding="utf-8")
    return path


def of_clip(clip: Clip, mode: str = "") -> dict[str, Any]:
    """`{"duration", "frames", "au", "pitch", "intensity"}` as `mode` may see it, None for what there is not.

    `au`: `{"t": [s], "curves": {"AU12": [0..5|None]}, "peak": {"timestamp", "frame"}|None}`; `pitch`: `{"t", "hz"}`;
    `intensity`: `{"t", "db"}`; `frames`: presentation times in s. Raises Gone for a withdrawn clip.
    """
    seen = SEEN[mode]
    of_media = _of_media(clip)
    found: dict[str, Any] = {"duration": clip.duration, "frames": None, "au": None, "pitch": None, "intensity": None}
    found |= {key: of_media[key] for key in ("frames", "pitch", "intensity") if key in seen}
    if "au" in seen:
        found["au"] = _action_units(clip)
    return found


def _of_media(clip: Clip) -> dict[str, Any]:
    made = {row.kind: row for row in clip.derivatives.all()}
    row = made.get("tracks") or _make(clip, made)
    path = None if row is None else storage.local_path(row.path)
    return NOTHING if path is None else json.loads(path.read_text(encoding="utf-8"))


def _make(clip: Clip, made: Mapping[str, DerivedMedia]) -> DerivedMedia | None:
    """Measure a clip that was ingested before this was done at ingest. Two at once make the same; one row stays."""
    files = {kind: storage.local_path(made[kind].path) for kind in ("proxy", "wav") if kind in made}
    here = {kind: path for kind, path in files.items() if path is not None}
    if not here or not clip.media_sha256:
        return None
    with tempfile.TemporaryDirectory(prefix="tracks-", dir=storage.scratch_root()) as folder:
        path = measured(here, Path(folder))
        if path is None:
            return None
        with transaction.atomic():
            with connection.cursor() as cursor:  # purging withdrawn media must not see the file without its row
                cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [storage.MEDIA_LOCK])
            if not Clip.objects.present().filter(pk=clip.pk).exists():
                return None
            stored = storage.put_derived(path, clip.media_sha256, "tracks")
            values = {"path": stored.path, "sha256": stored.sha256, "bytes": stored.bytes}
            return DerivedMedia.objects.get_or_create(clip=clip, kind="tracks", defaults=values)[0]


def _action_units(clip: Clip) -> dict[str, Any] | None:
    """Curves of the person whom the clip is about; None without a track of theirs."""
    if getattr(clip, "au_track", None) is None:
        return None
    try:
        track = people.au_track(clip, people.chosen(clip))
    except (AuTrackError, FileNotFoundError) as error:
        logger.info("the clip's action units cannot be shown", clip=clip.name, error=str(error))
        return None
    if track is None or not track.valid().any():
        return None
    peak = clip.au_track.peak
    at = {"timestamp": peak["timestamp"], "frame": peak.get("frame")} if peak.get("timestamp") is not None else None
    return {**tracks.face_curves(track), "peak": at}
