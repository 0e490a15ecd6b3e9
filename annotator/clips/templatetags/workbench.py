"""What every page shows above its content: the top bar with the corpora that I may see, the corpus's tabs."""

from typing import Any

from django import template
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotator.clips.models import Corpus, Membership
from annotator.core.permissions import allowed

register = template.Library()

# (name, path below the corpus, action that opens it). The paths are the fixed pages of the corpus.
TABS = [
    (gettext_lazy("Overview"), "", "corpus.view"),
    (gettext_lazy("Clips"), "clips/", "clip.view"),
    (gettext_lazy("Pre-labels"), "runs/", "run.view"),
    (gettext_lazy("Check"), "check/", "claim.annotate"),
    (gettext_lazy("My week"), "my-week/", "claim.annotate"),
    (gettext_lazy("Review"), "review/", "claim.review"),
    (gettext_lazy("Quality"), "quality/", "quality.view"),
    (gettext_lazy("Evidence gate"), "gate/", "gate.view"),
    (gettext_lazy("Rules"), "rules/", "rules.edit"),
    (gettext_lazy("Gold clips"), "gold/", "gold.manage"),
    (gettext_lazy("Records"), "records/", "record.view"),
    (gettext_lazy("Snapshots"), "snapshots/", "snapshot.view"),
]


def my_corpora(request: Any) -> list[dict[str, Any]]:
    """`[{"slug", "name", "synthetic", "roles"}]` of the corpora that the user may see: one query a request."""
    if (known := getattr(request, "_my_corpora", None)) is not None:
        return known
    found: dict[str, dict[str, Any]] = {}
    user = request.user
    if user.is_superuser:
        for slug, name, synthetic in Corpus.objects.values_list("slug", "name", "synthetic"):
            found[slug] = {"slug": slug, "name": name, "synthetic": synthetic, "roles": {"admin"}}
    elif user.is_authenticated:
        rows = Membership.objects.filter(user=user).order_by("corpus__slug")
        for slug, name, synthetic, role in rows.values_list(
            "corpus__slug", "corpus__name", "corpus__synthetic", "role"
        ):
            corpus = found.setdefault(slug, {"slug": slug, "name": name, "synthetic": synthetic, "roles": set()})
            corpus["roles"].add(role)
    request._my_corpora = list(found.values())
    return request._my_corpora


@register.inclusion_tag("_topbar.html", takes_context=True)
def topbar(context: dict[str, Any]) -> dict[str, Any]:
    """Product name, corpus switcher, experiments, language, user menu."""
    request = context.get("request")
    if request is None or not hasattr(request, "user"):
        return {"user": None, "corpora": [], "corpus": None}
    return {
        "request": request,
        "user": request.user,
        "corpora": my_corpora(request) if request.user.is_authenticated else [],
        "corpus": context.get("corpus") or None,
        "csrf_token": context.get("csrf_token"),
        "experiments": request.path.startswith("/experiments/"),
    }


@register.inclusion_tag("_corpus_nav.html", takes_context=True)
def corpus_nav(context: dict[str, Any], corpus: Corpus) -> dict[str, Any]:
    """The tabs of a corpus that my roles open."""
    request = context["request"]
    roles: set[str] = next((c["roles"] for c in my_corpora(request) if c["slug"] == corpus.slug), set())
    base = f"{reverse('home')}corpora/{corpus.slug}/"
    tabs = [(label, base + path) for label, path, action in TABS if roles and allowed(roles, action)]
    # /corpora/lab/runs/ and /runs/3/ light the same tab; uploads are about clips.
    place = request.path.removeprefix(base if request.path.startswith(base) else reverse("home")).split("/")[0]
    parts = {"upload": "clips", "uploads": "clips", "standings": "rules", "claims": "rules", "dashboard": "quality"}
    current = base + (parts.get(place, place) + "/" if place else "")
    return {"corpus": corpus, "tabs": [{"label": t, "url": u, "current": u == current} for t, u in tabs]}


@register.simple_tag
def role_name(role: str) -> str:
    """A role in the reader's language."""
    return {
        "viewer": _("viewer"),
        "annotator": _("annotator"),
        "reviewer": _("reviewer"),
        "manager": _("manager"),
        "admin": _("admin"),
    }.get(role, role)
