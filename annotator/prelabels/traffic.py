"""A job's way to the models' servers: limits kept in Redis, answers kept in the database.

`for_job` gives what `models_ml.llm.traffic.using` puts into use; `endpoint_stats` and `given_up` tell how the servers
of a run are doing.
"""

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from django.conf import settings
from django.db import connection
from django.utils.translation import gettext as _
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from models_ml.llm import Endpoint, ModelFailure, NotConfigured, scripts
from models_ml.llm.limits import Figures, Limits
from models_ml.llm.traffic import Deferred, Spent

from . import cache, plans
from .models import Job, Run

_limits: Limits | None = None
_making = threading.Lock()


class JobTraffic:
    """See `models_ml.llm.traffic.Traffic`. Where no Redis is configured, failures are counted in this process."""

    def __init__(self, job: Job) -> None:
        self.job, self.spent = job, Spent()
        self._limits = limits()
        self._kept: list[cache.Row] = []
        self._recalled: list[str] = []
        self._strikes = 0

    def _key(self, key: str) -> str:
        """Of the same repetition only: a run that asks for another one wants other answers."""
        repeat = self.job.run.repeat
        return hashlib.sha256(f"{key} {repeat}".encode()).hexdigest() if repeat else key

    def recall(self, key: str) -> dict[str, Any] | None:
        found = cache.look_up(self._key(key))
        if found is not None:
            self._recalled.append(self._key(key))
        return found

    def keep(self, key: str, answer: dict[str, Any]) -> None:
        media = cache.media_of(self.job.clip)
        self._kept.append(cache.Row(self._key(key), answer["model"][:200], media, answer, self.job.clip_id))

    def admit(self, endpoint: Endpoint) -> AbstractContextManager[None]:
        if self._limits is not None:
            return self._limits.place(endpoint)
        if endpoint.concurrency or endpoint.rate_per_minute:
            where = f"{endpoint.model} at {endpoint.base_url}"
            raise NotConfigured(f"not configured: the limits of {where} are kept in Redis; set REDIS_URL")
        return nullcontext()

    def strike(self) -> int:
        self._strikes += 1
        return self._strikes if self._limits is None else self._limits.strike(str(self.job.pk))

    def settle(self, error: BaseException | None) -> None:
        """Answers are kept unless the step found one of them unusable: which, it does not say, so all of them go, those
        from the cache too. A failed job that is tried again asks anew and with its full number of attempts."""
        if error is None or isinstance(error, Deferred) or (isinstance(error, ModelFailure) and error.transient):
            cache.write(self._kept)
        else:
            cache.forget(self._recalled)
        if isinstance(error, ModelFailure) and self._limits is not None:
            self._limits.forgive(str(self.job.pk))


def for_job(job: Job) -> JobTraffic:
    """The traffic of one attempt at a job, whose run and clip are loaded."""
    return JobTraffic(job)


def limits() -> Limits | None:
    """The limits in this process's Redis; None where none is configured."""
    global _limits
    if not settings.REDIS_URL:
        return None
    if _limits is None or _limits.pid != os.getpid():
        with _making:
            if _limits is None or _limits.pid != os.getpid():
                retry = Retry(ExponentialBackoff(cap=0.5, base=0.1), 2)
                client = redis.Redis.from_url(
                    settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=2, retry=retry
                )
                # Two workbenches in one Redis have jobs of the same number.
                _limits = Limits(client, f"workbench:{connection.settings_dict['NAME']}:models:")
    return _limits


def given_up(run: Run) -> str:
    """Why it makes no sense to wait for the servers of a run any longer; "" while it does."""
    now = datetime.now(UTC)
    for endpoint in _servers(run):
        known = _figures(endpoint)
        since = _moment(known.open_since) if known else None
        tried = _moment(known.retry_at) if known else None
        # What was down when it was asked last, long ago, may be well by now.
        fresh = tried is not None and tried > now - timedelta(milliseconds=scripts.FORGOTTEN_MS)
        if since and fresh and now - since > timedelta(seconds=settings.PRELABEL_GIVE_UP_SECONDS):
            return _("The server of %(model)s at %(url)s has taken no call since %(time)s UTC.") % {
                "model": endpoint.model, "url": endpoint.base_url, "time": f"{since:%Y-%m-%d %H:%M}",
            }  # fmt: skip
    return ""


def try_again(run: Run) -> None:
    """Somebody set the run going again: its servers are asked, although they were known to be down."""
    if known := limits():
        with suppress(Deferred):
            for endpoint in _servers(run):
                known.reset(endpoint)


def endpoint_stats(run: Run) -> list[dict[str, Any]]:
    """How the servers of a run are doing, one dict each: `endpoint` (its address), `model`, `in_flight` and `waiting`
    calls of all runs together, `limit` (concurrency) and `rate` (a minute) or None, `p50` and `p95` in seconds of the
    last 200 calls or None, `calls`, `failures`, `breaker` (`closed`, `open`, `half-open`, or `unknown` where Redis does
    not answer), `open_since` and `retry_at` as moments or None."""
    return [_told(endpoint, _figures(endpoint)) for endpoint in _servers(run)]


def _servers(run: Run) -> Iterator[Endpoint]:
    seen = set()
    for step in run.pipeline.definition.get("steps", []):
        try:
            endpoint = plans.endpoint_for(step["key"])
        except NotConfigured:
            continue
        if isinstance(endpoint, Endpoint) and (endpoint.base_url, endpoint.model) not in seen:
            seen.add((endpoint.base_url, endpoint.model))
            yield endpoint


def _figures(endpoint: Any) -> Figures | None:
    known = limits()
    if known is None or not isinstance(endpoint, Endpoint):
        return None
    try:
        return known.figures(endpoint)
    except Deferred:
        return None


def _told(endpoint: Endpoint, known: Figures | None) -> dict[str, Any]:
    return {
        "endpoint": endpoint.base_url,
        "model": endpoint.model,
        "limit": endpoint.concurrency,
        "rate": endpoint.rate_per_minute,
        **{name: getattr(known, name, None) for name in ("in_flight", "waiting", "p50", "p95", "calls", "failures")},
        "breaker": known.breaker if known else "unknown",
        "open_since": _moment(known.open_since) if known else None,
        "retry_at": _moment(known.retry_at) if known else None,
    }


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
