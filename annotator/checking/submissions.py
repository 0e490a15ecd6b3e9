"""Drafts and submissions: what an annotator saves and hands in."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max
from django.utils.translation import gettext as _
from psycopg.types.json import Jsonb

from annotator.clips.models import Clip, Corpus
from annotator.core import audit
from annotator.core.errors import Conflict, PreconditionRequired, Stale, WorkbenchError
from annotator.core.permissions import ACTIONS
from annotator.prelabels.models import Clue

from . import autoaccept, bodies, extras, handing_in, idempotency, leases, records, standings
from .models import Annotation, Check, Claim, Draft, RecordRevision, Slot
from .quality import activity

_ROLES = {kind: sorted(ACTIONS[action][0]) for kind, action in leases.ACTION_OF.items()}  # who works on which slots
DRAFTABLE = ("live", "expired", "lost", "returned", "reopened")


def offered_clues(claim: Claim) -> list[Clue]:
    """The clues that were offered with the claim, in the order of the offer."""
    rows = Clue.objects.filter(pk__in=claim.offered).select_related("prelabeller").in_bulk()
    planted = claim.planted
    if planted is not None and planted.clue_id in rows:
        clue = rows[planted.clue_id]
        clue.language, clue.text, clue.texts, clue.gate = planted.language, planted.text, planted.texts, None
    return [rows[pk] for pk in claim.offered if pk in rows]


def body_of(annotation: Annotation) -> dict[str, Any]:
    """The body that was submitted, rebuilt from the annotation's rows."""
    return {
        "clues": [
            {
                "id": check.clue_id,
                **{key: getattr(check, key) for key in ("modality", "aspect", "language", "text")},
                "span": None if check.span_start is None else [check.span_start, check.span_end],
                "verdict": check.verdict,
                "reason": check.reason,
            }
            for check in annotation.checks.all()
        ],
        "description": {"zh": annotation.description_zh, "en": annotation.description_en},
        "ov_labels": {"zh": annotation.ov_zh, "en": annotation.ov_en},
        "label": annotation.label,
        **extras.of(annotation),
    }


def last_draft(claim_id: int) -> Draft | None:
    return Draft.objects.filter(claim_id=claim_id).order_by("-version").first()


def etag(version: int) -> str:
    return f'"{version}"'


def save_draft(user: Any, claim_id: int, body: Any, if_match: str | None) -> Draft:
    """Save the work on a claim as its next version, if `if_match` names the current one (`"0"` before the first).

    The lease of a live claim begins anew: who types is there (`lease_end` of what is returned; None where the claim is
    not live). Works while the claim is unfinished, expired leases included: nothing typed is lost. What differs in
    `work` alone is no new version. Raises PreconditionRequired (no If-Match), Stale (another tab saved in the
    meantime), Conflict (the claim has ended), Invalid.
    """
    named = [tag.strip().removeprefix("W/") for tag in (if_match or "").split(",")]
    try:
        if not if_match:
            raise PreconditionRequired(_("Saving a draft needs If-Match with the version that it was made from."))
        body = bodies.draft(body)
    except WorkbenchError:
        leases.find_claim(user, claim_id)  # who may not see the claim learns nothing else
        raise
    saved = None if user.is_superuser or getattr(user, "token_scopes", None) else _save(user, claim_id, body, named)
    if saved is None:  # nothing was written: say why, or save it in steps
        return _save_in_steps(user, claim_id, body, named)
    if "stale" in saved:
        raise _stale(saved["stale"])
    times = {name: saved[name] and datetime.fromisoformat(saved[name]) for name in ("saved_at", "lease_end")}
    return _saved(Draft(claim_id=claim_id, version=saved["version"], body=body, saved_at=times["saved_at"]), times)


def _save(user: Any, claim_id: int, body: dict[str, Any], named: list[str]) -> dict[str, Any] | None:
    if not 0 < claim_id < 2**63:
        return None
    values = [claim_id, user.pk, Jsonb(body), named, Jsonb(_ROLES), settings.LEASE_SECONDS]
    with connection.cursor() as cursor:
        cursor.execute("SELECT checking_save_draft(%s, %s, %s, %s, %s, %s)", values)
        return cursor.fetchone()[0]


def _saved(draft: Draft, times: Mapping[str, Any]) -> Draft:
    draft.lease_end = times["lease_end"]  # type: ignore[attr-defined]
    return draft


def _stale(version: int) -> Stale:
    return Stale(_("Somebody saved a newer version of this draft, perhaps you in another tab."), version=version)


def _save_in_steps(user: Any, claim_id: int, body: dict[str, Any], named: list[str]) -> Draft:
    leases.find_claim(user, claim_id)
    with transaction.atomic():
        claim = Claim.objects.select_for_update(of=("self",)).get(pk=claim_id)
        if claim.state not in DRAFTABLE:
            raise Conflict(_("This claim has ended: it was %(state)s.") % {"state": claim.state}, code="claim-closed")
        current = last_draft(claim.pk)
        version = current.version if current else 0
        if etag(version) not in named and not (named == ["*"] and current):
            raise _stale(version)
        if claim.state == "live":
            claim.lease_end = leases.lease_from(leases.database_now())
            claim.save(update_fields=["lease_end", "updated_at"])
        lease = {"lease_end": claim.lease_end if claim.state == "live" else None}
        if current is not None and _said(current.body) == _said(body):
            return _saved(current, lease)
        return _saved(Draft.objects.create(claim=claim, version=version + 1, body=body), lease)


def _said(body: dict[str, Any]) -> dict[str, Any]:
    """What a body says, without how it was made."""
    return {key: value for key, value in body.items() if key != "work"}


def keep(claim: Claim, body: dict[str, Any]) -> None:
    """Append a body to the drafts of a locked claim unless it is the last one already."""
    current = last_draft(claim.pk)
    if current is None or _said(current.body) != _said(body):
        Draft.objects.create(claim=claim, version=(current.version if current else 0) + 1, body=body)


def submit(
    user: Any, claim_id: int, body: Any, *, key: str | None = None, facts: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Hand in an annotation: `{"annotation", "record", "state"}`.

    What is ordinary is one call of the database (`handing_in`; `facts`: what it is to know, where that was asked for
    already), everything else is done here, in steps.
    One transaction writes the annotation with its checks, ends the claim and its slot and, where this completes the
    overlap, opens the review (or, where the corpus' rule finds enough agreement, accepts without one: autoaccept) or
    (review: none) writes the fine record from this, the completing, annotation. The same
    body sent again is answered the same, with a key or without; another body is Conflict `already-submitted`. An
    expired lease is taken back if the slot is free; else Conflict `claim-lost`, with the body kept as a draft.
    """
    answer = handing_in.submit(user, claim_id, body, key=key, facts=facts)
    if answer is not None:
        return answer
    leases.find_claim(user, claim_id)
    body = bodies.draft(body)
    route = f"submit {claim_id}"
    with transaction.atomic():
        answer = idempotency.recall(user, key, route, body)
        if answer is not None:
            return answer
        outcome = _submit(user, leases.lock_claim(user, claim_id), body)
        if isinstance(outcome, dict):
            idempotency.remember(user, key, route, body, outcome)
    if isinstance(outcome, WorkbenchError):
        raise outcome  # only now: what was written with it (the kept draft) is committed
    return outcome


def _submit(user: Any, claim: Claim, body: dict[str, Any]) -> dict[str, Any] | WorkbenchError:
    if claim.slot.kind == "review":
        raise Conflict(_("A review is decided, not submitted."), code="wrong-kind")
    offered = offered_clues(claim)
    if claim.state == "submitted":
        return _again(claim, bodies.final(body, offered, duration=claim.clip.duration))
    if not leases.hold(claim):
        keep(claim, body)
        Claim.objects.filter(pk=claim.pk).update(state="lost")
        return leases.lost()
    clean = bodies.final(body, offered, duration=claim.clip.duration)
    work = activity.clean_work(body.get("work"), (leases.database_now() - claim.created_at).total_seconds())
    annotation = _write_annotation(claim, clean, work)
    keep(claim, clean)
    claim.state = "submitted"
    claim.save(update_fields=["state", "updated_at"])
    Slot.objects.filter(pk=claim.slot_id).update(state="done")
    audit.record(
        user,
        "claim.submit",
        corpus=claim.corpus.slug,
        target=f"claim {claim.pk}",
        clip=claim.clip.name,
        annotation=annotation.pk,
    )
    if claim.slot.kind == "gold":  # completes nothing: its clip has its record
        standings.after_end(claim)
        return _gold_answer(claim, annotation)
    return _answer(annotation, _complete(claim, annotation, user))


def _again(claim: Claim, clean: dict[str, Any]) -> dict[str, Any]:
    """The answer to a submission that was accepted before, if this is the same one."""
    annotation = claim.annotations.order_by("-revision").first()
    if annotation is None or body_of(annotation) != clean:
        raise Conflict(_("This claim was submitted already, with another content."), code="already-submitted")
    if claim.slot.kind == "gold":
        return _gold_answer(claim, annotation)
    revision = RecordRevision.objects.filter(annotation=annotation, source="submission").first()
    return _answer(annotation, revision or autoaccept.revision_of(annotation))


def _answer(annotation: Annotation, revision: RecordRevision | None) -> dict[str, Any]:
    record = revision.record_id if revision else None
    return {"annotation": annotation.pk, "record": record, "state": "recorded" if record else "submitted"}


def _gold_answer(claim: Claim, annotation: Annotation) -> dict[str, Any]:
    """What an ordinary clip would answer, that nobody can tell a check: where one annotation makes the record at once,
    the record that the clip has. After a training clip, where the feedback is."""
    feedback = standings.feedback_address(claim)
    alone = claim.corpus.review == "none" and (claim.clip.overlap or claim.corpus.overlap) == 1
    if feedback or not alone:
        return {**_answer(annotation, None), **feedback}
    return _answer(annotation, claim.clip.gold_item.revision)


def _write_annotation(claim: Claim, body: dict[str, Any], work: dict[str, Any]) -> Annotation:
    number = claim.annotations.aggregate(last=Max("revision"))["last"] or 0
    annotation = Annotation.objects.create(
        claim=claim,
        clip_id=claim.clip_id,
        user_id=claim.user_id,
        revision=number + 1,
        **handing_in.annotation_columns(body, work, claim.clip.duration),
    )
    checks = handing_in.check_columns(body, work)
    Check.objects.bulk_create(Check(annotation=annotation, **columns) for columns in checks)
    return annotation


def fit_slots(corpus: Corpus, clip_ids: Sequence[int] | None = None) -> None:
    """The slots of a corpus (or of these clips) follow the number of annotations wanted; complete clips go on."""
    with transaction.atomic():
        for clip_id in leases.fit_slots(corpus, clip_ids):
            latest = Annotation.objects.filter(
                clip_id=clip_id, claim__state="submitted", claim__slot__kind="annotate"
            ).order_by("-id")
            annotation = latest.select_related("claim__corpus", "claim__clip__corpus", "user")[0]
            _go_on(annotation.claim, annotation, annotation.user)


def _complete(claim: Claim, annotation: Annotation, user: Any) -> RecordRevision | None:
    """When the last annotate slot of the clip is done: the review opens (again), or the fine record is written."""
    if Slot.objects.filter(clip_id=claim.clip_id, kind="annotate", state__in=["open", "claimed"]).exists():
        return None
    return _go_on(claim, annotation, user)


def _go_on(claim: Claim, annotation: Annotation, user: Any) -> RecordRevision | None:
    if claim.corpus.review == "required":
        revision = autoaccept.decide(claim, annotation, user)
        if revision is None:
            open_review(claim.clip)
        return revision
    return records.write(
        claim.clip,
        "fine",
        records.checked_content(body_of(annotation)),
        source="submission",
        annotation=annotation,
        described_by=records.proposals(claim),
        user=user,
    )


def open_review(clip: Clip) -> Slot:
    """The clip's review slot, open: new, or reopened after a resubmission; its last reviewer may take it again."""
    slot, made = Slot.objects.get_or_create(
        clip=clip, kind="review", number=1, defaults={"corpus_id": clip.corpus_id, "priority": clip.priority}
    )
    if not made and slot.state == "done":
        Claim.objects.filter(slot=slot, state="submitted").update(state="reopened")
        slot.state = "open"
        slot.save(update_fields=["state"])
    return slot
