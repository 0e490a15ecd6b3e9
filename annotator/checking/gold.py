"""Gold clips: clips with a known answer. Who gets which one when, and who says that a record is one."""

from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet, Subquery, TextField, Value
from django.db.models.functions import MD5, Cast, Concat
from django.utils.translation import gettext as _

from annotator.clips.access import require
from annotator.clips.models import Clip, Corpus
from annotator.core import audit
from annotator.core.errors import Conflict, Invalid

from . import arms
from .models import PURPOSES, CheckingRules, Claim, GoldItem, PlantedError, Record, Slot, Standing

PURPOSE_OF_STAGE = {"training": "training", "test": "test", "passed": "check"}
MAX_NOTE = 2_000


def items_for(user: Any, corpus: Corpus, purpose: str) -> QuerySet[GoldItem]:
    """Gold clips of this purpose that this person could be given: in use, never claimed by them, not their own choice.

    Who made an item has read its answer.
    """
    known = Claim.objects.filter(user_id=user.pk, clip_id=OuterRef("clip_id"))
    rows = GoldItem.objects.filter(corpus_id=corpus.pk, purpose=purpose, active=True, clip__withdrawn_at=None)
    return rows.exclude(made_by_id=user.pk).filter(~Exists(known))


def next_item(
    user: Any, corpus: Corpus, rules: CheckingRules, stage: str
) -> tuple[GoldItem, PlantedError | None] | None:
    """The gold clip that this person is to get now instead of ordinary work, with the error planted in it, if any.

    In training and in the test: always, in the order in which they were made. To those who passed: mixed in by
    `gold_share`. What is drawn depends on the person's latest claim, so asking again changes nothing. None where it
    is ordinary work's turn, or no gold clip is left for them.
    """
    if stage == "passed":
        if not rules.gold_share:
            return None
        latest = Claim.objects.filter(user_id=user.pk, corpus_id=corpus.pk).order_by("-id")
        last = latest.values_list("id", flat=True).first() or 0
        if arms.uniform("gold", corpus.pk, user.pk, last) >= rules.gold_share:
            return None
        # Every person in an order of their own: colleagues cannot tell each other which one comes next.
        words = Concat(Cast("id", TextField()), Value(f" {user.pk}"))
        rows = _spoken(items_for(user, corpus, "check"), user, corpus).order_by(MD5(words), "id")
    else:
        purpose = PURPOSE_OF_STAGE[stage]
        since = Standing.objects.filter(user_id=user.pk, corpus_id=corpus.pk).values("since")[:1]
        already = given(user.pk, corpus.pk, purpose).filter(created_at__gte=Subquery(since)).count()
        if already >= (rules.training_items if stage == "training" else rules.test_items):
            return None  # those held are the last ones
        rows = items_for(user, corpus, purpose).order_by("id")
    item = rows.select_related("clip").first()
    return None if item is None else (item, planted_for(user, item, rules))


def _spoken(rows: QuerySet[GoldItem], user: Any, corpus: Corpus) -> QuerySet[GoldItem]:
    """Those in the languages that the person wants, like everything else that they get."""
    known = Standing.objects.filter(user_id=user.pk, corpus_id=corpus.pk)
    wanted = known.values_list("languages", flat=True).first() or 0
    for bit, language in ((1, "zh"), (2, "en")):
        if wanted & bit:
            rows = rows.filter(clip__subtitles__language=language)
    return rows


def planted_for(user: Any, item: GoldItem, rules: CheckingRules) -> PlantedError | None:
    """The error that this person meets in a gold clip: in `planted_share` of those that have one."""
    if not rules.planted_share or arms.uniform("planted", item.pk, user.pk) >= rules.planted_share:
        return None
    errors = list(item.planted.filter(clue__superseded_at=None).order_by("id"))
    if not errors:
        return None
    return errors[int(arms.uniform("which", item.pk, user.pk) * len(errors))]


def given(user_id: int, corpus_id: int, purpose: str) -> QuerySet[Claim]:
    """The claims by which this person was given gold clips of this purpose, in the order in which they were."""
    rows = Claim.objects.filter(user_id=user_id, corpus_id=corpus_id, slot__kind="gold")
    return rows.filter(clip__gold_item__purpose=purpose).order_by("id")


def examples(corpus: Corpus) -> QuerySet[GoldItem]:
    """Gold clips that show how it was done. Never one that checks, trains or tests."""
    rows = GoldItem.objects.filter(corpus_id=corpus.pk, purpose="example", active=True, clip__withdrawn_at=None)
    return rows.select_related("clip", "revision").order_by("id")


def unmet(user: Any) -> QuerySet[GoldItem]:
    """Gold clips that this person could still be given, so that they must not read the answer before.

    Ask it of annotators, and of clips that they have not submitted.
    """
    return GoldItem.objects.filter(active=True).exclude(purpose="example").exclude(made_by_id=user.pk)


@transaction.atomic
def mark(user: Any, record: Record, purpose: str, note: str = "") -> GoldItem:
    """Make a fine record the answer of a gold clip, or give its gold clip another purpose, note and answer.

    The clip leaves the ordinary queue: its open annotate slots are closed. Raises NotFound and Forbidden by role,
    Invalid (purpose, note, a coarse record), Conflict while somebody annotates the clip.
    `user` is None for a command on the machine itself.
    """
    if user is not None:
        require(user, record.corpus, "gold.manage")
    _check(purpose, note)
    if record.grade != "fine" or record.current is None:
        message = _("Only a fine record can be the answer of a gold clip.")
        raise Invalid(message, errors={"record": message})
    clip = Clip.objects.select_for_update(no_key=True).get(pk=record.clip_id)
    if clip.withdrawn_at:
        raise Conflict(_("The clip “%(name)s” was withdrawn.") % {"name": clip.name}, code="gone")
    ordinary = Slot.objects.filter(clip=clip, kind="annotate")
    ordinary.filter(state="open").update(state="closed")  # waits for who is just taking one, who is seen then
    if ordinary.filter(state="claimed").exists():
        raise Conflict(
            _("Somebody is annotating “%(name)s”: make it a gold clip when they are done.") % {"name": clip.name},
            code="in-work",
        )
    old = GoldItem.objects.select_for_update().filter(clip=clip).first()
    values = {"purpose": purpose, "note": note.strip(), "revision_id": record.current_id, "active": True}
    if old is None:
        item = GoldItem.objects.create(corpus_id=record.corpus_id, clip=clip, made_by=user, **values)
    else:
        item = old
        for name, value in values.items():
            setattr(item, name, value)
        item.save(update_fields=list(values))
    audit.record(
        user, "gold.mark", corpus=record.corpus.slug, target=f"clip {clip.pk}", clip=clip.name, purpose=purpose
    )
    return item


def _check(purpose: str, note: str) -> None:
    from .bodies import text_problem

    errors = {}
    if purpose not in PURPOSES:
        errors["purpose"] = _("One of %(choices)s is wanted here.") % {"choices": ", ".join(PURPOSES)}
    if not isinstance(note, str):
        errors["note"] = _("A text is wanted here.")
    elif problem := text_problem(note, MAX_NOTE):
        errors["note"] = problem
    if errors:
        name, message = next(iter(errors.items()))
        raise Invalid(f"{name}: {message}", errors=errors)


@transaction.atomic
def retire(user: Any, item: GoldItem) -> GoldItem:
    """Take a gold clip out of use. What people answered stays; the clip does not go back to the ordinary queue."""
    if user is not None:
        require(user, item.corpus, "gold.manage")
    item = GoldItem.objects.select_for_update(of=("self",)).select_related("corpus", "clip").get(pk=item.pk)
    if item.active:
        item.active = False
        item.save(update_fields=["active"])
        audit.record(user, "gold.retire", corpus=item.corpus.slug, target=f"clip {item.clip_id}", clip=item.clip.name)
    return item
