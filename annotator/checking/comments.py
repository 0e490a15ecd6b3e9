"""The thread of a clip: what annotators, reviewers and managers tell each other about it."""

from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from annotator.clips.access import may, require, roles_on
from annotator.clips.models import Clip
from annotator.clips.names import storable
from annotator.core import audit
from annotator.core.errors import Forbidden, Gone, Invalid, NotFound

from . import queries
from .models import Claim, Comment

LONGEST = 4000
LEADERS = ("reviewer", "manager")


def clip_for(user: Any, clip_id: int) -> Clip:
    """The clip whose thread `user` may take part in: reviewers and managers anyone's, annotators one they claimed.

    Raises NotFound, Forbidden, Gone (withdrawn).
    """
    clip = Clip.objects.select_related("corpus").filter(pk=clip_id).first() if 0 < clip_id < 2**63 else None
    if clip is None:
        raise NotFound(_("There is no such object, or you may not see it."))
    require(user, clip.corpus, "comment.write")
    if not may(user, clip.corpus, "clip.view") and not Claim.objects.filter(user_id=user.pk, clip=clip).exists():
        raise Forbidden(_("You have not worked on this clip."))
    if clip.withdrawn_at:
        raise Gone(_("The clip “%(name)s” was withdrawn.") % {"name": clip.name})
    return clip


def thread(user: Any, clip: Clip) -> QuerySet[Comment]:
    """The remarks on `clip` that `user` may read, oldest first.

    Who may still annotate the clip reads their own and those of reviewers and managers; who holds it as a gold clip
    only their own, since what was said about it would tell that it is one. Ask `clip_for` first.
    """
    rows = Comment.objects.filter(clip=clip).order_by("id")
    own = Claim.objects.filter(user_id=user.pk, clip=clip).select_related("slot").first()
    if own is not None and own.slot.kind == "gold" and own.state != "submitted":
        return rows.filter(user_id=user.pk)
    unfinished = own is not None and own.slot.kind == "annotate" and own.state != "submitted"
    if unfinished or queries.blind_to(user, clip):
        return rows.filter(Q(user_id=user.pk) | Q(role__in=LEADERS))
    return rows


def shown(user: Any, clip: Clip) -> list[dict[str, Any]]:
    """The thread as it is told to `user`: authors by pseudonym, by name to those who manage people."""
    rows = thread(user, clip)
    named = may(user, clip.corpus, "people.view")
    leads = bool(roles_on(user, clip.corpus) & {*LEADERS, "admin"})
    return [
        {
            "id": row.pk,
            "author": row.user.get_username() if named else queries.pseudonym(clip.corpus, row.user_id),
            "mine": row.user_id == user.pk,
            "role": row.role,
            "text": row.text,
            "created_at": queries.iso(row.created_at),
            "resolved_at": queries.iso(row.resolved_at),
            "may_resolve": leads or row.user_id == user.pk,
        }
        for row in rows.select_related("user")
    ]


@transaction.atomic
def write(user: Any, clip: Clip, text: str) -> Comment:
    """Add a remark to the thread of `clip`. Raises Invalid. Ask `clip_for` first."""
    text = text.strip()
    problem = ""
    if not text:
        problem = _("Write something.")
    elif len(text) > LONGEST:
        problem = _("At most %(limit)s characters.") % {"limit": LONGEST}
    elif not storable(text):
        problem = _("This text holds signs that cannot be stored.")
    if problem:
        raise Invalid(problem, errors={"text": problem})
    comment = Comment.objects.create(clip=clip, user=user, role=_role(user, clip), text=text)
    audit.record(user, "comment.write", corpus=clip.corpus.slug, target=f"comment {comment.pk}", clip=clip.name)
    return comment


def _role(user: Any, clip: Clip) -> str:
    """In which role they write: who claimed the clip to annotate it does so as an annotator, whatever else they are."""
    if Claim.objects.filter(user_id=user.pk, clip=clip, slot__kind__in=["annotate", "gold"]).exists():
        return "annotator"
    roles = roles_on(user, clip.corpus)
    return next((role for role in ("reviewer", "annotator") if role in roles), "manager")


@transaction.atomic
def resolve(user: Any, comment_id: int, resolved: bool) -> Comment:
    """Mark a remark as dealt with, or take that back: its author, reviewers and managers. NotFound for a remark that
    `user` may not read, Forbidden for one that is not theirs to resolve."""
    found = Comment.objects.select_related("clip__corpus").filter(pk=comment_id) if 0 < comment_id < 2**63 else None
    comment = found.select_for_update(of=("self",)).first() if found is not None else None
    if comment is None:
        raise NotFound(_("There is no such object, or you may not see it."))
    clip = clip_for(user, comment.clip_id)
    if not thread(user, clip).filter(pk=comment.pk).exists():
        raise NotFound(_("There is no such object, or you may not see it."))
    if comment.user_id != user.pk and not roles_on(user, clip.corpus) & {*LEADERS, "admin"}:
        raise Forbidden(_("Its author, a reviewer or a manager says that this is dealt with."))
    if bool(comment.resolved_at) != resolved:
        comment.resolved_at = timezone.now() if resolved else None
        comment.save(update_fields=["resolved_at"])
        action = "comment.resolve" if resolved else "comment.reopen"
        audit.record(user, action, corpus=clip.corpus.slug, target=f"comment {comment.pk}", clip=clip.name)
    return comment
