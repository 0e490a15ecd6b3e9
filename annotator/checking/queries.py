"""What checking reads: a claim as its holder sees it, records, progress."""

import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from annotator.clips.access import corpora_where, may, require
from annotator.clips.models import Clip, Corpus, Membership
from annotator.core.errors import Gone, NotFound
from annotator.core.permissions import ACTIONS

from . import gold, leases
from .models import Annotation, Claim, Record, RecordRevision, Slot
from .payload import claim_payload, clue_json, iso

__all__ = ["claim_payload", "clue_json", "iso"]  # a claim as its holder sees it has a module of its own


def without_record(grade: str) -> Q:
    """Clips without a record of this grade: a condition in the filter of runs."""
    return ~Q(Exists(Record.objects.filter(clip=OuterRef("pk"), grade=grade)))


def _annotates(user: Any, corpus_id: int) -> bool:
    """Whether a membership (not being an admin) makes this person an annotator of the corpus."""
    may_claim, _what = ACTIONS["claim.annotate"]
    return Membership.objects.filter(user_id=user.pk or 0, corpus_id=corpus_id, role__in=may_claim).exists()


def blind_to(user: Any, clip: Clip) -> bool:
    """Whether this person may still annotate the clip, and so must not see what others wrote about it."""
    if not _annotates(user, clip.corpus_id):
        return False
    if Claim.objects.filter(user_id=user.pk, clip_id=clip.pk, state="submitted").exists():
        return False
    todo = Slot.objects.filter(clip_id=clip.pk, kind="annotate", state__in=["open", "claimed"])
    return todo.exists() or gold.unmet(user).filter(clip_id=clip.pk).exists()


def claim_to_read(user: Any, claim_id: int) -> Claim:
    """A claim for its holder, and for those who manage claims unless they may still annotate its clip themselves."""
    claim = leases.find_claim(user, claim_id, manage=True)
    if claim.user_id != user.pk and blind_to(user, claim.clip):
        raise NotFound(_("There is no such object, or you may not see it."))
    return claim


def pseudonym(corpus: Corpus, user_id: int | None) -> str | None:
    """A name for a person that is stable within the corpus and tells nothing outside it."""
    if user_id is None:
        return None
    message = f"pseudonym\n{corpus.slug}\n{user_id}".encode()
    return "p-" + hmac.new(settings.SECRET_KEY.encode(), message, hashlib.sha256).hexdigest()[:10]


def records_of(corpus: Corpus, *, user: Any, grade: str = "", search: str = "") -> QuerySet[Record]:
    """Current records of clips that were not withdrawn; `search` looks into the whole line.

    Fine records of clips that `user` may still annotate stay hidden from them, as in `blind_to`.
    """
    rows = Record.objects.filter(corpus_id=corpus.pk, clip__withdrawn_at=None, current__isnull=False)
    rows = rows.select_related("clip", "current")
    if grade:
        rows = rows.filter(grade=grade)
    if _annotates(user, corpus.pk):
        own = Claim.objects.filter(user_id=user.pk, clip_id=OuterRef("clip_id"), state="submitted")
        todo = Slot.objects.filter(clip_id=OuterRef("clip_id"), kind="annotate", state__in=["open", "claimed"])
        unmet = gold.unmet(user).filter(clip_id=OuterRef("clip_id"))
        rows = rows.exclude(Q(grade="fine") & (Exists(todo) | Exists(unmet)) & ~Exists(own))
    if search := search.replace("\x00", "").strip():
        rows = rows.filter(current__line__icontains=search)
    return rows


def record_for(user: Any, pk: int) -> Record:
    """The record if `user` may read it. Raises NotFound, Forbidden, and Gone when its clip was withdrawn."""
    record = (
        Record.objects.select_related("clip__corpus", "corpus", "current__annotation", "current__review")
        .filter(pk=pk, current__isnull=False)
        .first()
        if 0 < pk < 2**63
        else None
    )
    if record is None:
        raise NotFound(_("There is no such object, or you may not see it."))
    require(user, record.corpus, "record.view")
    if record.clip.withdrawn_at:
        raise Gone(_("The clip “%(name)s” was withdrawn.") % {"name": record.clip.name})
    if record.grade == "fine" and blind_to(user, record.clip):
        raise NotFound(_("There is no such object, or you may not see it."))
    return record


def record_json(record: Record) -> dict[str, Any]:
    """A record as lists show it: its canonical object and which revision it is."""
    current = record.current
    return {
        "id": record.pk,
        "clip_id": record.clip_id,
        "grade": record.grade,
        "revision": current.number if current else None,
        "sha256": current.sha256 if current else None,
        "origin": current.source if current else None,
        "created_at": iso(current.created_at) if current else None,
        "record": json.loads(current.line) if current else None,
    }


def record_detail(record: Record) -> dict[str, Any]:
    """A record with the list of its revisions."""
    revisions = RecordRevision.objects.filter(record_id=record.pk).order_by("number")
    return {
        **record_json(record),
        "revisions": [
            {
                "number": revision.number,
                "sha256": revision.sha256,
                "origin": revision.source,
                "detail": revision.source_detail or None,
                "created_at": iso(revision.created_at),
            }
            for revision in revisions
        ],
    }


def record_provenance(record: Record) -> dict[str, Any]:
    """From each sentence to the clue, the check, the model, the prompt version and the media hash."""
    revision = record.current
    if revision is None:
        raise NotFound(_("There is no such object, or you may not see it."))
    annotation, review = revision.annotation, revision.review
    return {
        "record": record.pk,
        "clip": record.clip.name,
        "grade": record.grade,
        "revision": revision.number,
        "sha256": revision.sha256,
        "origin": revision.source,
        "detail": revision.source_detail or None,
        "annotation": annotation.pk if annotation else None,
        "annotator": pseudonym(record.corpus, annotation.user_id if annotation else None),
        "reviewer": pseudonym(record.corpus, review.reviewer_id if review else None),
        "review_reason": review.reason or None if review else None,
        "edited_by_reviewer": bool(review and review.edited),
        "created_at": iso(revision.created_at),
        **{key: revision.provenance.get(key) for key in ("media_sha256", "clues", "sentences", "description")},
    }


def annotations_of(clip: Clip) -> QuerySet[Annotation]:
    """Every annotation of a clip with its checks; ask `blind_to` first."""
    return Annotation.objects.filter(clip=clip).select_related("claim").prefetch_related("checks").order_by("id")


def progress(corpora: Sequence[Corpus], user: Any) -> dict[int, dict[str, Any]]:
    """Slots by kind and state, records by grade, and what there is to do for `user`, by corpus id: six queries.

    Who does not manage gold clips is not told that there are any."""
    keys = [corpus.pk for corpus in corpora]
    may_annotate = set(corpora_where(user, "claim.annotate").filter(pk__in=keys).values_list("pk", flat=True))
    may_review = set(corpora_where(user, "claim.review").filter(pk__in=keys).values_list("pk", flat=True))
    found: dict[int, dict[str, Any]] = {
        key: {
            "slots": {},
            "records": {"coarse": 0, "fine": 0},
            "mine": {"annotate": key in may_annotate, "review": key in may_review, "live": 0, "returned": 0},
        }
        for key in keys
    }
    slots = Slot.objects.filter(corpus_id__in=keys).values_list("corpus_id", "kind", "state")
    for key, kind, state, number in slots.annotate(n=Count("id")).order_by():
        found[key]["slots"].setdefault(kind, {})[state] = number
    knows = set(corpora_where(user, "gold.manage").filter(pk__in=keys).values_list("pk", flat=True))
    for key in keys:
        if key not in knows:
            _without_gold(found[key]["slots"])
    records = Record.objects.filter(corpus_id__in=keys, clip__withdrawn_at=None).values_list("corpus_id", "grade")
    for key, grade, number in records.annotate(n=Count("id")).order_by():
        found[key]["records"][grade] = number
    mine = Claim.objects.filter(user_id=user.pk, corpus_id__in=keys, state__in=["live", "returned"])
    for key, state, number in mine.values_list("corpus_id", "state").annotate(n=Count("id")).order_by():
        found[key]["mine"][state] = number
    return found


def _without_gold(slots: dict[str, dict[str, int]]) -> None:
    """Counts in which a gold clip that somebody takes looks like any other: one less to do, one more in work."""
    gold_slots, annotate = slots.pop("gold", {}), slots.get("annotate", {})
    held, done = gold_slots.get("claimed", 0), gold_slots.get("done", 0)
    if held or done:
        annotate["open"] = max(annotate.get("open", 0) - held, 0)
        annotate["claimed"] = annotate.get("claimed", 0) + held
        annotate["done"] = annotate.get("done", 0) + done
        slots["annotate"] = annotate


def may_see_annotations(user: Any, clip: Clip) -> bool:
    """Those who read records, unless they may still annotate this clip themselves."""
    return may(user, clip.corpus, "record.view") and not blind_to(user, clip)
