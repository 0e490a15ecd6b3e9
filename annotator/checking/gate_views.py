"""The page of the evidence gate: how much is judged, and how its verdicts compare with what people decide."""

import csv
import io
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from annotator.clips.access import corpus_for, may
from annotator.core.errors import WorkbenchError
from annotator.prelabels import gate_words, gating

from . import gate_figures

POLLING_ENDS = 286  # htmx stops polling at this status


@login_required
@require_safe
def gate(request: HttpRequest, slug: str) -> HttpResponse:
    """Per kind of claim: verdicts, what people did, precision and recall of "contradicted"."""
    corpus = corpus_for(request.user, slug, "gate.view")
    found = gate_figures.comparison(corpus)
    rows = [_shown(row) for row in [*found["rows"], found["all"]]] if found["rows"] else []
    context = {
        "corpus": corpus,
        "rows": rows,
        "whole": {**found["whole_clues"], **_shares(found["whole_clues"])},
        "progress": found,
        "may_start": may(request.user, corpus, "run.start"),
        "few": gate_figures.FEW,
    }
    return render(request, "checking/gate.html", context)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the table in words: its name, what people did by verdict, shares with their intervals."""
    names = gate_words.verdict_names()
    people = [
        (gate_words.SIGNS[verdict], names[verdict], did) for verdict, did in row["people"].items() if any(did.values())
    ]
    name = gate_words.claims().get(row["claim"], row["claim"]) if row["claim"] else _("all claims")
    return {**row, "name": name, "people": people, **_shares(row)}


def _shares(row: dict[str, Any]) -> dict[str, str]:
    """Precision and recall as "0.83 (0.61–0.94)", "too few to say" beside them where they are."""
    found = {}
    for name in ("precision", "recall"):
        share, low, high = (row[key] for key in (name, f"{name}_low", f"{name}_high"))
        found[name] = "–" if share is None else f"{share:.2f} ({low:.2f}–{high:.2f})"
        if share is not None and row["few"]:
            found[name] += " · " + _("too few to say")
    return found


@login_required
@require_safe
def progress(request: HttpRequest, slug: str) -> HttpResponse:
    """How many clues are judged; status 286 when none is waiting, so that polling stops and the page is read anew."""
    corpus = corpus_for(request.user, slug, "gate.view")
    found = gating.progress(corpus)
    context = {"corpus": corpus, "progress": found, "may_start": may(request.user, corpus, "run.start")}
    if found["waiting"]:
        return render(request, "checking/_gate_progress.html", context)
    answer = render(request, "checking/_gate_progress.html", context, status=POLLING_ENDS)
    answer["HX-Refresh"] = "true"  # the tables and the button tell of what was judged meanwhile
    return answer


@login_required
@require_POST
def judge(request: HttpRequest, slug: str) -> HttpResponse:
    """Have workers judge what this version of the gate has not judged; `again`: everything."""
    corpus = corpus_for(request.user, slug, "run.start")
    try:
        clues = gating.request_judging(request.user, corpus, again=request.POST.get("again") == "1")
    except WorkbenchError as error:
        messages.info(request, error.message)
    else:
        messages.success(
            request, ngettext("%(n)d clue is being judged.", "%(n)d clues are being judged.", clues) % {"n": clues}
        )
    return redirect("checking:gate", slug=slug)


@login_required
@require_safe
def export(request: HttpRequest, slug: str, form: str) -> HttpResponse:
    """The comparison as CSV (a row a kind of claim, the last one over all) or JSON (all of it)."""
    corpus = corpus_for(request.user, slug, "gate.view")
    found = gate_figures.comparison(corpus)
    name = f"attachment; filename=gate-{slug}.{form}"
    if form == "json":
        return JsonResponse(found, json_dumps_params={"ensure_ascii": False}, headers={"Content-Disposition": name})
    return HttpResponse(_csv(found), content_type="text/csv; charset=utf-8", headers={"Content-Disposition": name})


def _csv(found: dict[str, Any]) -> str:
    text = io.StringIO(newline="")
    rows = csv.DictWriter(text, gate_figures.COLUMNS, extrasaction="ignore", lineterminator="\n")
    rows.writeheader()
    rows.writerows([*found["rows"], {**found["all"], "claim": "all"}])
    return text.getvalue()
