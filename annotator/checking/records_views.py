"""Pages of records: the list with search, and one record with where each sentence came from."""

import json
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from annotator.clips.access import corpus_for, may

from . import queries, review_reading
from .models import Record, RecordRevision

PAGE = 50
GRADES = ("fine", "coarse")


@login_required
@require_safe
def record_list(request: HttpRequest, slug: str) -> HttpResponse:
    """Current records, newest first; the same URL answers the table alone to htmx."""
    corpus = corpus_for(request.user, slug, "record.view")
    grade = request.GET.get("grade", "")
    search = request.GET.get("q", "")[:200]
    rows = queries.records_of(
        corpus, user=request.user, grade=grade if grade in GRADES else "", search=search
    ).order_by("-id")
    before = request.GET.get("before", "")
    if before.isdecimal() and len(before) < 19:
        rows = rows.filter(pk__lt=int(before))
    found = list(rows[: PAGE + 1])
    page, more = found[:PAGE], len(found) > PAGE
    kept = {"grade": grade, "q": search}
    context = {
        "corpus": corpus,
        "records": [{"row": record, "line": _line(record)} for record in page],
        "grade": grade,
        "grades": GRADES,
        "search": search,
        "first": f"?{urlencode(kept)}" if before else "",
        "older": f"?{urlencode({**kept, 'before': page[-1].pk})}" if more else "",
        "may_view_quality": may(request.user, corpus, "quality.view"),
        "may_view_clips": may(request.user, corpus, "clip.view"),
    }
    template = "checking/_records_table.html" if getattr(request, "htmx", False) else "checking/records.html"
    response = render(request, template, context)
    response["Vary"] = "HX-Request"
    return response


def _line(record: Record) -> dict[str, Any]:
    return json.loads(record.current.line) if record.current else {}


@login_required
@require_safe
def record_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One record: clues with verdicts, description, OV labels, sources, revisions."""
    record = queries.record_for(request.user, pk)
    line, origin = _line(record), queries.record_provenance(record)
    sources = origin["clues"] or []
    clues = [
        {"number": number, **clue, "origin": sources[number - 1]["source"] if number <= len(sources) else None}
        for number, clue in enumerate(line["clues"], 1)
    ]
    context = {
        "corpus": record.corpus,
        "record": record,
        "line": line,
        "clues": clues,
        "descriptions": [
            {"language": language, "text": line["description"][language], "sentences": _sentences(origin, language)}
            for language in ("zh", "en")
            if line["description"][language]
        ],
        "origin": origin,
        "revisions": _revisions(record),
        "history": _history(record),
        "may_adjudicate": record.grade == "fine"
        and (may(request.user, record.corpus, "claim.review") or may(request.user, record.corpus, "claim.manage")),
        "may_view_clips": may(request.user, record.corpus, "clip.view"),
    }
    return render(request, "checking/record.html", context)


def _revisions(record: Record) -> list[RecordRevision]:
    """Newest first, each with `who`: the reviewer, else the annotator, under the corpus' pseudonyms."""
    rows = list(RecordRevision.objects.filter(record=record).select_related("annotation", "review").order_by("-number"))
    for row in rows:
        person = row.review.reviewer_id if row.review else row.annotation.user_id if row.annotation else None
        row.who = queries.pseudonym(record.corpus, person)  # type: ignore[attr-defined]
    return rows


def _history(record: Record) -> list[dict[str, Any]]:
    """What was submitted, returned, accepted and by whom; of a fine record only."""
    if record.grade != "fine":
        return []
    return [
        {
            **event,
            "who": queries.pseudonym(record.corpus, event["user"]),
            "author": queries.pseudonym(record.corpus, event.get("author")),
        }
        for event in review_reading.history(record.clip)
    ]


def _sentences(origin: dict[str, Any], language: str) -> list[dict[str, Any]]:
    """Sentences with the clues they rest on, numbered as the page numbers them."""
    found = (origin["sentences"] or {}).get(language) or []
    return [{**sentence, "clues": [index + 1 for index in sentence["clues"]]} for sentence in found]
