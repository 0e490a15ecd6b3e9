"""The corpus' terms of use: accepted, in their very words, before the first clip is shown."""

import hashlib
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from annotator.clips.access import require
from annotator.clips.models import Corpus
from annotator.core import audit
from annotator.core.errors import Conflict, Forbidden

from .models import CheckingRules, TermsAcceptance


def version_of(text: str) -> str:
    """Which terms these are: the sha256 of their text."""
    return hashlib.sha256(text.encode()).hexdigest()


def accepted(user: Any, rules: CheckingRules) -> TermsAcceptance | None:
    """This person's acceptance of the terms as they are now."""
    rows = TermsAcceptance.objects.filter(corpus_id=rules.corpus_id, user_id=user.pk)
    return rows.filter(version=version_of(rules.terms)).first()


def require_accepted(user: Any, corpus: Corpus, rules: CheckingRules) -> None:
    """Raise Forbidden `terms-not-accepted` where the corpus has terms that this person has not accepted."""
    if rules.terms and accepted(user, rules) is None:
        raise Forbidden(
            _("Accept the terms of use of “%(slug)s” first.") % {"slug": corpus.slug},
            code="terms-not-accepted",
            url=f"/corpora/{corpus.slug}/terms/",
        )


def state(user: Any, corpus: Corpus) -> dict[str, Any]:
    """`{"terms", "version", "accepted_at"}`; without terms the first two are null."""
    require(user, corpus, "corpus.view")
    rules = CheckingRules.objects.filter(corpus=corpus).first()
    if rules is None or not rules.terms:
        return {"terms": None, "version": None, "accepted_at": None}
    found = accepted(user, rules)
    return {
        "terms": rules.terms,
        "version": version_of(rules.terms),
        "accepted_at": found.accepted_at if found else None,
    }


@transaction.atomic
def accept(user: Any, corpus: Corpus, version: str) -> TermsAcceptance:
    """Record that this person accepts the terms of this version; again is the same.

    Raises NotFound, Conflict `terms-changed` where the terms are other ones (or none) by now.
    """
    require(user, corpus, "corpus.view")
    rules = CheckingRules.objects.select_for_update().filter(corpus=corpus).first()
    if rules is None or not rules.terms or version != version_of(rules.terms):
        raise Conflict(_("The terms of use were changed meanwhile: read them again."), code="terms-changed")
    found, made = TermsAcceptance.objects.get_or_create(
        corpus=corpus, user=user, version=version, defaults={"terms": rules.terms}
    )
    if made:
        audit.record(user, "terms.accept", corpus=corpus.slug, target=f"terms {version[:12]}")
    return found
