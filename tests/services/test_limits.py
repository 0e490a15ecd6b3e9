"""Limits that many processes share: as the server sees them, with a real Redis, and when a process is killed."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from models_ml.llm import Deferred, Endpoint, ModelFailure, complete, limits
from models_ml.llm.doors import Unavailable
from models_ml.llm.limits import Limits
from models_ml.llm.traffic import using
from tests.support.caller import ASK, Limited, ask
from tests.support.raw_server import answer, read_request, server

ROOT = Path(__file__).resolve().parents[2]


class Watched:
    """A server that notes when requests came and how many were under way at once; `reply` may be changed."""

    def __init__(self, seconds: float = 0.05) -> None:
        self.seconds, self.reply = seconds, answer()
        self.now = self.peak = 0
        self.came: list[float] = []
        self._lock = threading.Lock()

    def serve(self, connection: socket.socket, number: int) -> None:
        while read_request(connection):
            with self._lock:
                self.came.append(time.monotonic())
                self.now += 1
                self.peak = max(self.peak, self.now)
            try:
                time.sleep(self.seconds)
            finally:
                with self._lock:  # before the answer is out: the caller may be quicker than this thread
                    self.now -= 1
            connection.sendall(self.reply)


@pytest.fixture
def shared() -> Iterator[Limits]:
    """Limits in the tests' Redis, of which nobody else knows."""
    prefix = f"test:{uuid.uuid4().hex}:"
    client = redis.Redis.from_url(os.environ["REDIS_URL"])
    yield Limits(client, prefix)
    if left := list(client.scan_iter(f"{prefix}*")):
        client.delete(*left)


@pytest.fixture
def watched() -> Iterator[tuple[Watched, str]]:
    found = Watched()
    with server(found.serve) as (url, _came):
        yield found, url


def caller(shared: Limits, endpoint: dict[str, object], **how: object) -> subprocess.Popen[str]:
    told = {"redis": os.environ["REDIS_URL"], "prefix": shared.prefix, "endpoint": endpoint, "threads": 1, "calls": 1}
    command = [sys.executable, "-m", "tests.support.caller", json.dumps(told | how)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def results(*callers: subprocess.Popen[str]) -> list[str]:
    return [text for each in callers for text in json.loads(each.communicate(timeout=60)[0])]


def wait_until(true: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def test_processes_together_never_ask_more_at_once_than_a_server_takes(
    shared: Limits, watched: tuple[Watched, str]
) -> None:
    seen, url = watched
    endpoint: dict[str, object] = {"base_url": url, "model": "m", "concurrency": 4}
    found = results(*[caller(shared, endpoint, threads=6, calls=10) for _ in range(3)])
    assert found == ["Sad."] * 180
    assert seen.peak == 4
    figures = shared.figures(Endpoint(url, "m"))
    assert (figures.in_flight, figures.waiting, figures.calls, figures.failures) == (0, 0, 180, 0)
    assert 0.05 <= figures.p50 <= figures.p95 < 2.0


def test_processes_together_keep_the_rate(shared: Limits, watched: tuple[Watched, str]) -> None:
    seen, url = watched
    seen.seconds = 0.0
    endpoint: dict[str, object] = {"base_url": url, "model": "m", "rate_per_minute": 600}
    assert results(*[caller(shared, endpoint, threads=4, calls=6) for _ in range(2)]) == ["Sad."] * 48
    came = sorted(seen.came)
    # A second's worth at once, then ten a second. The first may have been half a second on its way.
    for number, moment in enumerate(came):
        assert number <= 10 + 10 * (moment - came[0] + 0.5)
    assert came[-1] - came[0] >= (48 - 10) / 10 - 0.1
    assert came[-1] - came[0] < 10


def test_a_killed_processs_place_is_free_again(shared: Limits, watched: tuple[Watched, str]) -> None:
    seen, url = watched
    seen.seconds = 30.0
    endpoint = Endpoint(url, "m", concurrency=1)
    holder = caller(shared, {"base_url": url, "model": "m", "concurrency": 1}, lease=1.5)
    wait_until(lambda: seen.now == 1, 20)
    time.sleep(3.0)  # twice the lease: it is renewed while the call lasts
    assert shared.figures(endpoint).in_flight == 1
    holder.kill()
    holder.wait()
    killed = time.monotonic()
    seen.seconds = 0.0
    assert ask(shared, endpoint) == "Sad."
    assert time.monotonic() - killed < 4.0


def test_places_are_handed_over_in_the_order_in_which_they_were_asked_for(shared: Limits) -> None:
    endpoint = Endpoint("http://127.0.0.1:9/v1", "m", concurrency=1)
    order: list[int] = []

    def take(number: int) -> None:
        with shared.place(endpoint):
            order.append(number)
            time.sleep(0.1)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(6)]
    for number, thread in enumerate(threads):
        thread.start()
        wait_until(lambda at=number: shared.figures(endpoint).waiting >= at or order)
        time.sleep(0.01)
    for thread in threads:
        thread.join()
    assert order == list(range(6))


def test_who_waits_and_dies_keeps_nobody_waiting(shared: Limits, watched: tuple[Watched, str]) -> None:
    seen, url = watched
    seen.seconds = 0.0
    endpoint = Endpoint(url, "m", concurrency=1)
    with shared.place(endpoint):
        dead = caller(shared, {"base_url": url, "model": "m", "concurrency": 1}, lease=1.0)
        wait_until(lambda: shared.figures(endpoint).waiting == 1, 20)
        dead.kill()
        dead.wait()
    began = time.monotonic()
    assert ask(shared, endpoint) == "Sad."
    assert time.monotonic() - began < 4, "less than the lease of a call"


def test_a_long_line_puts_the_work_off_instead_of_holding_the_thread(shared: Limits) -> None:
    endpoint = Endpoint("http://127.0.0.1:9/v1", "m", concurrency=1)
    with shared.place(endpoint):
        began = time.monotonic()
        with pytest.raises(Deferred, match="1 calls at a time") as caught, shared.place(endpoint):
            pass
    assert time.monotonic() - began < limits.PATIENCE_S + 1
    assert caught.value.seconds >= 0.5
    with shared.place(endpoint):
        assert shared.figures(endpoint).in_flight == 1


def cool_down(shared: Limits, endpoint: Endpoint) -> None:
    """As if the time had passed for which a broken server is left alone."""
    shared.redis.hset(f"{shared.name_of(endpoint)}state", "retry_at", int(time.time() * 1000) - 1)


def fails(shared: Limits, endpoint: Endpoint) -> str:
    with pytest.raises((ModelFailure, Deferred)) as caught, using(Limited(shared)):
        complete(endpoint, ASK)
    return caught.value.code if isinstance(caught.value, ModelFailure) else type(caught.value).__name__


def test_a_broken_server_is_left_alone_then_tried_by_one_and_found_well(
    shared: Limits, watched: tuple[Watched, str]
) -> None:
    seen, url = watched
    seen.seconds, seen.reply = 0.0, answer(b"broken", "500 Oh")
    endpoint = Endpoint(url, "m", max_retries=0)
    assert [fails(shared, endpoint) for _ in range(5)] == ["http_500"] * 5
    before = time.time()
    assert fails(shared, endpoint) == "Unavailable"
    assert len(seen.came) == 5, "nobody asked it again"
    figures = shared.figures(endpoint)
    assert (figures.breaker, figures.failures) == ("open", 5)
    assert figures.open_since == pytest.approx(before, abs=2)
    assert figures.retry_at - figures.open_since == pytest.approx(5, abs=0.1)

    cool_down(shared, endpoint)
    assert shared.figures(endpoint).breaker == "half-open"
    assert fails(shared, endpoint) == "http_500"
    again = shared.figures(endpoint)
    assert again.retry_at - time.time() == pytest.approx(10, abs=1), "twice as long as before"
    assert again.open_since == figures.open_since

    cool_down(shared, endpoint)
    seen.seconds, seen.reply = 1.0, answer()
    found: list[str] = []
    probe = threading.Thread(target=lambda: found.append(ask(shared, endpoint)))
    probe.start()
    wait_until(lambda: seen.now == 1)
    with pytest.raises(Unavailable) as caught, shared.place(endpoint):
        pass
    assert caught.value.since == pytest.approx(figures.open_since)
    assert len(seen.came) == 7, "one tries it, the others wait"
    probe.join()
    assert found == ["Sad."]
    assert (shared.figures(endpoint).breaker, shared.figures(endpoint).open_since) == ("closed", None)


def test_the_breaker_waits_a_minute_at_most(shared: Limits, watched: tuple[Watched, str]) -> None:
    seen, url = watched
    seen.seconds, seen.reply = 0.0, answer(b"broken", "503 Oh")
    endpoint = Endpoint(url, "m", max_retries=0)
    for _ in range(5):
        fails(shared, endpoint)
    for _ in range(5):  # 5, 10, 20, 40, 60, 60 s
        cool_down(shared, endpoint)
        assert fails(shared, endpoint) == "http_503"
    assert shared.figures(endpoint).retry_at - time.time() == pytest.approx(60, abs=2)


def test_refusals_do_not_break_a_server_that_answers(shared: Limits, watched: tuple[Watched, str]) -> None:
    seen, url = watched
    seen.seconds, seen.reply = 0.0, answer(b"who are you?", "401 Unauthorized")
    endpoint = Endpoint(url, "m", max_retries=0)
    assert [fails(shared, endpoint) for _ in range(8)] == ["http_401"] * 8
    assert shared.figures(endpoint).breaker == "closed"


def test_a_pause_that_one_is_asked_for_is_kept_by_all(shared: Limits, watched: tuple[Watched, str]) -> None:
    seen, url = watched
    seen.seconds, seen.reply = 0.0, answer(b"slowly", "429 Too Many", "Retry-After: 2\r\n")
    endpoint = Endpoint(url, "m", max_retries=0)
    assert fails(shared, endpoint) == "http_429"
    seen.reply = answer()
    assert results(caller(shared, {"base_url": url, "model": "m"}, threads=3)) == ["Sad."] * 3
    assert min(seen.came[1:]) - seen.came[0] >= 1.9


def test_a_long_pause_gives_the_thread_back_and_the_retries_are_counted_over_all_attempts(
    shared: Limits, watched: tuple[Watched, str]
) -> None:
    """Each attempt could be another process: the count outlives them."""
    seen, url = watched
    seen.seconds, seen.reply = 0.0, answer(b"tomorrow", "429 Too Many", "Retry-After: 30\r\n")
    endpoint = Endpoint(url, "m", max_retries=2)
    for _ in range(2):
        began = time.monotonic()
        with pytest.raises(Deferred, match="http_429") as later, using(Limited(shared, "job 1")):
            complete(endpoint, ASK)
        assert time.monotonic() - began < 1
        assert later.value.seconds == pytest.approx(30, abs=1)
        assert later.value.spent.calls == 1
        shared.redis.hdel(f"{shared.name_of(endpoint)}state", "pause_end")  # half a minute later
    with pytest.raises(ModelFailure) as failed, using(Limited(shared, "job 1")):
        complete(endpoint, ASK)
    assert (failed.value.code, len(seen.came)) == ("http_429", 3)
    shared.redis.hdel(f"{shared.name_of(endpoint)}state", "pause_end")
    with pytest.raises(Deferred), using(Limited(shared, "job 1")):  # tried again by hand: it begins anew
        complete(endpoint, ASK)


def test_without_redis_no_call_is_made(watched: tuple[Watched, str], tmp_path: Path) -> None:
    seen, url = watched
    away = Limits(redis.Redis(unix_socket_path=str(tmp_path / "nobody.sock")))
    with pytest.raises(Deferred, match="Redis"), using(Limited(away)):
        complete(Endpoint(url, "m"), ASK)
    assert seen.came == []


def test_a_call_costs_two_round_trips_of_redis(shared: Limits) -> None:
    endpoint = Endpoint("http://127.0.0.1:9/v1", "m", concurrency=8, rate_per_minute=600_000)
    with shared.place(endpoint):
        pass
    before = shared.redis.info("commandstats")["cmdstat_evalsha"]["calls"]
    for _ in range(10):
        with shared.place(endpoint):
            pass
    assert shared.redis.info("commandstats")["cmdstat_evalsha"]["calls"] - before <= 21
