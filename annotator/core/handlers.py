"""Django's own 400, 403, 404, 500 and 503: problem documents for clients of the API, pages for people."""

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views import defaults

from .errors import problem_document

# SQLSTATE (PostgreSQL's manual, appendix A): connection exception, insufficient resources, operator intervention but
# for 57014, a statement that was cancelled.
_NO_CONNECTION = ("08", "53", "57P")


def _for_clients(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/v1/") or "application/json" in request.META.get("HTTP_ACCEPT", "")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _for_clients(request):
        return problem_document(400, "bad-request", _("The request could not be understood."))
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _for_clients(request):
        return problem_document(403, "forbidden", _("You may not do this."))
    return defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _for_clients(request):
        return problem_document(404, "not-found", _("There is no such address."))
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """The request's number leads to the traceback in the log; the answer tells nothing else. A database that cannot be
    asked is no fault of the request: 503, to be tried again."""
    if _for_clients(request):
        return server_error_document(request)
    if not _database_away():
        return defaults.server_error(request)
    page = render(None, "503.html", status=503)  # without the request: it would ask who is signed in
    page["Retry-After"] = "5"
    return page


def server_error_document(request: HttpRequest) -> HttpResponse:
    """The same for who is no browser."""
    if not _database_away():
        text = _("Something broke on our side; the error is in the server's log.")
        return problem_document(500, "server-error", text, request=getattr(request, "request_id", None))
    text = _("The database could not be asked just now. What was saved is safe; try again in a moment.")
    document = problem_document(503, "database-away", text)
    document["Retry-After"] = "5"
    return document


def _database_away() -> bool:
    """Whether no connection was to be had, or it ended: what went wrong in a statement (a deadlock, one that took too
    long) is an OperationalError, too, and remains our error."""
    error = sys.exc_info()[1]
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    state = getattr(error.__cause__, "sqlstate", None)  # none: the server said nothing any more
    return state is None or state.startswith(_NO_CONNECTION)
