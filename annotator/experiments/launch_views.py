"""The page that launches a run: choose, see what it would take, start it here or take the commands to a cluster."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from annotator.clips.access import require
from annotator.core.errors import Forbidden, NotFound, WorkbenchError
from annotator.snapshots.models import Snapshot

from . import commands, configs, curves, estimates, queries, services
from .forms import MOST_INITS, LaunchForm
from .models import Estimate
from .views import POLLING_ENDS

FIELDS = ("snapshot", "config", "name", "init", "overrides", "gpu", "text_only")


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def launch(request: HttpRequest) -> HttpResponse:
    """GET proposes (fields may stand in the address); POST estimates, prints commands or launches, as its button says.
    Errors of the form answer 422."""
    snapshots = queries.startable(request.user)
    given = request.POST if request.method == "POST" else request.GET
    chosen = _chosen(snapshots, given.get("snapshot", ""))
    if not snapshots.exists():
        raise Forbidden(_("You may train on no corpus."))
    inits = queries.init_choices(request.user)
    inits = inits.filter(pk__in=list(inits.values_list("pk", flat=True)[:MOST_INITS]))
    if request.method != "POST":
        chosen = chosen or snapshots.first()
        initial: dict[str, Any] = {name: given[name] for name in FIELDS if name in given}
        initial |= {"snapshot": chosen.pk if chosen else None}
        if chosen and initial.get("config") not in configs.fitting(chosen.grade):
            initial["config"] = configs.preferred(chosen.grade)
        return _page(request, LaunchForm(snapshots, inits, chosen, initial=initial), chosen)
    form = LaunchForm(snapshots, inits, chosen, request.POST)
    if form.is_valid():
        data = form.cleaned_data
        require(request.user, data["snapshot"].corpus, "training.start")
        try:
            return _do(request, form, data)
        except WorkbenchError as error:
            form.show(error)
    return _page(request, form, chosen, status=422)


def _chosen(snapshots: Any, number: str) -> Snapshot | None:
    return snapshots.filter(pk=int(number)).first() if number.isdecimal() and len(number) < 19 else None


def _do(request: HttpRequest, form: LaunchForm, data: dict[str, Any]) -> HttpResponse:
    snapshot, what = data["snapshot"], (data["config"], data["name"], data["overrides"], data["init"])
    config, name, overrides, init = what
    if "estimate" in request.POST:
        services.check(snapshot, config, overrides, init)
        found = estimates.ask(config, overrides, queries.trained_on(snapshot), data["gpu"])
        return _page(request, form, snapshot, estimate=found)
    if "commands" in request.POST:
        services.check(snapshot, config, overrides, init)
        address = f"{request.scheme}://{request.get_host()}"
        lines = commands.for_cluster(address, snapshot, config, name, overrides, init, data["text_only"])
        return _page(request, form, snapshot, lines=lines)
    run = services.launch(request.user, snapshot, config, name, overrides, init, text_only=data["text_only"])
    return redirect("experiments:detail", pk=run.pk)


def _page(
    request: HttpRequest,
    form: LaunchForm,
    chosen: Snapshot | None,
    *,
    estimate: Estimate | None = None,
    lines: dict[str, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    context = {
        "form": form,
        "chosen": chosen,
        "clips": queries.trained_on(chosen) if chosen else None,
        "lines": lines,
        "page": "runs",
        **estimate_context(estimate),
    }
    return render(request, "experiments/launch.html", context, status=status)


def estimate_context(row: Estimate | None) -> dict[str, Any]:
    if row is None:
        return {"estimate": None}
    answer = row.answer or {}
    memory = answer.get("memory") or {}
    total = memory.get("total") or 0
    return {
        "estimate": row,
        "waiting": row.state == "queued" and not estimates.overdue(row),
        "overdue": estimates.overdue(row),
        "answer": answer,
        "memory": [(name, memory[name], round(100 * memory[name] / total)) for name in PARTS if memory.get(name)]
        if total
        else [],
        "total": total,
        "time": curves.duration(answer.get("seconds")),
    }


PARTS = ("weights", "gradients", "optimizer", "activations", "features")


@login_required
@require_safe
def estimate(request: HttpRequest, pk: int) -> HttpResponse:
    """An estimate; htmx asks until it is there."""
    row = Estimate.objects.filter(pk=pk).first()
    if row is None or not queries.startable(request.user).exists():
        raise NotFound(_("There is no such object, or you may not see it."))
    context = estimate_context(row)
    status = 200 if context["waiting"] else POLLING_ENDS
    return render(request, "experiments/_estimate.html", context, status=status)
