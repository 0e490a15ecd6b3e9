"""Request ids in every log line and answer; errors of the services rendered for people."""

import re
import uuid
from collections.abc import Callable
from typing import Any

import structlog
from csp.constants import HEADER
from csp.middleware import CSPMiddleware
from csp.utils import build_policy
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.middleware.locale import LocaleMiddleware
from django.shortcuts import render
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _

from .errors import LengthRequired, WorkbenchError, problem_response

_SAFE_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
logger = structlog.get_logger("annotator.request")


def in_chunks(request: HttpRequest) -> bool:
    """Whether the body comes in chunks, its length unknown beforehand."""
    chunked = "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower()
    return chunked and not request.META.get("CONTENT_LENGTH")


class RequestIdMiddleware:
    """Takes `X-Request-ID` from a proxy or makes one; binds it to the log and answers it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        request_id = given if _SAFE_ID.fullmatch(given) else uuid.uuid4().hex
        request.request_id = request_id  # type: ignore[attr-defined]
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        response = self.get_response(request)
        response["X-Request-ID"] = request_id
        if response.status_code >= 500:
            logger.error("request failed", method=request.method, path=request.path, status=response.status_code)
        return response


class PolicyMiddleware(CSPMiddleware):
    """The Content-Security-Policy; it is put together once for all answers that change nothing of it, as those of the
    API, which are asked for hundreds of times a second."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        super().__init__(get_response)
        self.plain = build_policy()

    def process_response(self, request: HttpRequest, response: Any) -> Any:
        own = any(name.startswith("_csp_") for name in vars(response))
        if own or not request.path_info.startswith("/api/v1/") or hasattr(request, "_csp_nonce"):
            return super().process_response(request, response)
        response.headers.setdefault(HEADER, self.plain)
        return response


class _ForBrowsers:
    """A call of the API without a cookie has no session, nobody who is signed in by one, and no messages: what looks
    for them is passed by."""

    def __call__(self, request: HttpRequest) -> Any:
        if request.path_info.startswith("/api/v1/") and not request.META.get("HTTP_COOKIE"):
            return self.get_response(request)  # type: ignore[attr-defined]
        return super().__call__(request)  # type: ignore[misc]


class Sessions(_ForBrowsers, SessionMiddleware):
    """Django's."""


class SignedIn(_ForBrowsers, AuthenticationMiddleware):
    """Django's."""


class Messages(_ForBrowsers, MessageMiddleware):
    """Django's."""


class Languages(LocaleMiddleware):
    """Django's, where no address begins with a language: it is not looked for there."""

    def process_request(self, request: HttpRequest) -> None:
        translation.activate(translation.get_language_from_request(request))
        request.LANGUAGE_CODE = translation.get_language()  # type: ignore[attr-defined]

    def process_response(self, request: HttpRequest, response: Any) -> Any:
        patch_vary_headers(response, ("Accept-Language",))
        response.headers.setdefault("Content-Language", translation.get_language())
        return response


class ErrorMiddleware:
    """A WorkbenchError that leaves a view becomes a page, an htmx partial or problem+json, with its status."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        session = getattr(request, "session", None)  # a token has none
        if session is not None and "\x00" in (session.session_key or ""):  # a forged cookie is no session
            request.session = type(session)()
        # PostgreSQL keeps no NUL, and no address of ours has one: said once, here, for every view and parameter.
        if "\x00" in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
            raise BadRequest("NUL in the address")
        response = self.get_response(request)
        if response.status_code == 405 and not response.content:
            return self._not_allowed(request, response)
        return response

    @staticmethod
    def _not_allowed(request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """Who reloads the address of a form that was sent sees why, not an empty page."""
        message = _("Nothing can be read at this address: it takes a form that is sent from another page.")
        page = render(request, "core/error.html", {"error": WorkbenchError(message), "status": 405}, status=405)
        page["Allow"] = response["Allow"]
        return page

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        """Django takes a body without Content-Length for an empty one; what was sent must not vanish silently."""
        if not in_chunks(request) or getattr(getattr(view, "cls", None), "reads_chunks", False):
            return None
        return self.process_exception(request, LengthRequired(_("The body needs a Content-Length.")))

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, WorkbenchError):
            return None
        if request.path.startswith("/api/") or "application/json" in request.headers.get("Accept", ""):
            return problem_response(exception)
        template = "core/_error.html" if getattr(request, "htmx", False) else "core/error.html"
        return render(request, template, {"error": exception}, status=exception.status)
