"""The frame in which the face is most expressive, and what its action units suggest.

Peak frame after Emotion-LLaMA (Cheng et al., NeurIPS 2024, section on the MERR dataset): the most frequent
AUs of the clip are summed per frame, the highest sum is the peak, and its AUs are put into words.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from models_ml.face.labels import pseudo_labels
from models_ml.face.rows import AuTrackError
from models_ml.face.track import AuTrack
from models_ml.face.words import AU_WORDS


def peak(track: AuTrack) -> dict[str, Any]:
    """The peak frame: `{frame, timestamp, aus, words:{zh,en}, pseudo_labels}`.

    Most frequent AUs: those occurring in at least half of the valid frames, else the single most frequent
    (ties: the smaller code); AU45, blinking, is left out throughout. `aus` holds every AU that occurs in
    the peak frame with its intensity (0..5), null where OpenFace gives only presence (AU28). Of equal sums
    the earliest frame is taken; a face that shows nothing has no AUs and no words.
    Raises AuTrackError when no frame has a tracked face.
    """
    valid = np.flatnonzero(track.valid())
    if len(valid) == 0:
        raise AuTrackError("no frame with a tracked face (success = 1 and finite values)")
    candidates = [au for au in track.aus if au != "AU45"]
    counts = {au: int(track.occurs(au)[valid].sum()) for au in candidates}
    frequent = [au for au in candidates if 2 * counts[au] >= len(valid)]
    if not frequent and any(counts.values()):
        frequent = [max(candidates, key=lambda au: counts[au])]
    sums = np.zeros(len(valid))
    for au in frequent:
        if au in track.intensity:
            sums += track.intensity[au][valid]
    # Rounded, so that the order of a sum's terms does not decide between equal frames.
    at = int(valid[int(np.argmax(np.round(sums, 6)))])
    present = [au for au in candidates if track.occurs(au)[at]]
    aus = {au: round(float(track.intensity[au][at]), 3) if au in track.intensity else None for au in present}
    known = [au for au in present if au in AU_WORDS]
    return {
        "frame": int(track.frames[at]),
        "timestamp": round(float(track.timestamps[at]), 3),
        "aus": aus,
        "words": {language: [AU_WORDS[au][language] for au in known] for language in ("zh", "en")},
        "pseudo_labels": pseudo_labels(aus),
    }
