"""The page of models: what can pre-label, how it is reached, under which licence, with which scores."""

from functools import cache
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from annotator.clips.access import corpus_for
from models_ml import registry
from models_ml.registry.markdown import licence

from .models import PreLabeller

Words = dict[str, Promise | str]
MODALITIES: Words = {
    "audio": _("sound"),
    "video": _("video"),
    "image": _("pictures"),
    "text": _("text"),
    "omni": _("video and sound"),
    "face": _("face"),
}
WAYS: Words = {
    "openai": _("a server that speaks OpenAI's chat API"),
    "transformers": _("transformers, in a worker"),
    "adapter": _("a served adapter, in its own environment"),
    "track": _("a source of action-unit tracks"),
}
RUN_HERE: Words = {
    "tiny": _("random weights of this architecture, CPU, transformers 5.23"),
    "served": _("random weights behind “transformers serve”, CPU"),
    "own": _("trained and asked by this project, small weights, CPU"),
    "recorded": _("not run by us: recorded outputs only"),
    "never": _("not run by us"),
}
FILTERS: dict[str, Words] = {"modality": MODALITIES, "way": WAYS, "run_here": RUN_HERE}
MODALITY_OF = {"audio": "audio", "video": "visual", "image": "visual", "text": "text", "omni": "omni"}
KIND_OF = {"openai": "server", "adapter": "server", "transformers": "local"}


@cache
def _rows() -> tuple[registry.ModelRow, ...]:
    """The table does not change while the server runs."""
    return tuple(registry.load())


@login_required
@require_safe
def models(request: HttpRequest, slug: str) -> HttpResponse:
    """The registry, filtered by `modality`, `way` and `run_here`; an unknown value filters nothing."""
    corpus = corpus_for(request.user, slug, "run.start")
    chosen = {name: request.GET.get(name, "") for name in FILTERS}
    chosen = {name: value if value in FILTERS[name] else "" for name, value in chosen.items()}
    found = [row for row in _rows() if all(value in ("", getattr(row, name)) for name, value in chosen.items())]
    may_register = request.user.has_perm("prelabels.add_prelabeller") and getattr(request.user, "is_staff", False)
    registered = set(
        PreLabeller.objects.filter(kind__in=["server", "local", "checkpoint"]).values_list("model", flat=True)
    )
    context = {
        "corpus": corpus,
        "tab": "runs",
        "filters": [(name, words, chosen[name]) for name, words in FILTERS.items()],
        "rows": [_shown(row, may_register, registered) for row in found],
        "total": len(_rows()),
        "may_register": may_register,
    }
    return render(request, "prelabels/models.html", context)


def _shown(row: registry.ModelRow, may_register: bool, registered: set[str]) -> dict[str, Any]:
    zh = (get_language() or "").startswith("zh")
    return {
        "row": row,
        "modality": MODALITIES[row.modality],
        "way": WAYS[row.way],
        "run_here": RUN_HERE[row.run_here],
        "licences": [licence(row, part) for part in ("code", "weights")],
        "note": row.note["zh" if zh else "en"] if row.note else "",
        "results": [{**one, "said": _said(row, one["model"])} for one in row.results()],
        "registered": bool(row.example) and row.example in registered,
        "register": _form_for(row) if may_register and row.way in KIND_OF else "",
    }


def _said(row: registry.ModelRow, model: str) -> str:
    """What the paper scored, where that is not the model alone: the combination, or how it was trained."""
    return "" if model == row.name else model.replace("|", ", ")


def _form_for(row: registry.ModelRow) -> str:
    """The admin's form for a new pre-labeller, with what the table knows filled in; the server's address is left."""
    known = {
        "name": row.key,
        "kind": "checkpoint" if row.run_here == "own" else KIND_OF[row.way],
        "modality": MODALITY_OF[row.modality],
        "model": row.example,
        "base_url": row.runs_with if row.runs_with.startswith("https://") else "",
        "trust": "inside" if row.way == "transformers" else "outside",
    }
    if row.run_here == "own":
        known["parameters"] = '{"video": "video_url"}'  # it was trained on the whole clip, not on chosen frames
    return f"{reverse('admin:prelabels_prelabeller_add')}?{urlencode(known)}"
