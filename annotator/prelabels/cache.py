"""Models' answers, kept in the database under the hash of their whole request.

Many threads of a worker ask at once and none of them has a connection of its own: one thread per process looks up and
writes for all, what came together in one statement.
"""

import json
import os
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import Error as DatabaseError
from django.db import connection

from annotator.clips.models import Clip

from .models import CachedAnswer

GATHER_SECONDS = 0.04  # where several threads ask, their questions are collected for so long
IDLE_SECONDS = 0.5  # then the thread ends and its connection with it
WAIT_SECONDS = 60.0
MOST = 200  # rows of one statement
logger = structlog.get_logger(__name__)

# A clip that is being withdrawn is locked FOR UPDATE: this waits, and then finds it withdrawn.
_WRITE = """INSERT INTO prelabels_cachedanswer (key, model, media_sha256, answer, created_at)
    SELECT new.key, new.model, new.media, new.answer::jsonb, statement_timestamp()
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[])
      AS new(key, model, media, answer, clip_id)
    JOIN clips_clip clip ON clip.id = new.clip_id AND clip.withdrawn_at IS NULL
    ORDER BY new.key FOR KEY SHARE OF clip
    ON CONFLICT (key) DO NOTHING"""


@dataclass(frozen=True)
class Row:
    """An answer to be kept: `media` is what `media_of` says of its clip."""

    key: str
    model: str
    media: str
    answer: dict[str, Any]
    clip_id: int


def media_of(clip: Clip) -> str:
    """What the answers about a clip are found by when it is withdrawn."""
    return clip.media_sha256 or f"clip {clip.pk}"


def look_up(key: str) -> dict[str, Any] | None:
    """The answer kept under this key. Raises OperationalError or InterfaceError when the database does not answer."""
    if connection.in_atomic_block:  # a caller's transaction, which no other connection sees
        return _select([key]).get(key)
    asked: Future[dict[str, Any] | None] = Future()
    _desk().put(key, asked)
    return asked.result(WAIT_SECONDS)


def write(rows: Iterable[Row]) -> None:
    """Keep these answers, soon; of two under one key the first stays. What the database cannot hold is left out."""
    for row in rows:
        if not _storable(row.answer):
            continue
        if connection.in_atomic_block:
            _insert([row])
        else:
            _desk().put(row)


def flush() -> None:
    """Wait until everything is written that was to be kept."""
    look_up("")


def forget(keys: Iterable[str]) -> None:
    """Remove answers that turned out to be of no use."""
    if wanted := list(keys):
        _desk().put(tuple(wanted)) if not connection.in_atomic_block else _delete(wanted)


def forget_media(sender: Any, clip: Clip, **_more: Any) -> None:
    """Remove what models said of a clip that is withdrawn; receives `clip_withdrawn`, in its transaction."""
    CachedAnswer.objects.filter(media_sha256=media_of(clip)).delete()


class _Desk:
    """The thread and what waits for it, in the order in which it came."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._waiting: list[tuple[Any, Future[Any] | None]] = []
        self._came = threading.Condition()
        self._thread: threading.Thread | None = None
        self._crowded = False

    def put(self, item: str | Row | tuple[str, ...], asked: Future[Any] | None = None) -> None:
        with self._came:
            self._waiting.append((item, asked))
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="cached-answers", daemon=True)
                self._thread.start()
            self._came.notify()

    def _serve(self) -> None:
        try:
            while batch := self._next():
                try:
                    _do(batch)
                except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
                    _tell(batch, error)
        finally:
            connection.close()

    def _next(self) -> list[tuple[Any, Future[Any] | None]]:
        if self._crowded:
            time.sleep(GATHER_SECONDS)
        with self._came:
            if not self._waiting:
                self._came.wait(IDLE_SECONDS)
            batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            self._crowded = sum(asked is not None for _item, asked in batch) > 1
            if not batch:
                self._thread = None  # in the lock: what comes after finds no thread and starts one
            return batch


def _do(batch: Sequence[tuple[Any, Future[Any] | None]]) -> None:
    """First what is kept and forgotten, in its order; then the questions: they see what came before them."""
    if rows := [item for item, _asked in batch if isinstance(item, Row)]:
        _insert(rows)
    if gone := [key for item, _asked in batch if isinstance(item, tuple) for key in item]:
        _delete(gone)
    if questions := [(item, asked) for item, asked in batch if asked is not None]:
        found = _select([key for key, _asked in questions])
        for key, asked in questions:
            asked.set_result(found.get(key))


def _tell(batch: Sequence[tuple[Any, Future[Any] | None]], error: Exception) -> None:
    logger.warning("cached answers: the database refused", error=str(error).strip(), requests=len(batch))
    if isinstance(error, DatabaseError):
        connection.close()
    for _item, asked in batch:
        if asked is not None and not asked.done():
            asked.set_exception(error)


def _select(keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT key, answer::text FROM prelabels_cachedanswer WHERE key = ANY(%s)", [list(keys)])
        return {key: json.loads(answer) for key, answer in cursor.fetchall()}


def _insert(rows: Sequence[Row]) -> None:
    columns: list[Any] = [
        [row.key for row in rows],
        [row.model for row in rows],
        [row.media for row in rows],
        [json.dumps(row.answer, ensure_ascii=False) for row in rows],
        [row.clip_id for row in rows],
    ]
    with connection.cursor() as cursor:
        cursor.execute(_WRITE, columns)


def _delete(keys: Sequence[str]) -> None:
    CachedAnswer.objects.filter(key__in=keys).delete()


def _storable(answer: dict[str, Any]) -> bool:
    """PostgreSQL's JSON holds neither NUL nor half a surrogate pair."""
    try:
        return b"\\u0000" not in json.dumps(answer, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False


_the_desk: _Desk | None = None
_making = threading.Lock()


def _desk() -> _Desk:
    global _the_desk
    if _the_desk is None or _the_desk.pid != os.getpid():  # threads do not survive a fork
        with _making:
            if _the_desk is None or _the_desk.pid != os.getpid():
                _the_desk = _Desk()
    return _the_desk


def _after_fork() -> None:
    global _the_desk, _making
    _the_desk, _making = None, threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
