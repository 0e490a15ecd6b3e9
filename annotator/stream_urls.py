"""What the process of the streams serves, and nothing else."""

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils.translation import gettext as _

from annotator.checking import streams
from annotator.core import health
from annotator.core.errors import problem_document
from annotator.core.handlers import server_error_document

urlpatterns = [
    path("stream/summaries/<int:pk>/", streams.summary),
    path("stream/livez", health.livez),
]


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return problem_document(400, "bad-request", _("The request could not be understood."))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return problem_document(404, "not-found", _("There is no such object, or you may not see it."))


handler400 = bad_request
handler403 = bad_request
handler404 = not_found
handler500 = server_error_document
