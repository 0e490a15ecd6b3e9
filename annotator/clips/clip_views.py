"""Pages of clips: the list of a corpus, one clip."""

from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe
from django_htmx.middleware import HtmxDetails

from annotator.core.errors import Gone, NotFound

from . import hooks, media, queries, services
from .access import corpus_for, may, require
from .models import Clip, Flag

PAGE_SIZE = 24


@require_safe
@login_required
def clip_list(request: HttpRequest, slug: str) -> HttpResponse:
    """Clips of a corpus with their posters; the same address answers htmx with the grid alone."""
    corpus = corpus_for(request.user, slug, "clip.view")
    search = request.GET.get("q", "").strip()[:200].replace("\x00", "")
    which = request.GET.get("filter", "")
    which = which if which in queries.FILTERS else ""
    found = queries.clips(corpus, search=search, which=which)
    edge = {key: request.GET.get(key, "").replace("\x00", "") for key in ("after", "before")}
    page = queries.page_of(found, **edge, size=PAGE_SIZE)
    expires = queries.page_expiry()
    for clip in page["clips"]:
        clip.urls = media.signed_urls(clip, request.user, expires=expires)
        clip.texts = queries.texts(clip)
    base = {key: value for key, value in (("q", search), ("filter", which)) if value}
    context = {
        "corpus": corpus,
        "clips": page["clips"],
        "search": search,
        "which": which,
        "filters": queries.FILTERS,
        "next": urlencode({**base, "after": page["next"]}) if page["next"] else "",
        "previous": urlencode({**base, "before": page["previous"]}) if page["previous"] else "",
        "may_ingest": may(request.user, corpus, "clip.ingest"),
    }
    partial = is_partial(request)
    response = render(request, "clips/_grid.html" if partial else "clips/list.html", context)
    response["Vary"] = "HX-Request, Cookie"
    return response


@require_safe
@login_required
def clip_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Player, subtitle and facts of a clip, and what the rooms above add to it."""
    clip = _clip(request, pk, "clip.view")
    if clip.withdrawn_at:
        raise Gone(_("The clip “%(name)s” was withdrawn.") % {"name": clip.name})
    context = {
        "corpus": clip.corpus,
        "clip": clip,
        "urls": media.signed_urls(clip, request.user, expires=queries.page_expiry()),
        "texts": queries.texts(clip),
        "track": getattr(clip, "au_track", None),
        "flags": clip.flags.filter(resolved_at=None).select_related("user"),
        "reasons": [key for key, _label in Flag.REASONS],
        "may_flag": may(request.user, clip.corpus, "clip.flag"),
        "may_resolve": may(request.user, clip.corpus, "clip.ingest"),
        "may_withdraw": may(request.user, clip.corpus, "clip.withdraw"),
        "panels": [html for panel in hooks.panels if (html := panel(request, clip))],
    }
    return render(request, "clips/clip.html", context)


@require_POST
@login_required
def flag(request: HttpRequest, pk: int) -> HttpResponse:
    """Flag a clip, or mark a flag as dealt with."""
    clip = _clip(request, pk, "clip.flag")
    number = request.POST.get("resolve", "")
    if number:
        found = Flag.objects.filter(clip=clip, pk=int(number) if number.isdecimal() and len(number) < 19 else 0).first()
        if found is None:
            raise NotFound(_("There is no such object, or you may not see it."))
        services.resolve_flag(request.user, found)
    else:
        services.flag_clip(request.user, clip, request.POST.get("reason", ""), request.POST.get("note", ""))
    return redirect("clips:clip", pk=clip.pk)


@require_POST
@login_required
def withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    """Withdraw a clip for good."""
    clip = _clip(request, pk, "clip.withdraw")
    services.withdraw_clip(request.user, clip, request.POST.get("reason", ""))
    return redirect("clips:clips", slug=clip.corpus.slug)


def is_partial(request: HttpRequest) -> bool:
    """Whether htmx asked, and for a part of the page."""
    htmx: HtmxDetails = request.htmx  # type: ignore[attr-defined]
    return bool(htmx) and not htmx.boosted


def _clip(request: HttpRequest, pk: int, action: str) -> Clip:
    found = Clip.objects.select_related("corpus", "au_track").prefetch_related("derivatives", "subtitles")
    clip = found.filter(pk=pk).first()
    if clip is None:
        raise NotFound(_("There is no such object, or you may not see it."))
    require(request.user, clip.corpus, action)
    return clip
