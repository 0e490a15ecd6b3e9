"""A run's curves: by epoch, smoothed as the formula says, never two ways of scoring in one line."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.training.runs import write_evaluation, write_losses, write_run
from training.curves import as_csv, as_markdown, curves, loss_series, names_of, read_series, score_series, smooth
from training.errors import UsageError
from training.svg import chart, ticks


def test_smoothing_is_the_weighted_mean_of_the_past() -> None:
    values, weight = [0.2, 0.8, 0.5, 0.9], 0.6
    for index, value in enumerate(smooth(values, weight)):
        weights = [weight ** (index - place) for place in range(index + 1)]
        expected = sum(w * v for w, v in zip(weights, values, strict=False)) / sum(weights)
        assert value == pytest.approx(expected, abs=1e-12)


def test_smoothing_is_tensorboards() -> None:
    """Its source: last = last * w + (1 - w) * x, shown last / (1 - w^n)."""
    values, weight, last = [0.3, 0.1, 0.7, 0.65, 0.2], 0.9, 0.0
    for number, (value, smoothed) in enumerate(zip(values, smooth(values, weight), strict=True), 1):
        last = last * weight + (1 - weight) * value
        assert smoothed == pytest.approx(last / (1 - weight**number))


def test_smoothing_keeps_the_first_value_looks_only_back_and_leaves_values_at_weight_0() -> None:
    values = [0.5, 0.1, 0.9]
    assert smooth(values, 0.9)[0] == 0.5
    assert smooth(values[:2], 0.7) == smooth(values, 0.7)[:2]
    assert smooth(values, 0) == values
    assert smooth([], 0.5) == []
    with pytest.raises(UsageError, match="weight 1"):
        smooth(values, 1)


def test_a_curve_is_by_epoch_whatever_the_order_of_the_evaluations(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for epoch in (3, 1, 2):
        write_evaluation(run, epoch, epoch / 10)
    write_evaluation(run, 2, 0.9, finished="2026-02-01T00:00:00+00:00")  # done again: the later one counts
    write_evaluation(run, 1, 0.5, split="train")
    write_evaluation(run, None, 0.5)  # of a run that wrote no epochs
    (run / "evaluations" / "broken.json").write_text("{")
    train, test = read_series([run], ["avg"])
    assert (train.split, test.split) == ("train", "test")
    assert [point.epoch for point in test.points] == [1, 2, 3]
    assert [point.value for point in test.points] == [0.1, 0.9, 0.3]
    assert (test.points[2].low, test.points[2].high) == (pytest.approx(0.2), pytest.approx(0.4))
    assert test.smoothed == smooth([0.1, 0.9, 0.3], 0.6)


def test_scores_of_two_ways_are_two_curves(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for epoch in (1, 2):
        write_evaluation(run, epoch, 0.3)
        write_evaluation(run, epoch, 0.6, grouping="llm:some")
        write_evaluation(run, epoch, 0.4, n=10)
    found = read_series([run], ["avg"])
    assert sorted((one.grouping, one.n, len(one.points)) for one in found) == [
        ("lexicon", 10, 2), ("lexicon", 66, 2), ("llm:some", 66, 2),
    ]  # fmt: skip


def test_scores_on_two_snapshots_are_two_curves_that_name_them(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for name, value in (("fine", 0.6), ("shuffled", 0.2)):
        write_evaluation(run, 1, value, snapshot={"digest": name * 3, "name": name})
    write_evaluation(run, 1, 0.5, split="val", snapshot={"digest": "fine" * 3, "name": "fine"})
    found = read_series([run], ["avg"])
    assert [one.clips for one in found] == ["test of fine", "test of shuffled", "val"]
    assert [one.points[0].value for one in found] == [0.6, 0.2, 0.5]
    assert "| test of shuffled |" in as_markdown(found, 0.6)
    assert as_csv(found, 0.6).splitlines()[2].endswith(",shuffled")


def test_the_loss_of_an_epoch_is_the_mean_per_target_token() -> None:
    lines = [
        {"step": 1, "epoch": 0.5, "loss": 4.0, "tokens": 30}, {"step": 2, "epoch": 1.0, "loss": 2.0, "tokens": 10},
        {"step": 3, "epoch": 1.5, "loss": 1.0, "tokens": 20}, {"step": 4, "loss": 9.0},
    ]  # fmt: skip
    (series,) = loss_series("run", lines, 0.5)
    assert [(point.epoch, point.value) for point in series.points] == [(1, 3.5), (2, 1.0)]
    assert loss_series("run", [], 0.5) == []


def test_csv_has_every_point_raw_and_smoothed(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for epoch in (1, 2):
        write_evaluation(run, epoch, epoch / 4)
    write_losses(run, [3.0, 1.0, 0.5, 0.5])
    rows = list(csv.DictReader(io.StringIO(as_csv(read_series([run]), 0.6))))
    assert [(row["what"], row["epoch"], row["raw"]) for row in rows] == [
        ("avg", "1", "0.250000"), ("avg", "2", "0.500000"), ("loss", "1", "2.000000"), ("loss", "2", "0.500000"),
    ]  # fmt: skip
    assert (rows[1]["smoothed"], rows[1]["low"], rows[1]["high"]) == ("0.406250", "0.400000", "0.600000")
    assert {row["smoothing"] for row in rows} == {"0.6"}


def test_markdown_names_the_best_point_and_that_the_test_set_chose_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for epoch, avg in ((1, 0.2), (2, 0.6), (3, 0.3)):
        write_evaluation(run, epoch, avg)
    text = as_markdown(read_series([run], weight=0.0), 0.0)
    assert "| 30.00 ± 10.0 (epoch 3) | 60.00 ± 10.0 (epoch 2) | 60.00 (epoch 2) |" in text
    assert "chosen on the test clips" in text


def test_the_figure_is_svg_that_says_its_smoothing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a<b&c")
    for epoch in range(1, 9):
        write_evaluation(run, epoch, epoch / 10)
        write_evaluation(run, epoch, epoch / 20, split="train")
    write_losses(run, [3.0, 2.0, 1.0])
    series = read_series([run])
    drawn = chart(series, 0.6)
    root = ElementTree.fromstring(drawn)
    texts = ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert any("weight 0.6, debiased as in TensorBoard" in text for text in texts)
    assert any(text.startswith("a<b&c: test, n = 66, 95 % ± 10.0 (one-step") for text in texts)
    assert drawn == chart(series, 0.6)
    bold = [node for node in root.iter() if node.get("stroke-width") == "2" and "L" in node.get("d", "")]
    assert len(bold) == len(series) == 3


@pytest.mark.parametrize("scores", [[1.0], [0.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
def test_a_figure_of_one_point_or_of_a_flat_line_can_be_drawn(tmp_path: Path, scores: list[float]) -> None:
    run = write_run(tmp_path / "run")
    for epoch, avg in enumerate(scores):
        write_evaluation(run, epoch, avg)
    drawn = chart(score_series("run", [dict(one) for one in _read(run)]), 0.0)
    assert "nan" not in drawn
    assert ElementTree.fromstring(drawn) is not None


def test_ticks_are_round_and_span_what_is_shown() -> None:
    assert ticks(0.02, 3.4) == [0, 1, 2, 3, 4]
    assert ticks(45, 62) == [45, 50, 55, 60, 65]
    assert ticks(0, 0) == [0, 0.2]


def test_runs_of_one_name_are_told_apart() -> None:
    assert names_of(["/a/one/run", "/a/two/run"]) == ["one/run", "two/run"]
    assert names_of(["/a/one"]) == ["one"]
    with pytest.raises(UsageError, match="twice"):
        names_of(["/a/run", "/a/../a/run", "/a/run"])


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no run"):
        curves([str(tmp_path)])
    run = write_run(tmp_path / "run")
    with pytest.raises(UsageError, match=r"evaluate\.every=N"):
        curves([str(run)])
    write_evaluation(run, 1, 0.5)
    with pytest.raises(UsageError, match=r"\.svg, \.csv, \.md"):
        curves([str(run)], str(tmp_path / "curves.png"))
    for suffix in ("svg", "csv", "md"):
        said = curves([str(run)], str(tmp_path / f"curves.{suffix}"))
        assert (tmp_path / f"curves.{suffix}").stat().st_size > 100
    assert said["series"][0]["best"] == {"epoch": 1.0, "smoothed": 0.5}
    assert said["smoothing"]["formula"].startswith("exponential moving average with weight 0.6")


def _read(run: Path) -> list[dict]:
    from training.curves import read_evaluations

    return read_evaluations(run)
