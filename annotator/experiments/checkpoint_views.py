"""The page of a checkpoint: its model card, where it comes from, and the button that makes it a pre-labeller."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from annotator.clips.access import corpora_where, may, require
from annotator.core.errors import NotFound, WorkbenchError

from . import cards, folders, queries, services
from .commands import folder_of_checkpoint
from .forms import PromoteForm
from .models import Checkpoint

RECORDS_SHOWN = 100


def visible(request: HttpRequest, pk: int) -> Checkpoint:
    row = queries.checkpoints_visible_to(request.user).filter(pk=pk).first()
    if row is None:
        raise NotFound(_("There is no such object, or you may not see it."))
    return row


@login_required
@require_safe
def checkpoint(request: HttpRequest, pk: int) -> HttpResponse:
    return _page(request, visible(request, pk), None)


@login_required
@require_POST
def promote(request: HttpRequest, pk: int) -> HttpResponse:
    """Make it a pre-labeller. Errors answer 422 (409 where the weights are gone)."""
    row = visible(request, pk)
    if row.training_run.snapshot is None:
        raise NotFound(_("The snapshot of this run is not known here."))
    require(request.user, row.training_run.snapshot.corpus, "checkpoint.promote")
    form = PromoteForm(request.POST, label_suffix="")
    if not form.is_valid():
        return _page(request, row, form, status=422)
    try:
        made = services.promote(request.user, row, form.cleaned_data["name"])
    except WorkbenchError as error:
        form.show(error)
        return _page(request, row, form, status=error.status)
    messages.success(
        request, _("“%(name)s” is a pre-labeller now: choose it among the models of a run.") % {"name": made.name}
    )
    return redirect("experiments:checkpoint", pk=pk)


def _page(request: HttpRequest, row: Checkpoint, form: PromoteForm | None, status: int = 200) -> HttpResponse:
    run = row.training_run
    corpus = run.snapshot.corpus if run.snapshot else None
    found = queries.lineage(row, request.user)
    body = folders.read_run(folder_of_checkpoint(row).parents[1]) or {}
    proposed = {"name": services.proposed_name(row)}
    context: dict[str, Any] = {
        "checkpoint": row,
        "run": run,
        "page": "runs",
        "card": cards.render(queries.card(row)),
        "lineage": found,
        "stages": [(stage, _records(request, stage)) for stage in found["stages"]],
        "shown": RECORDS_SHOWN,
        "folder": folder_of_checkpoint(row),
        "init": body.get("init"),
        "evaluations": [e for e in run.evaluations.all() if e.report.get("checkpoint") == row.name][-50:],
        "facts": queries.trained_config(row),
        "may_promote": corpus is not None and may(request.user, corpus, "checkpoint.promote"),
        "form": form or PromoteForm(initial=proposed, label_suffix=""),
        "corpora": corpora_where(request.user, "run.start").order_by("name")[:50] if row.prelabeller else [],
    }
    return render(request, "experiments/checkpoint.html", context, status=status)


def _records(request: HttpRequest, stage: dict[str, Any]) -> list[dict[str, Any]]:
    """The first records of a stage, for those who may read records there."""
    if not stage["snapshot"]:
        return []
    readable = corpora_where(request.user, "record.view").filter(snapshots__pk=stage["snapshot"]["id"])
    return queries.records_of(stage, RECORDS_SHOWN) if readable.exists() else []
