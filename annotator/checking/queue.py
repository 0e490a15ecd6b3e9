"""The queue: who gets which clip next, in one round trip (migration 0008; docs/checking.md says how it is searched).

Where a corpus has rules of its own (`CheckingRules`), they are asked first: terms, training and test, gold clips, and
which pre-labels are shown. A corpus without them pays for nothing of that.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from annotator.clips.access import corpus_for, require
from annotator.clips.models import Clip, Corpus, Subtitle
from annotator.core import audit
from annotator.core.errors import Invalid
from annotator.core.permissions import ACTIONS, allowed

from . import arms, gold, leases, standings
from .models import CheckingRules, Claim, GoldItem, PlantedError, QueuePlace, Slot

HELD_AT_MOST = 2  # the one at work and one ahead, per person, corpus and kind
_NEXT = (
    "SELECT claim_id, created, CASE WHEN claim_id IS NOT NULL THEN checking_claim_facts(claim_id) END"
    " FROM checking_claim_next(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)
_MOMENTS = ("lease_end", "created_at", "updated_at", "withdrawn_at")


def claim_next(user: Any, corpus: Corpus, *, kind: str = "annotate", ahead: bool = False) -> tuple[Claim | None, bool]:
    """The next piece of work for `user`: (claim, newly taken), (None, False) when nothing is left for them now.

    While they hold one they get that one again; `ahead` grants one more, two at most. First comes what a review
    returned to them, then their own expired ones whose slot is still free, then gold clips where the corpus' rules say
    so, then the queue: by priority, score and age, in the person's languages. A clip that they ever claimed is not
    offered anew. Raises NotFound, Forbidden (`terms-not-accepted`, `not-qualified` too), Invalid (unknown kind).
    """
    _check_kind(kind)
    require(user, corpus, leases.ACTION_OF[kind])
    rules = CheckingRules.objects.filter(corpus_id=corpus.pk).first()
    claim, created = _next_by_rules(rules, user, corpus, kind, ahead) if rules else _ask(user, corpus, kind, ahead)
    if claim is not None:
        claim.__dict__.pop("facts", None)  # who knows when it is looked at
    return claim, created


def claim_here(
    user: Any, slug: str, *, kind: str = "annotate", ahead: bool = False, told: Mapping[str, Any] | None = None
) -> tuple[Claim | None, bool]:
    """As `claim_next`, on the corpus of that name, by one call of the database, which `told` is the answer to where it
    was made already (`call_here`). The claim brings what its payload is made of: for an answer that is made at once."""
    _check_kind(kind)
    action = leases.ACTION_OF[kind]
    scopes = getattr(user, "token_scopes", None)
    if told is None and (not scopes or action in scopes):
        sql, values = call_here(slug, kind, ahead, person="%s, %s, %s")
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {sql}", [user.pk, user.username, user.is_superuser, *values])
            told = cursor.fetchone()[0]
    if not told:  # there is something to be said, or asked first
        return claim_next(user, corpus_for(user, slug, action), kind=kind, ahead=ahead)
    facts = told["facts"]
    return (None, False) if facts is None else (claim_of(facts, row(Corpus, facts["corpus"])), told["created"])


def call_here(slug: str, kind: str, ahead: bool, *, person: str) -> tuple[str, list[Any]]:
    """The call of `checking_claim_here`, and its values; `person`: SQL for somebody's id, name and superuser's mark."""
    may = sorted(ACTIONS[leases.ACTION_OF[kind]][0])
    request = structlog.contextvars.get_contextvars().get("request_id", "")
    values = [slug, kind, ahead, HELD_AT_MOST, settings.LEASE_SECONDS, leases.HEAD_OF_QUEUE, may, leases.ANNOTATING]
    return f"checking_claim_here({person}, {', '.join(['%s'] * 9)})", [*values, request]


def _check_kind(kind: str) -> None:
    if kind not in leases.CLAIMABLE:
        message = _("One of %(choices)s is wanted here.") % {"choices": ", ".join(leases.CLAIMABLE)}
        raise Invalid(message, errors={"kind": message})


def _ask(
    user: Any, corpus: Corpus, kind: str, ahead: bool, *, languages: int = 0, queue: bool = True
) -> tuple[Claim | None, bool]:
    """One call of the database's `checking_claim_next`; without `queue` only what is the person's already."""
    with connection.cursor() as cursor:
        cursor.execute(
            _NEXT,
            [
                *(user.pk, user.username, corpus.pk, corpus.slug, kind, ahead, HELD_AT_MOST, settings.LEASE_SECONDS),
                *(leases.HEAD_OF_QUEUE, languages, leases.ANNOTATING, queue),
                structlog.contextvars.get_contextvars().get("request_id", ""),
            ],
        )
        claim_id, created, facts = cursor.fetchone()
    return (None, False) if claim_id is None else (claim_of(facts, corpus), created)


def _next_by_rules(
    rules: CheckingRules, user: Any, corpus: Corpus, kind: str, ahead: bool
) -> tuple[Claim | None, bool]:
    rules.corpus = corpus
    stage = standings.before_claim(user, corpus, rules, kind=kind)
    with transaction.atomic():
        claim, created = _ask(user, corpus, kind, ahead, queue=False)
        if claim is None and kind == "annotate":
            item = gold.next_item(user, corpus, rules, stage)
            if item is not None:
                return _gold_claim(user, rules, *item), True
            if stage != "passed":  # the next of them is with this person already, or somebody must add some
                return None, False
        if claim is None:
            languages = standings.wants(user.pk, corpus.pk) if kind == "annotate" else 0
            claim, created = _ask(user, corpus, kind, ahead, languages=languages)
            if claim is not None and kind == "annotate":
                claim.arm = arms.choose(rules, claim.clip_id, user.pk)
        if claim is not None and created:
            fit_offer(claim)
        return claim, created


def fit_offer(claim: Claim) -> None:
    """Keep of a new claim's offer what its arm and its slot's mode show: what nobody saw needs no verdict."""
    shown = [] if claim.arm == "none" else claim.offered
    if shown and claim.slot.mode:
        shown = leases.offer(claim.clip_id, claim.slot.mode)
    if shown != claim.offered or claim.arm != "shown":
        claim.offered = shown
        Claim.objects.filter(pk=claim.pk).update(arm=claim.arm, offered=shown)
        claim.__dict__.pop("facts", None)


def _gold_claim(user: Any, rules: CheckingRules, item: GoldItem, planted: PlantedError | None) -> Claim:
    """A gold slot of its own for this person, and the claim on it; inside the person's turn.

    It shows what an ordinary claim on the clip could show this person: one of the rules' modes, and the pre-labels of
    the arm drawn for the pair. A planted error comes where it is shown, else not at all.
    """
    corpus = rules.corpus
    clip = Clip.objects.select_for_update(of=("self",), no_key=True).get(pk=item.clip_id)
    last = Slot.objects.filter(clip=clip, kind="gold").aggregate(last=Max("number"))["last"] or 0
    mode = rules.modes[int(arms.uniform("mode", item.pk, user.pk) * len(rules.modes))]
    slot = Slot.objects.create(corpus=corpus, clip=clip, kind="gold", number=last + 1, state="claimed", mode=mode)
    arm = arms.choose(rules, clip.pk, user.pk) if item.purpose == "check" else "shown"
    offered = [] if arm == "none" else leases.offer(clip.pk, mode)
    claim = Claim.objects.create(
        slot=slot,
        clip=clip,
        corpus=corpus,
        user=user,
        lease_end=leases.lease_from(leases.database_now()),
        offered=offered,
        arm=arm,
        planted=planted if planted is not None and planted.clue_id in offered else None,
    )
    # The trail says what everybody may read: that a clip was taken, not that it was gold.
    audit.record(user, "claim.take", corpus=corpus.slug, target=f"claim {claim.pk}", clip=clip.name, kind="annotate")
    return claim


def facts_of(claim: Claim) -> dict[str, Any]:
    """What `checking_claim_facts` says of a claim: what it was made from, where nobody changed it since, or anew."""
    known = claim.__dict__.pop("facts", None)  # once: whoever asks again may have written in between
    if known is not None:
        return known
    with connection.cursor() as cursor:
        cursor.execute("SELECT checking_claim_facts(%s)", [claim.pk])
        return cursor.fetchone()[0]


def claim_of(facts: dict[str, Any], corpus: Corpus) -> Claim:
    """The claim with its slot, clip and corpus, as the database told them."""
    claim = row(Claim, facts["claim"])
    claim.slot, claim.clip, claim.corpus = row(Slot, facts["slot"]), row(Clip, facts["clip"]), corpus
    claim.slot.clip, claim.slot.corpus, claim.clip.corpus = claim.clip, corpus, corpus
    claim.facts = facts
    return claim


def row(model: Any, values: Mapping[str, Any]) -> Any:
    """A model's instance from its columns as JSON; columns that are not told are loaded when asked for."""
    names = [field.attname for field in model._meta.concrete_fields if field.attname in values]
    told = [
        datetime.fromisoformat(values[name]) if name in _MOMENTS and values[name] else values[name] for name in names
    ]
    return model.from_db("default", names, told)


def fit_languages(corpus: Corpus, clip_ids: Sequence[int]) -> int:
    """The slots of these clips say in which languages the clip speaks, as its subtitles are now; how many changed."""
    sql = f"""
        WITH spoken AS (
          SELECT clip.id AS clip_id, COALESCE(bit_or(CASE said.language WHEN 'zh' THEN 1 ELSE 2 END)
            FILTER (WHERE said.id IS NOT NULL), 0) AS bits
          FROM unnest(%s::bigint[]) clip (id) LEFT JOIN {Subtitle._meta.db_table} said ON said.clip_id = clip.id
          GROUP BY clip.id
        ), held AS (
          SELECT slot.id, spoken.bits FROM {Slot._meta.db_table} slot JOIN spoken USING (clip_id)
          WHERE slot.kind = 'annotate' AND slot.languages <> spoken.bits ORDER BY slot.id FOR NO KEY UPDATE OF slot
        )
        UPDATE {Slot._meta.db_table} slot SET languages = held.bits FROM held WHERE held.id = slot.id
    """  # noqa: S608 - table names only
    with connection.cursor() as cursor:
        cursor.execute(sql, [list(clip_ids)])
        changed = cursor.rowcount
    if changed:
        forget_places(corpus.pk)  # what was passed over may be wanted now
    return changed


def forget_places(corpus_id: int, user_id: int | None = None) -> None:
    """Everybody (or one person) searches the queue from its start again: its order, or what they want, has changed."""
    rows = QueuePlace.objects.filter(corpus_id=corpus_id)
    (rows if user_id is None else rows.filter(user_id=user_id)).delete()


def may_with(user: Any, roles: set[str], action: str) -> bool:
    """As `access.may`, of roles that were read already."""
    scopes = getattr(user, "token_scopes", None)
    return (not scopes or action in scopes) and allowed({"admin"} if user.is_superuser else roles, action)
