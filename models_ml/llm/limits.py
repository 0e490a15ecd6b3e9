"""What many workers know of a server together: how many calls are under way, how fast they may follow each other,
and whether it is down. Kept in Redis, by Redis's clock; two round trips a call, and none for most of the short calls
of a process in which threads wait (see `doors`).

Redis 6 or later. The keys of one endpoint are ``<prefix>{<hash>}:<name>``: ``held`` (token of a call -> end of its
lease), ``line`` (those who wait -> ticket) and ``seen`` (-> until when they are believed to wait), ``state`` and
``ms`` (how long the last calls took).

Where Redis does not answer no call is made: a limit that cannot be kept would be broken by every worker at once.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models_ml.llm import scripts
from models_ml.llm.doors import Door, milliseconds
from models_ml.llm.endpoint import Endpoint
from models_ml.llm.errors import Deferred, ModelFailure
from models_ml.llm.traffic import PATIENCE_S

if TYPE_CHECKING:
    import redis

LEASE_S = 15.0  # a killed worker's place is free again after this; renewed thrice in its length
REDIS_AWAY_S = 5.0
YIELD_S = 0.0003  # who was given a place uses it before its giver goes on with his answer
STRIKES_KEPT_S = 86_400
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Figures:
    """One endpoint as its callers see it together. Times are Unix seconds; p50 and p95 are seconds of the last calls
    that were answered; ``breaker`` is ``closed``, ``open`` or ``half-open``."""

    in_flight: int
    waiting: int
    p50: float | None
    p95: float | None
    calls: int
    failures: int
    breaker: str
    open_since: float | None
    retry_at: float | None


class Limits:
    """The limits of all endpoints in one Redis. Safe to share between threads; make a new one after a fork."""

    def __init__(self, client: redis.Redis, prefix: str = "workbench:models:") -> None:
        self.redis, self.prefix, self.pid = client, prefix, os.getpid()
        self._scripts = {name: client.register_script(text) for name, text in scripts.ALL.items()}
        self._held: dict[str, str] = {}  # token -> endpoint's key
        self._doors: dict[Endpoint, Door] = {}
        self._changed = threading.Condition()
        self._renewer: threading.Thread | None = None

    @contextmanager
    def place(self, endpoint: Endpoint) -> Iterator[None]:
        """One call's place at the server. Raises Deferred instead of waiting long; see `Traffic.admit`."""
        door = self._door(endpoint)
        place = door.enter()
        with self._changed:
            self._held[place.token] = door.name
            self._renew_beside()
        started, outcome, pause = time.monotonic(), "dropped", 0.0
        try:
            yield
            outcome = "answered"
        except ModelFailure as failure:
            outcome = "failed" if failure.transient else "answered"
            pause = failure.retry_after or 0.0
            raise
        finally:
            with self._changed:
                self._held.pop(place.token, None)
            ms = milliseconds(time.monotonic() - started)
            if outcome != "answered" or pause or not door.pass_on(place, ms):
                door.leave(place, outcome, ms, milliseconds(pause))
            else:
                time.sleep(YIELD_S)

    def _door(self, endpoint: Endpoint) -> Door:
        with self._changed:
            if endpoint not in self._doors:
                self._doors[endpoint] = Door(self, endpoint, self.name_of(endpoint))
            return self._doors[endpoint]

    def name_of(self, endpoint: Endpoint) -> str:
        """The beginning of an endpoint's keys; the braces keep them on one node of a cluster."""
        told = f"{endpoint.base_url.rstrip('/')}\n{endpoint.model}"
        return f"{self.prefix}{{{hashlib.sha256(told.encode()).hexdigest()[:20]}}}:"

    def run(self, script: str, endpoint: Endpoint, name: str, token: str, *values: Any) -> Any:
        """Run one of `scripts` for a call. Raises Deferred where Redis fails."""
        keys = [name + part for part in ("held", "line", "seen", "state", "ms")] + [f"{name}go:{token}"]
        fixed = (
            token,
            endpoint.concurrency or 0,
            endpoint.rate_per_minute or 0,
            milliseconds(LEASE_S),
            milliseconds(PATIENCE_S),
        )
        with _redis_errors():
            return self._scripts[script](keys=keys, args=[*fixed, *values])

    def handed_over(self, name: str, token: str, seconds: float) -> float | None:
        """Wait until somebody who leaves hands a place over, and take it up; the seconds to wait before using it. None:
        nobody did, or it was too long ago."""
        with _redis_errors():
            found: Any = self.redis.blpop([f"{name}go:{token}"], timeout=max(0.01, seconds))
        if not found or not self._renewed(name, [token], int(found[1])):
            return None
        return int(found[1]) / 1000

    def _renew_beside(self) -> None:
        """See to it that a thread renews the leases of this process. Call it with the lock held."""
        if self._renewer is None or not self._renewer.is_alive():
            self._renewer = threading.Thread(target=_renew, args=(weakref.ref(self),), name="places", daemon=True)
            self._renewer.start()

    def renew(self) -> bool:
        """Prolong the leases of all calls that this process has under way; False when there are none."""
        with self._changed:
            held = dict(self._held)
        for name in set(held.values()):
            self._renewed(name, [token for token, at in held.items() if at == name])
        return bool(held)

    def _renewed(self, name: str, tokens: list[str], wait_ms: int = 0) -> int:
        with _redis_errors():
            return self._scripts["renew"](
                keys=[name + "held", name + "state"], args=[milliseconds(LEASE_S) + wait_ms, *tokens]
            )

    def strike(self, work: str) -> int:
        """Count a passing failure of a piece of work, over all its attempts; the number so far."""
        key = f"{self.prefix}strikes:{work}"
        with _redis_errors(), self.redis.pipeline() as both:
            both.incr(key)
            both.expire(key, STRIKES_KEPT_S)
            return int(both.execute()[0])

    def forgive(self, work: str) -> None:
        """Begin to count anew."""
        with _redis_errors():
            self.redis.delete(f"{self.prefix}strikes:{work}")

    def reset(self, endpoint: Endpoint) -> None:
        """Ask the server again, whatever is known of it: somebody says that it is well."""
        with _redis_errors():
            self.redis.hdel(f"{self.name_of(endpoint)}state", *scripts.BREAKER)

    def figures(self, endpoint: Endpoint) -> Figures:
        """Where the endpoint stands. Raises Deferred where Redis does not answer."""
        name = self.name_of(endpoint)
        with _redis_errors():
            now, held, waiting, state, took = self._scripts["figures"](
                keys=[name + part for part in ("held", "seen", "state", "ms")]
            )
        told = dict(zip(state[::2], state[1::2], strict=True))
        ms = sorted(float(value) for value in took)
        retry_at = float(told.get(b"retry_at", 0)) / 1000
        breaker = "closed" if not retry_at else "open" if retry_at * 1000 > int(now) else "half-open"
        return Figures(
            in_flight=int(held),
            waiting=int(waiting) + sum(int(number) for name, number in told.items() if name.startswith(b"behind:")),
            p50=_share(ms, 0.5),
            p95=_share(ms, 0.95),
            calls=int(told.get(b"calls", 0)),
            failures=int(told.get(b"failed", 0)),
            breaker=breaker,
            open_since=float(told[b"open_since"]) / 1000 if b"open_since" in told else None,
            retry_at=retry_at or None,
        )


def _renew(reference: weakref.ref[Limits]) -> None:
    """Until nothing was held for a while, or the limits are gone."""
    idle = 0
    while idle < 10:
        time.sleep(LEASE_S / 3)
        limits = reference()
        if limits is None:
            return
        try:
            idle = 0 if limits.renew() else idle + 1
        except Deferred as error:
            logger.warning("places not renewed: %s", error.reason)
        del limits


@contextmanager
def _redis_errors() -> Iterator[None]:
    import redis

    try:
        yield
    except redis.RedisError as error:
        raise Deferred(REDIS_AWAY_S, f"Redis, which keeps the limits of the servers, fails: {error}") from error


def _share(ordered: list[float], share: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1000 if ordered else None
