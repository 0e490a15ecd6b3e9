"""The checking and the review page: shells whose scripts claim, save and submit by the REST API."""

from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from annotator.clips.access import corpus_for
from annotator.clips.models import Corpus
from annotator.core.static import script, sheets

from . import streams, words
from .models import CheckingRules
from .preferences import preferences_of
from .shortcuts import shortcuts
from .words import clues, page, text
from .words import review as review_words

SCRIPT_OF = {"annotate": "check", "review": "review"}
SHEETS = tuple(f"css/{name}.css" for name in ("checking", "player", "clues", "text", "review"))


def _shell(request: HttpRequest, corpus: Corpus, kind: str, title: str) -> dict[str, Any]:
    return {
        "corpus": corpus,
        "kind": kind,
        "sheets": sheets(SHEETS, "css/bundles/work.css"),
        "script": script(f"js/checking/{SCRIPT_OF[kind]}.js", f"js/bundles/{SCRIPT_OF[kind]}.js"),
        "page_title": f"{title} · {corpus.name}",
        "text": words.script(),
        "modalities": clues.modalities(),
        "aspects": clues.aspects(),
        "labels": text.labels(),
        "relations": text.relations(),
        "conflict_modalities": text.conflict_modalities(),
        "streams": streams.page_origin(request),
        "reject_reasons": clues.reject_reasons(),
        "skip_reasons": page.skip_reasons(),
        "flag_reasons": page.flag_reasons(),
        "lease_seconds": settings.LEASE_SECONDS,
        "idle_seconds": CheckingRules.objects.filter(corpus=corpus).values_list("idle_after", flat=True).first() or 60,
        # Inert JSON in the page, so that neither costs a request.
        "keys": [s._asdict() for s in shortcuts(kind)],
        "preferences": preferences_of(request.user),
    }


@login_required
@never_cache
@require_safe
@gzip_page
def check(request: HttpRequest, slug: str) -> HttpResponse:
    """The next clip for me, its clues, and what I say about them."""
    corpus = corpus_for(request.user, slug, "claim.annotate")
    return streams.allow(
        request, render(request, "checking/check.html", _shell(request, corpus, "annotate", _("Check")))
    )


@login_required
@never_cache
@require_safe
@gzip_page
def review(request: HttpRequest, slug: str) -> HttpResponse:
    """The next clip to decide over, its annotations side by side."""
    corpus = corpus_for(request.user, slug, "claim.review")
    shell = {**_shell(request, corpus, "review", _("Review")), "return_reasons": review_words.return_reasons()}
    return render(request, "checking/review.html", shell)
