"""What is read for a review: the annotations side by side, what was said between reviewer and annotators before, and
the history of a clip's record."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from annotator.clips.models import Clip, Corpus
from models_ml.metrics import lexicon_grouping

from .models import Annotation, AutoDecision, Claim, RecordRevision, Review
from .submissions import body_of


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def for_review(claim: Claim, annotations: Sequence[Annotation]) -> dict[str, Any]:
    """The keys that a claim on a review has beside the others: `annotations`, `label_groups`, `thread`, `record`.

    Annotators are A1, A2 … in the order of their claims: names that only tell the annotations of one clip apart, and
    stay the same over returns. `previous` is the revision that was returned, where it was answered since.
    """
    names = {annotation.claim_id: f"A{number}" for number, annotation in enumerate(annotations, 1)}
    reviews = list(Review.objects.filter(clip_id=claim.clip_id).select_related("annotation"))
    returned = {review.annotation.claim_id: review.annotation for review in reviews if review.decision == "return"}
    fine = (
        RecordRevision.objects.filter(record__clip_id=claim.clip_id, record__grade="fine").order_by("-number").first()
    )
    return {
        "annotations": [
            {
                "id": annotation.pk,
                "annotator": names[annotation.claim_id],
                "body": body_of(annotation),
                "submitted_at": _iso(annotation.submitted_at),
                "revision": annotation.revision,
                "mode": annotation.claim.slot.mode,
                "reply": annotation.reply,
                "previous": _previous(annotation, returned.get(annotation.claim_id)),
            }
            for annotation in annotations
        ],
        "label_groups": label_groups(annotations),
        "thread": _thread(reviews, names, claim.user_id),
        "record": fine and {"id": fine.record_id, "revision": fine.number, "origin": fine.source},
    }


def _previous(annotation: Annotation, returned: Annotation | None) -> dict[str, Any] | None:
    return body_of(returned) if returned is not None and returned.pk != annotation.pk else None


def label_groups(annotations: Sequence[Annotation]) -> dict[str, str]:
    """Label in lower case -> the lexicon's group of synonyms, over the OV labels of both languages; unknown: absent."""
    words = {word.strip().lower() for each in annotations for word in (*each.ov_zh, *each.ov_en)}
    return dict(lexicon_grouping("", sorted(words)))


def _thread(reviews: Sequence[Review], names: dict[int, str], reviewer_id: int) -> list[dict[str, Any]]:
    """Decisions in their order, a return with the answer that came to it."""
    answers = Annotation.objects.filter(claim_id__in=names, revision__gt=1).values_list("claim_id", "revision", "reply")
    replies = {(claim, revision): reply for claim, revision, reply in answers}
    return [
        {
            "decision": review.decision,
            "reason": review.reason,
            "annotator": names.get(review.annotation.claim_id),
            "at": _iso(review.created_at),
            "mine": review.reviewer_id == reviewer_id,
            "reply": replies.get((review.annotation.claim_id, review.annotation.revision + 1), "")
            if review.decision == "return"
            else "",
        }
        for review in reviews
    ]


def exchange(claim: Claim) -> list[dict[str, Any]]:
    """For the annotator: what reviewers wrote each time they returned this annotation, and the answers to it, oldest
    first; no query for a claim that was never returned."""
    if not claim.return_reason:
        return []
    own = Review.objects.filter(annotation__claim_id=claim.pk, decision="return").select_related("annotation")
    replies = dict(claim.annotations.values_list("revision", "reply"))
    return [
        {
            "reason": review.reason,
            "at": _iso(review.created_at),
            "reply": replies.get(review.annotation.revision + 1, ""),
        }
        for review in own
    ]


def auto_decisions(corpus: Corpus) -> QuerySet[AutoDecision]:
    """The log of the rule that accepts by itself; withdrawn clips are left out."""
    rows = AutoDecision.objects.filter(clip__corpus_id=corpus.pk, clip__withdrawn_at=None)
    return rows.select_related("clip", "revision")


def auto_decision_json(row: AutoDecision) -> dict[str, Any]:
    return {
        "id": row.pk,
        "clip": row.clip.name,
        "clip_id": row.clip_id,
        "accepted": row.accepted,
        "agreement": row.agreement,
        "threshold": row.threshold,
        "verdicts": row.parts.get("verdicts"),
        "labels": row.parts.get("labels"),
        "annotations": row.parts.get("annotations") or [],
        "annotation": row.annotation_id,
        "record": row.revision.record_id if row.revision else None,
        "revision": row.revision.number if row.revision else None,
        "created_at": _iso(row.created_at),
    }


def history(clip: Clip) -> list[dict[str, Any]]:
    """What people and the rule did about a clip's fine record, newest first: four queries.

    Each `{"kind": submitted|returned|accepted|agreed|referred|written, "at", "user", …}` with ids of people; the page
    puts pseudonyms in their place.
    """
    found: list[dict[str, Any]] = []
    for annotation in Annotation.objects.filter(clip=clip, claim__slot__kind="annotate").only(
        "id", "user_id", "revision", "reply", "submitted_at"
    ):
        found.append(
            {
                "kind": "submitted",
                "at": annotation.submitted_at,
                "user": annotation.user_id,
                "number": annotation.revision,
                "words": annotation.reply,
            }
        )
    for review in Review.objects.filter(clip=clip).select_related("annotation"):
        found.append(
            {
                "kind": "returned" if review.decision == "return" else "accepted",
                "at": review.created_at,
                "user": review.reviewer_id,
                "author": review.annotation.user_id,
                **_made(review),
                "words": review.reason,
            }
        )
    for decision in AutoDecision.objects.filter(clip=clip).select_related("annotation"):
        found.append(
            {
                "kind": "agreed" if decision.accepted else "referred",
                "at": decision.created_at,
                "user": None,
                "author": decision.annotation.user_id,
                "agreement": decision.agreement,
                "threshold": decision.threshold,
                "words": "",
            }
        )
    return sorted(found, key=lambda event: event["at"], reverse=True)


def _made(review: Review) -> dict[str, bool]:
    """Whether the reviewer put it together from several annotations, and whether some of it is their own."""
    said = review.sources
    parts = [set(ids) for ids in (*said.get("clues", []), *said.get("description", {}).values())]
    known = [ids for ids in parts if ids]
    merged = bool(known) and not set.intersection(*known)
    return {"merged": merged, "edited": review.edited is not None and (not merged or len(known) < len(parts))}
