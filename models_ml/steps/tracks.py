"""Steps on faces: making an AU track, finding the people of a clip, and leaving out clips without strong expression.

MERR (Emotion-LLaMA, arXiv 2406.11161) starts with these: OpenFace over every clip, pseudo-labels from combinations of
action units, and only clips with a strong expression go on.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

from models_ml.steps.types import Evidence, StepResult, provenance

TRACK_VERSION = "1"
FILTER_VERSION = "1"


def au_track(ev: Evidence) -> StepResult:
    """The clip's action units over time, by the tracker that the environment names (docs/faces.md).

    A clip that has a track keeps it. Skipped where no tracker is configured and where no face was tracked. Raises
    NotConfigured for a tracker that is named and not there, AuTrackError (tracker failed, too slow, wrote nonsense).
    """
    from models_ml.face import AuTrackError
    from models_ml.face.produce import HOW_TO, TrackerMissing, produce, tracker
    from models_ml.face.rows import NoFace
    from models_ml.llm import NotConfigured

    if ev.au is not None:
        source = provenance(ev, "au-track", 0.0, parameters={"version": TRACK_VERSION, "kept": True})
        return StepResult("done", "the clip has an action-unit track already and keeps it", provenance=source)
    try:
        found = tracker()
    except TrackerMissing as error:
        raise NotConfigured(f"not configured: {error}") from error
    if found is None:
        return StepResult("skipped", HOW_TO, provenance=provenance(ev, "au-track", 0.0))
    if ev.media_path is None:
        return StepResult("skipped", "the clip has no video", provenance=provenance(ev, "au-track", 0.0))
    started = time.monotonic()
    parameters: dict[str, Any] = {"version": TRACK_VERSION, "tracker": found.name}
    try:
        made = produce(Path(ev.media_path), found, ev.duration)
    except NoFace as nobody:
        source = provenance(ev, "au-track", time.monotonic() - started, parameters=parameters)
        return StepResult("skipped", str(nobody), provenance=source)
    except AuTrackError as error:
        raise AuTrackError(f"{ev.name}: {error}") from error
    parameters["producer"] = made.producer
    source = provenance(ev, "au-track", time.monotonic() - started, parameters=parameters)
    return StepResult("done", provenance=source, track={"csv": made.csv, "producer": made.producer})


def faces(ev: Evidence) -> StepResult:
    """The people seen in the clip (`models_ml.face.people`); nobody found is a finding, too. Raises MediaError."""
    from models_ml.face.people import DETECTOR, people

    if ev.media_path is None:
        return StepResult("skipped", "the clip has no video", provenance=provenance(ev, "faces", 0.0))
    started = time.monotonic()
    seen = people(ev.media_path)
    parameters = {"detector": DETECTOR, "people": len(seen)}
    source = provenance(ev, "faces", time.monotonic() - started, parameters=parameters)
    return StepResult("done", None if seen else "no face was found", provenance=source, faces=seen)


def au_filter(
    ev: Evidence,
    *,
    strength: float = 1.0,
    labels: list[str] | tuple[str, ...] = (),
    neutral_share: float = 0.0,
    seed: int = 0,
    rare_first: bool = False,
) -> StepResult:
    """Whether the clip goes on: its pseudo-label by the action units of the peak frame (`models_ml.face.label`).

    Kept: a combination whose mean intensity at the peak is at least `strength` (0..5) and whose label is among
    `labels` (none named: all). Of clips without one, `neutral_share` is kept, decided by the sha256 of seed and name,
    so never by the order of work. Left out clips carry the reason in `filtered`. The pseudo-label, the combination
    and its mean stand in `provenance["parameters"]`. Skipped without an AU track. Raises ValueError for a label that
    the table does not know.
    """
    from models_ml import face
    from models_ml.face.labels import LABELS, NEUTRAL

    unknown = sorted(set(labels) - set(LABELS))
    if unknown:
        raise ValueError(f"unknown pseudo-labels {', '.join(unknown)}: there are {', '.join(LABELS)}")
    if ev.au is None:
        reason = "the clip has no action-unit track (OpenFace CSV)"
        return StepResult("skipped", reason, provenance=provenance(ev, "au-filter", 0.0))
    started = time.monotonic()
    parameters: dict[str, Any] = {"version": FILTER_VERSION, "strength": strength, "labels": list(labels)}
    parameters |= {"neutral_share": neutral_share, "seed": seed, "rare_first": rare_first, **_person(ev)}
    why: str | None
    if not ev.au.valid().any():
        parameters |= {"pseudo_label": None}
        why = "no face is tracked in any frame"
    else:
        peak = face.peak(ev.au)
        found = face.label(peak["aus"], strength=strength, rare_first=rare_first)
        parameters |= {"pseudo_label": found["label"], "core": found["core"], "mean_intensity": found["mean"]}
        parameters |= {"peak": peak["timestamp"], "candidates": found["candidates"]}
        if found["label"] == NEUTRAL:
            why = None if _share(seed, ev.name) < neutral_share else _weak(found["candidates"], strength)
        elif labels and found["label"] not in labels:
            why = f"pseudo-label {found['label']} ({_told(found)}) is not among {', '.join(labels)}"
        else:
            why = None
    source = provenance(ev, "au-filter", time.monotonic() - started, parameters=parameters)
    return StepResult("done", provenance=source, filtered=why)


def _person(ev: Evidence) -> dict[str, Any]:
    return {} if ev.person is None else {"person": ev.person.get("track")}


def _share(seed: int, name: str) -> float:
    """A number in 0..1 that depends on seed and clip only."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8]) / 2**64


def _told(found: dict[str, Any]) -> str:
    return f"{' + '.join(found['core'])}, mean {found['mean']:g}"


def _weak(candidates: list[dict[str, Any]], strength: float) -> str:
    if not candidates:
        return "no expression: no known combination of action units at the peak"
    best = candidates[0]
    return f"no strong expression: {best['label']} ({_told(best)}) is below {strength:g}"
