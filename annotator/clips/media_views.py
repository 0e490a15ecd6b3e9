"""`/media/<signed token>/<kind>`: the bytes of a clip's derived file, by Range, for the one it was signed for."""

import hashlib
import json
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from annotator.accounts.authentication import TokenAuthentication
from annotator.core.errors import WorkbenchError, problem_document, problem_response
from annotator.core.files import ranged_response

from . import media, tracks
from .models import Clip


@require_safe
def media_file(request: HttpRequest, token: str, kind: str) -> HttpResponseBase:
    """200, 206, 304 or 416 with the file; problem+json otherwise (401, 403, 404, 410). Never a raw path."""
    try:
        user = _user(request)
        if user is None:
            refusal = problem_document(401, "not-authenticated", _("Sign in, or send a token."))
            refusal["WWW-Authenticate"] = 'Bearer realm="workbench"'
            return refusal
        clip, made, mode = media.open_signed(token, kind, user)
        response: HttpResponseBase
        if made is None:
            response = _tracks(request, clip, mode)
        else:
            response = ranged_response(
                request, media.local_file(made), content_type=media.CONTENT_TYPES[kind], etag=made.sha256
            )
    except WorkbenchError as error:
        return problem_response(error)
    except FileNotFoundError as error:
        return problem_document(404, "media-lost", str(error.strerror))
    # Asked again each time (304 where nothing changed), so that a withdrawal or a lost right holds at once.
    response["Cache-Control"] = "private, no-cache"
    return response


def _tracks(request: HttpRequest, clip: Clip, mode: str) -> HttpResponseBase:
    """The curves of the timeline, as the mode may see them; 304 where they are what the asker has."""
    body = json.dumps(tracks.of_clip(clip, mode), separators=(",", ":"), allow_nan=False).encode()
    etag = f'"{hashlib.sha256(body).hexdigest()}"'
    response = HttpResponse(body, content_type="application/json", headers={"ETag": etag})
    return get_conditional_response(request, etag=etag, response=response) or response


def _user(request: HttpRequest) -> Any:
    """The session's user, or the token's; None for nobody."""
    if request.user.is_authenticated:
        return request.user
    try:
        found = TokenAuthentication().authenticate(Request(request))
    except APIException:
        return None
    return found[0] if found else None
