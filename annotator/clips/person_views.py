"""The panel and the page on which somebody says whom a clip is about; the corpus's rule."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from annotator.core.errors import Gone, Invalid, NotFound
from models_ml.face.boxes import box_at

from . import media, people, queries
from .access import corpus_for, may
from .clip_views import is_partial
from .models import Clip, SeenPerson, TargetPerson


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def person(request: HttpRequest, pk: int) -> HttpResponse:
    """Who is seen in the clip, and whom it is about. POST `number` says it ("" takes it back): 302, to htmx the panel;
    422 with the panel where there is no such person."""
    clip = clip_of(pk)
    claim = people.check_access(request.user, clip)
    if clip.withdrawn_at:
        raise Gone(_("The clip “%(name)s” was withdrawn.") % {"name": clip.name})
    error = ""
    if request.method == "POST":
        number = request.POST.get("number", "")
        try:
            people.choose_person(request.user, clip, _number(number))
        except Invalid as wrong:
            error = wrong.message
        else:
            if not is_partial(request):
                return redirect(request.path)
    shown = panel(request, clip, claim, error)
    status = 422 if error else 200
    response: HttpResponse
    if is_partial(request):
        response = HttpResponse(shown, status=status)
    else:
        context = {"clip": clip, "corpus": clip.corpus, "panel": shown}
        response = render(request, "clips/person.html", context, status=status)
    response["Vary"] = "HX-Request, Cookie"
    return response


@require_POST
@login_required
def rule(request: HttpRequest, slug: str) -> HttpResponse:
    """The corpus's rule for clips in which several people are seen."""
    people.set_rule(request.user, corpus_for(request.user, slug), request.POST.get("rule", ""))
    return redirect("clips:corpus", slug=slug)


def clip_panel(request: HttpRequest, clip: Clip) -> str:
    """The panel on a clip's page, whose reader may browse clips."""
    return panel(request, clip, None)


def panel(request: HttpRequest, clip: Clip, claim: int | None, error: str = "") -> str:
    """The panel's HTML; "" where nobody was looked for. `claim`: by which an annotator sees the clip."""
    seen = list(clip.people.all())
    if not seen:
        return ""
    stored = TargetPerson.objects.filter(clip=clip).select_related("chosen_by").first()
    chosen = people.target(clip)
    t = together(seen)
    sides = people.picture(clip)
    width = round(100 * sides[0] / sides[1], 2) if sides else 100.0
    context: dict[str, Any] = {
        "clip": clip,
        "people": [_shown(each, t, width) for each in seen],
        "width": width,
        "chosen": chosen,
        "stored": stored if stored is not None and stored.number == chosen else None,
        "names_shown": claim is None,
        "rule": clip.corpus.person_rule,
        "urls": media.signed_urls(clip, request.user, claim_id=claim, expires=queries.page_expiry(), mode="visual"),
        "t": t,
        "may_choose": len(seen) > 1 and (claim is not None or may(request.user, clip.corpus, "person.choose")),
        "error": error,
    }
    return render_to_string("clips/_person.html", {**context, "request": request}, request=request)


def together(seen: list[SeenPerson]) -> float:
    """The second at which most of the people are seen, the largest of equals; where one picture shows them."""
    times = sorted({box[0] for each in seen for box in each.boxes})

    def shown(t: float) -> tuple[int, float]:
        found = [box for each in seen if (box := box_at(each.boxes, t, 0.15)) is not None]
        return len(found), sum(box[2] * box[3] for box in found)

    return max(times, key=shown, default=0.0)


def _shown(each: SeenPerson, t: float, width: float) -> dict[str, Any]:
    """A person for the template: the box at `t`, or where they are seen first, in a picture of `width` x 100."""
    language = "zh" if (get_language() or "").startswith("zh") else "en"
    box = box_at(each.boxes, t, 0.15)
    at = t if box is not None else each.span_start
    box = box or (list(each.boxes[0][1:]) if each.boxes else None)
    return {
        "number": each.number,
        "place": each.place.get(language) or "",
        "presence": round(100 * each.presence),
        "start": each.span_start,
        "end": each.span_end,
        "t": at,
        "now": at == t,
        "box": [round(side * of, 2) for side, of in zip(box, (width, 100, width, 100), strict=True)] if box else None,
    }


def clip_of(pk: int) -> Clip:
    """The clip with what the panel shows. Raises NotFound."""
    found = Clip.objects.select_related("corpus", "au_track").prefetch_related("derivatives", "people")
    clip = found.filter(pk=pk).first()
    if clip is None:
        raise NotFound(_("There is no such object, or you may not see it."))
    return clip


def _number(text: str) -> int | None:
    """A person's number; None for "". Raises Invalid."""
    if not text:
        return None
    if not text.isdecimal() or len(text) > 4:
        raise Invalid(_("Choose one of the people who are seen."), errors={"number": [text[:40]]})
    return int(text)
