"""Writes about corpora, members, flags and withdrawal. Clips themselves are written by `store`."""

from datetime import timedelta
from typing import Any

import structlog
from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from django.db import IntegrityError, connection, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from annotator.core import audit
from annotator.core.errors import Conflict, Forbidden, Invalid, NotFound
from annotator.core.permissions import ROLES

from . import storage
from .access import require
from .models import LANGUAGES, AuTrack, Clip, Corpus, DerivedMedia, Flag, Membership, SeenPerson, TargetPerson
from .names import storable
from .signals import clip_withdrawn
from .storage import MEDIA_LOCK

PURGE_AFTER = timedelta(minutes=1)  # by then whoever withdrew the clip has removed its bytes, or was killed
logger = structlog.get_logger(__name__)


@transaction.atomic
def create_corpus(
    actor: Any,
    slug: str,
    *,
    name: str = "",
    overlap: int = 1,
    review: str = "required",
    licence: str = "restricted",
    language: str = "en",
    guideline: str = "",
    synthetic: bool = False,
) -> Corpus:
    """A corpus. `actor` None is the command line or the system; anybody else must be an admin.

    Raises Forbidden, Invalid (naming the field), Conflict when the slug is taken.
    """
    scopes = getattr(actor, "token_scopes", None)
    if actor is not None and not (actor.is_superuser and (not scopes or "corpus.create" in scopes)):
        raise Forbidden(_("Only an admin may create a corpus."))
    errors: dict[str, list[str]] = {}
    try:
        validate_slug(slug)
    except ValidationError:
        errors["slug"] = [_("letters, digits, - and _ are needed")]
    if len(slug) > 80:
        errors["slug"] = [_("at most 80 characters")]
    if not 1 <= overlap <= 20:
        errors["overlap"] = [_("from 1 to 20")]
    if review not in ("required", "none"):
        errors["review"] = [_("required or none")]
    if licence not in ("open", "restricted"):
        errors["licence"] = [_("open or restricted")]
    if language not in dict(LANGUAGES):
        errors["language"] = [_("zh or en")]
    if len(name) > 200 or not storable(name):
        errors["name"] = [_("at most 200 characters")]
    if not storable(guideline):
        errors["guideline"] = [_("has a NUL character")]
    if errors:
        text = "; ".join(f"{field}: {messages[0]}" for field, messages in errors.items())
        raise Invalid(text, errors=errors)
    corpus = Corpus(
        slug=slug,
        name=name or slug,
        overlap=overlap,
        review=review,
        licence=licence,
        language=language,
        guideline=guideline,
        synthetic=synthetic,
    )
    try:
        with transaction.atomic():
            corpus.save()
    except IntegrityError as error:
        raise Conflict(_("There is a corpus “%(slug)s” already.") % {"slug": slug}) from error
    audit.record(actor, "corpus.create", corpus=slug, target=slug, overlap=overlap, review=review, licence=licence)
    return corpus


def find_corpus(slug: str) -> Corpus:
    """The corpus of that slug, for the command line. Raises NotFound."""
    corpus = Corpus.objects.filter(slug=slug).first()
    if corpus is None:
        raise NotFound(_("There is no corpus “%(slug)s”.") % {"slug": slug})
    return corpus


@transaction.atomic
def add_member(actor: Any, corpus: Corpus, user: Any, role: str) -> tuple[Membership, bool]:
    """(membership, whether it is new). Raises Invalid for an unknown role, Forbidden."""
    _may_manage(actor, corpus)
    if role not in ROLES:
        raise Invalid(_("Unknown role “%(role)s”.") % {"role": role}, errors={"role": [", ".join(ROLES)]})
    member, new = Membership.objects.get_or_create(corpus=corpus, user=user, role=role)
    if new:
        audit.record(actor, "member.add", corpus=corpus.slug, target=user.username, role=role)
    return member, new


@transaction.atomic
def remove_member(actor: Any, corpus: Corpus, user: Any, role: str) -> bool:
    """Take a role away; False when the person did not hold it."""
    _may_manage(actor, corpus)
    removed, _per_model = Membership.objects.filter(corpus=corpus, user=user, role=role).delete()
    if removed:
        audit.record(actor, "member.remove", corpus=corpus.slug, target=user.username, role=role)
    return bool(removed)


def _may_manage(actor: Any, corpus: Corpus) -> None:
    if actor is not None:
        require(actor, corpus, "member.manage")


@transaction.atomic
def flag_clip(actor: Any, clip: Clip, reason: str, note: str = "") -> Flag:
    """Somebody says that something is wrong with a clip. Raises Invalid, Forbidden, NotFound."""
    require(actor, clip.corpus, "clip.flag")
    known = [key for key, _label in Flag.REASONS]
    if reason not in known:
        raise Invalid(_("Unknown reason “%(reason)s”.") % {"reason": reason}, errors={"reason": [", ".join(known)]})
    if len(note) > 4000 or not storable(note):
        raise Invalid(_("The note is too long."), errors={"note": [_("at most 4000 characters")]})
    flag = Flag.objects.create(clip=clip, user=actor, reason=reason, note=note)
    audit.record(actor, "clip.flag", corpus=clip.corpus.slug, target=clip.name, reason=reason)
    return flag


@transaction.atomic
def resolve_flag(actor: Any, flag: Flag) -> Flag:
    """Mark a flag as dealt with; a second call changes nothing."""
    _may_ingest(actor, flag.clip.corpus)
    if Flag.objects.filter(pk=flag.pk, resolved_at=None).update(resolved_at=timezone.now()):
        audit.record(actor, "clip.flag.resolve", corpus=flag.clip.corpus.slug, target=flag.clip.name)
    flag.refresh_from_db()
    return flag


def _may_ingest(actor: Any, corpus: Corpus) -> None:
    if actor is not None:
        require(actor, corpus, "clip.ingest")


@transaction.atomic
def withdraw_clip(actor: Any, clip: Clip, reason: str) -> Clip:
    """Withdraw a clip for good: its media answers 410 and is removed once no other clip holds the same bytes.

    Name and hash stay as a tombstone, so that the same media is refused when somebody ingests it again.
    A second call changes nothing. Raises Forbidden, NotFound, Invalid (a reason is needed).
    """
    if actor is not None:
        require(actor, clip.corpus, "clip.withdraw")
    if not reason.strip() or len(reason) > 300 or not storable(reason):
        raise Invalid(_("A withdrawal needs a reason of at most 300 characters."), errors={"reason": [_("needed")]})
    locked = Clip.objects.select_for_update(no_key=True).select_related(None).get(pk=clip.pk)
    if locked.withdrawn_at is None:
        locked.withdrawn_at, locked.withdrawn_reason = timezone.now(), reason
        locked.save(update_fields=["withdrawn_at", "withdrawn_reason", "updated_at"])
        clip_withdrawn.send(sender=Clip, clip=locked)
        audit.record(actor, "clip.withdraw", corpus=clip.corpus.slug, target=clip.name, reason=reason)
        transaction.on_commit(lambda: purge_media(locked.pk))
    return locked


@transaction.atomic
def purge_media(clip_id: int) -> list[str]:
    """Remove the stored bytes of a withdrawn clip that no clip holds any more; the names removed.

    Safe to repeat. A file by reference is not ours and stays where it is; only its path is forgotten.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [MEDIA_LOCK])
    clip = Clip.objects.get(pk=clip_id)
    if clip.withdrawn_at is None:
        return []
    mine = set(clip.derivatives.values_list("path", flat=True)) | set(
        AuTrack.objects.filter(clip=clip).values_list("path", flat=True)
    )
    mine |= {clip.media_path} if clip.media == "stored" and clip.media_path else set()
    others = Clip.objects.present()
    held = set(others.filter(media="stored", media_path__in=mine).values_list("media_path", flat=True))
    held |= set(DerivedMedia.objects.filter(clip__in=others, path__in=mine).values_list("path", flat=True))
    held |= set(AuTrack.objects.filter(clip__in=others, path__in=mine).values_list("path", flat=True))
    gone = sorted(mine - held)
    for name in gone:
        storage.delete(name)
    clip.derivatives.all().delete()
    AuTrack.objects.filter(clip=clip).delete()
    SeenPerson.objects.filter(clip=clip).delete()
    TargetPerson.objects.filter(clip=clip).delete()
    Clip.objects.filter(pk=clip.pk).update(media_path="", media_url="", media="missing", derived="none")
    return gone


def purge_withdrawn() -> int:
    """Remove the bytes of clips whose withdrawal was killed after its commit; how many clips that were."""
    files, tracks = (model.objects.filter(clip=OuterRef("pk")) for model in (DerivedMedia, AuTrack))
    held = Exists(files) | Exists(tracks)
    late = Clip.objects.filter(withdrawn_at__lt=timezone.now() - PURGE_AFTER)
    purged = 0
    for clip_id in late.filter(held | ~Q(media="missing")).values_list("pk", flat=True)[:200]:
        try:
            purge_media(clip_id)
        except OSError as error:
            logger.warning("the media of a withdrawn clip cannot be removed", clip=clip_id, error=str(error))
        else:
            purged += 1
    return purged
