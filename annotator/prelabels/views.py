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
from models_ml.steps import PIPELINES, STEPS

from . import plans, queries, services
from .forms import RunForm
from .models import Run

POLLING_ENDS = 286  # htmx stops polling at this status
PAGE = 25


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def runs(request: HttpRequest, slug: str) -> HttpResponse:
    """The corpus's runs, newest first; POST starts one. Errors of the form answer 422."""
    if request.method == "POST":
        corpus = corpus_for(request.user, slug, "run.start")
        form = RunForm(corpus, request.POST)
        if form.is_valid():
            try:
                run = services.create_run(
                    request.user,
                    corpus,
                    None if form.cleaned_data["prelabellers"] else form.cleaned_data["pipeline"],
                    prelabellers=form.cleaned_data["prelabellers"] or None,
                    clip_names=form.cleaned_data["clips"],
                )
            except WorkbenchError as error:
                form.add_error(None, error.message)
            else:
                return redirect("prelabels:run", pk=run.pk)
        return _runs_page(request, corpus, form, status=422)
    corpus = corpus_for(request.user, slug, "run.view")
    return _runs_page(request, corpus, RunForm(corpus))


def _runs_page(request: HttpRequest, corpus: Corpus, form: RunForm, status: int = 200) -> HttpResponse:
    page = Paginator(queries.runs_of(corpus), PAGE).get_page(request.GET.get("page"))
    counts = queries.counts_of_runs(list(page.object_list))
    may_start = may(request.user, corpus, "run.start")
    context = {
        "corpus": corpus,
        "tab": "runs",
        "page": page,
        "rows": [(run, counts[run.pk], sum(counts[run.pk].values())) for run in page.object_list],
        "form": form if may_start else None,
        "obstacles": _obstacles(corpus) if may_start else [],
    }
    return render(request, "prelabels/runs.html", context, status=status)


def _obstacles(corpus: Corpus) -> list[dict[str, Any]]:
    """What is not configured, once per reason, with the steps and pipelines that it stops."""
    restricted = corpus.licence == "restricted" or corpus.clips.filter(licence="restricted").exists()
    by_reason: dict[str, dict[str, Any]] = {}
    for name in PIPELINES:
        for item in plans.obstacles(plans.plan_for(name).definition, restricted=restricted):
            found = by_reason.setdefault(item["reason"], {"reason": item["reason"], "steps": [], "pipelines": []})
            for key, value in (("steps", item["step"]), ("pipelines", name)):
                if value not in found[key]:
                    found[key].append(value)
    return list(by_reason.values())


@login_required
@require_safe
def run(request: HttpRequest, pk: int) -> HttpResponse:
    """A run: counts by state and step, rate, time to go, tokens, failures with reasons."""
    row = queries.run_for(request.user, pk)
    return render(request, "prelabels/run.html", _run_context(request, row))


@login_required
@require_safe
def progress(request: HttpRequest, pk: int) -> HttpResponse:
    """The part of the page that changes; status 286 once the run has ended, so that polling stops."""
    row = queries.run_for(request.user, pk)
    status = 200 if row.finished_at is None else POLLING_ENDS
    return render(request, "prelabels/_progress.html", _run_context(request, row), status=status)


def _run_context(request: HttpRequest, row: Run) -> dict[str, Any]:
    found = queries.run_progress(row)
    return {
        "corpus": row.corpus,
        "tab": "runs",
        "run": row,
        "progress": found,
        "eta": str(timedelta(seconds=found["eta_seconds"])) if found["eta_seconds"] is not None else "",
        "groups": [
            {**group, "reason": _reason(group["step"], group["error_code"], group["reason"])}
            for group in queries.failure_groups(row)
        ],
        "failed_jobs": [(job, _reason(job.step, job.error_code, job.reason)) for job in queries.failures(row)],
        "may_start": may(request.user, row.corpus, "run.start"),
        # Counting a million jobs every two seconds would be the load, not the progress.
        "every": "2s" if found["jobs"] < 20_000 else "10s",
    }


def _reason(step: str, code: str, reason: str) -> str:
    """A job's stored reason; how to configure a server is said in the reader's language."""
    spec = STEPS.get(step)  # a registered pre-labeller's step has another key and names its own setting
    return plans.how_to(spec.endpoint) if code == "not-configured" and spec and spec.endpoint else reason


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
def retry(request: HttpRequest, pk: int) -> HttpResponse:
    """Queue what failed again."""
    row = queries.run_for(request.user, pk, "run.start")
    jobs = services.retry_run(request.user, row)
    messages.success(
        request, ngettext("%(n)d job is queued again.", "%(n)d jobs are queued again.", jobs) % {"n": jobs}
    )
    return redirect("prelabels:run", pk=pk)
