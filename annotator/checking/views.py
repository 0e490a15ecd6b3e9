"""The checking and the review page: shells whose scripts claim, save and submit by the REST API."""

import posixpath
import re
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.staticfiles import finders
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.templatetags.static import static
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from annotator.clips.access import corpus_for
from annotator.clips.models import Corpus

from . import streams, words
from .models import CheckingRules
from .preferences import preferences_of
from .shortcuts import shortcuts
from .words import clues, page, text
from .words import review as review_words

SCRIPT_OF = {"annotate": "check", "review": "review"}
SHEETS = ("checking", "player", "clues", "text", "review")


@cache
def modules(entry: str) -> tuple[str, ...]:
    """Every module that a script of static/ imports, however far down, as the browser will ask for it.

    Named in the page's head they are fetched at once instead of one after the other as each is found in another.
    """
    seen: dict[str, None] = {}
    todo = [entry]
    while todo:
        name = todo.pop(0)
        found = finders.find(name)
        text = Path(str(found)).read_text(encoding="utf-8") if found else ""
        for address in re.findall(r'^(?:import|export)\b[^;]*?\bfrom "(\.[^"]+)";', text, re.MULTILINE):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(name), address))
            if path not in seen:
                seen[path] = None
                todo.append(path)
    return tuple(static(path) for path in seen)


def _shell(request: HttpRequest, corpus: Corpus, kind: str, title: str) -> dict[str, Any]:
    return {
        "corpus": corpus,
        "kind": kind,
        "sheets": [f"css/{name}.css" for name in SHEETS],
        "modules": modules(f"js/checking/{SCRIPT_OF[kind]}.js"),
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
def check(request: HttpRequest, slug: str) -> HttpResponse:
    """The next clip for me, its clues, and what I say about them."""
    corpus = corpus_for(request.user, slug, "claim.annotate")
    return streams.allow(
        request, render(request, "checking/check.html", _shell(request, corpus, "annotate", _("Check")))
    )


@login_required
@never_cache
@require_safe
def review(request: HttpRequest, slug: str) -> HttpResponse:
    """The next clip to decide over, its annotations side by side."""
    corpus = corpus_for(request.user, slug, "claim.review")
    shell = {**_shell(request, corpus, "review", _("Review")), "return_reasons": review_words.return_reasons()}
    return render(request, "checking/review.html", shell)
