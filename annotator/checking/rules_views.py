"""Pages of how a corpus is checked: rules, terms, training feedback, standings, who holds what, a clip's plan."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from annotator.clips.access import corpus_for, may
from annotator.clips.models import Clip, Corpus
from annotator.core.errors import Conflict, Invalid

from . import leases, rules, standings, terms
from .models import GoldItem, TermsAcceptance
from .rules_api import clip_for, person_of
from .rules_forms import PlanForm, RulesForm
from .words import clues as clue_words

PAGE = 50
ROUNDS = require_http_methods(["GET", "HEAD", "POST"])


def sections(user: Any, corpus: Corpus, current: str) -> list[dict[str, Any]]:
    """The pages of this part that the person may open: `{"name", "label", "current"}`."""
    known = [
        ("rules", _("Rules"), "rules.edit"),
        ("gold", _("Gold clips"), "gold.manage"),
        ("standings", _("Annotators"), "rules.edit"),
        ("held", _("Work in progress"), "claim.manage"),
    ]
    return [
        {"name": f"checking:{name}", "label": label, "current": name == current}
        for name, label, action in known
        if may(user, corpus, action)
    ]


@login_required
@ROUNDS
def rules_page(request: HttpRequest, slug: str) -> HttpResponse:
    """Every rule of the corpus; 422 with the form where something is refused."""
    corpus = corpus_for(request.user, slug, "rules.edit")
    if request.method != "POST":
        return _rules_page(request, corpus, RulesForm(corpus, rules.of(corpus)))
    form = RulesForm(corpus, rules.of(corpus), request.POST)
    if form.is_valid():
        try:
            rules.change(request.user, corpus, form.values())
        except Invalid as error:
            form.refuse(error.extra["errors"])
        else:
            messages.success(request, _("The rules are saved."))
            return redirect("checking:rules", slug=slug)
    return _rules_page(request, corpus, form, 422)


def _rules_page(request: HttpRequest, corpus: Corpus, form: RulesForm, status: int = 200) -> HttpResponse:
    now = rules.of(corpus)
    in_use = GoldItem.objects.filter(corpus=corpus, active=True, clip__withdrawn_at=None)
    counts: dict[str, int] = {}
    for purpose in in_use.values_list("purpose", flat=True):
        counts[purpose] = counts.get(purpose, 0) + 1
    notes = []
    if now.gold_share and not counts.get("check"):
        notes.append(_("No gold clip has the purpose “check” yet, so none is mixed in."))
    if now.auto_accept is not None and corpus.overlap < 2:
        notes.append(_("One annotation of a clip agrees with nobody: accepting without review needs two or more."))
    if len(now.modes) > corpus.overlap:
        notes.append(
            _("Clips get %(overlap)d annotations and the modes are %(modes)d: the last are shown to nobody.")
            % {"overlap": corpus.overlap, "modes": len(now.modes)}
        )
    context = {
        "corpus": corpus,
        "form": form,
        "counts": counts,
        "notes": notes,
        "accepted": TermsAcceptance.objects.filter(corpus=corpus, version=terms.version_of(now.terms)).count()
        if now.terms
        else None,
        "sections": sections(request.user, corpus, "rules"),
    }
    return render(request, "checking/rules.html", context, status=status)


@login_required
@never_cache
@ROUNDS
def terms_page(request: HttpRequest, slug: str) -> HttpResponse:
    """The terms of use; POST accepts the version that was shown. 409 shows the new ones where they were changed."""
    corpus = corpus_for(request.user, slug)
    changed = ""
    if request.method == "POST":
        try:
            terms.accept(request.user, corpus, request.POST.get("version", ""))
        except Conflict as error:
            changed = error.message
        else:
            page = "check" if may(request.user, corpus, "claim.annotate") else "review"
            works = page == "check" or may(request.user, corpus, "claim.review")
            return redirect(f"checking:{page}" if works else "checking:terms", slug=slug)
    context = {"corpus": corpus, "changed": changed, **terms.state(request.user, corpus)}
    return render(request, "checking/rules_terms.html", context, status=409 if changed else 200)


@login_required
@never_cache
@require_safe
def training(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """A training clip that I handed in, beside its gold answer."""
    corpus = corpus_for(request.user, slug)
    _claim, found = standings.feedback(request.user, pk)
    own = _claim.user_id == request.user.pk and may(request.user, corpus, "claim.annotate")
    context = {
        "corpus": corpus,
        "found": found,
        "clues": [{**clue, "reason_words": _reason(clue["reason"])} for clue in found["clues"]],
        "standing": standings.mine(request.user, corpus) if own else None,
    }
    return render(request, "checking/rules_training.html", context)


def _reason(reason: str) -> str:
    """Why a clue was rejected, in words."""
    if reason.startswith("other:"):
        return reason.removeprefix("other:").strip()
    return str(dict(clue_words.reject_reasons()).get(reason, reason))


@login_required
@ROUNDS
def standing_page(request: HttpRequest, slug: str) -> HttpResponse:
    """How I stand on the corpus, and which clips I want."""
    corpus = corpus_for(request.user, slug, "claim.annotate")
    if request.method == "POST":
        standings.set_languages(request.user, corpus, request.user, _digit(request.POST.get("languages", "")))
        messages.success(request, _("Saved."))
        return redirect("checking:standing", slug=slug)
    context = {"corpus": corpus, "standing": standings.mine(request.user, corpus), "choices": language_choices()}
    return render(request, "checking/rules_standing.html", context)


def language_choices() -> list[tuple[int, str]]:
    return [
        (0, _("whatever comes")),
        (1, _("with a Chinese subtitle")),
        (2, _("with an English subtitle")),
        (3, _("with subtitles in both languages")),
    ]


def _digit(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) == 1 else -1


@login_required
@ROUNDS
def standings_page(request: HttpRequest, slug: str) -> HttpResponse:
    """Every annotator's standing; POST passes somebody, lets them begin anew, or sets their languages."""
    corpus = corpus_for(request.user, slug, "rules.edit")
    if request.method == "POST":
        person = person_of(corpus, request.POST.get("person", ""))
        if "languages" in request.POST:
            standings.set_languages(request.user, corpus, person, _digit(request.POST["languages"]))
        else:
            standings.decide(request.user, corpus, person, request.POST.get("decision", ""))
        messages.success(request, _("Saved."))
        return redirect("checking:standings", slug=slug)
    now = rules.of(corpus)
    context = {
        "corpus": corpus,
        "people": standings.people(corpus),
        "rules": now,
        "asked": bool(now.training_items or now.test_items),
        "choices": language_choices(),
        "sections": sections(request.user, corpus, "standings"),
    }
    return render(request, "checking/rules_standings.html", context)


@login_required
@never_cache
@ROUNDS
def held_page(request: HttpRequest, slug: str) -> HttpResponse:
    """Who holds what since when and until when; POST releases a claim."""
    corpus = corpus_for(request.user, slug, "claim.manage")
    if request.method == "POST":
        number = request.POST.get("claim", "")
        leases.release(request.user, int(number) if number.isdecimal() and len(number) < 19 else 0)
        messages.success(request, _("The clip is free again. What was drafted stays readable."))
        return redirect(request.get_full_path())
    rows = leases.held(corpus)
    people = sorted(set(rows.order_by().values_list("user__username", flat=True)))
    person = request.GET.get("person", "")
    if person in people:
        rows = rows.filter(user__username=person)
    context = {
        "corpus": corpus,
        "page": Paginator(rows, PAGE).get_page(request.GET.get("page")),
        "people": people,
        "person": person,
        "sections": sections(request.user, corpus, "held"),
    }
    return render(request, "checking/rules_held.html", context)


@login_required
@require_POST
def plan(request: HttpRequest, pk: int) -> HttpResponse:
    """Set when a clip comes and how many annotations of it are wanted."""
    clip = clip_for(request.user, pk)
    form = PlanForm(request.POST)
    if not form.is_valid():
        name, errors = next(iter(form.errors.items()))
        raise Invalid(f"{form.fields[name].label}: {errors[0]}", errors={name: str(errors[0])})
    rules.plan_clip(request.user, clip, form.cleaned_data)
    messages.success(request, _("Saved."))
    return redirect("clips:clip", pk=pk)


def plan_panel(request: HttpRequest, clip: Clip) -> str:
    """The panel on a clip's page; "" for who may not set it, and for gold clips, which no queue hands out."""
    if not may(request.user, clip.corpus, "rules.edit"):
        return ""
    item = GoldItem.objects.filter(clip=clip).first()
    form = PlanForm(initial={"priority": clip.priority, "overlap": clip.overlap}, auto_id="plan-%s")
    context = {"clip": clip, "form": form, "gold": item}
    return render_to_string("checking/rules_plan.html", context, request=request)
