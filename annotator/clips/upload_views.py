"""The upload page: tables first, then file by file with real progress; without script one form does it all."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from annotator.core.errors import Invalid, NotFound

from . import queries, uploads
from .access import corpus_for, require
from .clip_views import is_partial
from .models import Upload, UploadedFile
from .storage import MEDIA_SUFFIXES

STOP_POLLING = 286  # htmx stops a polling element that is answered with this


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def upload(request: HttpRequest, slug: str) -> HttpResponse:
    """GET: the form. POST: begin an upload with its tables and whatever files the form carries."""
    corpus = corpus_for(request.user, slug, "clip.ingest")
    if request.method != "POST":
        recent = Upload.objects.filter(corpus=corpus).select_related("user")[:8]
        context = {"corpus": corpus, "recent": recent, "accept": ",".join(MEDIA_SUFFIXES), "texts": _texts()}
        return render(request, "clips/upload.html", context)
    begun = uploads.create_upload(
        request.user, corpus, subtitles=request.FILES.get("subtitles"), au=request.FILES.getlist("au")
    )
    uploads.add_files(request.user, begun, request.FILES.getlist("media"))
    address = reverse("clips:upload-state", args=[begun.pk])
    if "application/json" in request.headers.get("Accept", ""):
        files = reverse("clips:upload-file", args=[begun.pk])
        return JsonResponse({"id": begun.pk, "url": address, "files": files}, status=201)
    return redirect(address)


@require_POST
@login_required
def upload_file(request: HttpRequest, pk: int) -> HttpResponse:
    """One file of an upload that was begun; 201 with its state."""
    begun = _upload(request, pk)
    file = request.FILES.get("media")
    if file is None:
        raise Invalid(_("No file came with the request."), errors={"media": [_("needed")]})
    row = uploads.add_file(request.user, begun, file)
    return JsonResponse({"id": row.pk, "name": row.name, "state": row.state, "reason": row.reason}, status=201)


@require_safe
@login_required
def upload_state(request: HttpRequest, pk: int) -> HttpResponse:
    """How far each file is. Polled by htmx until nothing is left to do."""
    begun = _upload(request, pk)
    context = {"corpus": begun.corpus, **queries.upload_state(begun)}
    if is_partial(request):
        status = 200 if context["open"] else STOP_POLLING
        response = render(request, "clips/_upload_files.html", context, status=status)
    else:
        response = render(request, "clips/upload_state.html", context)
    response["Vary"] = "HX-Request, Cookie"
    return response


@require_POST
@login_required
def retry(request: HttpRequest, pk: int) -> HttpResponse:
    """Try a failed file once more."""
    row = UploadedFile.objects.select_related("upload__corpus").filter(pk=pk).first()
    if row is None:
        raise NotFound(_("There is no such object, or you may not see it."))
    require(request.user, row.upload.corpus, "clip.ingest")
    uploads.retry_file(request.user, row)
    return redirect("clips:upload-state", pk=row.upload_id)


def _texts() -> dict[str, str]:
    """What the page's script says."""
    return {
        "waiting": _("waiting"),
        "sent": _("sent"),
        "twice": _("is there already"),
        "kind": _("not a video file"),
        "offline": _("no answer from the server"),
        "lost": _("Some files did not arrive."),
        "report": _("Report of the others"),
    }


def _upload(request: HttpRequest, pk: int) -> Upload:
    begun = Upload.objects.select_related("corpus", "user").filter(pk=pk).first()
    if begun is None:
        raise NotFound(_("There is no such object, or you may not see it."))
    require(request.user, begun.corpus, "clip.ingest")
    return begun
