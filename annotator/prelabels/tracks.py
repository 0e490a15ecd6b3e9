"""Action-unit tracks that the evidence gate reads: kept for a while in the process, for a clip's clues come one by one.

A track is known by the bytes of its file and by whose face was wanted; what is kept is bounded in bytes.
"""

import threading
from collections import OrderedDict
from typing import Any

from annotator.clips import media, people
from annotator.clips.models import Clip
from models_ml.face import AuTrack

KEPT_BYTES = 64 << 20  # some 2,000 tracks of a few seconds, or four of half an hour
_kept: OrderedDict[tuple[Any, ...], tuple[AuTrack, int]] = OrderedDict()  # with its bytes; the last used is last
_lock = threading.Lock()


def au_track(clip: Clip, person: dict[str, Any] | None) -> AuTrack | None:
    """`annotator.clips.people.au_track`, from memory where the same file was read for the same person."""
    path = media.au_path(clip)
    if path is None:
        return None
    now = path.stat()
    boxes = tuple(tuple(box) for box in person["boxes"]) if person else None
    key = (clip.au_track.sha256, now.st_mtime_ns, now.st_size, boxes, people.picture(clip))
    with _lock:
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key][0]
    track = people.au_track(clip, person)
    if track is not None:
        with _lock:
            _kept[key] = track, size(track)
            while len(_kept) > 1 and sum(nbytes for _track, nbytes in _kept.values()) > KEPT_BYTES:
                _kept.popitem(last=False)
    return track


def size(track: AuTrack) -> int:
    """Bytes of a track's numbers."""
    columns = (track.frames, track.timestamps, track.success, track.confidence)
    return sum(column.nbytes for column in (*columns, *track.intensity.values(), *track.presence.values()))
