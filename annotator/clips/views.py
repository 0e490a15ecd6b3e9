"""Home, and a corpus's overview with its members. Clips, media and uploads have modules of their own."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from annotator.accounts.services import find_person
from annotator.core.errors import Forbidden, Invalid, NotFound
from annotator.core.permissions import ROLES, actions_of

from . import services
from .access import corpus_for, roles_on
from .models import PERSON_RULES, Corpus, Membership
from .queries import counted_above
from .templatetags.workbench import my_corpora


def _figures(progress: dict[str, Any]) -> list[dict[str, Any]]:
    """The counts of `counted_above` as the overview shows them; a room that counts nothing is left out."""
    slots = progress.get("slots", {})
    annotate, review = slots.get("annotate", {}), slots.get("review", {})
    records = progress.get("records", {})
    figures = []
    if "slots" in progress:
        held = annotate.get("claimed", 0)
        note = _("%(n)s in work") % {"n": held} if held else ""
        figures += [
            {"name": _("To check"), "value": annotate.get("open", 0), "note": note},
            {"name": _("Checked"), "value": annotate.get("done", 0), "note": ""},
            {"name": _("To review"), "value": review.get("open", 0) + review.get("claimed", 0), "note": ""},
        ]
    if "records" in progress:
        figures += [
            {"name": _("Coarse records"), "value": records.get("coarse", 0), "note": ""},
            {"name": _("Fine records"), "value": records.get("fine", 0), "note": ""},
        ]
    return figures


@login_required
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """The corpora that I may see, and what there is to do for me on each."""
    roles = {item["slug"]: item["roles"] for item in my_corpora(request)}
    visible = Corpus.objects.visible_to(request.user).annotate(
        present=Count("clips", filter=Q(clips__withdrawn_at=None)),
        playable=Count("clips", filter=Q(clips__withdrawn_at=None, clips__derived="ready")),
    )
    corpora: list[Corpus] = list(visible)
    counts = counted_above(corpora, request.user)
    cards = [
        {
            "corpus": corpus,
            "roles": sorted(roles.get(corpus.slug, ())),
            "may": set(actions_of(roles.get(corpus.slug, ()))),
            "progress": counts[corpus.pk],
        }
        for corpus in corpora
    ]
    return render(request, "clips/home.html", {"cards": cards})


@login_required
@require_safe
def overview(request: HttpRequest, slug: str) -> HttpResponse:
    """A corpus: progress, what I can do here, members, guideline."""
    corpus = corpus_for(request.user, slug, "corpus.view")
    roles = roles_on(request.user, corpus)
    present = Q(withdrawn_at=None)
    clips = corpus.clips.aggregate(
        present=Count("id", filter=present),
        ready=Count("id", filter=present & Q(derived="ready")),
        queued=Count("id", filter=present & Q(derived="queued")),
        failed=Count("id", filter=present & Q(derived="failed")),
        withdrawn=Count("id", filter=~present),
    )
    members: dict[str, list[Membership]] = {}
    for membership in corpus.memberships.select_related("user").order_by("user__username", "role"):
        members.setdefault(membership.user.username, []).append(membership)
    progress = counted_above([corpus], request.user)[corpus.pk]
    context = {
        "corpus": corpus,
        "roles": sorted(roles),
        "may": set(actions_of(roles)),
        "clips": clips,
        "progress": progress,
        "figures": _figures(progress),
        "members": members,
        "all_roles": ROLES,
        "person_rules": [rule for rule, _name in PERSON_RULES],
    }
    return render(request, "clips/overview.html", context)


@login_required
@require_POST
def member_add(request: HttpRequest, slug: str) -> HttpResponse:
    """Give a person a role on the corpus."""
    corpus = corpus_for(request.user, slug, "member.manage")
    try:
        person = find_person(request.POST.get("username", "").strip())
        services.add_member(request.user, corpus, person, request.POST.get("role", ""))
    except (Invalid, NotFound) as error:
        messages.error(request, error.message)
    else:
        messages.success(request, _("%(name)s is a member now.") % {"name": person.username})
    return redirect("clips:corpus", slug=slug)


@login_required
@require_POST
def member_remove(request: HttpRequest, slug: str) -> HttpResponse:
    """Take a role away. Nobody takes the manager's role from themselves: that could leave nobody in charge."""
    corpus = corpus_for(request.user, slug, "member.manage")
    number = request.POST.get("membership", "")
    found = corpus.memberships.select_related("user")
    membership = found.filter(pk=int(number)).first() if number.isdecimal() and len(number) < 19 else None
    if membership is None:
        raise NotFound(_("There is no such member."))
    if membership.user == request.user and membership.role == "manager":
        raise Forbidden(_("Another manager has to take your own role as manager away."))
    services.remove_member(request.user, corpus, membership.user, membership.role)
    messages.success(request, _("%(name)s no longer holds that role.") % {"name": membership.user.username})
    return redirect("clips:corpus", slug=slug)
