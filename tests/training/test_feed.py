"""Batches are made ahead, in order; what goes wrong in the making is raised where it is asked for."""

from __future__ import annotations

import threading

import pytest

from training.feed import Feed


def test_what_is_asked_for_comes_in_order_and_was_made_ahead_by_another_thread() -> None:
    made: list[int] = []
    ready = threading.Event()

    def make(number: int) -> tuple[int, str]:
        made.append(number)
        if number == 3:
            ready.set()
        return number * 10, threading.current_thread().name

    feed = Feed(make, range(1, 100), ahead=3)
    assert ready.wait(30)  # three are made although none was asked for
    assert made == [1, 2, 3]
    found = [feed.next()[0] for _ in range(5)]
    feed.close()
    assert [value for value, _ in found] == [10, 20, 30, 40, 50]
    assert all(name.startswith("feed") for _, name in found)
    assert len(made) <= 8


def test_the_end_is_told() -> None:
    feed = Feed(lambda number: number, range(2))
    assert [feed.next()[0], feed.next()[0]] == [0, 1]
    with pytest.raises(StopIteration):
        feed.next()
    feed.close()


def test_an_error_is_raised_when_its_turn_comes() -> None:
    def make(number: int) -> int:
        if number == 1:
            raise ValueError("clip 7 does not decode")
        return number

    feed = Feed(make, range(3))
    assert feed.next()[0] == 0
    with pytest.raises(ValueError, match="clip 7"):
        feed.next()
    feed.close()


def test_nothing_is_made_while_it_is_held() -> None:
    made: list[int] = []
    feed = Feed(lambda number: made.append(number), range(100), ahead=1)
    feed.next()
    with feed.held():
        before = len(made)
        assert not threading.Event().wait(0.05)
        assert len(made) == before
    feed.close()
