"""Every write of checking, under one name each; pages, API, commands and admin call these.

The verbs stand where their subject does: leases (claims), submissions (drafts, annotations), reviews, summaries,
records.
"""

from typing import Any

from annotator.prelabels.models import DescriptionDraft
from annotator.prelabels.services import clues_for

from . import records
from .leases import claim_clip, close_slots, is_live, open_slots, release, renew, skip, sweep
from .models import RecordRevision
from .queue import call_here, claim_here, claim_next, fit_languages
from .reviews import decide
from .submissions import fit_slots, save_draft, submit
from .summaries import summarise


def record_draft(draft: DescriptionDraft) -> RecordRevision | None:
    """The coarse record of a clip gets a revision from a run's description draft, exactly one per draft.

    Call it inside the job's transaction. None for a withdrawn clip, and for a draft that has its revision already.
    """
    if draft.clip.withdrawn_at or RecordRevision.objects.filter(draft=draft).exists():
        return None
    detail: Any = draft.job.run.pipeline
    return records.write(
        draft.clip,
        "coarse",
        records.drafted_content(draft, clues_for(draft.clip)),
        source="run",
        source_detail=str(detail),
        draft=draft,
        described_by=[records.draft_source(draft)],
    )


__all__ = [
    "claim_clip",
    "call_here",
    "claim_here",
    "claim_next",
    "close_slots",
    "decide",
    "fit_languages",
    "fit_slots",
    "is_live",
    "open_slots",
    "record_draft",
    "release",
    "renew",
    "save_draft",
    "skip",
    "submit",
    "summarise",
    "sweep",
]
