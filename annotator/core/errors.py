"""The one small hierarchy of errors that services raise and that pages and the API both render.

A service never returns an error: it raises one of these. Pages show `message`; the API answers
problem+json (RFC 9457) with `type`, `title`, `status`, `detail`, `code` and the error's own `extra` fields.
"""

from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import Http404, JsonResponse
from django.utils.translation import gettext as _
from rest_framework import exceptions as drf
from rest_framework.response import Response
from rest_framework.views import set_rollback


class WorkbenchError(Exception):
    """Something the caller can understand. `code` is stable, `message` is translated, `extra` is data."""

    status = 400
    code = "error"

    def __init__(self, message: str, *, code: str | None = None, **extra: Any) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.extra = extra


class Invalid(WorkbenchError):
    """The request is understood and its content is wrong; `errors` maps field -> message where known."""

    status = 422
    code = "invalid"


class Forbidden(WorkbenchError):
    status = 403
    code = "forbidden"


class NotFound(WorkbenchError):
    status = 404
    code = "not-found"


class Conflict(WorkbenchError):
    status = 409
    code = "conflict"


class Gone(WorkbenchError):
    """Withdrawn for good: 410 everywhere."""

    status = 410
    code = "gone"


class Stale(WorkbenchError):
    """`If-Match` names a version that is no longer the current one."""

    status = 412
    code = "stale"


class PreconditionRequired(WorkbenchError):
    status = 428
    code = "precondition-required"


class LengthRequired(WorkbenchError):
    """A body in chunks, without Content-Length, where it would be taken for an empty one."""

    status = 411
    code = "length-required"


class NotConfigured(WorkbenchError):
    """A model or server that nobody configured; the message says how to."""

    status = 409
    code = "not-configured"


def problem(status: int, code: str, detail: str, **extra: Any) -> dict[str, Any]:
    """The body of an RFC 9457 problem document."""
    return {
        "type": f"urn:emer-workbench:{code}",
        "title": code,
        "status": status,
        "detail": detail,
        "code": code,
        **extra,
    }


def problem_document(status: int, code: str, detail: str, **extra: Any) -> JsonResponse:
    return JsonResponse(problem(status, code, detail, **extra), status=status, content_type="application/problem+json")


def problem_response(error: WorkbenchError) -> JsonResponse:
    return problem_document(error.status, error.code, error.message, **error.extra)


def problem_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: every error of the API is problem+json."""
    headers: dict[str, str] = {}
    if isinstance(exc, WorkbenchError):
        body = problem(exc.status, exc.code, exc.message, **exc.extra)
    elif isinstance(exc, Http404):
        body = problem(404, "not-found", _("There is no such object, or you may not see it."))
    elif isinstance(exc, PermissionDenied):
        body = problem(403, "forbidden", str(exc) or _("You may not do this."))
    elif isinstance(exc, SuspiciousOperation):  # too many fields or files, a form beyond the limit in memory
        body = problem(400, "bad-request", _("The request could not be understood: it is too large or malformed."))
    elif isinstance(exc, drf.ValidationError):
        body = problem(422, "invalid", _("Some fields are wrong."), errors=exc.detail)
    elif isinstance(exc, drf.APIException):
        code = exc.get_codes()
        code = code if isinstance(code, str) else exc.default_code
        body = problem(exc.status_code, code.replace("_", "-"), str(exc.detail))  # one spelling of codes
        if header := getattr(exc, "auth_header", None):
            headers["WWW-Authenticate"] = header
        if wait := getattr(exc, "wait", None):
            headers["Retry-After"] = str(int(wait))
    else:
        return None
    set_rollback()
    return Response(body, status=body["status"], headers=headers, content_type="application/problem+json")
