"""The JSON parser of the API, and which format is spoken."""

import io
from collections.abc import Iterable, Mapping
from typing import IO, Any

from django.conf import settings
from django.utils.translation import gettext as _
from rest_framework.exceptions import APIException, ParseError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import JSONParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class TooLarge(APIException):
    status_code = 413
    default_code = "too-large"


class BoundedJSONParser(JSONParser):
    """JSON as DRF reads it (NaN and Infinity refused), up to DATA_UPLOAD_MAX_MEMORY_SIZE, which DRF alone does not
    ask; nesting too deep for Python is the sender's fault, not a 500."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        body = b""
        while block := stream.read(limit + 1 - len(body)):  # a server may hand out less than was asked for
            body += block
        if len(body) > limit:
            raise TooLarge(_("The JSON has more than %(mb)d MB.") % {"mb": limit // 2**20})
        stream = io.BytesIO(body)
        try:
            return super().parse(stream, media_type, dict(parser_context or {}))
        except RecursionError:
            raise ParseError(_("The JSON is nested too deeply.")) from None


class Negotiation(DefaultContentNegotiation):
    """DRF's own, which parses media types anew for every request; whoever asks for nothing gets the first renderer."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        meta = request.META
        if not format_suffix and not meta.get("QUERY_STRING") and meta.get("HTTP_ACCEPT", "*/*") == "*/*":
            first = next(iter(renderers))
            return first, str(first.media_type)
        return super().select_renderer(request, renderers, format_suffix)
