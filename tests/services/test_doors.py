"""Places that go from thread to thread: without a word to Redis, in their order, and never for long."""

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import pytest
import redis

from models_ml.llm import Endpoint, ModelFailure, doors
from models_ml.llm.limits import Limits

AT_ONCE = Endpoint("http://127.0.0.1:9/v1", "m", concurrency=1)


@pytest.fixture
def prefix() -> Iterator[str]:
    """The beginning of all keys of one test."""
    name = f"test:{uuid.uuid4().hex}:"
    yield name
    client = redis.Redis.from_url(os.environ["REDIS_URL"])
    if left := list(client.scan_iter(f"{name}*")):
        client.delete(*left)


def process(prefix: str) -> Limits:
    """The limits as one process knows them."""
    return Limits(redis.Redis.from_url(os.environ["REDIS_URL"]), prefix)


def together(*work: Callable[[], object]) -> None:
    threads = [threading.Thread(target=each) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


def wait_until(true: Callable[[], object], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def test_a_place_goes_from_thread_to_thread_without_redis_and_every_call_is_counted(prefix: str) -> None:
    known, now, peak = process(prefix), 0, 0
    endpoint = Endpoint("http://127.0.0.1:9/v1", "m", concurrency=2)
    lock = threading.Lock()

    def calls() -> None:
        nonlocal now, peak
        for _ in range(20):
            with known.place(endpoint):
                with lock:
                    now += 1
                    peak = max(peak, now)
                time.sleep(0.005)
                with lock:
                    now -= 1

    with known.place(endpoint):
        pass
    before = known.redis.info("commandstats")["cmdstat_evalsha"]["calls"]
    together(*[calls] * 8)
    asked = known.redis.info("commandstats")["cmdstat_evalsha"]["calls"] - before
    wait_until(lambda: known.figures(endpoint).in_flight == 0)  # who stood in the line gives its last place back
    figures = known.figures(endpoint)
    assert (peak, figures.in_flight, figures.waiting, figures.calls) == (2, 0, 0, 161)
    assert asked < 80, "160 calls would be 320 round trips"
    assert figures.p50 is not None
    assert 0.004 < figures.p50 < 0.1


def test_a_process_that_always_has_more_to_ask_lets_others_have_their_turn(prefix: str) -> None:
    busy, other = process(prefix), process(prefix)
    over = threading.Event()

    def ask_on() -> None:
        while not over.is_set():
            with busy.place(AT_ONCE):
                time.sleep(0.005)

    threads = [threading.Thread(target=ask_on) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: busy.figures(AT_ONCE).calls > 20)
        for _ in range(3):
            began = time.monotonic()
            with other.place(AT_ONCE):
                waited = time.monotonic() - began
            assert waited < 4 * doors.KEEP_S
    finally:
        over.set()
        for thread in threads:
            thread.join(10)


def test_the_figures_know_of_those_who_wait_in_a_process(prefix: str) -> None:
    known = process(prefix)
    held = threading.Event()

    def ask() -> None:
        with known.place(AT_ONCE):
            held.wait(10)

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    wait_until(lambda: known.figures(AT_ONCE).waiting == 4)
    assert known.figures(AT_ONCE).in_flight == 1
    held.set()
    for thread in threads:
        thread.join(10)
    wait_until(lambda: known.figures(AT_ONCE).in_flight == 0)
    assert known.figures(AT_ONCE).calls == 5


def test_answers_that_redis_was_not_told_of_count_before_the_failure_that_follows_them(prefix: str) -> None:
    """Every second call fails: five failures, but never five in a row."""
    known, turn = process(prefix), iter(range(24))

    def ask() -> None:
        for _ in range(4):
            try:
                with known.place(AT_ONCE):
                    time.sleep(0.002)
                    if next(turn) % 2:
                        raise ModelFailure("http_500", "now and then")
            except ModelFailure:
                pass

    together(*[ask] * 6)
    figures = known.figures(AT_ONCE)
    assert (figures.calls, figures.failures, figures.breaker) == (24, 12, "closed")


def test_who_is_interrupted_while_he_waits_takes_no_place_with_him(prefix: str) -> None:
    known = process(prefix)

    class Enough(Exception):
        pass

    def interrupt(*_signal: object) -> None:
        raise Enough

    held = threading.Event()

    def ask() -> None:
        with known.place(AT_ONCE):
            held.wait(10)

    holder = threading.Thread(target=ask)
    holder.start()
    wait_until(lambda: known.figures(AT_ONCE).in_flight == 1)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(Enough), known.place(AT_ONCE):
            pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    held.set()
    holder.join(10)
    wait_until(lambda: known.figures(AT_ONCE).in_flight == known.figures(AT_ONCE).waiting == 0)
    with known.place(AT_ONCE):
        assert known.figures(AT_ONCE).in_flight == 1
