"""Pages beside the review page: opening a review anew, the log of the rule that accepts by itself."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from annotator.clips.access import corpus_for, may
from annotator.core.errors import Conflict

from . import queries, review_reading, reviews
from .models import CheckingRules

PAGE = 50
SHOWN = {"accepted": True, "reviewed": False}


@login_required
@require_POST
def adjudicate(request: HttpRequest, pk: int) -> HttpResponse:
    """Open the review of a record's clip anew: a reviewer goes on to it, a manager comes back to the record."""
    record = queries.record_for(request.user, pk)
    try:
        opened = reviews.adjudicate(request.user, record.clip_id)
    except Conflict as error:
        messages.warning(request, error.message)
        return redirect("checking:record", pk=pk)
    if opened["claim"]:
        return redirect(f"{reverse('checking:review', args=[record.corpus.slug])}?claim={opened['claim']}")
    messages.success(request, _("The clip waits for a reviewer again. Its record stands until they decide."))
    return redirect("checking:record", pk=pk)


@login_required
@require_safe
def auto_decisions(request: HttpRequest, slug: str) -> HttpResponse:
    """Each time the rule was asked to accept by agreement, newest first."""
    corpus = corpus_for(request.user, slug, "quality.view")
    shown = request.GET.get("shown", "")
    rows = review_reading.auto_decisions(corpus).order_by("-id")
    if shown in SHOWN:
        rows = rows.filter(accepted=SHOWN[shown])
    before = request.GET.get("before", "")
    if before.isdecimal() and len(before) < 19:
        rows = rows.filter(pk__lt=int(before))
    found = list(rows[: PAGE + 1])
    context: dict[str, Any] = {
        "corpus": corpus,
        "rows": [{**review_reading.auto_decision_json(row), "at": row.created_at} for row in found[:PAGE]],
        "shown": shown if shown in SHOWN else "",
        "threshold": CheckingRules.objects.filter(corpus=corpus).values_list("auto_accept", flat=True).first(),
        "first": f"?{urlencode({'shown': shown})}" if before else "",
        "older": f"?{urlencode({'shown': shown, 'before': found[PAGE - 1].pk})}" if len(found) > PAGE else "",
        "may_view_clips": may(request.user, corpus, "clip.view"),
    }
    return render(request, "checking/auto_decisions.html", context)
