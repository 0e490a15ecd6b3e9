"""Summaries by server-sent events (WHATWG HTML, 9.2), in a process of their own: a page reads the draft while the model
writes it, takes the stream up again by Last-Event-ID, and the call ends when nobody reads any longer.

Events: `text` `{"language", "text"}`, what came since the last one; then `result`, the whole summary as
`summaries.summarise` gives it, or `failed` `{"code", "detail"}`. Comments in between keep proxies awake.
One process makes a call and remembers what came of it for a while: a stream's address always leads to the same one.
"""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import close_old_connections, connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils import translation
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe
from structlog import get_logger

from annotator.core.errors import NotFound, WorkbenchError, problem_document, problem_response
from models_ml.llm import partial as coming
from models_ml.llm import stream
from models_ml.steps import Evidence, merge

from . import summaries
from .models import SummaryRequest

BEAT_S = 4.0  # between two signs of life: it takes two to find that a reader is gone
GRACE_S = 8.0  # a page that reloads, or lost its connection, comes back within this time
KEPT_S = 120.0  # the events of a stream that has ended
logger = get_logger("annotator.streams")


class Feed:
    """The events of one summary so far, and who reads them. All but `wanted` belong to the event loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.events: list[bytes] = []
        self.readers: set[asyncio.Event] = set()
        self.left_at = time.monotonic()
        self.ended_at: float | None = None

    def wanted(self) -> bool:
        """Whether somebody reads, or was there a moment ago."""
        return bool(self.readers) or time.monotonic() - self.left_at < GRACE_S

    def tell(self, name: str, data: dict[str, Any], *, last: bool = False) -> None:
        """Add an event, from any thread."""
        self.loop.call_soon_threadsafe(self._add, name, json.dumps(data, ensure_ascii=False), last)

    def _add(self, name: str, data: str, last: bool) -> None:
        self.events.append(f"id: {len(self.events) + 1}\nevent: {name}\ndata: {data}\n\n".encode())
        if last:
            self.ended_at = time.monotonic()
        for reader in self.readers:
            reader.set()

    async def follow(self, after: int) -> AsyncIterator[bytes]:
        """Events from number `after` + 1 on, until the last."""
        news = asyncio.Event()
        self.readers.add(news)
        try:
            yield b"retry: 1000\n\n"
            while True:
                news.clear()
                while after < len(self.events):
                    after += 1
                    yield self.events[after - 1]
                if self.ended_at is not None:
                    return
                try:
                    # Not `wait_for`: in Python 3.11 it loses a cancellation that comes together with the news.
                    async with asyncio.timeout(BEAT_S):
                        await news.wait()
                except TimeoutError:
                    yield b": still there\n\n"
        finally:
            self.readers.discard(news)
            self.left_at = time.monotonic()


_feeds: dict[int, Feed] = {}


def page_origin(request: HttpRequest) -> str:
    """Where a page finds the streams: `http://host:port`, or "" for its own origin (behind nginx)."""
    if settings.STREAM_ORIGIN or not settings.STREAM_PORT:
        return str(settings.STREAM_ORIGIN)
    host = request.get_host()
    name = host[: host.rindex(":")] if ":" in host.rpartition("]")[2] else host
    return f"{request.scheme}://{name}:{settings.STREAM_PORT}"


def allow(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Let this page read the streams, where they come from another origin."""
    if origin := page_origin(request):
        response._csp_update = {"connect-src": [origin]}  # type: ignore[attr-defined]
    return response


def may_read_from(request: HttpRequest) -> bool:
    """Whether the page that asks is one of ours: of the same host, at the port of the web server."""
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    try:
        asking, ours = urlsplit(origin), urlsplit(f"//{request.get_host()}")
        ports = {ours.port or {"https": 443}.get(request.scheme or "", 80), settings.WEB_PORT}
        same = asking.hostname == ours.hostname and (asking.port or {"https": 443}.get(asking.scheme, 80)) in ports
    except ValueError:
        return False
    return same or origin in settings.CSRF_TRUSTED_ORIGINS


@require_safe
async def summary(request: HttpRequest, pk: int) -> HttpResponse | StreamingHttpResponse:
    """The events of one summary, for the holder of its claim."""
    if not may_read_from(request):
        return problem_document(403, "forbidden", _("This page may not read streams."))
    user = await request.auser()
    if not user.is_authenticated:
        return _allowed(request, problem_document(401, "not-authenticated", _("Sign in first.")))
    try:
        row = await sync_to_async(_row)(user, pk)
    except WorkbenchError as error:
        return _allowed(request, problem_response(error))
    remembered = row.pk in _feeds
    feed = _feed(user, row)
    last = request.headers.get("Last-Event-ID", "")
    # What another process told is not told again: only how it ended.
    after = int(last) if remembered and last.isascii() and last.isdecimal() and len(last) < 9 else 0
    response = StreamingHttpResponse(feed.follow(min(after, len(feed.events))), content_type="text/event-stream")
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    return _allowed(request, response)


def _allowed(request: HttpRequest, response: Any) -> Any:
    response["Vary"] = "Origin, Cookie"
    if origin := request.headers.get("Origin"):
        response["Access-Control-Allow-Origin"] = origin
        response["Access-Control-Allow-Credentials"] = "true"
    return response


def _row(user: Any, pk: int) -> SummaryRequest:
    try:
        row = SummaryRequest.objects.select_related("summary").filter(pk=pk).first() if pk < 2**63 else None
        if row is None:
            raise NotFound(_("There is no such object, or you may not see it."))
        row.claim = summaries.open_claim(user, row.claim_id)
        return row
    finally:
        connections.close_all()  # of this request's thread: a stream stays open for long


def _feed(user: Any, row: SummaryRequest) -> Feed:
    """The feed of this summary: the one under way or just ended, or one that asks the model now, or tells the end."""
    now = time.monotonic()
    for pk in [pk for pk, feed in _feeds.items() if feed.ended_at and now - feed.ended_at > KEPT_S]:
        del _feeds[pk]
    if row.pk in _feeds:
        return _feeds[row.pk]
    feed = _feeds[row.pk] = Feed()
    if row.state == "waiting":
        language = translation.get_language()
        threading.Thread(target=_make, args=(user, row, feed, language), name=f"summary-{row.pk}", daemon=True).start()
    elif row.state == "done" and row.summary:
        feed._add("result", json.dumps(summaries.as_json(row.summary), ensure_ascii=False), True)
    else:
        lost = _("The connection to the model was lost with the process that held it. Summarise again.")
        told = {"code": row.code or "interrupted", "detail": row.reason or lost}
        feed._add("failed", json.dumps(told, ensure_ascii=False), True)
    return feed


def _make(user: Any, row: SummaryRequest, feed: Feed, language: str | None) -> None:
    """Ask the model, once, and tell what comes; the result is stored before it is told. Runs in a thread of its own."""
    with translation.override(language):
        try:
            if not SummaryRequest.objects.filter(pk=row.pk, state="waiting").update(state="asked"):
                raise WorkbenchError(_("This summary is being written already."), code="interrupted")
            summary = _asked(user, row, feed)
            SummaryRequest.objects.filter(pk=row.pk).update(state="done", summary=summary)
            feed.tell("result", summaries.as_json(summary), last=True)
        except WorkbenchError as error:
            _failed(row, feed, str(error.extra.get("reason") or error.code), error.message)
        except Exception:
            logger.exception("a summary failed", request=row.pk)
            _failed(row, feed, "error", _("Something went wrong on the server. Nothing of your work is lost."))
        finally:
            connections.close_all()


def _failed(row: SummaryRequest, feed: Feed, code: str, detail: str) -> None:
    try:
        SummaryRequest.objects.filter(pk=row.pk, state="asked").update(state="failed", code=code, reason=detail)
    finally:
        feed.tell("failed", {"code": code, "detail": detail}, last=True)


def _asked(user: Any, row: SummaryRequest, feed: Feed) -> Any:
    claim = row.claim
    endpoint, note = summaries.endpoint_for(claim)  # asked anew: what may leave may have changed meanwhile
    if endpoint is None:
        raise WorkbenchError(note, code="not-configured")
    pieces: list[str] = []
    told = {"zh": "", "en": ""}

    def heard(piece: str) -> None:
        pieces.append(piece)
        for language, text in coming.texts("".join(pieces), "description", told).items():
            if len(text) > len(told[language]):
                feed.tell("text", {"language": language, "text": text[len(told[language]) :]})
                told[language] = text

    close_old_connections()
    connections.close_all()  # none is held while the model writes
    along = partial(stream, heard=heard, wanted=feed.wanted)
    result = summaries.asked(lambda: merge(Evidence(**row.evidence), endpoint, ask=along))
    return summaries.keep(user, claim, "llm", result)
