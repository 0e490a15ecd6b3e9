"""The frame in which the face is most expressive, and what its action units suggest.

Peak frame after Emotion-LLaMA (Cheng et al., NeurIPS 2024, section on the MERR dataset): the most frequent
AUs of the clip are summed per frame, the highest sum is the peak, and its AUs are put into words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from models_ml.face.track import AuTrack, AuTrackError
from models_ml.face.words import AU_WORDS

#: Prototypes after EMFACS (Friesen & Ekman 1983; table in Ekman, Friesen & Hager, FACS Investigator's
#: Guide, 2002). The first set of a label is its core: the label is named only when it is complete.
#: The second holds AUs that support it. `worried` is fear without the wide-open eyes (MER2023's word).
PROTOTYPES: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "happy": (frozenset({"AU06", "AU12"}), frozenset({"AU25"})),
    "surprise": (frozenset({"AU05", "AU26"}), frozenset({"AU01", "AU02", "AU25"})),
    "sad": (frozenset({"AU01", "AU04", "AU15"}), frozenset({"AU06", "AU17"})),
    "angry": (frozenset({"AU04", "AU05", "AU07", "AU23"}), frozenset({"AU10", "AU17", "AU25", "AU26"})),
    "fear": (frozenset({"AU01", "AU02", "AU04", "AU05", "AU20"}), frozenset({"AU07", "AU25", "AU26"})),
    "worried": (frozenset({"AU01", "AU04", "AU20"}), frozenset({"AU02", "AU07", "AU25"})),
    "disgust": (frozenset({"AU09", "AU10"}), frozenset({"AU04", "AU07", "AU15", "AU17"})),
    "contempt": (frozenset({"AU14"}), frozenset({"AU10", "AU12"})),
}


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


def pseudo_labels(aus: Iterable[str] | Mapping[str, float | None]) -> list[str]:
    """Emotion words whose core AUs are all there, best first; [] when no prototype is complete.

    Ordered by the size of the core, then the supporting AUs found, then, with intensities, the core's mean.
    """
    strength = dict(aus) if isinstance(aus, Mapping) else dict.fromkeys(aus, 1.0)
    ranked = []
    for order, (label, (core, support)) in enumerate(PROTOTYPES.items()):
        if core <= strength.keys():
            mean = sum(strength[au] or 0.0 for au in core) / len(core)
            ranked.append((-len(core), -len(support & strength.keys()), -mean, order, label))
    return [entry[-1] for entry in sorted(ranked)]
