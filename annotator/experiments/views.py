"""Pages of runs: every one that this host knows; one with its progress, curves, log, checkpoints and reports."""

from pathlib import Path
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from annotator.clips.access import may, require
from annotator.core.errors import NotFound

from . import curves, discovery, folders, presence, queries, services, words
from .models import TrainingRun

POLLING_ENDS = 286  # htmx stops polling at this status
SHOWN = 200


def visible(request: HttpRequest, pk: int) -> TrainingRun:
    run = queries.visible_to(request.user).filter(pk=pk).first()
    if run is None:
        raise NotFound(_("There is no such object, or you may not see it."))
    return run


def may_start(request: HttpRequest, run: TrainingRun) -> bool:
    return run.snapshot is not None and may(request.user, run.snapshot.corpus, "training.start")


@login_required
@require_safe
def run_list(request: HttpRequest) -> HttpResponse:
    """All runs that I may see, newest first."""
    discovery.discover()
    runs = list(queries.visible_to(request.user)[:SHOWN])
    scores = queries.avg_on_test(runs)
    context = {
        "rows": [(run, scores.get(run.pk)) for run in runs],
        "may_start": queries.startable(request.user).exists(),
        "page": "runs",
    }
    return render(request, "experiments/list.html", context)


@login_required
@require_safe
def run_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One run. htmx asks again for its state until it has ended, then once for what came of it."""
    run = visible(request, pk)
    discovery.look_at(run)
    live = run.state in ("queued", "running")
    context: dict[str, Any] = {
        "run": run,
        "live": live,
        "may_start": may_start(request, run),
        "progress": queries.progress(run),
        "reason": words.reason(run.reason),
        "nobody": run.state == "queued" and not presence.there(),
        "log": folders.log_tail(queries.log_path(run)) if may_start(request, run) else "",
        "eta": curves.duration(queries.progress(run)["eta_seconds"]) if run.state == "running" else "",
    }
    part = request.GET.get("part")
    if request.htmx and part != "outcome":  # type: ignore[attr-defined]
        answer = render(request, "experiments/_state.html", context, status=200 if live else POLLING_ENDS)
        if not live:
            answer["HX-Trigger"] = "run-ended"
        return answer
    context |= _outcome(run)
    template = "experiments/_outcome.html" if request.htmx else "experiments/detail.html"  # type: ignore[attr-defined]
    return render(request, template, context)


def _outcome(run: TrainingRun) -> dict[str, Any]:
    """What came of the run so far: checkpoints, reports, lineage."""
    named = folders.named_checkpoints(Path(run.folder))
    reports = list(run.evaluations.all())
    stages = queries.stages_of(run)
    withdrawn = queries.withdrawn_by_stage(stages)
    return {
        "checkpoints": [
            (row, [name for name, body in named.items() if body["checkpoint"] == row.name and not row.removed_at])
            for row in run.checkpoints.select_related("prelabeller").order_by("removed_at", "-step")[:50]
        ],
        "best": named.get("best"),
        "evaluations": [
            (e, curves.how(*(e.report.get(key) for key in ("route", "grouping", "extraction"))))
            for e in reports
            if not e.report.get("during_training")
        ][-50:],
        "curves": curves.score_curves([e.report for e in reports], _weight(run)),
        "lineage": stages,
        "withdrawn": sorted({name for names in withdrawn.values() for name in names}),
        "facts": queries.facts(run),
        "command": " ".join(["python -m training evaluate --run", run.folder, "--snapshot DIR --split test"]),
    }


def _weight(run: TrainingRun) -> float:
    return curves.weight_of(folders.read_run(Path(run.folder)) or {})


@login_required
@require_safe
def curve(request: HttpRequest, pk: int) -> JsonResponse:
    """The loss curve as columns."""
    return JsonResponse(folders.read_curve(Path(visible(request, pk).folder)))


@login_required
@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    """Stop a run: at once where it waits, else after its next checkpoint."""
    run = _mine(request, pk)
    services.cancel(request.user, run)
    return redirect("experiments:detail", pk=pk)


@login_required
@require_POST
def resume(request: HttpRequest, pk: int) -> HttpResponse:
    """Let a run go on that failed or was cancelled."""
    run = _mine(request, pk)
    services.resume(request.user, run)
    messages.success(request, _("The run is queued again; it goes on from its last checkpoint."))
    return redirect("experiments:detail", pk=pk)


def _mine(request: HttpRequest, pk: int) -> TrainingRun:
    run = visible(request, pk)
    if run.snapshot is None:
        raise NotFound(_("This run was not launched here."))
    require(request.user, run.snapshot.corpus, "training.start")
    return run
