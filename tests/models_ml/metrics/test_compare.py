"""Two runs compared clip by clip: interval and p value against exact enumeration and known answers."""

import csv
import json
from itertools import product

import numpy as np
import pytest

from models_ml.metrics import MetricError, compare, openset, score_clips
from models_ml.metrics.__main__ import main
from models_ml.metrics.bootstrap import figures, means
from models_ml.metrics.compare import compare_scored, paired
from models_ml.metrics.openset import score_table


def runs(n=8, seed=3):
    random = np.random.default_rng(seed)
    a = {f"c{i}": (float(x), float(y)) for i, (x, y) in enumerate(random.random((n, 2)))}
    return a, {clip: (min(1.0, x + 0.1 * random.random()), y) for clip, (x, y) in a.items()}


def test_the_p_value_of_few_clips_is_that_of_all_exchanges():
    a, b = runs()
    d = np.array([a[clip][0] - b[clip][0] for clip in a])
    every = np.array([np.dot(signs, d) for signs in product((1, -1), repeat=len(d))]) / len(d)
    found = compare(a, b)
    assert found["difference"]["accuracy"] == pytest.approx(d.mean())
    assert found["p"]["accuracy"] == (np.abs(every) >= abs(d.mean()) - 1e-12).mean()
    assert found["p"]["accuracy"] == 2 / 256  # b is better on each clip: only the two extremes are as large


def test_the_p_value_of_many_clips_agrees_with_the_exact_one_and_is_never_zero():
    a, b = runs(200, seed=5)
    assert compare(a, b)["p"]["accuracy"] == 1 / 10_001
    # 13 clips: one more than are enumerated; nine of them in favour. The exact answer is the sign test's.
    better = {f"c{i}": (1.0, 1.0) if i < 9 else (0.0, 0.0) for i in range(13)}
    worse = {clip: (1 - x, 1 - y) for clip, (x, y) in better.items()}
    exact = np.mean([abs(sum(signs)) >= 5 for signs in product((1, -1), repeat=13)])
    assert compare(better, worse)["p"]["avg"] == pytest.approx(exact, abs=0.015)


def test_the_same_run_twice_does_not_differ():
    a, _ = runs(30)
    found = compare(a, a)
    assert found["p"] == {"accuracy": 1.0, "recall": 1.0, "avg": 1.0}
    assert found["ci95"]["avg"] == [0.0, 0.0]


def test_the_interval_is_paired_so_it_is_narrower_than_that_of_either_run():
    a, b = runs(66)
    low, high = compare(a, b)["ci95"]["accuracy"]
    assert high < 0
    assert high - low < 0.05  # the clips differ by far more than the runs on one clip
    assert compare(b, a)["ci95"]["accuracy"] == pytest.approx([-high, -low])


def test_the_seed_decides_and_the_order_of_clips_in_the_other_run_does_not():
    a, b = runs(40)
    assert compare(a, b) == compare(a, dict(reversed(b.items())))
    assert compare(a, b, seed=1)["ci95"] != compare(a, b)["ci95"]


def test_only_common_clips_are_compared_and_the_others_counted():
    a, b = runs(10)
    found = compare(a, {clip: b[clip] for clip in list(b)[:7]} | {"other": (1.0, 1.0)})
    assert (found["n"], found["only_a"], found["only_b"]) == (7, 3, 1)
    with pytest.raises(MetricError, match="1 clips in common"):
        compare({"a": (1.0, 1.0)}, {"a": (1.0, 1.0)})


def test_parts_in_which_a_clip_is_not_scored_keep_their_own_mean():
    """Emotion wheels: three clips, two parts, one clip outside the second part; every exchange by hand."""
    nan = np.nan
    a = np.array([[[1, 1], [1, 0.5]], [[0, 0], [nan, nan]], [[0.5, 1], [0, 0]]], dtype=float)
    b = np.array([[[0, 0], [0.5, 0.5]], [[1, 0.5], [nan, nan]], [[0.5, 1], [1, 1]]], dtype=float)

    def f(values):
        return float(figures(means(values))["f"])

    every = []
    for swaps in product((False, True), repeat=3):
        swap = np.array(swaps)[:, None, None]
        every.append(f(np.where(swap, b, a)) - f(np.where(swap, a, b)))
    found = paired(a, b, keys=("accuracy", "recall", "avg", "f"))
    assert found["difference"]["f"] == pytest.approx(every[0])
    assert found["p"]["f"] == np.mean(np.abs(every) >= abs(every[0]) - 1e-12)


GOLD = {f"c{i}": ["happy", "calm"] for i in range(20)}


def test_scores_by_clip_are_those_whose_mean_is_the_figure():
    pred = {clip: ["joyful"] if int(clip[1:]) % 3 else ["sad", "calm"] for clip in GOLD}
    scores = score_clips(GOLD, pred)
    assert scores["c0"] == (0.5, 0.5)
    assert scores["c1"] == (1.0, 0.5)
    found = openset(GOLD, pred)
    assert np.mean([accuracy for accuracy, _ in scores.values()]) == pytest.approx(found["accuracy"])


def test_two_tables_of_scores_compare_as_their_clips_do():
    one, other = ({clip: [label] for clip in GOLD} for label in ("happy", "sad"))
    a, b = (score_table(GOLD, pred, "none") for pred in (one, other))
    assert compare_scored(a, b, "none") == compare(score_clips(GOLD, one, "none"), score_clips(GOLD, other, "none"))


def test_the_command_compares_two_prediction_files(tmp_path, capsys):
    def write(name, table):
        with (tmp_path / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("name", "openset"), *((clip, str(labels)) for clip, labels in table.items())])
        return str(tmp_path / name)

    gold = write("gold.csv", GOLD)
    good = write("a.csv", {clip: ["very happy", "calmly"] for clip in GOLD})
    bad = write("b.csv", {clip: ["happy"] if clip != "c3" else [] for clip in GOLD})
    assert main(["compare", "--gold", gold, "--pred", good, "--pred", bad]) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert (found["n"], found["grouping"]) == (20, "lexicon")
    assert found["difference"] == pytest.approx({"accuracy": 0.05, "recall": 0.525, "avg": 0.2875})
    assert found["p"]["recall"] == 1 / 10_001
    assert found["report"]["b"]["empty_pred"] == 1
    assert "counted as 0: 1 (c3)" in told.err
    assert main(["compare", "--gold", gold, "--pred", good]) == 2
    assert "--pred twice" in capsys.readouterr().err
