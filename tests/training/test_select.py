"""Which checkpoint is the best, and that choosing on the test set never goes unsaid."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from tests.training import world
from tests.training.runs import write_evaluation, write_run
from training.curves import read_evaluations
from training.errors import UsageError
from training.select import ON_TEST, best, choose, command, set_apart
from training.snapshot import Record, read_snapshot


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Ten epochs: validation is best at 4; test has a lucky point at 5 and is smoothly best at 8."""
    folder = write_run(tmp_path / "run", {"evaluate": {"select": "validation", "smoothing": 0.6}},
                       tuple(range(10, 110, 10)))  # fmt: skip
    for epoch in range(1, 11):
        write_evaluation(folder, epoch, 0.5 - abs(epoch - 4) / 100, split="val")
        write_evaluation(folder, epoch, {5: 0.75}.get(epoch, 0.7 - abs(epoch - 8) / 50))
    return folder


def test_validation_chooses_without_looking_at_the_test_split(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    choice = choose(run, weight=0.0)
    assert (choice.by, choice.checkpoint, choice.epoch, choice.warning) == ("validation", "step-00000040", 4, None)
    for path in (run / "evaluations").glob("*-test.json"):
        path.unlink()
    assert choose(run, weight=0.0) == choice
    assert not caplog.records


def test_the_papers_way_is_there_under_its_name_and_says_what_it_does(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "training"):
        choice = choose(run, "test-curve")
    assert choice.warning == ON_TEST
    assert ON_TEST in caplog.text
    assert choice.epoch == 8  # passes over the lucky point
    assert choose(run, "test-curve", weight=0.0).epoch == 5
    result = command(str(run), "test-curve", None)
    assert next(iter(result)) == "warning"
    kept = json.loads((run / "checkpoints" / "best.json").read_text())
    assert (kept["checkpoint"], kept["warning"]) == ("step-00000080", ON_TEST)


def test_the_last_one_chooses_nothing(run: Path) -> None:
    assert choose(run, "last").checkpoint == "step-00000100"
    assert command(str(run), "last", None)["why"] == "the last checkpoint"


def test_the_best_so_far_never_changes_by_what_comes_later_and_is_worse(run: Path) -> None:
    evaluations = read_evaluations(run)
    sofar = [best([one for one in evaluations if one["epoch"] <= epoch], "validation", 0.6) for epoch in range(1, 11)]
    seen: list[str] = []
    for choice in sofar:
        assert choice is not None
        if choice.checkpoint not in seen:
            seen.append(choice.checkpoint)
    assert seen == [choice.checkpoint for choice in sofar if choice][: len(seen)]  # never back to an earlier one


def test_of_equals_the_earliest_counts(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", checkpoints=(10, 20))
    for epoch in (1, 2):
        write_evaluation(run, epoch, 0.5, split="val")
    assert choose(run, "validation", 0.0).epoch == 1


def test_a_checkpoint_that_is_gone_is_not_chosen(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    (run / "checkpoints" / "step-00000040" / "state.json").unlink()
    with caplog.at_level(logging.WARNING, "training"):
        choice = choose(run, weight=0.0)
    assert choice.checkpoint in ("step-00000030", "step-00000050")
    assert "step-00000040 is not kept" in caplog.text


def test_nothing_to_choose_by_is_said(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", {"evaluate": {"select": "last"}})
    with pytest.raises(UsageError, match="no checkpoint"):
        choose(run)
    run = write_run(tmp_path / "two", checkpoints=(10,))
    assert choose(run).by == "last"
    with pytest.raises(UsageError, match=r"no evaluation of a validation split"):
        choose(run, "validation")
    with pytest.raises(UsageError, match="not 'best'"):
        best([], "best", 0.5)


def _records(tmp_path: Path, rows: list[dict]) -> list[Record]:
    return read_snapshot(world.write_snapshot(tmp_path / "s", rows)).split("all")


def test_a_part_set_apart_keeps_what_belongs_together_together(tmp_path: Path) -> None:
    rows = [
        world.record(index, clip=f"c{index:03d}", source=f"film_{index // 4}", speaker=f"who_{index // 8}")
        for index in range(80)
    ]
    records = _records(tmp_path, rows)
    kept, apart = set_apart(records, 0.2, ("source", "speaker"), seed=1)
    assert len(apart) == 16
    assert {one.clip for one in kept} | {one.clip for one in apart} == {one.clip for one in records}
    for field in ("source", "speaker"):
        assert not {getattr(one, field) for one in kept} & {getattr(one, field) for one in apart}
    assert set_apart(list(reversed(records)), 0.2, ("source", "speaker"), seed=1)[1] == list(reversed(apart))
    assert set_apart(records, 0.2, ("source", "speaker"), seed=2)[1] != apart


def test_one_group_cannot_be_parted(tmp_path: Path) -> None:
    rows = [world.record(index, source="film", speaker=f"who_{index}") for index in range(4)]
    records = _records(tmp_path, rows)
    with pytest.raises(UsageError, match="all belong together"):
        set_apart(records, 0.25, ("source", "speaker"), 0)
    assert len(set_apart(records, 0.25, ("speaker",), 0)[1]) == 1
    with pytest.raises(UsageError, match="share"):
        set_apart(records, 1.0, (), 0)
