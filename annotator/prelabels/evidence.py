"""From a clip's rows to the evidence that a step reads: only what the step needs is opened."""

from typing import Any

from annotator.clips import media
from annotator.clips.models import Clip
from models_ml.face import read_openface
from models_ml.steps import Evidence, StepSpec

from .baseline import speaker_baseline
from .models import Clue, Job


def missing_input(clip: Clip, spec: StepSpec) -> str:
    """Why the step has nothing to work on; "" when its inputs are there."""
    for need in spec.inputs:
        if need in ("audio", "video"):
            if clip.media not in ("stored", "reference"):
                return "the clip has no media here"
            if not getattr(clip, f"has_{need}"):
                return f"the clip has no {need}"
        elif need == "au" and not hasattr(clip, "au_track"):
            return "the clip has no action-unit track (OpenFace CSV)"
        elif need == "subtitle" and not clip.subtitles.exists():
            return "the clip has no subtitle"
    return ""


def gather(job: Job, spec: StepSpec) -> Evidence:
    """The evidence for one job. Raises AuTrackError and FileNotFoundError for the clip's own files, Gone."""
    clip = job.clip
    evidence = Evidence(
        name=clip.name,
        subtitle={"zh": None, "en": None} | dict(clip.subtitles.values_list("language", "text")),
        clues=clues_before(job) if set(spec.needs) > set(spec.inputs) else [],
        media_sha256=clip.media_sha256,
    )
    if "video" in spec.inputs:
        evidence.media_path = media.original_path(clip)
    if "audio" in spec.inputs:
        evidence.wav_path = media.wav_path(clip) or media.original_path(clip)
    if "au" in spec.inputs and (track := media.au_path(clip)):
        evidence.au = read_openface(track)
    if spec.name == "measured_prosody":
        evidence.baseline = speaker_baseline(clip)
    return evidence


def clues_before(job: Job) -> list[dict[str, Any]]:
    """What the earlier steps of this run said of the clip, in the plan's order, and pre-labels imported for it.

    Not "all current clues": what another run drafted meanwhile must not change what this run writes. But a step that
    is run without any before it has only those to work on.
    """
    found: list[dict[str, Any]] = []
    earlier = Job.objects.filter(run_id=job.run_id, clip_id=job.clip_id, step__in=job.after, state="done")
    for result in earlier.order_by("position", "id").values_list("result", flat=True):
        found += (result or {}).get("clues", [])
    known = Clue.objects.filter(clip_id=job.clip_id, superseded_at=None)
    if job.after:
        known = known.filter(prelabeller__kind="import")
    for clue in known.order_by("modality", "aspect", "prelabeller__name", "language"):
        found.append(
            {
                **{key: getattr(clue, key) for key in ("modality", "aspect", "language", "text", "codes", "texts")},
                "span": clue.span,
            }
        )
    return found
