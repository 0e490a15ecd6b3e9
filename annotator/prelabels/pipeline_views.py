"""The page of pipelines: those of the library, those that people wrote, and the form that writes one."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from annotator.core.errors import Forbidden, Invalid
from models_ml.steps import PIPELINES, STEPS

from . import pipelines, plans
from .forms import PipelineForm

SHOWN = 20  # versions of one pipeline on the page


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def all_pipelines(request: HttpRequest) -> HttpResponse:
    """All pipelines with their versions; `?edit=NAME` puts one into the form; POST writes one (errors answer 422)."""
    if not pipelines.may(request.user, "pipeline.view"):
        raise Forbidden(_("Your roles do not allow you to see pipelines."))
    may_write = pipelines.may(request.user, "pipeline.define")
    if request.method == "POST":
        if not may_write:
            raise Forbidden(_("Only managers of a corpus write pipelines."))
        form, problems = PipelineForm(request.POST), []
        if form.is_valid():
            try:
                row = pipelines.define(request.user, form.cleaned_data["name"], form.cleaned_data["declaration"])
            except Invalid as error:
                problems = error.message.split("\n")
            else:
                messages.success(request, _("%(pipeline)s is the newest version.") % {"pipeline": str(row)})
                return redirect("prelabels:pipelines")
        return _page(request, form, may_write, problems, status=422)
    return _page(request, PipelineForm(initial=_chosen(request.GET.get("edit", ""))), may_write, [])


def _page(
    request: HttpRequest, form: PipelineForm, may_write: bool, problems: list[str], status: int = 200
) -> HttpResponse:
    versions: dict[str, list[Any]] = {}
    for row in plans.own_pipelines().order_by("name", "-version").select_related("created_by"):
        kept = versions.setdefault(row.name, [])
        if len(kept) < SHOWN:
            kept.append((row, pipelines.as_text(row.declaration or [])))
    context = {
        "form": form if may_write else None,
        "problems": problems,
        "library": [(name, plans.plan_for(name).steps) for name in PIPELINES],
        "own": list(versions.items()),
        "steps": list(STEPS.values()),
        "models": list(plans.registered_models().values_list("name", "modality")),
    }
    return render(request, "prelabels/pipelines.html", context, status=status)


def _chosen(name: str) -> dict[str, str]:
    """What the form starts with: the newest version of a pipeline, or one of the library to start from."""
    if name in PIPELINES:
        text = pipelines.as_text(list(PIPELINES[name]["steps"]))
        return {"name": f"my-{name}", "declaration": text}
    row = plans.own_pipelines().filter(name=name).order_by("-version").first() if "\x00" not in name else None
    return {"name": row.name, "declaration": pipelines.as_text(row.declaration or [])} if row else {}
