"""What jobs write: clues and description drafts. Never edits what was written before; it supersedes."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models.functions import Now

from annotator.clips import media, people
from annotator.clips.models import Clip
from models_ml.steps import StepResult

from . import gating, plans
from .models import Clue, DescriptionDraft, Job, PreLabeller
from .outcomes import Model

Written = tuple[Job, StepResult, Model | None]


def prelabellers_for(written: Sequence[Written]) -> dict[int, PreLabeller]:
    """The pre-labeller of each job's output by job id, made at its first use."""
    rows: dict[tuple[Any, ...], PreLabeller] = {}
    found: dict[int, PreLabeller] = {}
    for job, result, endpoint in written:
        drafted_as = result.provenance.get("prelabeller") or plans.prelabeller_name(plans.base_step(job.step))
        model = (endpoint.model, endpoint.trust) if endpoint else None
        key = (job.step, drafted_as, model, job.clip.corpus.language)
        if key not in rows:
            rows[key] = plans.prelabeller_row(job.step, drafted_as, endpoint, job.clip.corpus.language)
        found[job.pk] = rows[key]
    return found


def store_outputs(written: Sequence[Written], prelabellers: dict[int, PreLabeller]) -> dict[int, dict[str, Any]]:
    """Write what done jobs found (clues, drafts, tracks, people) in their transaction; what each keeps, by job id.

    Call it with the clips locked: two runs that finish on one clip at once follow each other.
    """
    results: dict[int, dict[str, Any]] = {}
    sources: list[tuple[Job, StepResult, dict[str, Any]]] = []
    drafted: list[tuple[int, Drafted]] = []
    for job, result, _endpoint in written:
        language = job.clip.corpus.language
        clues = [in_language(item, language) for item in result.clues]
        provenance = result.provenance | {"prelabeller": prelabellers[job.pk].name}
        results[job.pk] = {"clues": clues, "clue_ids": [], "description": None, "ov_labels": None}
        if plans.spec_of(job.step).produces == "clue":
            drafted.append((job.pk, Drafted(job.clip, prelabellers[job.pk], clues, provenance, job)))
        if result.track is not None:
            media.store_au_track(job.clip, result.track["csv"], result.track["producer"])
            people.refresh_peaks([job.clip_id])
        if result.faces is not None:
            people.store_people(job.clip, result.faces, result.provenance["parameters"]["detector"])
        if result.description is not None:
            sources.append((job, result, provenance))
    current = supersede_many([each for _pk, each in drafted])
    gating.judge_stored(clue for rows in current for clue in rows)
    for (pk, _each), rows in zip(drafted, current, strict=True):
        results[pk]["clue_ids"] = [clue.pk for clue in rows]
    drafts = DescriptionDraft.objects.bulk_create(
        [_draft(job, result, prelabellers[job.pk], provenance) for job, result, provenance in sources]
    )
    for (job, result, _provenance), draft in zip(sources, drafts, strict=True):
        results[job.pk] |= {"description": result.description, "ov_labels": result.ov_labels, "draft_id": draft.pk}
    return results


def _draft(job: Job, result: StepResult, source: PreLabeller, provenance: dict[str, Any]) -> DescriptionDraft:
    description, labels = result.description or {}, result.ov_labels or {}
    return DescriptionDraft(
        clip_id=job.clip_id,
        job=job,
        prelabeller=source,
        description_zh=description.get("zh") or "",
        description_en=description.get("en") or "",
        ov_zh=labels.get("zh") or [],
        ov_en=labels.get("en") or [],
        provenance=provenance,
    )


def in_language(item: dict[str, Any], language: str) -> dict[str, Any]:
    """A clue that exists in both languages, told in the corpus's."""
    text = (item.get("texts") or {}).get(language)
    return {**item, "language": language, "text": text} if text else item


def content_sha256(item: dict[str, Any], person: int | None = None) -> str:
    """Hash of what a clue says, whoever said it, and of which person, where somebody chose one of several."""
    content: dict[str, Any] = {
        key: item.get(key) for key in ("modality", "aspect", "language", "text", "texts", "codes", "span")
    }
    if person is not None:
        content["person"] = person
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass
class Drafted:
    """What one pre-labeller says of one clip now: all of it, or only one modality, aspect and language."""

    clip: Clip
    prelabeller: PreLabeller
    items: list[dict[str, Any]]
    provenance: dict[str, Any]
    job: Job | None = None
    only: tuple[str, str, str] | None = None


def supersede(
    clip: Clip,
    prelabeller: PreLabeller,
    items: Iterable[dict[str, Any]],
    provenance: dict[str, Any],
    *,
    job: Job | None = None,
    only: tuple[str, str, str] | None = None,
) -> list[Clue]:
    """Make `items` the current clues of this pre-labeller on this clip; see `supersede_many`."""
    return supersede_many([Drafted(clip, prelabeller, list(items), provenance, job, only)])[0]


def supersede_many(drafted: Sequence[Drafted], *, judge: bool = True) -> list[list[Clue]]:
    """Make each one's items the current clues of its pre-labeller on its clip; call it with the clips locked.

    A clue stays the current one (checks go on referring to it) where neither its content changed nor the person of
    whom it speaks; all others of the pre-labeller (or only those of one modality, aspect and language) get their end
    time. Returns the current clues of each, in the order of its items: three statements for all. Without `judge` what
    is new waits for a worker to hold it against the evidence (`gating.judge_pending`).
    """
    if len({(each.clip.pk, each.prelabeller.pk) for each in drafted}) < len(drafted):
        return [supersede_many([each], judge=judge)[0] for each in drafted]
    current: dict[tuple[int, int], dict[tuple[str, str, str], Clue]] = defaultdict(dict)
    rows = Clue.objects.filter(
        clip__in={each.clip.pk for each in drafted},
        prelabeller__in={each.prelabeller.pk for each in drafted},
        superseded_at=None,
    )
    for clue in rows if drafted else ():
        current[clue.clip_id, clue.prelabeller_id][clue.modality, clue.aspect, clue.language] = clue
    ended: list[int] = []
    new: list[Clue] = []
    found: list[list[Clue]] = []
    for each in drafted:
        before = current[each.clip.pk, each.prelabeller.pk]
        mine: list[Clue] = []
        for item in each.items:
            key = (item["modality"], item["aspect"], item["language"])
            sha256 = content_sha256(item, (each.provenance.get("parameters") or {}).get("person"))
            if key in before and before[key].content_sha256 == sha256:
                mine.append(before.pop(key))
            else:
                mine.append(_clue(each, item, sha256))
                new.append(mine[-1])
        ended += [clue.pk for key, clue in before.items() if each.only in (None, key)]
        found.append(mine)
    if ended:
        Clue.objects.filter(pk__in=ended).update(superseded_at=Now())
    if judge:
        gating.judge_new(new)
    Clue.objects.bulk_create(new)
    return found


def _clue(each: Drafted, item: dict[str, Any], sha256: str) -> Clue:
    start, end = item.get("span") or (None, None)
    return Clue(
        clip=each.clip,
        prelabeller=each.prelabeller,
        job=each.job,
        **{key: item[key] for key in ("modality", "aspect", "language", "text")},
        texts=item.get("texts"),
        codes=item.get("codes"),
        span_start=start,
        span_end=end,
        provenance=each.provenance,
        content_sha256=sha256,
    )
