"""Pages of quality: agreement and pre-labellers, the managers' dashboard, an annotator's week; CSV of each."""

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from annotator.clips.access import corpus_for, may
from annotator.clips.models import Corpus
from annotator.core.errors import NotFound

from .quality import anchoring, people, reports, said, shown, shown_work, week

Rows = Callable[[dict[str, Any]], Sequence[Any]]
#: file -> (columns, rows of the report)
QUALITY: dict[str, tuple[Sequence[str], Rows]] = {
    "agreement": (shown.AGREEMENT, lambda found: shown.agreement_rows(found["agreement"])),
    "over-time": (shown.OVER_TIME, lambda found: found["agreement"]["over_time"]),
    "prelabellers": (shown.PRELABELLERS, lambda found: found["prelabellers"]),
    "anchoring": (shown.ANCHORING, lambda found: found["anchoring"]["arms"]),
}
DASHBOARD: dict[str, tuple[Sequence[str], Rows]] = {
    "throughput": (shown_work.THROUGHPUT, lambda found: found["throughput"]),
    "over-time": (shown.OVER_TIME, lambda found: found["agreement"]["over_time"]),
    "queue": (shown_work.QUEUE, shown_work.queue_rows),
    "people": (shown_work.PEOPLE, shown_work.people_rows),
    "costs": (shown_work.COSTS, lambda found: [found["costs"]["all"], *found["costs"]["prelabellers"]]),
}


def periods() -> list[tuple[int, str]]:
    """The periods that one may choose, with their names."""
    names = {7: _("7 days"), 28: _("4 weeks"), 30: _("30 days"), 90: _("90 days"), 0: _("everything")}
    return [(days, names[days]) for days in said.PERIODS]


def _asked(request: HttpRequest, corpus: Corpus, kind: str) -> dict[str, Any]:
    return reports.report(corpus, kind, said.period(request.GET.get("days", said.DEFAULT)))


def _context(corpus: Corpus, found: dict[str, Any]) -> dict[str, Any]:
    return {
        "corpus": corpus,
        "periods": periods(),
        "days": found["days"],
        "counting": found["counting"],
        "counted_at": parse_datetime(found["counted_at"]) if found["counted_at"] else None,
    }


@login_required
@require_safe
def quality(request: HttpRequest, slug: str) -> HttpResponse:
    """Agreement, what becomes of each pre-labeller's clues, how far suggestions pull. Nobody is named here."""
    corpus = corpus_for(request.user, slug, "quality.view")
    found = _asked(request, corpus, "quality")
    context = _context(corpus, found) | {
        "may_people": may(request.user, corpus, "people.view"),
        "may_gate": may(request.user, corpus, "gate.view"),
    }
    if context["counted_at"]:
        over_time = found["agreement"]["over_time"]
        names = shown.measures()
        context |= {
            "agreement": found["agreement"],
            "figures": [
                {
                    "name": names[row["measure"]],
                    "value": shown.number(row["value"]),
                    "interval": None
                    if row["low"] is None
                    else f"{shown.number(row['low'])} … {shown.number(row['high'])}",
                    "units": row["units"],
                }
                for row in shown.agreement_rows(found["agreement"])[:5]
            ],
            "agreement_table": shown.agreement_table(found["agreement"]),
            "over_time": shown.over_time_chart(over_time) if over_time else None,
            "over_time_table": shown.over_time_table(over_time),
            "prelabellers": shown.prelabellers_table(found["prelabellers"]),
            "anchoring": shown.anchoring_table(found["anchoring"]["arms"]),
            "pull": shown.pull_sentences(found["anchoring"]["pull"]),
            "few": anchoring.FEW,
        }
    return render(request, "checking/quality.html", context)


@login_required
@require_safe
def dashboard(request: HttpRequest, slug: str) -> HttpResponse:
    """For managers: progress, throughput, when it is done, the queue, each annotator, what a record costs."""
    corpus = corpus_for(request.user, slug, "people.view")
    found = _asked(request, corpus, "dashboard")
    context = _context(corpus, found)
    if context["counted_at"]:
        over_time = found["agreement"]["over_time"]
        context |= {
            "figures": _progress(found),
            "eta": [shown_work.eta_sentence(what, found["eta"][what]) for what in ("annotations", "reviews")],
            "throughput": shown_work.throughput_chart(found["throughput"]),
            "throughput_table": shown_work.throughput_table(found["throughput"]),
            "over_time": shown.over_time_chart(over_time) if over_time else None,
            "over_time_table": shown.over_time_table(over_time),
            "queue": shown_work.queue_table(found),
            "people": shown_work.people_table(found),
            "costs": shown_work.costs_table(found["costs"]),
            "rate": found["costs"]["rate"],
            "currency": found["costs"]["currency"],
            "stamp": people.STAMP,
            "few": people.FEW,
            "may_rules": may(request.user, corpus, "rules.edit"),
        }
    return render(request, "checking/quality_dashboard.html", context)


def _progress(found: dict[str, Any]) -> list[dict[str, Any]]:
    slots = found["progress"]["slots"]
    annotate = slots.get("annotate", {})
    wanted = sum(annotate.get(state, 0) for state in ("open", "claimed", "done"))
    review = slots.get("review", {})
    return [
        {"name": _("Clips"), "value": found["progress"]["clips"], "of": None},
        {"name": _("Annotations done"), "value": annotate.get("done", 0), "of": wanted},
        {"name": _("Reviews waiting"), "value": review.get("open", 0) + review.get("claimed", 0), "of": None},
        {"name": _("Fine records"), "value": found["progress"]["fine"], "of": found["progress"]["clips"]},
    ]


@login_required
@require_safe
def my_week(request: HttpRequest, slug: str) -> HttpResponse:
    """An annotator's own work: clips and active time by day, agreement with accepted records, what came back."""
    corpus = corpus_for(request.user, slug, "claim.annotate")
    days = week.days_of(request.GET.get("days", week.DAYS[0]))
    found = week.figures(request.user, corpus, days)
    low, high = found["agreement"]["ci95"] or (None, None)
    context = {
        "corpus": corpus,
        "periods": [(7, _("7 days")), (28, _("4 weeks"))],
        "days": days,
        "totals": found["totals"],
        "minutes": shown.number(found["totals"]["minutes"], 0),
        "agreement": shown.with_interval(found["agreement"]["avg"], low, high),
        "agreed": found["agreement"]["n"],
        "chart": shown_work.week_chart(found["days"]) if found["totals"]["clips"] else None,
        "table": shown_work.week_table(found["days"]),
        "returned": [{**row, "since": parse_datetime(row["since"])} for row in found["returned"]],
    }
    return render(request, "checking/quality_week.html", context)


def _file(request: HttpRequest, corpus: Corpus, kind: str, name: str) -> HttpResponse:
    tables = QUALITY if kind == "quality" else DASHBOARD
    if name not in tables:
        raise NotFound(_("There is no such table."))
    found = _asked(request, corpus, kind)
    columns, rows = tables[name]
    if found["counted_at"] is None:
        return HttpResponse(
            _("These figures are being counted; ask again in a moment."), status=503, headers={"Retry-After": "10"}
        )
    return csv_response(shown.as_csv(columns, rows(found)), f"{corpus.slug}-{kind}-{name}")


def csv_response(text: str, name: str) -> HttpResponse:
    headers = {"Content-Disposition": f"attachment; filename={name}.csv"}
    # The mark of UTF-8 at the head: without it a spreadsheet takes Chinese for something else.
    return HttpResponse(f"\ufeff{text}", content_type="text/csv; charset=utf-8", headers=headers)


@login_required
@require_safe
def quality_csv(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """One of the tables of QUALITY."""
    return _file(request, corpus_for(request.user, slug, "quality.view"), "quality", name)


@login_required
@require_safe
def dashboard_csv(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """One of the tables of DASHBOARD."""
    return _file(request, corpus_for(request.user, slug, "people.view"), "dashboard", name)


@login_required
@require_safe
def my_week_csv(request: HttpRequest, slug: str) -> HttpResponse:
    """My days on this corpus."""
    corpus = corpus_for(request.user, slug, "claim.annotate")
    found = week.figures(request.user, corpus, week.days_of(request.GET.get("days", week.DAYS[0])))
    return csv_response(shown.as_csv(shown_work.WEEK, found["days"]), f"{corpus.slug}-my-week")
