"""From action units to an emotion word: complete combinations name it, and only strong ones count for the filter.

Sources. EMFACS: Friesen & Ekman 1983; the table of predictions in Ekman, Friesen & Hager, FACS Investigator's Guide,
2002. Du, Tao & Martinez, Compound facial expressions of emotion, PNAS 111 (2014), table 1. MERR: Cheng et al.,
Emotion-LLaMA, NeurIPS 2024, from which the four combinations of surprise, happy, sad and angry are taken as they stand.
Units that OpenFace does not tell (AU11, AU16, AU22, AU24, AU27) are left out of a combination.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

#: label -> (core, support). A label is named only when its core is complete; the support orders labels.
#: `worried` is fear without the wide-open eyes (MER2023's word).
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

#: Combinations that stand for a label as well; one that is complete ranks behind every complete prototype.
VARIANTS: dict[str, tuple[frozenset[str], ...]] = {
    "surprise": (frozenset({"AU01", "AU02", "AU05"}), frozenset({"AU01", "AU02", "AU26"})),  # EMFACS
    "sad": (frozenset({"AU06", "AU15"}), frozenset({"AU04", "AU15"})),  # EMFACS; Du et al.
    # EMFACS: the prototype without one of AU04, AU05, AU07.
    "angry": (
        frozenset({"AU04", "AU07", "AU23"}),
        frozenset({"AU04", "AU05", "AU23"}),
        frozenset({"AU05", "AU07", "AU23"}),
    ),
    "fear": (frozenset({"AU01", "AU02", "AU04", "AU05"}), frozenset({"AU05", "AU20"})),  # EMFACS
    "disgust": (frozenset({"AU09", "AU17"}), frozenset({"AU10", "AU17"}), frozenset({"AU09"})),  # EMFACS
}

#: What MERR found too seldom to keep (two clips of disgust): looked for before the common ones where that is asked.
RARE = ("disgust",)

STRENGTH = 1.0  # least mean intensity (0..5) of a core at the peak; FACS scores traces as A = 1
LABELS = tuple(PROTOTYPES)
NEUTRAL = "neutral"


def pseudo_labels(aus: Iterable[str] | Mapping[str, float | None]) -> list[str]:
    """Emotion words whose core AUs are all there, best first; [] when no combination is complete.

    Prototypes before variants; then by the size of the core, the supporting AUs found, and, with intensities, the
    core's mean.
    """
    return [entry["label"] for entry in _complete(aus)]


def label(aus: Mapping[str, float | None], *, strength: float = STRENGTH, rare_first: bool = False) -> dict[str, Any]:
    """What the AUs of a peak frame (`peak(track)["aus"]`) come to: `{label, core, mean, candidates}`.

    `label` is the best combination whose core has a mean intensity of at least `strength` (an AU without an
    intensity counts 0), "neutral" where none has. With `rare_first` a strong rare label (RARE) goes before the others.
    `candidates`: every complete combination as `{label, core, mean}`, best first.
    """
    candidates = [{key: entry[key] for key in ("label", "core", "mean")} for entry in _complete(aus)]
    strong = [entry for entry in candidates if entry["mean"] >= strength]
    if rare_first:
        strong.sort(key=lambda entry: entry["label"] not in RARE)
    best = strong[0] if strong else {"label": NEUTRAL, "core": [], "mean": None}
    return {**best, "candidates": candidates}


def _complete(aus: Iterable[str] | Mapping[str, float | None]) -> list[dict[str, Any]]:
    """Every label with a complete combination, its best one, best label first."""
    strength = dict(aus) if isinstance(aus, Mapping) else dict.fromkeys(aus, 1.0)
    found: dict[str, tuple[tuple[float, ...], dict[str, Any]]] = {}
    for order, (name, (prototype, support)) in enumerate(PROTOTYPES.items()):
        for place, core in enumerate((prototype, *VARIANTS.get(name, ()))):
            if not core <= strength.keys():
                continue
            mean = sum(strength[au] or 0.0 for au in core) / len(core)
            helped = len(((support | prototype) - core) & strength.keys())
            rank = (bool(place), -len(core), -helped, -mean, order)
            entry = {"label": name, "core": sorted(core), "mean": round(mean, 3)}
            if name not in found or rank < found[name][0]:
                found[name] = rank, entry
    return [entry for _rank, entry in sorted(found.values(), key=lambda pair: pair[0])]
