"""Pages of runs: the list with the form that starts one, and a run with its live progress."""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from annotator.clips.access import corpus_for, may
from annotator.clips.models import Corpus
from annotator.core.errors import WorkbenchError
from models_ml.steps import PIPELINES

from . import budgets, pipelines, plans, progress, queries, services, tallies, traffic, words
from .forms import BudgetForm, RunForm
from .keys import step_name
from .models import Run

POLLING_ENDS = 286  # htmx stops polling at this status
PAGE = 25


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def runs(request: HttpRequest, slug: str) -> HttpResponse:
    """The corpus's runs, newest first; POST starts one, or with `estimate` says what it would do and cost. Errors of
    the form answer 422."""
    if request.method == "POST":
        corpus = corpus_for(request.user, slug, "run.start")
        form = RunForm(corpus, request.POST)
        if form.is_valid():
            try:
                if "estimate" in request.POST:
                    found = services.estimate(corpus, **form.wanted())
                    return _runs_page(request, corpus, form, estimate=found)
                repeat = form.cleaned_data["repeat"] or 0
                run = services.create_run(request.user, corpus, **form.wanted(), repeat=repeat)
            except WorkbenchError as error:
                form.add_error(None, error.message)
            else:
                return redirect("prelabels:run", pk=run.pk)
        return _runs_page(request, corpus, form, status=422)
    corpus = corpus_for(request.user, slug, "run.view")
    return _runs_page(request, corpus, RunForm(corpus))


def _runs_page(
    request: HttpRequest, corpus: Corpus, form: RunForm, status: int = 200, estimate: dict[str, Any] | None = None
) -> HttpResponse:
    page = Paginator(queries.runs_of(corpus), PAGE).get_page(request.GET.get("page"))
    counts = tallies.counts_of(list(page.object_list))
    may_start = may(request.user, corpus, "run.start")
    context = {
        "corpus": corpus,
        "tab": "runs",
        "page": page,
        "rows": [(run, counts[run.pk], sum(counts[run.pk].values())) for run in page.object_list],
        "form": form if may_start else None,
        "obstacles": _obstacles(corpus) if may_start else [],
        "estimate": estimate,
        "unknown": [row["step_name"] for row in estimate["steps"] if row["note"]] if estimate else [],
        "may_see_pipelines": pipelines.may(request.user, "pipeline.view"),
    }
    return render(request, "prelabels/runs.html", context, status=status)


def _obstacles(corpus: Corpus) -> list[dict[str, Any]]:
    """What is not configured, once per reason, with the steps and pipelines that it stops."""
    restricted = corpus.licence == "restricted" or corpus.clips.filter(licence="restricted").exists()
    by_reason: dict[str, dict[str, Any]] = {}
    for name in PIPELINES:
        for item in plans.obstacles(plans.plan_for(name).definition, restricted=restricted):
            found = by_reason.setdefault(item["reason"], {"reason": item["reason"], "steps": [], "pipelines": []})
            for key, value in (("steps", item["step_name"]), ("pipelines", name)):
                if value not in found[key]:
                    found[key].append(value)
    return list(by_reason.values())


@login_required
@require_safe
def run(request: HttpRequest, pk: int) -> HttpResponse:
    """A run: counts by state and step, rate, time to go, what was spent, servers, failures with reasons."""
    row = queries.run_for(request.user, pk)
    return render(request, "prelabels/run.html", _run_context(request, row))


@login_required
@require_safe
def run_progress(request: HttpRequest, pk: int) -> HttpResponse:
    """The part of the page that changes; status 286 once the run has ended, so that polling stops."""
    row = queries.run_for(request.user, pk)
    status = 200 if row.finished_at is None else POLLING_ENDS
    return render(request, "prelabels/_progress.html", _run_context(request, row), status=status)


def _run_context(request: HttpRequest, row: Run) -> dict[str, Any]:
    found = progress.run_progress(row)
    limits = {item["name"] for item in found["budget"]}
    return {
        "corpus": row.corpus,
        "tab": "runs",
        "run": row,
        "progress": found,
        "eta": str(timedelta(seconds=found["eta_seconds"])) if found["eta_seconds"] is not None else "",
        "selection": words.selection(row.selection),
        "reason": words.pause_reason(row, found["spent"]),
        "budget": [item | {"label": words.limit(item["name"])} for item in found["budget"]],
        "spent": [(words.limit(name), found["spent"][name]) for name in budgets.LIMITS if name not in limits],
        "endpoints": traffic.endpoint_stats(row),
        "groups": [
            {**group, "reason": words.reason(group["step"], group["error_code"], group["reason"])}
            for group in progress.reasons(row, found["codes"])
        ],
        "failed_jobs": [
            {
                "job": job,
                "step_name": step_name(job.step, row.pipeline.definition),
                "reason": words.reason(job.step, job.error_code, job.reason),
                "exchange": progress.exchange_of(job),
            }
            for job in (progress.latest_failures(row) if found["counts"]["failed"] else [])
        ],
        "may_start": may(request.user, row.corpus, "run.start"),
        "resume": BudgetForm(initial=row.budget, auto_id="resume-%s") if row.state == "paused" else None,
        "every": "2s",
    }


@login_required
@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    """Stop the run; jobs that a worker is at are finished."""
    row = queries.run_for(request.user, pk, "run.start")
    services.cancel_run(request.user, row)
    messages.success(request, _("The run is cancelled. Jobs that a worker was at are still finished."))
    return redirect("prelabels:run", pk=pk)


@login_required
@require_POST
def pause(request: HttpRequest, pk: int) -> HttpResponse:
    """Take no more jobs until the run is resumed."""
    row = queries.run_for(request.user, pk, "run.start")
    services.pause_run(request.user, row)
    messages.success(request, _("The run is paused. Jobs that a worker was at are still finished."))
    return redirect("prelabels:run", pk=pk)


@login_required
@require_POST
def resume(request: HttpRequest, pk: int) -> HttpResponse:
    """Let a paused run go on, with the budget that was sent along (none sent: as it was)."""
    row = queries.run_for(request.user, pk, "run.start")
    form = BudgetForm(request.POST, auto_id="resume-%s")
    sent = any(name in request.POST for name in budgets.LIMITS)
    if form.is_valid():
        try:
            services.resume_run(request.user, row, form.budget() if sent else None)
        except WorkbenchError as error:
            if error.status != 422:
                raise
            form.add_error(None, error.message)
        else:
            messages.success(request, _("The run goes on."))
            return redirect("prelabels:run", pk=pk)
    return render(request, "prelabels/run.html", _run_context(request, row) | {"resume": form}, status=422)


@login_required
@require_POST
def retry(request: HttpRequest, pk: int) -> HttpResponse:
    """Queue what failed again."""
    row = queries.run_for(request.user, pk, "run.start")
    jobs = services.retry_run(request.user, row)
    messages.success(
        request, ngettext("%(n)d job is queued again.", "%(n)d jobs are queued again.", jobs) % {"n": jobs}
    )
    return redirect("prelabels:run", pk=pk)
