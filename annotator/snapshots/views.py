"""Pages of snapshots: what is frozen on a corpus, a form to freeze, one snapshot with its files and exports."""

from django import forms
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from annotator.checking.models import Record
from annotator.clips.access import corpus_for, may, require
from annotator.core.errors import NotFound, WorkbenchError

from . import exports, queries, services, splits
from .models import Snapshot


class FreezeForm(forms.Form):
    name = forms.CharField(label=gettext_lazy("Name"), max_length=80, help_text=gettext_lazy("For example v1."))
    grade = forms.ChoiceField(
        label=gettext_lazy("Grade"),
        choices=[("fine", gettext_lazy("fine: checked by people")), ("coarse", gettext_lazy("coarse: not checked"))],
    )
    split = forms.CharField(
        label=gettext_lazy("Splits"),
        required=False,
        initial="train=0.8,test=0.2",
        help_text=gettext_lazy("Shares below 1 or counts; empty for one split “all”."),
    )
    group_by = forms.ChoiceField(
        label=gettext_lazy("Keep together"),
        choices=[
            ("source,speaker", gettext_lazy("same source or speaker")),
            ("source", gettext_lazy("same source")),
            ("speaker", gettext_lazy("same speaker")),
            ("none", gettext_lazy("nothing")),
        ],
    )
    seed = forms.IntegerField(label=gettext_lazy("Seed"), initial=0)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def snapshot_list(request: HttpRequest, slug: str) -> HttpResponse:
    """The corpus' snapshots; POST freezes a new one."""
    corpus = corpus_for(request.user, slug, "snapshot.view")
    may_freeze = may(request.user, corpus, "snapshot.freeze")
    form = FreezeForm(request.POST or None, label_suffix="")
    status = 200
    if request.method == "POST":
        require(request.user, corpus, "snapshot.freeze")
        if form.is_valid():
            data = form.cleaned_data
            try:
                snapshot = services.freeze_snapshot(
                    request.user,
                    corpus,
                    data["name"],
                    grade=data["grade"],
                    sizes=splits.parse_sizes(data["split"]) if data["split"] else None,
                    group_by=services.parse_group_by(data["group_by"]),
                    seed=data["seed"],
                )
            except WorkbenchError as error:
                form.add_error(None, error.message)
            else:
                return redirect("snapshots:detail", pk=snapshot.pk)
        status = 422
    records = {
        grade: Record.objects.filter(corpus=corpus, grade=grade, clip__withdrawn_at=None).count()
        for grade in ("fine", "coarse")
    }
    snapshots = Snapshot.objects.filter(corpus=corpus).select_related("created_by")[:200]
    context = {"corpus": corpus, "snapshots": snapshots, "form": form, "may_freeze": may_freeze, "records": records}
    return render(request, "snapshots/list.html", context, status=status)


@login_required
@require_safe
def snapshot_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One snapshot: digest, splits, files, exports, what was withdrawn since."""
    snapshot = queries.visible_to(request.user).filter(pk=pk).prefetch_related("files").first()
    if snapshot is None:
        raise NotFound(_("There is no such object, or you may not see it."))
    others = Snapshot.objects.filter(corpus=snapshot.corpus).exclude(pk=pk)[:50]
    compared = None
    wanted = request.GET.get("with", "")
    if wanted.isdecimal() and len(wanted) < 19:
        other = others.model.objects.filter(corpus=snapshot.corpus, pk=int(wanted)).first()
        compared = (other, queries.difference(other, snapshot)) if other else None
    context = {
        "snapshot": snapshot,
        "corpus": snapshot.corpus,
        "withdrawn": queries.withdrawn_clips(snapshot),
        "formats": [*exports.FOLDERS, *exports.FORMATS],
        "may_export": may(request.user, snapshot.corpus, "record.export"),
        "may_train": may(request.user, snapshot.corpus, "training.start"),
        "others": others,
        "compared": compared,
    }
    return render(request, "snapshots/detail.html", context)
