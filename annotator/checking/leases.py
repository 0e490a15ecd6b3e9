"""Slots and the leases on them: who may work on what, decided by rows and constraints.

Locks are always taken in this order: the clip, its claims, its slots. Whatever waits for a lock holds only earlier
ones; the sweep and the queue skip what is locked. Lease times come from the database clock.
"""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from annotator.clips.access import may, require
from annotator.clips.models import Clip, Corpus, Subtitle
from annotator.core import audit
from annotator.core.errors import Conflict, Forbidden, Gone, Invalid, NotFound
from annotator.core.permissions import ACTIONS
from annotator.prelabels.models import Clue

from . import terms
from .models import CheckingRules, Claim, Draft, GoldItem, Record, Slot

# A gold clip is annotated like any other: nobody can tell.
ACTION_OF = {"annotate": "claim.annotate", "review": "claim.review", "gold": "claim.annotate"}
CLAIMABLE = ("annotate", "review")
ANNOTATING = sorted(ACTIONS["claim.annotate"][0])
HEAD_OF_QUEUE = 200  # slots looked at before asking where the person got to
FREE_AGAIN = ("expired", "lost", "reopened")


def database_now() -> datetime:
    """The database's clock, which every lease is measured by."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        return cursor.fetchone()[0]


def lease_from(now: datetime) -> datetime:
    return now + timedelta(seconds=settings.LEASE_SECONDS)


def open_slots(corpus: Corpus, clip_ids: Sequence[int] | None = None) -> int:
    """Create the missing annotate slots 1..wanted of these clips (of all where None); returns how many.

    Gold clips get none: they are handed out by the slot.
    """
    where = "" if clip_ids is None else "AND clip.id = ANY(%s)"
    sql = f"""
        INSERT INTO {Slot._meta.db_table} (corpus_id, clip_id, kind, number, state, priority, score, mode, languages)
        SELECT clip.corpus_id, clip.id, 'annotate', number, 'open', clip.priority, COALESCE((
            SELECT max(known.score) FROM {Slot._meta.db_table} known
            WHERE known.clip_id = clip.id AND known.kind = 'annotate'), 0),
          COALESCE(rules.modes->>((number - 1) %% jsonb_array_length(rules.modes)), ''), COALESCE((
            SELECT bit_or(CASE spoken.language WHEN 'zh' THEN 1 ELSE 2 END)
            FROM {Subtitle._meta.db_table} spoken WHERE spoken.clip_id = clip.id), 0)
        FROM {Clip._meta.db_table} clip
        JOIN {Corpus._meta.db_table} corpus ON corpus.id = clip.corpus_id
        LEFT JOIN {CheckingRules._meta.db_table} rules ON rules.corpus_id = clip.corpus_id
        CROSS JOIN LATERAL generate_series(1, COALESCE(NULLIF(clip.overlap, 0), corpus.overlap)) AS number
        WHERE clip.corpus_id = %s AND clip.withdrawn_at IS NULL {where}
          AND NOT EXISTS (SELECT 1 FROM {GoldItem._meta.db_table} gold WHERE gold.clip_id = clip.id)
        ORDER BY clip.id, number
        ON CONFLICT (clip_id, kind, number) DO NOTHING
    """  # noqa: S608 - table names only
    with connection.cursor() as cursor:
        cursor.execute(sql, [corpus.pk] if clip_ids is None else [corpus.pk, list(clip_ids)])
        return cursor.rowcount


def fit_slots(corpus: Corpus, clip_ids: Sequence[int] | None = None) -> list[int]:
    """After the number of annotations wanted was changed: open what is missing, close what nobody began.

    What is claimed or done stays, gold clips are left alone. Returns the ids of the clips that have all their
    annotations by it, and neither a review nor a fine record. Of all clips, or of those named; locks them until the
    transaction ends: no submission slips between.
    """
    slots, clips, gold = (model._meta.db_table for model in (Slot, Clip, GoldItem))
    these = "" if clip_ids is None else "AND clip.id = ANY(%s)"
    named = [] if clip_ids is None else [list(clip_ids)]
    lock = f"""SELECT count(*) FROM (
        SELECT 1 FROM {clips} clip WHERE corpus_id = %s {these} ORDER BY id FOR NO KEY UPDATE) locked"""  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(lock, [corpus.pk, *named])  # counted there: a corpus may have more clips than a list should hold
    open_slots(corpus, clip_ids)
    fit = f"""
        WITH ranked AS (
          SELECT slot.id, COALESCE(NULLIF(clip.overlap, 0), %s) AS wanted, row_number() OVER (
            PARTITION BY slot.clip_id ORDER BY slot.state IN ('claimed', 'done') DESC, slot.number) AS place
          FROM {slots} slot JOIN {clips} clip ON clip.id = slot.clip_id
          WHERE slot.corpus_id = %s AND slot.kind = 'annotate' AND clip.withdrawn_at IS NULL {these}
            AND NOT EXISTS (SELECT 1 FROM {gold} gold WHERE gold.clip_id = clip.id)
        )
        UPDATE {slots} slot SET state = CASE WHEN ranked.place <= ranked.wanted THEN 'open' ELSE 'closed' END
        FROM ranked WHERE ranked.id = slot.id AND slot.state = CASE WHEN place <= wanted THEN 'closed' ELSE 'open' END
    """  # noqa: S608 - table names only
    complete = f"""
        SELECT slot.clip_id FROM {slots} slot JOIN {clips} clip ON clip.id = slot.clip_id
        WHERE slot.corpus_id = %s AND clip.withdrawn_at IS NULL AND slot.kind = 'annotate' {these}
          AND NOT EXISTS (SELECT 1 FROM {slots} later WHERE later.clip_id = clip.id AND later.kind = 'review')
          AND NOT EXISTS (SELECT 1 FROM {Record._meta.db_table} fine
                          WHERE fine.clip_id = clip.id AND fine.grade = 'fine')
        GROUP BY slot.clip_id
        HAVING bool_or(slot.state = 'done') AND bool_and(slot.state IN ('done', 'closed')) ORDER BY slot.clip_id
    """  # noqa: S608 - table names only
    with connection.cursor() as cursor:
        cursor.execute(fit, [corpus.overlap, corpus.pk, *named])
        cursor.execute(complete, [corpus.pk, *named])
        return [row[0] for row in cursor.fetchall()]


def fit_modes(corpus: Corpus, modes: Sequence[str]) -> int:
    """Open annotate slots show what the rules say of their number; returns how many changed.

    A slot that somebody drafted for and may take back keeps its mode: what they wrote is about what they saw.
    """
    claims, drafts = Claim._meta.db_table, Draft._meta.db_table
    sql = f"""
        UPDATE {Slot._meta.db_table} slot SET mode = (%s::text[])[(slot.number - 1) %% %s + 1]
        WHERE slot.corpus_id = %s AND slot.kind = 'annotate' AND slot.state IN ('open', 'closed')
          AND slot.mode <> (%s::text[])[(slot.number - 1) %% %s + 1]
          AND NOT EXISTS (SELECT 1 FROM {claims} claim JOIN {drafts} draft ON draft.claim_id = claim.id
                          WHERE claim.slot_id = slot.id AND claim.state = ANY(%s))
    """  # noqa: S608 - table names only
    with connection.cursor() as cursor:
        values: list[Any] = [list(modes), len(modes)]
        cursor.execute(sql, [*values, corpus.pk, *values, list(FREE_AGAIN)])
        return cursor.rowcount


def close_slots(clip: Clip) -> None:
    """Close what is left to do on a withdrawn clip and end its leases; call inside the withdrawal's transaction."""
    Clip.objects.select_for_update(no_key=True).get(pk=clip.pk)
    list(Claim.objects.select_for_update().filter(clip=clip).values_list("pk"))
    Slot.objects.filter(clip=clip, state__in=["open", "claimed"]).update(state="closed")
    Claim.objects.filter(clip=clip, state__in=["live", "returned", *FREE_AGAIN]).update(state="released")


def sweep(corpus_id: int) -> int:
    """Expire overdue leases of a corpus and free their slots, in one statement; returns how many slots became free.

    What a review returned has no end of its own: it is freed when its holder may annotate here no more.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT checking_sweep(%s, %s)", [corpus_id, ANNOTATING])
        return cursor.fetchone()[0]


def turn(user: Any, corpus: Corpus) -> datetime:
    """One claim at a time per person and corpus (until this transaction ends); the database's time."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0)), statement_timestamp()",
            [f"claims {user.pk} {corpus.pk}"],
        )
        return cursor.fetchone()[1]


def _with_corpus(claim: Claim, corpus: Corpus) -> Claim:
    claim.corpus = claim.clip.corpus = corpus
    return claim


def claim_clip(user: Any, clip: Clip, *, kind: str = "annotate") -> Claim:
    """Claim a slot of this very clip (a person who was sent to it). Conflict when none is free for them.

    Raises Forbidden `terms-not-accepted`, too.
    """
    require(user, clip.corpus, ACTION_OF[kind])
    if (rules := CheckingRules.objects.filter(corpus_id=clip.corpus_id).first()) is not None:
        terms.require_accepted(user, clip.corpus, rules)
    with transaction.atomic():
        now = turn(user, clip.corpus)
        known = Claim.objects.filter(user_id=user.pk, clip_id=clip.pk)
        slot = (
            Slot.objects.select_for_update(of=("self",), skip_locked=True)
            .filter(clip_id=clip.pk, kind=kind, state="open")
            .select_related("clip__corpus")
            .order_by("number")
            .first()
        )
        if slot is None or known.exists():
            raise Conflict(_("No slot of this clip is free for you."), code="no-slot")
        claim = _new_claim(user, slot, now)
        audit.record(user, "claim.take", corpus=clip.corpus.slug, target=f"claim {claim.pk}", clip=clip.name, kind=kind)
        return _with_corpus(claim, clip.corpus)


def _new_claim(user: Any, slot: Slot, now: datetime) -> Claim:
    Slot.objects.filter(pk=slot.pk).update(state="claimed")
    slot.state = "claimed"
    return Claim.objects.create(
        slot=slot,
        clip=slot.clip,
        corpus_id=slot.corpus_id,
        user=user,
        lease_end=lease_from(now),
        offered=offer(slot.clip_id, slot.mode),
    )


def offer(clip_id: int, mode: str = "") -> list[int]:
    """Ids of a clip's current clues in the canonical order; in a mode those of its modality."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT checking_offer(%s)", [clip_id])
        offered = json.loads(cursor.fetchone()[0])
    if not mode:
        return offered
    shown = set(Clue.objects.filter(pk__in=offered, modality=mode).values_list("pk", flat=True))
    return [pk for pk in offered if pk in shown]


def _make_live(claim: Claim, slot: Slot, now: datetime) -> None:
    Slot.objects.filter(pk=slot.pk).update(state="claimed")
    slot.state = "claimed"
    claim.slot, claim.state, claim.lease_end = slot, "live", lease_from(now)
    claim.save(update_fields=["slot", "state", "lease_end", "offered", "updated_at"])


def authorise(user: Any, claim: Claim, *, manage: bool = False) -> None:
    """Its holder, while their role allows it; with `manage`, those who manage claims too.

    Raises NotFound to strangers and to colleagues (whose work on what is nobody's business), Forbidden to a member
    whose role does not claim.
    """
    action = ACTION_OF[claim.slot.kind]
    if claim.user_id != user.pk and manage and may(user, claim.corpus, "claim.manage"):
        return
    require(user, claim.corpus, action)
    if claim.user_id != user.pk:
        if may(user, claim.corpus, "claim.manage"):
            raise Forbidden(_("This claim is somebody else's."))
        raise NotFound(_("There is no such object, or you may not see it."))


def find_claim(user: Any, claim_id: int, *, manage: bool = False) -> Claim:
    """The claim as it stands, for reading. Raises NotFound, Forbidden, Gone (the clip was withdrawn)."""
    claim = Claim.objects.select_related("slot", "clip__corpus", "corpus", "user").filter(pk=_as_id(claim_id)).first()
    if claim is None:
        raise NotFound(_("There is no such object, or you may not see it."))
    authorise(user, claim, manage=manage)
    if claim.clip.withdrawn_at:
        raise Gone(_("The clip “%(name)s” was withdrawn.") % {"name": claim.clip.name})
    return claim


def lock_claim(user: Any, claim_id: int, *, manage: bool = False) -> Claim:
    """As `find_claim`, with the clip, the claim and its slot locked, in this order; inside a transaction."""
    clip_id = find_claim(user, claim_id, manage=manage).clip_id
    clip = Clip.objects.select_for_update(of=("self",), no_key=True).select_related("corpus").get(pk=clip_id)
    if clip.withdrawn_at:
        raise Gone(_("The clip “%(name)s” was withdrawn.") % {"name": clip.name})
    claim = Claim.objects.select_for_update(of=("self", "slot")).select_related("slot").get(pk=claim_id)
    claim.clip, claim.corpus = clip, clip.corpus
    return claim


def _as_id(value: int) -> int:
    if not 0 < int(value) < 2**63:
        raise NotFound(_("There is no such object, or you may not see it."))
    return int(value)


def hold(claim: Claim, *, extend: bool = False) -> bool:
    """Whether a locked claim holds its slot; one whose slot is still free takes it back. False when it is lost.

    Where the slot was taken, any other free slot of the same clip, kind and mode serves as well. Raises Conflict for a
    claim that ended (skipped, released, submitted).
    """
    if claim.state in ("submitted", "skipped", "released"):
        raise Conflict(_("This claim has ended: it was %(state)s.") % {"state": claim.state}, code="claim-closed")
    if claim.state in ("live", "returned"):
        if extend:
            _make_live(claim, claim.slot, database_now())
        return True
    if claim.slot.state == "open":
        slot: Slot | None = claim.slot
    else:
        slot = (
            Slot.objects.select_for_update(skip_locked=True)
            .filter(clip_id=claim.clip_id, kind=claim.slot.kind, mode=claim.slot.mode, state="open")
            .order_by("number")
            .first()
        )
    if slot is None:
        return False
    _make_live(claim, slot, database_now())
    return True


def lost() -> Conflict:
    """Somebody else took the slot after the lease had ended."""
    return Conflict(
        _("Your lease had ended and somebody else took this clip. What you sent is kept as a draft."), code="claim-lost"
    )


def renew(user: Any, claim_id: int) -> Claim:
    """A new lease from now. Takes an expired slot back if it is still free; Conflict `claim-lost` otherwise."""
    with transaction.atomic():
        claim = lock_claim(user, claim_id)
        held = hold(claim, extend=True)
        if not held:
            Claim.objects.filter(pk=claim.pk).update(state="lost")
    if not held:
        raise lost()
    return claim


def skip(user: Any, claim_id: int, reason: str = "") -> Claim:
    """Give the clip back for good, saying why; it is not offered to this person again."""
    reason = " ".join(str(reason).replace("\x00", " ").split())
    if len(reason) > 300:
        message = _("At most %(limit)s characters.") % {"limit": 300}
        raise Invalid(message, errors={"reason": message})
    return _end(user, claim_id, "skipped", reason)


def release(user: Any, claim_id: int) -> Claim:
    """Give the clip back; it is not offered to this person again. Managers may release anybody's claim."""
    return _end(user, claim_id, "released", "")


@transaction.atomic
def _end(user: Any, claim_id: int, state: str, reason: str) -> Claim:
    claim = lock_claim(user, claim_id, manage=state == "released")
    if claim.state == state:
        return claim
    if claim.state in ("submitted", "skipped", "released"):
        raise Conflict(_("This claim has ended: it was %(state)s.") % {"state": claim.state}, code="claim-closed")
    if claim.state in ("live", "returned"):
        Slot.objects.filter(pk=claim.slot_id).update(state="open")
    claim.state, claim.skip_reason = state, reason
    claim.save(update_fields=["state", "skip_reason", "updated_at"])
    if claim.slot.kind == "gold":
        from .standings import after_end  # a test clip that is given back counts, too

        after_end(claim)
    action = {"skipped": "claim.skip", "released": "claim.release"}[state]
    audit.record(
        user, action, corpus=claim.corpus.slug, target=f"claim {claim.pk}", clip=claim.clip.name, reason=reason
    )
    return claim


@transaction.atomic
def let_go(user: Any) -> int:
    """Free the slots of everything that a person holds, at once, as if the leases had ended: they may take it back
    while nobody else did. What a review returned to them stays theirs. Returns how many claims that were.

    Called when they sign out. Locks claims and slots, skipping what a submission just has in hand.
    """
    rows = Claim.objects.select_for_update(of=("self", "slot"), skip_locked=True).filter(user_id=user.pk, state="live")
    claims = list(rows.select_related("slot", "corpus", "clip"))
    Slot.objects.filter(pk__in=[claim.slot_id for claim in claims], state="claimed").update(state="open")
    Claim.objects.filter(pk__in=[claim.pk for claim in claims]).update(state="expired", updated_at=Now())
    for claim in claims:
        audit.record(user, "claim.sign-out", corpus=claim.corpus.slug, target=f"claim {claim.pk}", clip=claim.clip.name)
    return len(claims)


def claim_on(user_id: int, clip_id: int) -> int | None:
    """This person's live claim on the clip, where the lease has not ended and the work shows the picture."""
    claims = Claim.objects.filter(user_id=user_id, clip_id=clip_id, state="live", lease_end__gt=Now())
    return claims.exclude(slot__mode__in=["audio", "text"]).values_list("id", flat=True).first()


def is_live(claim_id: int, user_id: int) -> bool:
    """Whether this person's lease on the claim has not ended: media URLs live as long as it does."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT EXISTS (SELECT 1 FROM {Claim._meta.db_table} WHERE id = %s AND user_id = %s"  # noqa: S608
            " AND state = 'live' AND lease_end > statement_timestamp())",
            [claim_id, user_id],
        )
        return bool(cursor.fetchone()[0])


def held(corpus: Corpus) -> QuerySet[Claim]:
    """Claims that hold a slot now, the oldest lease first: `last_saved` is when its holder last saved a draft."""
    saved = Draft.objects.filter(claim_id=OuterRef("pk")).order_by("-version").values("saved_at")[:1]
    rows = Claim.objects.filter(corpus_id=corpus.pk, state__in=["live", "returned"])
    rows = rows.select_related("user", "clip", "slot").annotate(last_saved=Subquery(saved))
    return rows.order_by("lease_end", "id")
