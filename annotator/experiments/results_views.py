"""The page of results, two runs compared, and the table as CSV and Markdown."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from annotator.checking.quality_views import csv_response
from annotator.core.errors import NotFound, WorkbenchError

from . import comparing, discovery, drawing, paper, queries
from .results import FILTERS, METRICS, Row, as_csv, as_markdown, choices, filtered, number, points, rows

SHOWN = 300
Figures = Sequence[tuple[float | None, tuple[float, float] | None]]
NAMES = {"accuracy": "Accuracy_S", "recall": "Recall_S", "avg": "Avg"}


def _asked(request: HttpRequest) -> tuple[list[Row], list[Row], dict[str, str]]:
    """All rows that I may see, those that are filtered for, and the filters that name something that is there."""
    discovery.discover()
    found = rows(queries.evaluations_visible_to(request.user), every=request.GET.get("all") == "1")
    known = choices(found)
    chosen = {name: request.GET.get(name, "") for name in FILTERS}
    chosen = {name: value if value in known[name] else "" for name, value in chosen.items()}
    return found, filtered(found, chosen), chosen


@login_required
@require_safe
def results(request: HttpRequest) -> HttpResponse:
    """Every run x split, the paper's figures for reference, and two of ours compared (`a` and `b`: evaluations)."""
    found, shown, chosen = _asked(request)
    known = choices(found)
    query = urlencode({name: value for name, value in [*chosen.items(), ("all", request.GET.get("all", ""))] if value})
    context = {
        "page": "results",
        "rows": [_shown(row) for row in shown[:SHOWN]],
        "more": max(0, len(shown) - SHOWN),
        "total": len(found),
        "filters": [(name, known[name], chosen[name]) for name in FILTERS],
        "every": request.GET.get("all") == "1",
        "query": query,
        "ticks": drawing.ticks(),
        "paper": {table: [_of_paper(one) for one in paper.rows() if one.table == table] for table in ("4", "8")},
        "paper_clips": paper.CLIPS,
        "names": NAMES,
        "options": [(row.pk, _label(row)) for row in found],
        **_compared(request, found),
    }
    return render(request, "experiments/results.html", context)


def _shown(row: Row) -> dict[str, Any]:
    figures = [(row.figure(metric), row.interval(metric)) for metric in METRICS]
    return {
        "row": row,
        "lanes": drawing.lanes(figures),
        "figures": _told(figures),
        "label": _spoken(row.run.name, figures),
        **{key: row.text(key) for key in ("split", "n", "grouping", "extraction", "route", "checkpoint", "leak")},
        "epoch": number(row.report.get("epoch")),
    }


def _of_paper(one: paper.PaperRow) -> dict[str, Any]:
    figures: Figures = [(value, None) for value in (one.accuracy, one.recall, one.avg)]
    return {
        "row": one,
        "lanes": drawing.lanes(figures),
        "figures": _told(figures),
        "label": _spoken(one.name, figures),
    }


def _told(figures: Figures) -> list[tuple[str, str, str]]:
    """(metric, figure, interval or "") of a row."""
    return [
        (NAMES[metric], points(value), f"[{100 * pair[0]:.1f}, {100 * pair[1]:.1f}]" if pair else "")
        for metric, (value, pair) in zip(METRICS, figures, strict=True)
    ]


def _spoken(name: str, figures: Figures) -> str:
    """What a drawn strip says to those who do not see it."""
    told = [f"{NAMES[metric]} {points(*pair)}" for metric, pair in zip(METRICS, figures, strict=True)]
    return f"{name}: {', '.join(told)}"


def _label(row: Row) -> str:
    parts = [row.run.name, row.text("split"), f"Avg {points(row.figure('avg'))}", row.text("grouping")]
    if (epoch := number(row.report.get("epoch"))) is not None:
        parts.append(_("epoch %s") % f"{epoch:g}")
    return " · ".join(part for part in parts if part)


def _compared(request: HttpRequest, found: Sequence[Row]) -> dict[str, Any]:
    """The comparison that was asked for, or why there is none."""
    by_pk = {str(row.pk): row for row in found}
    a, b = by_pk.get(request.GET.get("a", "")), by_pk.get(request.GET.get("b", ""))
    context: dict[str, Any] = {"a": a, "b": b, "comparison": None, "trouble": ""}
    if a is None or b is None or a.pk == b.pk:
        if a is not None and b is not None:
            context["trouble"] = _("Choose two different evaluations.")
        return context
    try:
        told = comparing.compare(a, b)
    except WorkbenchError as error:
        return context | {"trouble": error.message}
    drawn, end = drawing.differences([(one["difference"], (one["low"], one["high"])) for one in told["metrics"]])
    lines = [
        {
            **one,
            "name": NAMES[one["metric"]],
            "drawn": geometry,
            "text": f"{100 * one['difference']:+.2f} [{100 * one['low']:+.1f}, {100 * one['high']:+.1f}]",
            "p": "< 0.001" if one["p"] < 0.001 else f"{one['p']:.3f}",
            "told": one["low"] > 0 or one["high"] < 0,
        }
        for one, geometry in zip(told["metrics"], drawn, strict=True)
    ]
    return context | {"comparison": {**told, "lines": lines, "end": f"{end:g}"}}


@login_required
@require_safe
def results_file(request: HttpRequest, form: str) -> HttpResponse:
    """The table as it is filtered, as `csv` or `md`, the paper's lines at its end unless `paper=0`."""
    if form not in ("csv", "md"):
        raise NotFound(_("There is no such table."))
    _found, shown, _chosen = _asked(request)
    with_paper = request.GET.get("paper") != "0"
    if form == "csv":
        return csv_response(as_csv(shown, with_paper=with_paper), "results")
    headers = {"Content-Disposition": "attachment; filename=results.md"}
    text = as_markdown(shown, with_paper=with_paper)
    return HttpResponse(text, content_type="text/markdown; charset=utf-8", headers=headers)
