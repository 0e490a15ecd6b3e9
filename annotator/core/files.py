"""Answering a local file with Range, ETag and conditional requests (RFC 9110), which FileResponse does not."""

import re
from collections.abc import Iterator
from pathlib import Path

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.http import parse_etags

_RANGE = re.compile(r"^bytes=([0-9]{0,18})-([0-9]{0,18})$")  # no file has 10^18 bytes
_CHUNK = 256 * 1024


def _blocks(path: Path, start: int, length: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while length > 0:
            block = file.read(min(_CHUNK, length))
            if not block:
                return
            length -= len(block)
            yield block


def _span(header: str, size: int) -> tuple[int, int] | None:
    """(first, last) byte of a single-range header; None when it cannot be satisfied."""
    match = _RANGE.match(header.strip())
    if match is None:
        return 0, size - 1  # several ranges or another unit: the whole file is a valid answer
    first, last = match.groups()
    if first == "":
        if last == "" or int(last) == 0 or size == 0:
            return None
        return max(0, size - int(last)), size - 1
    if int(first) >= size or (last != "" and int(last) < int(first)):
        return None
    return int(first), min(int(last), size - 1) if last != "" else size - 1


def ranged_response(
    request: HttpRequest, path: Path, *, content_type: str, etag: str, filename: str = ""
) -> HttpResponseBase:
    """200, 206, 304 or 416 for `path`. `etag` is quoted here; `filename` makes it a download.

    Raises OSError when the file cannot be opened.
    """
    size = path.stat().st_size
    quoted = f'"{etag}"'
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": quoted,
        "Cache-Control": "private, max-age=3600",
        "X-Content-Type-Options": "nosniff",
    }
    if filename:
        headers["Content-Disposition"] = f'attachment; filename="{filename}"'
    known = {tag.removeprefix("W/") for tag in parse_etags(request.headers.get("If-None-Match", ""))}
    if known & {quoted, "*"}:  # compared weakly, as RFC 9110 asks of this header: a proxy may have compressed it
        return HttpResponse(status=304, headers=headers)
    wanted = request.headers.get("Range", "") if request.method == "GET" else ""  # RFC 9110: of GET alone
    if wanted and request.headers.get("If-Range", quoted) != quoted:
        wanted = ""
    status, first, last = 200, 0, size - 1
    if wanted:
        span = _span(wanted, size)
        if span is None:
            return HttpResponse(status=416, headers={**headers, "Content-Range": f"bytes */{size}"})
        if _RANGE.match(wanted.strip()):
            status = 206
        first, last = span
    length = max(0, last - first + 1)
    if status == 206:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    body = b"" if request.method == "HEAD" else _blocks(path, first, length)
    response = StreamingHttpResponse(body, status=status, content_type=content_type, headers=headers)
    response["Content-Length"] = str(length)
    return response
