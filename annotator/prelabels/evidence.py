"""From clips' rows to the evidence that steps read: the rows of a batch of jobs in a fixed number of queries, and
files only when a step opens them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from annotator.clips import media, people
from annotator.clips.models import Clip, DerivedMedia, Subtitle
from models_ml.face import read_openface
from models_ml.steps import STEPS, Evidence, StepSpec

from . import plans
from .baseline import speaker_baseline
from .models import Clue, Job

CLUE_FIELDS = ("modality", "aspect", "language", "text", "codes", "texts")


@dataclass
class Facts:
    """What the database knows for one job, so that the work itself asks it nothing."""

    subtitle: dict[str, str | None] = field(default_factory=lambda: {"zh": None, "en": None})
    derived: dict[str, DerivedMedia] = field(default_factory=dict)
    clues: list[dict[str, Any]] = field(default_factory=list)
    draft: dict[str, Any] | None = None
    person: dict[str, Any] | None = None


def missing_input(clip: Clip, spec: StepSpec, facts: Facts) -> str:
    """Why the step has nothing to work on; "" when its inputs are there."""
    for need in spec.inputs:
        if need in ("audio", "video", "media"):
            if clip.media not in ("stored", "reference"):
                return "the clip has no media here"
            if need != "media" and not getattr(clip, f"has_{need}"):
                return f"the clip has no {need}"
        elif need == "au" and getattr(clip, "au_track", None) is None:
            return "the clip has no action-unit track (OpenFace CSV)"
        elif need == "subtitle" and not any(facts.subtitle.values()):
            return "the clip has no subtitle"
    return ""


def gather_many(jobs: Sequence[Job]) -> dict[int, Facts]:
    """The facts for each job by its id, in a fixed number of queries however many jobs there are.

    Call it with jobs as `claims.loaded` gives them.
    """
    found = {job.pk: Facts() for job in jobs}
    clip_ids = {job.clip_id for job in jobs}
    subtitles: dict[int, dict[str, str]] = defaultdict(dict)
    for clip_id, language, text in Subtitle.objects.filter(clip__in=clip_ids).values_list(
        "clip_id", "language", "text"
    ):
        subtitles[clip_id][language] = text
    derived: dict[int, dict[str, DerivedMedia]] = defaultdict(dict)
    listens = {job.clip_id for job in jobs if {"audio", "video", "media"} & set(plans.spec_of(job.step).inputs)}
    if listens:
        for row in DerivedMedia.objects.filter(clip__in=listens, kind__in=["wav", "muted"]):
            derived[row.clip_id][row.kind] = row
    readers = [job for job in jobs if _reads_others(plans.spec_of(job.step))]
    earlier, drafts = _said_before(readers)
    known = _known_clues(readers)
    looking = [job.clip for job in jobs if _looks(plans.spec_of(job.step))]
    persons = people.for_clips(looking) if looking else {}
    for job in jobs:
        facts = found[job.pk]
        facts.person = persons.get(job.clip_id)
        facts.subtitle |= subtitles[job.clip_id]
        facts.derived = derived[job.clip_id]
    for job in readers:
        found[job.pk].clues = earlier[job.pk] + known[job.pk]
        found[job.pk].draft = drafts.get(job.pk)
    return found


def _looks(spec: StepSpec) -> bool:
    """Whether the step speaks of a person: it reads the AU track, asks a model, or describes."""
    return spec.endpoint is not None or "au" in spec.inputs or spec.produces == "description"


def _reads_others(spec: StepSpec) -> bool:
    """Whether the step reads what others wrote about the clip, and does not only wait for them."""
    return any(STEPS[need].produces in ("clue", "description") for need in spec.needs if need in STEPS)


def _said_before(jobs: Sequence[Job]) -> tuple[dict[int, list[dict[str, Any]]], dict[int, dict[str, Any]]]:
    """By job id: the clues of the steps before it in its run, in the plan's order, and the newest description."""
    clues: dict[int, list[dict[str, Any]]] = defaultdict(list)
    drafts: dict[int, dict[str, Any]] = {}
    waiting = [job for job in jobs if job.after]
    if not waiting:
        return clues, drafts
    results: dict[tuple[int, int], dict[str, tuple[int, int, Any]]] = defaultdict(dict)
    rows = Job.objects.filter(
        run__in={job.run_id for job in waiting},
        clip__in={job.clip_id for job in waiting},
        step__in={step for job in waiting for step in job.after},
        state="done",
    ).values_list("run_id", "clip_id", "step", "position", "id", "result")
    for run_id, clip_id, step, position, pk, result in rows:
        results[run_id, clip_id][step] = (position, pk, result or {})
    for job in waiting:
        mine = results[job.run_id, job.clip_id]
        for _position, _pk, result in sorted(
            (mine[step] for step in job.after if step in mine), key=lambda row: row[:2]
        ):
            clues[job.pk] += result.get("clues", [])
            if result.get("description"):
                drafts[job.pk] = {key: result.get(key) for key in ("description", "ov_labels")}
    return clues, drafts


def _known_clues(jobs: Sequence[Job]) -> dict[int, list[dict[str, Any]]]:
    """By job id: pre-labels imported for its clip, and for a step that is run alone all of the clip's current clues.

    Not "all current clues" for the others: what another run drafted meanwhile must not change what this run writes.
    """
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    if not jobs:
        return found
    rows = Clue.objects.filter(clip__in={job.clip_id for job in jobs}, superseded_at=None).select_related("prelabeller")
    if all(job.after for job in jobs):
        rows = rows.filter(prelabeller__kind="import")
    by_clip: dict[int, list[Clue]] = defaultdict(list)
    for clue in rows.order_by("clip_id", "modality", "aspect", "prelabeller__name", "language"):
        by_clip[clue.clip_id].append(clue)
    for job in jobs:
        found[job.pk] = [
            {**{key: getattr(clue, key) for key in CLUE_FIELDS}, "span": clue.span}
            for clue in by_clip[job.clip_id]
            if not job.after or clue.prelabeller.kind == "import"
        ]
    return found


def build(job: Job, spec: StepSpec, facts: Facts) -> Evidence:
    """The evidence for one job, with the files that its step reads. Asks the database for a speaker's baseline only.

    Raises AuTrackError and FileNotFoundError for the clip's own files, Gone.
    """
    clip = job.clip
    evidence = Evidence(
        name=clip.name,
        subtitle=facts.subtitle,
        clues=facts.clues,
        media_sha256=clip.media_sha256,
        draft=facts.draft,
        person=facts.person,
        duration=clip.duration,
    )
    if "video" in spec.inputs:
        evidence.media_path = media.original_path(clip)
        if spec.endpoint and (muted := facts.derived.get("muted")):
            evidence.muted_path = media.local_file(muted)
    if "media" in spec.inputs:
        evidence.media_path = media.original_path(clip)
        if wav := facts.derived.get("wav"):
            evidence.wav_path = media.local_file(wav)
    if "audio" in spec.inputs:
        wav = facts.derived.get("wav")
        evidence.wav_path = media.local_file(wav) if wav else media.original_path(clip)
    if "au" in spec.inputs:
        evidence.au = people.au_track(clip, facts.person)
    elif spec.produces == "au_track" and (track := media.au_path(clip)):
        evidence.au = read_openface(track)  # the step sees that there is one, and keeps it
    if spec.name == "measured_prosody":
        evidence.baseline = speaker_baseline(clip)
    return evidence


def gather(job: Job, spec: StepSpec) -> Evidence:
    """The evidence for one job, as `build` gives it."""
    return build(job, spec, gather_many([job])[job.pk])


def clues_before(job: Job) -> list[dict[str, Any]]:
    """What a job's step works on besides its clip: see `gather_many`."""
    return gather_many([job])[job.pk].clues


__all__ = ["Facts", "build", "clues_before", "gather", "gather_many", "missing_input"]
