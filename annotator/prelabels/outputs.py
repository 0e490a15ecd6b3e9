"""What a job writes: clues and a description draft. Never edits what was written before; it supersedes."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from django.db.models.functions import Now

from annotator.clips.models import Clip
from models_ml.llm import Endpoint
from models_ml.steps import StepResult

from . import plans
from .models import Clue, DescriptionDraft, Job, PreLabeller
from .signals import draft_written


def store_outputs(job: Job, result: StepResult, endpoint: Endpoint | None) -> dict[str, Any]:
    """Write a step's clues and description inside the job's transaction; what the job keeps as its result.

    The clip is locked: two runs that finish on one clip at once follow each other.
    """
    clip = Clip.objects.select_for_update(no_key=True).get(pk=job.clip_id)
    drafted_as = result.provenance.get("prelabeller") or plans.prelabeller_name(plans.base_step(job.step))
    prelabeller = plans.prelabeller_row(job.step, drafted_as, endpoint, job.clip.corpus.language)
    provenance = result.provenance | {"prelabeller": prelabeller.name}
    clues = [in_language(item, job.clip.corpus.language) for item in result.clues]
    stored: dict[str, Any] = {"clues": clues, "clue_ids": [], "description": None, "ov_labels": None}
    if plans.spec_of(job.step).produces == "clue":
        written = supersede(clip, prelabeller, clues, provenance, job=job)
        stored["clue_ids"] = [clue.pk for clue in written]
    if result.description is not None:
        labels = result.ov_labels or {}
        draft = DescriptionDraft.objects.create(
            clip=clip,
            job=job,
            prelabeller=prelabeller,
            description_zh=result.description.get("zh") or "",
            description_en=result.description.get("en") or "",
            ov_zh=labels.get("zh") or [],
            ov_en=labels.get("en") or [],
            provenance=provenance,
        )
        stored |= {"description": result.description, "ov_labels": result.ov_labels, "draft_id": draft.pk}
        draft_written.send(sender=DescriptionDraft, draft=draft)
    return stored


def in_language(item: dict[str, Any], language: str) -> dict[str, Any]:
    """A clue that exists in both languages, told in the corpus's."""
    text = (item.get("texts") or {}).get(language)
    return {**item, "language": language, "text": text} if text else item


def content_sha256(item: dict[str, Any]) -> str:
    """Hash of what a clue says, whoever said it."""
    content = {key: item.get(key) for key in ("modality", "aspect", "language", "text", "texts", "codes", "span")}
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def supersede(
    clip: Clip,
    prelabeller: PreLabeller,
    items: Iterable[dict[str, Any]],
    provenance: dict[str, Any],
    *,
    job: Job | None = None,
    only: tuple[str, str, str] | None = None,
) -> list[Clue]:
    """Make `items` the current clues of this pre-labeller on this clip; call it with the clip locked.

    A clue whose content did not change stays the current one (checks go on referring to it); all others of the
    pre-labeller (or only those of one modality, aspect and language) get their end time. Returns the current clues,
    in the order of `items`.
    """
    current = {
        (clue.modality, clue.aspect, clue.language): clue
        for clue in Clue.objects.filter(clip=clip, prelabeller=prelabeller, superseded_at=None)
        if only is None or only == (clue.modality, clue.aspect, clue.language)
    }
    rows: list[Clue | tuple[dict[str, Any], str]] = []
    for item in items:
        key = (item["modality"], item["aspect"], item["language"])
        sha256 = content_sha256(item)
        unchanged = key in current and current[key].content_sha256 == sha256
        rows.append(current.pop(key) if unchanged else (item, sha256))
    if current:
        Clue.objects.filter(pk__in=[clue.pk for clue in current.values()]).update(superseded_at=Now())
    return [row if isinstance(row, Clue) else _write(clip, prelabeller, *row, provenance, job) for row in rows]


def _write(
    clip: Clip, prelabeller: PreLabeller, item: dict[str, Any], sha256: str, provenance: dict[str, Any], job: Job | None
) -> Clue:
    start, end = item.get("span") or (None, None)
    return Clue.objects.create(
        clip=clip,
        prelabeller=prelabeller,
        job=job,
        **{key: item[key] for key in ("modality", "aspect", "language", "text")},
        texts=item.get("texts"),
        codes=item.get("codes"),
        span_start=start,
        span_end=end,
        provenance=provenance,
        content_sha256=sha256,
    )
