"""The paper's ablations: each cell a real run, none done twice, and a table that says how sure it is."""

from __future__ import annotations

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training import world
from training.__main__ import main, parser
from training.ablate import MODALITIES, arms_of, config_of, plan
from training.ablation_table import as_markdown, differences, intervals, rows_of
from training.checkpoints import complete, open_checkpoint
from training.errors import UsageError
from training.runlog import read_run

ROOT = Path(__file__).parents[2]
QUICK = ["train.batch_size=2", "train.threads=1", "train.tensorboard=false", "generate.max_new_tokens=16",
         "stage1:train.epochs=2", "stage2:train.epochs=1"]  # fmt: skip


@pytest.fixture(scope="module")
def coarse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Coarse records of three clips that are not in ``few``."""
    rows = [world.record(index, grade="coarse") for index in (4, 5, 6)]
    return world.write_snapshot(tmp_path_factory.mktemp("coarse") / "coarse", rows, grade="coarse", name="coarse")


@pytest.fixture(scope="module")
def words(coarse: Path, few: Path, media: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The ablation init-stages on them, features kept on disk."""
    cache = tmp_path_factory.mktemp("features")
    return ["ablate", "init-stages", "--config", "tiny", "--coarse", str(coarse), "--fine", str(few), "--media",
            str(media), "--set", *QUICK, "data.cache=disk", f"data.cache_dir={cache}"]  # fmt: skip


@pytest.fixture(scope="module")
def ablated(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ablation") / "whole"
    assert main([*words, "--out", str(out)]) == 0
    return out


def test_every_cell_of_table_4_is_a_run_of_its_own(ablated: Path) -> None:
    rows = json.loads((ablated / "results.json").read_text())["rows"]
    assert [tuple(row["place"].values()) for row in rows] == [
        ("random", "none", "none"), ("random", "none", "last"), ("random", "1", "none"), ("random", "1", "last"),
        ("random", "2", "none"), ("random", "2", "last"),
    ]  # fmt: skip
    assert all(row["n"] == 1 and row["seeds"] == [42] and row["sd"] is None for row in rows)
    runs = ablated / "runs"
    # Half and whole of stage 1 are checkpoints of one run, and stage 2 goes on from them.
    first = runs / "random-stage1-seed42"
    assert [path.name for path in complete(first)] == ["step-00000002", "step-00000004"]
    assert read_run(first)["stage"] == 1
    for begun, name in ((None, "none"), ("step-00000002", "1"), ("step-00000004", "2")):
        facts = read_run(runs / f"random-stage1-{name}-stage2-seed42")
        assert facts["stage"] == 2
        assert facts["init"] == (begun and str(first / "checkpoints" / begun))
        assert [entry["grade"] for entry in facts["lineage"]] == (["coarse", "fine"] if begun else ["fine"])
    untrained = open_checkpoint(runs / "random-untrained-seed42")
    assert (untrained.step, read_run(runs / "random-untrained-seed42")["steps"]) == (0, 0)


def test_the_table_has_the_papers_shape_and_says_how_it_was_made(ablated: Path) -> None:
    text = (ablated / "results.md").read_text()
    assert "| stage 1 | stage 2 | random avg | random accuracy | random recall |" in text
    assert "n = 1 clips of split test, snapshot one" in text
    assert "Grouping lexicon, labels lexicon, one-step." in text
    assert "one seed says nothing of chance between runs" in text
    lines = list(csv.DictReader((ablated / "results.csv").read_text().splitlines()))
    assert [line["seed"] for line in lines] == ["42"] * 6 + ["mean"] * 6
    assert lines[2]["run"] == "runs/random-stage1-seed42"
    assert lines[2]["checkpoint"] == "step-00000002"
    assert {line["grouping"] for line in lines} == {"lexicon"}


def test_what_is_done_is_not_done_again(command: Any, ablated: Path, words: list[str]) -> None:
    def made() -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in ablated.glob("runs/*/*") if path.name != ".lock"}

    before = made()
    code, said, _ = command(*words, "--out", ablated, "--resume")
    assert (code, said["cells"], said["failed"]) == (0, 6, [])
    assert made() == before
    code, _, err = command(*words, "--out", ablated)
    assert (code, "already used" in err) == (2, True)
    code, _, err = command(*words, "train.lr=1", "--out", ablated, "--resume")
    assert (code, "begun with other set" in err) == (2, True)


def test_an_ablation_that_was_killed_goes_on_to_the_same_table(
    command: Any, ablated: Path, words: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    with subprocess.Popen(
        [sys.executable, "-m", "training", *words, "--out", str(out)], cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        until = time.monotonic() + 240
        # In the middle of a run that begins from another one.
        going = out / "runs" / "random-stage1-1-stage2-seed42" / "run.json"
        while process.poll() is None and not going.is_file() and time.monotonic() < until:
            time.sleep(0.005)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    done = {path.name: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    assert 0 < len(done) < 6
    code, said, _ = command(*words, "--out", out, "--resume")
    assert (code, said["cells"]) == (0, 6)
    assert {name: (out / "cells" / name).stat().st_mtime_ns for name in done} == done
    for name in ("results.json", "results.csv", "results.md"):
        assert (out / name).read_text() == (ablated / name).read_text()


def test_arms_of_a_factor_are_runs_with_that_key_changed_over_seeds(
    command: Any, words: list[str], few: Path, media: Path, tmp_path: Path
) -> None:
    cache = words[-1]
    code, said, _ = command("ablate", "modality", "--config", "tiny", "--fine", few, "--media", media, "--out",
                            tmp_path / "out", "--modalities", "all,text", "--seeds", "2", "--set", *QUICK,
                            "data.cache=disk", cache)  # fmt: skip
    assert code == 0
    assert [(row["place"], row["seeds"]) for row in said["rows"]] == [
        ({"modality": "all", "stage 2": "last"}, [42, 43]), ({"modality": "text", "stage 2": "last"}, [42, 43]),
    ]  # fmt: skip
    assert all(row["sd"] is not None for row in said["rows"])
    facts = read_run(tmp_path / "out" / "runs" / "modality-text-stage2-seed43")
    assert facts["config"]["seed"] == 43
    assert (facts["config"]["data"]["video"], facts["config"]["data"]["audio"]) == (False, False)
    assert "`text` reaches no branch" in (tmp_path / "out" / "results.md").read_text()


def test_a_cell_that_fails_is_named_and_the_others_are_done(
    command: Any, few: Path, media: Path, tmp_path: Path, words: list[str]
) -> None:
    code, said, _ = command("ablate", "modality", "--config", "tiny", "--fine", few, "--media", media, "--out",
                            tmp_path / "out", "--modalities", "text,all", "--set", *QUICK, "train.lr=1e30",
                            "stage2:train.epochs=2", "train.warmup_steps=0", "data.cache=disk", words[-1])  # fmt: skip
    assert code == 1
    assert [cell["cell"] for cell in said["failed"]] == ["modality-all_stage-2-last_seed-42"]
    assert "lower train.lr" in said["failed"][0]["reason"].lower()
    assert [row["place"]["modality"] for row in said["rows"]] == ["text"]


def _options(*words: str) -> argparse.Namespace:
    return parser().parse_args(["ablate", *words, "--config", "tiny", "--fine", "F", "--out", "O"])


def test_the_arms_are_config_keys() -> None:
    assert arms_of(_options("llm", "--llm", "vicuna=/models/v", "llama=/models/l")) == {
        "vicuna": ("model.llm.pretrained=/models/v",), "llama": ("model.llm.pretrained=/models/l",),
    }  # fmt: skip
    assert arms_of(_options("prompt", "--templates", "affectgpt-2024, own/clues.yaml")) == {
        "affectgpt-2024": ("prompt.template=affectgpt-2024",), "clues": ("prompt.template=own/clues.yaml",),
    }  # fmt: skip
    assert set(arms_of(_options("modality"))) == {"all", "audio+text", "video+text", "audio+video", "text"}
    assert config_of("affectgpt-2024", 1) == config_of("affectgpt-2024-stage2", 1) == "affectgpt-2024-stage1"
    assert config_of("own.yaml", 2) == "own.yaml"


def test_pretrained_and_random_beginnings_make_twelve_cells_a_seed() -> None:
    fits, cells = plan(_options("init-stages", "--coarse", "C", "--pretrained", "P", "--seeds", "2"))
    assert len(cells) == 24
    assert len(fits) == 2 * 2 * 5  # seeds x beginnings x (untrained, stage 1, three of stage 2)
    assert fits["pretrained-stage1-seed42"].init == ("pretrained", "")
    assert fits["random-stage1-seed43"].init is None
    assert fits["random-stage1-15-stage2-seed43"].init == ("random-stage1-seed43", "half")
    _, cells = plan(_options("modality", "--coarse", "C"))
    assert [dict(cell.place)["modality"] for cell in cells] == list(MODALITIES)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["init-stages"], "--coarse"),
        (["init-stages", "--coarse", "C", "--set", "stage1:train.epochs=5"], "5 is odd"),
        (["llm", "--llm", "one=/a"], "at least two arms, and 1"),
        (["llm", "--llm", "one"], "NAME=FOLDER"),
        (["prompt"], "at least two arms, and 0"),
        (["modality", "--modalities", "all,smell"], "'smell' is none of"),
        (["modality", "--seeds", "0"], "--seeds 0"),
        (["modality", "--set", "evaluate.select=validation"], r"set evaluate\.every"),
        (["modality", "--set", "stage2:no.such=1"], "no key"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_run(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan(_options(*words))


def _cell(seed: int, scores: np.ndarray, **place: str) -> dict[str, Any]:
    return {
        "place": place, "seed": seed, "scores": {f"c{i}": row.tolist() for i, row in enumerate(scores)}, "leak": None,
        "grouping": "lexicon", "extraction": "lexicon", "route": "one-step", "split": "test",
        "snapshot": {"name": "one", "digest": "d" * 64},
    }  # fmt: skip


def test_a_row_is_the_mean_over_seeds_of_the_clips_that_all_have() -> None:
    random = np.random.default_rng(0)
    scores = random.random((3, 20, 2))
    (row,) = rows_of([_cell(seed, scores[seed][: 20 - seed], arm="a") for seed in range(3)])
    assert (row["n"], row["seeds"]) == (18, [0, 1, 2])
    clips = sorted(range(18), key=lambda i: f"c{i}")
    assert row["avg"] == pytest.approx(scores[:, clips].mean())
    assert row["sd"]["avg"] == pytest.approx(scores[:, clips].mean(axis=(1, 2)).std(ddof=1))


def test_intervals_are_those_of_the_clips_and_wider_where_seeds_differ() -> None:
    from models_ml.metrics import bootstrap

    random = np.random.default_rng(1)
    one = random.random((1, 66, 2))
    for key, (low, high) in bootstrap(one[0]).items():
        found = intervals(one)[key]
        assert found[0] == pytest.approx(low, abs=0.01)
        assert found[1] == pytest.approx(high, abs=0.01)
    apart = np.concatenate([one * 0.5, one * 0.5 + 0.4])
    assert np.diff(intervals(apart)["avg"])[0] > 2 * np.diff(intervals(one)["avg"])[0]


def test_the_table_puts_the_beginnings_side_by_side() -> None:
    scores = np.full((4, 2), 0.5)
    cells = [_cell(42, scores, init=init, **{"stage 1": "none", "stage 2": "best by test-curve"})
             for init in ("pretrained", "random")]  # fmt: skip
    text = as_markdown("init-stages", rows_of(cells), cells, [])
    assert "| stage 1 | stage 2 | pretrained avg | pretrained accuracy | pretrained recall | random avg |" in text
    assert "| none | best by test-curve | 50.00 [50.0, 50.0] |" in text
    assert "chosen on the test curve" in text


def test_cells_are_judged_clip_by_clip_against_stage_2_alone() -> None:
    random = np.random.default_rng(2)
    alone = random.random((30, 2))
    better = np.clip(alone + 0.2, 0, 1.5)
    cells = [
        _cell(seed, scores, init="random", **{"stage 1": first, "stage 2": second})
        for first, second, scores in (("none", "none", alone - 0.1), ("none", "last", alone), ("2", "last", better))
        for seed in (1, 2)
    ]
    found = differences("init-stages", cells)
    assert [(one["place"]["stage 1"], one["place"]["stage 2"]) for one in found] == [("none", "none"), ("2", "last")]
    assert all(one["against"] == {"init": "random", "stage 1": "none", "stage 2": "last"} for one in found)
    assert found[0]["difference"]["avg"] == pytest.approx(-0.1)
    assert found[1]["difference"]["avg"] == pytest.approx(0.2)
    assert found[1]["p"]["avg"] < 0.01
    text = as_markdown("init-stages", rows_of(cells), cells, found)
    assert "| init random, stage 1 2, stage 2 last | init random, stage 1 none, stage 2 last | 30 | +20.00 |" in text
    arms = [
        _cell(1, alone + shift, modality=name) for name, shift in (("text", 0.0), ("all", 0.3), ("audio+text", 0.1))
    ]
    assert [(one["place"]["modality"], one["against"]["modality"]) for one in differences("modality", arms)] == [
        ("text", "all"), ("audio+text", "all"),
    ]  # fmt: skip
