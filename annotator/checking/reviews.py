"""Review: one person who did not annotate the clip decides over its annotations."""

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from annotator.clips.access import may, require
from annotator.clips.models import Clip
from annotator.core import audit
from annotator.core.errors import Conflict, Gone, Invalid, NotFound, WorkbenchError

from . import bodies, idempotency, leases, merging, records
from .models import Annotation, Claim, Review, Slot
from .submissions import body_of, keep, open_review

MAX_REASON = 2_000


def current_annotations(clip_id: int) -> list[Annotation]:
    """The last revision of every submitted annotation of a clip, oldest claim first."""
    return list(
        Annotation.objects.filter(clip_id=clip_id, claim__state="submitted", claim__slot__kind="annotate")
        .order_by("claim_id", "-revision")
        .distinct("claim_id")
        .select_related("claim__slot")
        .prefetch_related("checks")
    )


def decide(
    user: Any,
    claim_id: int,
    *,
    decision: str,
    annotation_id: int | None = None,
    reason: str = "",
    body: Any = None,
    key: str | None = None,
) -> dict[str, Any]:
    """Accept an annotation (as it is, or as `body` puts it) into the fine record, or return it with a reason.

    `body` may be edited and may take its parts from any of the clip's annotations; which of them said what is found by
    comparing, and kept in `Review.sources`. Answers `{"review", "record"}`. Accepting writes a new revision of the fine
    record with source "review" and never touches the coarse one. Returning makes the annotator's claim `returned`:
    offered first to them, with the reason; their resubmission opens the review again. Sent twice it is answered the
    same; Conflict `already-decided` when the second decision differs, `claim-lost` when the lease had ended and
    somebody else reviews.
    """
    asked = {"decision": decision, "annotation": annotation_id, "reason": reason, "body": body}
    _check_call(asked)
    route = f"decide {claim_id}"
    with transaction.atomic():
        answer = idempotency.recall(user, key, route, asked)
        if answer is not None:
            return answer
        outcome = _decide(user, leases.lock_claim(user, claim_id), asked)
        if isinstance(outcome, dict):
            idempotency.remember(user, key, route, asked, outcome)
    if isinstance(outcome, WorkbenchError):
        raise outcome
    return outcome


def _check_call(asked: dict[str, Any]) -> None:
    errors: dict[str, str] = {}
    if asked["decision"] not in ("accept", "return"):
        errors["decision"] = _("The decision is accept or return.")
    reason = asked["reason"]
    if not isinstance(reason, str):
        errors["reason"] = _("A text is wanted here.")
    elif problem := bodies.text_problem(reason, MAX_REASON):
        errors["reason"] = problem
    elif asked["decision"] == "return" and not reason.strip():
        errors["reason"] = _("Returning needs a reason that the annotator can act on.")
    if asked["body"] is not None:
        if asked["decision"] == "return":
            errors["body"] = _("Only what is accepted can be edited.")
        else:
            bodies.draft(asked["body"])
    if errors:
        raise Invalid(_("Some fields are wrong."), errors=errors)


def _decide(user: Any, claim: Claim, asked: dict[str, Any]) -> dict[str, Any] | WorkbenchError:
    if claim.slot.kind != "review":
        raise Conflict(_("An annotation is submitted, not decided."), code="wrong-kind")
    if claim.state == "submitted":
        return _again(claim, asked)
    if not leases.hold(claim):
        if asked["body"] is not None:
            keep(claim, asked["body"])
        Claim.objects.filter(pk=claim.pk).update(state="lost")
        return leases.lost()
    current = current_annotations(claim.clip_id)
    annotation = _chosen(current, asked["annotation"])
    edited = _edited(asked["body"], annotation, current)
    review = Review.objects.create(
        claim=claim,
        clip_id=claim.clip_id,
        reviewer_id=claim.user_id,
        decision=asked["decision"],
        annotation=annotation,
        edited=edited,
        reason=asked["reason"],
        sources=merging.sources(edited, current) if edited else {},
    )
    record = None
    if asked["decision"] == "accept":
        record = _accept(user, claim, review, current).record_id
    else:
        _return(annotation, asked["reason"])
    claim.state = "submitted"
    claim.save(update_fields=["state", "updated_at"])
    Slot.objects.filter(pk=claim.slot_id).update(state="done")
    audit.record(
        user,
        f"review.{asked['decision']}",
        corpus=claim.corpus.slug,
        target=f"claim {claim.pk}",
        clip=claim.clip.name,
        annotation=annotation.pk,
        review=review.pk,
    )
    return {"record": record, "review": review.pk}


def _chosen(annotations: list[Annotation], annotation_id: int | None) -> Annotation:
    """The annotation decided over: the named one, or the only one."""
    current = {annotation.pk: annotation for annotation in annotations}
    if annotation_id is None and len(current) == 1:
        return next(iter(current.values()))
    if annotation_id not in current:
        message = _("Choose one of the clip's annotations: %(ids)s.") % {"ids": ", ".join(map(str, current))}
        raise Invalid(message, errors={"annotation": message})
    return current[annotation_id]


def _edited(body: Any, annotation: Annotation, annotations: list[Annotation]) -> dict[str, Any] | None:
    """The reviewer's body made regular, None where it says what the annotation says."""
    if body is None:
        return None
    offered = merging.clues_to_decide(body, annotation, annotations)
    clean = bodies.final(body, offered, duration=annotation.clip.duration)
    return None if merging.decided(clean) == merging.decided(body_of(annotation)) else clean


def _accept(user: Any, claim: Claim, review: Review, annotations: list[Annotation]) -> Any:
    annotation = review.annotation
    others = [other for other in annotations if other.pk != annotation.pk] if review.edited else []
    return records.write(
        claim.clip,
        "fine",
        records.checked_content(review.edited or body_of(annotation)),
        source="review",
        annotation=annotation,
        review=review,
        described_by=[draft for each in (annotation, *others) for draft in records.proposals(each.claim)],
        user=user,
    )


def _return(annotation: Annotation, reason: str) -> None:
    """The annotator's claim holds its slot again, waiting for them."""
    claim = Claim.objects.select_for_update(of=("self",)).get(pk=annotation.claim_id)
    claim.state, claim.return_reason = "returned", reason
    claim.save(update_fields=["state", "return_reason", "updated_at"])
    Slot.objects.filter(pk=claim.slot_id).update(state="claimed")


def _again(claim: Claim, asked: dict[str, Any]) -> dict[str, Any]:
    review = claim.reviews.order_by("-id").select_related("annotation__claim__slot", "annotation__clip").first()
    same = (
        review is not None
        and review.decision == asked["decision"]
        and asked["annotation"] in (None, review.annotation_id)
        and review.reason == asked["reason"]
        and review.edited == _edited(asked["body"], review.annotation, current_annotations(claim.clip_id))
    )
    if review is None or not same:
        raise Conflict(_("This clip was decided already, in another way."), code="already-decided")
    record = review.clip.records.filter(grade="fine").first() if review.decision == "accept" else None
    return {"record": record.pk if record else None, "review": review.pk}


def adjudicate(user: Any, clip_id: int) -> dict[str, Any]:
    """Open the review of a decided clip anew: `{"slot", "claim"}`, the claim where `user` could take it themselves.

    What is accepted then is a further revision of the record; those before it stay. For reviewers and managers. Raises
    NotFound, Forbidden, Gone (withdrawn), Conflict `nothing-to-review` (no annotation, as after an import),
    `not-complete` (annotators are still at it), `under-review` (another reviewer is).
    """
    with transaction.atomic():
        clip = Clip.objects.select_for_update(of=("self",), no_key=True).select_related("corpus").filter(pk=clip_id)
        found = clip.first() if 0 < clip_id < 2**63 else None
        if found is None:
            raise NotFound(_("There is no such object, or you may not see it."))
        reviewer = may(user, found.corpus, "claim.review")
        if not reviewer:
            require(user, found.corpus, "claim.manage")
        if found.withdrawn_at:
            raise Gone(_("The clip “%(name)s” was withdrawn.") % {"name": found.name})
        leases.sweep(found.corpus_id)
        _can_be_decided(user, found)
        slot = open_review(found)
        audit.record(user, "review.reopen", corpus=found.corpus.slug, target=f"clip {found.pk}", clip=found.name)
        return {"slot": slot.pk, "claim": _take(user, found) if reviewer else None}


def _can_be_decided(user: Any, clip: Clip) -> None:
    if not current_annotations(clip.pk):
        raise Conflict(_("Nobody annotated this clip here: there is nothing to decide over."), code="nothing-to-review")
    if Slot.objects.filter(clip=clip, kind="annotate", state__in=["open", "claimed"]).exists():
        raise Conflict(_("Annotators are still at work on this clip."), code="not-complete")
    held = Claim.objects.filter(clip=clip, slot__kind="review", state="live").exclude(user_id=user.pk)
    if held.exists():
        raise Conflict(_("Another reviewer has this clip before them."), code="under-review")


def _take(user: Any, clip: Clip) -> int | None:
    """The reviewer's claim on an open review; None for who annotated the clip or gave its review back for good."""
    known = Claim.objects.filter(user_id=user.pk, clip=clip).values_list("pk", "slot__kind", "state").first()
    if known is None:
        return leases.claim_clip(user, clip, kind="review").pk
    pk, kind, state = known
    if kind != "review" or state in ("skipped", "released"):
        return None
    leases.hold(leases.lock_claim(user, pk), extend=True)
    return pk
