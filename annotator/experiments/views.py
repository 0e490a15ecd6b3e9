"""Pages of experiments: every run that this host knows, a form to launch one, its loss curve and reports."""

from pathlib import Path

from django import forms
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from annotator.clips.access import corpora_where, may, require
from annotator.core.errors import NotFound, WorkbenchError
from annotator.snapshots.models import Snapshot
from annotator.snapshots.queries import visible_to as visible_snapshots

from . import folders, queries, services
from .models import TrainingRun


class LaunchForm(forms.Form):
    snapshot: forms.ModelChoiceField = forms.ModelChoiceField(
        label=gettext_lazy("Snapshot"), queryset=Snapshot.objects.none()
    )
    config = forms.ChoiceField(label=gettext_lazy("Config"), choices=[(c, c) for c in services.CONFIGS])
    name = forms.CharField(label=gettext_lazy("Name"), max_length=80, help_text=gettext_lazy("For example tiny-v1."))


def _visible(request: HttpRequest, pk: int) -> TrainingRun:
    run = queries.visible_to(request.user).filter(pk=pk).first()
    if run is None:
        raise NotFound(_("There is no such object, or you may not see it."))
    return run


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def run_list(request: HttpRequest) -> HttpResponse:
    """All runs that I may see; POST launches one."""
    services.discover()
    mine = visible_snapshots(request.user).filter(corpus__in=corpora_where(request.user, "training.start"))
    initial = {"snapshot": request.GET.get("snapshot"), "config": "tiny"}
    form = LaunchForm(request.POST or None, initial=initial, label_suffix="")
    form.fields["snapshot"].queryset = mine  # type: ignore[attr-defined]
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            data = form.cleaned_data
            require(request.user, data["snapshot"].corpus, "training.start")
            try:
                run = services.launch(request.user, data["snapshot"], data["config"], data["name"])
            except WorkbenchError as error:
                form.add_error(None, error.message)
            else:
                return redirect("experiments:detail", pk=run.pk)
    runs = queries.visible_to(request.user).prefetch_related("evaluations")[:200]
    return render(
        request, "experiments/list.html", {"runs": runs, "form": form, "may_start": mine.exists()}, status=status
    )


@login_required
@require_safe
def run_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One run: state, loss curve, evaluations, lineage. htmx asks again for the state until it has ended."""
    services.discover()
    run = _visible(request, pk)
    corpus = run.snapshot.corpus if run.snapshot else None
    body = folders.read_run(Path(run.folder)) or {}
    context = {
        "run": run,
        "steps": (run.result or body).get("steps"),
        "parameters": (run.result or body).get("trainable_parameters"),
        "evaluations": run.evaluations.all(),
        "lineage": queries.lineage(run)["lineage"],
        "may_cancel": corpus is not None and may(request.user, corpus, "training.start"),
        "live": run.state in ("queued", "running"),
    }
    if request.htmx:  # type: ignore[attr-defined]
        status = 200 if context["live"] else 286
        return render(request, "experiments/_state.html", context, status=status)
    return render(request, "experiments/detail.html", context)


@login_required
@require_safe
def curve(request: HttpRequest, pk: int) -> JsonResponse:
    """The loss curve as columns."""
    return JsonResponse(folders.read_curve(Path(_visible(request, pk).folder)))


@login_required
@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    run = _visible(request, pk)
    if run.snapshot is None:
        raise NotFound(_("This run was not launched here."))
    require(request.user, run.snapshot.corpus, "training.start")
    services.cancel(request.user, run)
    return redirect("experiments:detail", pk=pk)
