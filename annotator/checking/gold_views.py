"""Pages of gold clips: the list, one of them with what can be planted in it, and the form on a record's page."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST

from annotator.clips.access import corpus_for
from annotator.core.errors import NotFound

from . import gold, planting
from .models import PURPOSES, GoldItem, PlantedError, Record
from .rules_api import gold_for
from .rules_views import PAGE, sections

ROUNDS = require_http_methods(["GET", "HEAD", "POST"])


def purposes() -> dict[str, str]:
    """A gold clip's purpose in words."""
    return {
        "check": _("check: mixed in among the work"),
        "training": _("training: with feedback"),
        "test": _("test: of the qualification"),
        "example": _("example: shown beside the work"),
    }


def short_purposes() -> dict[str, str]:
    return {"check": _("check"), "training": _("training"), "test": _("test"), "example": _("example")}


def rule_words(rule: str) -> str:
    """smile>brows_lowered in the reader's language."""
    from django.utils.translation import get_language

    from models_ml.gate.render import NAMES

    at = 1 if (get_language() or "").startswith("zh") else 0
    return " → ".join(NAMES[code][at] if code in NAMES else code for code in rule.split(">"))


@login_required
@ROUNDS
def gold_page(request: HttpRequest, slug: str) -> HttpResponse:
    """The gold clips of a corpus; POST makes a record one."""
    corpus = corpus_for(request.user, slug, "gold.manage")
    if request.method == "POST":
        number = request.POST.get("record", "")
        pk = int(number) if number.isdecimal() and len(number) < 19 else 0
        rows = Record.objects.filter(pk=pk, corpus=corpus, current__isnull=False)
        record = rows.select_related("corpus", "clip", "current").first()
        if record is None:
            raise NotFound(_("There is no such record on this corpus."))
        item = gold.mark(request.user, record, request.POST.get("purpose", ""), request.POST.get("note", ""))
        messages.success(request, _("“%(name)s” is a gold clip.") % {"name": record.clip.name})
        return redirect("checking:gold-item", slug=slug, pk=item.pk)
    items = GoldItem.objects.filter(corpus=corpus, clip__withdrawn_at=None).select_related("clip", "made_by")
    purpose = request.GET.get("purpose", "")
    if purpose in PURPOSES:
        items = items.filter(purpose=purpose)
    page = Paginator(items.prefetch_related("planted").order_by("-active", "-id"), PAGE).get_page(
        request.GET.get("page")
    )
    context = {
        "corpus": corpus,
        "page": page,
        "purpose": purpose,
        "purposes": short_purposes(),
        "rows": [{"item": item, "purpose": short_purposes()[item.purpose]} for item in page.object_list],
        "sections": sections(request.user, corpus, "gold"),
    }
    return render(request, "checking/rules_gold.html", context)


@login_required
@require_POST
def plant_all(request: HttpRequest, slug: str) -> HttpResponse:
    """Plant an error in each gold clip that has none."""
    corpus = corpus_for(request.user, slug, "gold.manage")
    found = planting.plant_all(request.user, corpus)
    n = len(found["planted"])
    messages.success(request, ngettext("%(n)d error is planted.", "%(n)d errors are planted.", n) % {"n": n})
    if found["skipped"]:
        names = ", ".join(each["name"] for each in found["skipped"][:10])
        messages.warning(request, _("Nothing can be turned into its opposite in: %(names)s.") % {"names": names})
    return redirect("checking:gold", slug=slug)


@login_required
@ROUNDS
def gold_item(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """A gold clip, its answer, what is planted in it and what could be; POST `act`: change, retire, plant, remove."""
    item = _item(request, slug, pk)
    if request.method == "POST":
        return _act(request, item)
    planted = list(item.planted.select_related("clue").order_by("id"))
    known = {f"{error.clue_id} {error.rule}" for error in planted}
    context: dict[str, Any] = {
        "corpus": item.corpus,
        "item": item,
        "purposes": purposes(),
        "planted": [{"error": error, "rule": rule_words(error.rule)} for error in planted],
        "proposals": [
            {"proposal": each, "rule": rule_words(each.rule)}
            for each in planting.proposals(item)
            if each.key not in known
        ],
        "record": item.revision.record_id,
        "sections": sections(request.user, item.corpus, "gold"),
    }
    return render(request, "checking/rules_gold_item.html", context)


def _item(request: HttpRequest, slug: str, pk: int) -> GoldItem:
    corpus = corpus_for(request.user, slug, "gold.manage")
    item = gold_for(request.user, pk)
    if item.corpus_id != corpus.pk or item.clip.withdrawn_at:
        raise NotFound(_("There is no such object, or you may not see it."))
    return item


def _act(request: HttpRequest, item: GoldItem) -> HttpResponse:
    act = request.POST.get("act", "")
    if act == "retire":
        gold.retire(request.user, item)
        messages.success(request, _("The gold clip is out of use. What people answered stays."))
        return redirect("checking:gold", slug=item.corpus.slug)
    if act == "change":
        record = Record.objects.select_related("corpus", "clip", "current").get(pk=item.revision.record_id)
        gold.mark(request.user, record, request.POST.get("purpose", ""), request.POST.get("note", ""))
    elif act == "plant":
        planting.plant(request.user, item, request.POST.get("key", ""))
    elif act == "remove":
        number = request.POST.get("error", "")
        error = PlantedError.objects.filter(gold=item, pk=int(number) if number.isdecimal() else 0).first()
        if error is None:
            raise NotFound(_("There is no such object, or you may not see it."))
        planting.remove(request.user, error)
    else:
        raise NotFound(_("There is no such object, or you may not see it."))
    messages.success(request, _("Saved."))
    return redirect("checking:gold-item", slug=item.corpus.slug, pk=item.pk)
