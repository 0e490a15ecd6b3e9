"""Where an annotator stands on a corpus: training with feedback, then a test, then work.

A corpus whose rules ask for neither has no standings. Stages change in `settle` alone, which follows what the person
handed in; a manager may pass somebody or let them begin anew.
"""

from typing import Any

from django.db import transaction
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.utils import timezone
from django.utils.translation import gettext as _

from annotator.accounts.models import User
from annotator.clips.access import may, require
from annotator.clips.models import Corpus
from annotator.core import audit
from annotator.core.errors import Forbidden, Invalid, NotFound
from annotator.core.permissions import ACTIONS

from . import answers, gold, terms
from .models import Annotation, CheckingRules, Claim, GoldItem, QueuePlace, Standing

ENDED = ("submitted", "skipped", "released")
LANGUAGES = {0: "", 1: "zh", 2: "en", 3: "zh en"}


def before_claim(user: Any, corpus: Corpus, rules: CheckingRules, *, kind: str = "annotate") -> str:
    """The stage of somebody who asks for a clip: training, test or passed.

    Raises Forbidden `terms-not-accepted` (also to reviewers), `not-qualified` to who failed the test or has no clip
    of it left. Locks the person's standing while it may change.
    """
    terms.require_accepted(user, corpus, rules)
    if kind != "annotate" or not (rules.training_items or rules.test_items):
        return "passed"
    standing, _made = Standing.objects.get_or_create(corpus_id=corpus.pk, user_id=user.pk)
    if standing.stage != "passed":
        standing = settle(standing, rules)
    if standing.stage == "failed":
        message = _("You did not pass the test of “%(slug)s”: %(score)s, and %(mark)s is needed. Ask a manager.") % {
            "slug": corpus.slug,
            "score": f"{standing.score or 0:.0%}",
            "mark": f"{rules.pass_mark:.0%}",
        }
        raise Forbidden(message, code="not-qualified", score=standing.score, pass_mark=rules.pass_mark)
    if standing.stage == "test" and not _more(standing, "test", rules.test_items):
        message = _("There is no test clip left for you on “%(slug)s”. Ask a manager.") % {"slug": corpus.slug}
        raise Forbidden(message, code="not-qualified")
    return standing.stage


def feedback_address(claim: Claim) -> dict[str, Any]:
    """`{"feedback": address}` of a submitted training clip, else {}."""
    if not GoldItem.objects.filter(clip_id=claim.clip_id, purpose="training").exists():
        return {}
    return {"feedback": f"/corpora/{claim.corpus.slug}/training/{claim.pk}/"}


def after_end(claim: Claim) -> None:
    """A gold claim has ended, submitted or not: the person's stage follows, inside the transaction that ended it."""
    rules = CheckingRules.objects.filter(corpus_id=claim.corpus_id).first()
    standing = Standing.objects.filter(corpus_id=claim.corpus_id, user_id=claim.user_id).first()
    if rules is not None and standing is not None:
        settle(standing, rules)


@transaction.atomic
def settle(standing: Standing, rules: CheckingRules) -> Standing:
    """Move a standing to the stage that follows from what was handed in, and return it. Locks its row.

    Training is over after `training_items` clips, or when no clip is left for it. The test is decided after
    `test_items` clips: the mean score (see `answers.compare`; 0 for a clip that was given back) against `pass_mark`.
    """
    row = Standing.objects.select_for_update().get(pk=standing.pk)
    before = row.stage
    if row.stage == "training" and not _more(row, "training", rules.training_items):
        row.stage = "test" if rules.test_items else "passed"
    if row.stage == "test" and not rules.test_items:
        row.stage = "passed"
    if row.stage == "test" and not _more(row, "test", rules.test_items):
        scores = [score for _claim, score in results(row, "test")]
        if scores:
            row.score = sum(scores) / len(scores)
            row.stage = "passed" if row.score >= rules.pass_mark - 1e-9 else "failed"
    if row.stage != before:
        row.save(update_fields=["stage", "score", "updated_at"])
        audit.record(
            None,
            "standing.settle",
            corpus=rules.corpus.slug,
            target=f"person {row.user_id}",
            stage=row.stage,
            score=row.score,
        )
    return row


def _given(standing: Standing, purpose: str) -> QuerySet[Claim]:
    return gold.given(standing.user_id, standing.corpus_id, purpose).filter(created_at__gte=standing.since)


def _more(standing: Standing, purpose: str, wanted: int) -> bool:
    """Whether the person has clips of this purpose still to do."""
    states = list(_given(standing, purpose).values_list("state", flat=True))
    done = sum(state in ENDED for state in states)
    if done >= wanted:
        return False
    return done < len(states) or gold.items_for(standing.user, standing.corpus, purpose).exists()


def results(standing: Standing, purpose: str) -> list[tuple[Claim, float]]:
    """Each gold claim of this purpose that the person ended since they began, with its score; 0 where given back."""
    ended = list(
        _given(standing, purpose).filter(state__in=ENDED).select_related("clip__gold_item__revision", "planted")
    )
    latest = Annotation.objects.filter(claim__in=ended).order_by("claim_id", "-revision").distinct("claim_id")
    rows = {row.claim_id: row for row in latest.prefetch_related("checks__clue")}
    found = []
    for claim in ended:
        row = rows.get(claim.pk) if claim.state == "submitted" else None
        revision = claim.clip.gold_item.revision
        found.append((claim, answers.compare(revision, row, claim.planted)["score"] if row else 0.0))
    return found


def wants(user_id: int, corpus_id: int) -> int:
    """Which clips the person wants: slots whose `languages` hold all these bits (1 zh, 2 en); 0 whatever comes."""
    return (
        Standing.objects.filter(user_id=user_id, corpus_id=corpus_id).values_list("languages", flat=True).first() or 0
    )


@transaction.atomic
def set_languages(user: Any, corpus: Corpus, person: Any, languages: int) -> Standing:
    """Say which clips somebody gets: the person themself, or a manager. Raises Invalid, NotFound, Forbidden."""
    if user.pk == person.pk:
        require(user, corpus, "claim.annotate")
    else:
        require(user, corpus, "rules.edit")
        require_annotator(person, corpus)
    if isinstance(languages, bool) or languages not in LANGUAGES:
        message = _("One of %(choices)s is wanted here.") % {"choices": "0, 1 (zh), 2 (en), 3 (zh en)"}
        raise Invalid(message, errors={"languages": message})
    CheckingRules.objects.get_or_create(corpus=corpus)  # a corpus without rules asks for no standing
    standing, _made = Standing.objects.get_or_create(corpus=corpus, user=person)
    if standing.languages != languages:
        standing.languages = languages
        standing.save(update_fields=["languages", "updated_at"])
        QueuePlace.objects.filter(corpus=corpus, user=person).delete()  # what was passed over may be wanted now
        audit.record(user, "standing.languages", corpus=corpus.slug, target=f"person {person.pk}", languages=languages)
    return standing


@transaction.atomic
def decide(user: Any, corpus: Corpus, person: Any, decision: str) -> Standing:
    """`pass` somebody without more ado, or `reset` them: training and test begin anew, with clips not given before."""
    require(user, corpus, "rules.edit")
    require_annotator(person, corpus)
    if decision not in ("pass", "reset"):
        message = _("One of %(choices)s is wanted here.") % {"choices": "pass, reset"}
        raise Invalid(message, errors={"decision": message})
    Standing.objects.get_or_create(corpus=corpus, user=person)
    row = Standing.objects.select_for_update().get(corpus=corpus, user=person)
    row.decided_by = user
    if decision == "pass":
        row.stage = "passed"
    else:
        row.stage, row.score, row.since = "training", None, timezone.now()
    row.save()
    audit.record(user, f"standing.{decision}", corpus=corpus.slug, target=f"person {person.pk}")
    row.refresh_from_db()
    return row


def require_annotator(person: Any, corpus: Corpus) -> None:
    """Raise NotFound for somebody who does not annotate the corpus."""
    if person is None or not may(person, corpus, "claim.annotate"):
        raise NotFound(_("There is no such annotator on “%(slug)s”.") % {"slug": corpus.slug})


def mine(user: Any, corpus: Corpus) -> dict[str, Any]:
    """How the person stands: `{"stage", "score", "pass_mark", "languages", "training": {"done", "of"}, "test": …}`.

    The stage is "passed" where the corpus asks for neither training nor test. Raises NotFound, Forbidden.
    """
    require(user, corpus, "claim.annotate")
    rules = CheckingRules.objects.filter(corpus=corpus).first() or CheckingRules(corpus=corpus)
    row = Standing.objects.filter(corpus=corpus, user_id=user.pk).first() or Standing(corpus=corpus, user_id=user.pk)
    asked = bool(rules.training_items or rules.test_items)
    done = {
        purpose: _given(row, purpose).filter(state__in=ENDED).count() if asked and row.pk else 0
        for purpose in ("training", "test")
    }
    return {
        "stage": row.stage if asked else "passed",
        "score": row.score,
        "pass_mark": rules.pass_mark,
        "languages": row.languages,
        "training": {"done": done["training"], "of": rules.training_items},
        "test": {"done": done["test"], "of": rules.test_items},
    }


def feedback(user: Any, claim_id: int) -> tuple[Claim, dict[str, Any]]:
    """A submitted training clip beside its gold answer (see `answers.compare`), with the item's note.

    For its author, and for those who set the rules. Raises NotFound: also for a clip that checks or tests.
    """
    rows = Claim.objects.select_related("slot", "corpus", "clip__gold_item__revision", "planted")
    claim = rows.filter(pk=claim_id if 0 < claim_id < 2**63 else 0, slot__kind="gold", state="submitted").first()
    missing = NotFound(_("There is no such object, or you may not see it."))
    if claim is None or (claim.user_id != user.pk and not may(user, claim.corpus, "rules.edit")):
        raise missing
    item = GoldItem.objects.filter(clip_id=claim.clip_id, purpose="training").select_related("revision").first()
    annotation = claim.annotations.prefetch_related("checks__clue").order_by("-revision").first()
    if item is None or annotation is None or claim.clip.withdrawn_at:
        raise missing
    require(user, claim.corpus, "corpus.view")
    found = answers.compare(item.revision, annotation, claim.planted)
    said = {
        "description": {"zh": annotation.description_zh, "en": annotation.description_en},
        "ov_labels": {"zh": annotation.ov_zh, "en": annotation.ov_en},
    }
    return claim, {"claim": claim.pk, "clip": claim.clip.name, "note": item.note, "said": said, **found}


def people(corpus: Corpus) -> list[dict[str, Any]]:
    """Every annotator of the corpus with their standing and how far they are, by name; four queries."""
    rules = CheckingRules.objects.filter(corpus=corpus).first() or CheckingRules(corpus=corpus)
    asked = bool(rules.training_items or rules.test_items)
    standings = {row.user_id: row for row in Standing.objects.filter(corpus=corpus).select_related("decided_by")}
    roles, _what = ACTIONS["claim.annotate"]
    found = []
    who = User.objects.filter(memberships__corpus=corpus, memberships__role__in=roles).distinct().order_by("username")
    counts = _ended(corpus)
    for person in who:
        row = standings.get(person.pk)
        stage = "passed" if not asked else row.stage if row else "training"
        found.append(
            {
                "user": person.username,
                "person": person,
                "stage": stage,
                "score": row.score if row else None,
                "languages": row.languages if row else 0,
                "decided_by": row.decided_by.username if row and row.decided_by else None,
                "training": counts.get((person.pk, "training"), 0),
                "test": counts.get((person.pk, "test"), 0),
            }
        )
    return found


def _ended(corpus: Corpus) -> dict[tuple[int, str], int]:
    """(person, purpose) -> gold clips that they ended since they began."""
    rows = Claim.objects.filter(corpus=corpus, slot__kind="gold", state__in=ENDED)
    since = Standing.objects.filter(corpus=corpus, user_id=OuterRef("user_id")).values("since")[:1]
    counts = rows.filter(created_at__gte=Subquery(since)).values_list("user_id", "clip__gold_item__purpose")
    return {(row[0], row[1]): row[2] for row in counts.annotate(n=Count("pk")).order_by() if row[1]}
