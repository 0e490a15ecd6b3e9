"""A task that crashes, hangs or raises costs itself and nothing else."""

from __future__ import annotations

import pytest

from training.workers import Failed, run_tasks

ACT = "tests.training.acts:act"


@pytest.mark.parametrize("workers", [0, 2])
def test_every_task_comes_back_once(workers: int) -> None:
    found = dict(run_tasks(ACT, "s", range(50), workers=workers))
    assert found == {number: ("s", number * 2) for number in range(50)}


def test_in_order_means_in_order_though_the_first_is_slow() -> None:
    numbers = [number for number, _ in run_tasks(ACT, None, ["slow", *range(12)], workers=2, ordered=True)]
    assert numbers == list(range(13))


def test_an_error_a_crash_and_a_print_are_the_task_s_own() -> None:
    tasks = [1, "raise", 2, "crash", 3, "print", 4, "crash", 5]
    found = dict(run_tasks(ACT, None, tasks, workers=1))
    assert [found[number] for number in (0, 2, 4, 6, 8)] == [(None, 2 * task) for task in (1, 2, 3, 4, 5)]
    assert found[1] == Failed("this one is bad")
    assert found[5] == "printed"
    assert found[3] == found[7] == Failed("the decoder crashed (status -6)")


def test_a_task_without_end_is_ended() -> None:
    found = dict(run_tasks(ACT, None, ["hang", 1, 2], workers=1, timeout=3.0))
    assert found == {0: Failed("took longer than 3 s"), 1: (None, 2), 2: (None, 4)}


def test_no_more_is_under_way_than_the_memory_is_meant_for() -> None:
    begun = []

    def tasks():
        for number in range(100):
            begun.append(number)
            yield number

    results = run_tasks(ACT, None, tasks(), workers=2, ahead=3)
    next(results)
    assert len(begun) <= 2 * 2 + 3 + 1
    results.close()


def test_a_function_that_is_not_there_ends_the_work_with_a_reason() -> None:
    with pytest.raises(RuntimeError, match="could not start"):
        list(run_tasks("training.evidence:nothing_of_that_name", None, [1], workers=1))
