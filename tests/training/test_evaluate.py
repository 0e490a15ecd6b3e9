"""What was learned came from the media, and is scored only on clips that training never saw."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import scripted_server
from tests.training import world
from training.__main__ import main
from training.config import load_config
from training.curves import read_evaluations, read_series
from training.errors import UsageError
from training.evaluate import How, prepare, score
from training.generate import load_trained
from training.part import Part
from training.runlog import read_metrics
from training.scoring import limited, records_of
from training.select import set_apart
from training.signals import Stopped, Told
from training.snapshot import read_snapshot

ROOT = Path(__file__).parents[2]
FIGURES = {"run", "split", "n", "accuracy", "recall", "avg", "ci95", "grouping", "extraction"}


@pytest.fixture(scope="module")
def swapped(tmp_path_factory: pytest.TempPathFactory, media: Path) -> Path:
    """The training clips' media, each under the next one's name."""
    folder = tmp_path_factory.mktemp("swapped")
    for index in range(8):
        shutil.copy(media / f"clip_{index:02d}.mp4", folder / f"clip_{(index + 1) % 8:02d}.mp4")
    return folder


def _texts(run: Path) -> dict[str, str]:
    lines = (run / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["clip"]: row["text"] for row in map(json.loads, lines)}


def test_overfit_learns_its_clips(fitted: Path) -> None:
    lines = read_metrics(fitted / "metrics.jsonl")
    assert lines[-1]["loss"] < 0.1 < lines[0]["loss"]


def test_swapping_the_media_changes_nine_answers_of_ten(
    command: Any, fitted: Path, snapshot: Path, media: Path, swapped: Path
) -> None:
    words = ["evaluate", "--run", fitted, "--snapshot", snapshot, "--split", "train", "--allow-leak"]
    code, own_scores, err = command(*words, "--media", media)
    assert code == 0
    assert err.splitlines()[0].startswith("WARNING leak: 8 of 8")
    own = _texts(fitted)
    code, swapped_scores, _ = command(*words, "--media", swapped)
    assert code == 0
    other = _texts(fitted)
    assert sum(own[clip] != other[clip] for clip in own) >= 0.9 * len(own)
    # More than different: each clip is now described as the one whose media it was given.
    follows = sum(other[f"clip_{(index + 1) % 8:02d}"] == own[f"clip_{index:02d}"] for index in range(8))
    assert follows >= 7
    assert own_scores["recall"] > 0.8 > swapped_scores["recall"]


def test_evaluate_prints_and_keeps_the_figures(
    command: Any, fitted: Path, snapshot: Path, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLM_BASE_URL", raising=False)
    code, said, _ = command("evaluate", "--run", fitted, "--snapshot", snapshot, "--split", "test", "--media", media)
    assert code == 0
    assert set(said) == FIGURES
    assert (said["n"], said["split"], said["grouping"], said["extraction"]) == (2, "test", "lexicon", "lexicon")
    kept = sorted((fitted / "evaluations").glob("*-test-one-step.json"))
    stored = json.loads(kept[-1].read_text())
    assert {key: stored[key] for key in FIGURES} == said
    assert stored["leak"] is None
    lines = (fitted / "evaluations" / stored["predictions"]).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["gold"] for line in lines] == [["astonished"], ["contempt"]]


def test_clips_that_were_trained_on_are_refused(command: Any, fitted: Path, snapshot: Path, media: Path) -> None:
    words = ["evaluate", "--run", fitted, "--snapshot", snapshot, "--split", "train", "--media", media]
    code, said, err = command(*words)
    assert (code, said) == (2, None)
    assert err.startswith("error: leak: 8 of 8")


@pytest.mark.parametrize(
    ("changes", "by"),
    [({"source": "film_3"}, "source"), ({"speaker": "speaker_5"}, "speaker")],
)
def test_a_renamed_clip_of_a_known_film_or_speaker_leaks(
    command: Any, fitted: Path, tmp_path: Path, media: Path, changes: dict, by: str
) -> None:
    row = world.record(9, clip="renamed", **changes)
    row = {**row, "source": changes.get("source", "new"), "speaker": changes.get("speaker", "new")}
    snapshot = world.write_snapshot(tmp_path / "s", [row], {"test": ["renamed"]}, group_by=())
    code, _, err = command("evaluate", "--run", fitted, "--snapshot", snapshot, "--media", media)
    assert code == 2
    assert f"by {by} '{changes[by]}'" in err


def test_two_step_without_an_llm_says_how_to_configure_one(
    command: Any, fitted: Path, snapshot: Path, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLM_BASE_URL", raising=False)
    words = ["evaluate", "--run", fitted, "--snapshot", snapshot, "--media", media]
    for more in (["--route", "two-step"], ["--extraction", "llm"]):
        code, _, err = command(*words, *more)
        assert code == 2
        assert "LLM_BASE_URL" in err


def test_media_that_is_missing_at_evaluation_is_counted(
    command: Any, fitted: Path, snapshot: Path, tmp_path: Path
) -> None:
    words = ["evaluate", "--run", fitted, "--snapshot", snapshot, "--media", tmp_path]
    code, _, err = command(*words)
    assert (code, "2 of 2 clips" in err) == (2, True)
    code, said, _ = command(*words, "--missing-media", "text-only")
    assert (code, said["n"]) == (0, 2)


def test_generate_describes_one_file_and_needs_no_snapshot(command: Any, fitted: Path, media: Path) -> None:
    code, said, _ = command("generate", "--run", fitted, "--clip", media / "clip_02.mp4", "--subtitle", "我没事")
    assert code == 0
    assert said["text"] == world.record(2)["description"]["en"]
    assert said["media"] == {"video": True, "audio": True}


def test_generate_refuses_what_is_no_media_and_what_is_no_run(command: Any, fitted: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("not a film")
    code, _, err = command("generate", "--run", fitted, "--clip", tmp_path / "text.mp4")
    assert (code, "text.mp4" in err) == (2, True)
    code, _, err = command("generate", "--run", tmp_path, "--clip", tmp_path / "text.mp4")
    assert code == 2


def test_a_model_trained_on_labels_is_read_directly(command: Any, quick: list, tmp_path: Path, media: Path) -> None:
    run = tmp_path / "labels"
    words = [word if word != "train.epochs=1" else "train.epochs=20" for word in quick]
    assert command(*words, "--set", "data.target=ov_labels", "--set", "data.language=zh", "--out", run)[0] == 0
    snapshot = next(word for word in quick if isinstance(word, Path) and word.name == "few")
    code, said, _ = command("evaluate", "--run", run, "--snapshot", snapshot, "--media", media, "--split", "train",
                            "--allow-leak")  # fmt: skip
    assert (code, said["extraction"]) == (0, "direct")
    assert next(iter(said)) == "leak"
    assert said["leak"].startswith("leak: ")


# Splits, coverage, noise.


def test_the_whole_is_every_record_and_val_is_what_was_set_apart(snapshot: Path) -> None:
    found = read_snapshot(snapshot)
    config = load_config("tiny")
    assert [row.clip for row in records_of(found, "whole", config)] == [f"clip_{index:02d}" for index in range(10)]
    assert [row.clip for row in records_of(found, "test", config)] == ["clip_08", "clip_09"]
    with pytest.raises(UsageError, match=r"no part of train apart \(evaluate\.validation\)"):
        records_of(found, "val", config)
    with pytest.raises(UsageError, match="no split 'exam'"):
        records_of(found, "exam", config)
    config.evaluate.validation = 0.25
    kept, apart = set_apart(found.split("train"), 0.25, found.group_by, config.seed)
    assert records_of(found, "val", config) == apart
    assert (len(kept), len(apart)) == (6, 2)


def test_a_limit_takes_the_same_clips_whatever_else_is_there(snapshot: Path) -> None:
    records = read_snapshot(snapshot).split("train")
    few = limited(records, 3)
    assert limited(list(reversed(records)), 3) == list(reversed(few))
    assert {row.clip for row in limited(records[:-1], 3)} >= {row.clip for row in few} - {records[-1].clip}
    assert limited(records, None) == limited(records, 99) == records


def test_few_clips_are_said_to_tell_little(command: Any, fitted: Path, snapshot: Path, media: Path) -> None:
    words = ["evaluate", "--run", fitted, "--snapshot", snapshot, "--media", media, "--allow-leak", "--split"]
    code, said, err = command(*words, "whole", "--limit", "3")
    assert (code, said["n"], said["split"]) == (0, 3, "whole")
    assert "n = 3 tells avg to ± 21.1 points (one standard error, from 0.366 / sqrt(n), of MER2024's" in err
    code, said, _ = command(*words, "whole")
    stored = _latest(fitted)
    pairs = [[json.loads(line)["scores"] for line in _lines(fitted, stored)]]
    values = np.array(pairs[0]).mean(axis=1)
    assert stored["standard_error"]["of"] == "these clips' scores"
    assert stored["standard_error"]["avg"] == pytest.approx(values.std(ddof=1) / np.sqrt(10), abs=1e-5)
    assert said["avg"] == pytest.approx(values.mean(), abs=1e-5)
    assert (stored["checkpoint"], stored["epoch"], stored["during_training"]) == ("step-00000220", 220.0, False)


def test_a_groups_file_groups_and_what_it_lacks_is_said(
    command: Any, fitted: Path, snapshot: Path, media: Path, tmp_path: Path
) -> None:
    words = ["evaluate", "--run", fitted, "--snapshot", snapshot, "--media", media, "--split", "train", "--allow-leak"]
    (tmp_path / "groups.json").write_text(json.dumps({f"clip_{i:02d}": [["happy", "angry"]] for i in range(5)}))
    code, said, err = command(*words, "--groups", tmp_path / "groups.json")
    assert (code, said["grouping"]) == (0, "groups")
    assert "3 clips have no groups in" in err
    (tmp_path / "groups.json").write_text("{")
    code, _, err = command(*words, "--groups", tmp_path / "groups.json")
    assert (code, "--groups groups.json: not JSON" in err) == (2, True)
    code, said, _ = command(*words, "--grouping", "none", "--extraction", "direct")
    assert (code, said["grouping"], said["extraction"], said["avg"]) == (0, "none", "direct", 0.0)


def test_clips_that_are_there_twice_are_named(
    command: Any, fitted: Path, tmp_path: Path, media: Path, caplog: pytest.LogCaptureFixture
) -> None:
    new = {"source": "new", "speaker": "new", "ov_labels": {"zh": [], "en": ["contempt"]}}
    rows = [world.record(9, clip="clip_09", media_sha256="9" * 64, **new),
            world.record(9, clip="copy", media_sha256="9" * 64, **new),
            world.record(8, clip="clip_08", ov_labels={"zh": [], "en": []}, source="new", speaker="new")]  # fmt: skip
    snapshot = world.write_snapshot(tmp_path / "s", rows)
    for clip in ("clip_08", "clip_09", "copy"):
        shutil.copy(media / "clip_09.mp4", tmp_path / f"{clip}.mp4")
    with caplog.at_level("WARNING", "training"):
        code, said, _ = command("evaluate", "--run", fitted, "--snapshot", snapshot, "--media", tmp_path, "--split",
                                "all")  # fmt: skip
    assert (code, said["n"]) == (0, 2)
    assert "1 clips have the media of another one, first copy that of clip_09" in caplog.text
    assert "1 records without OV labels are left out, first clip_08" in caplog.text
    coverage = _latest(fitted)["coverage"]
    assert (coverage["records"], coverage["unlabelled"], coverage["scored"]) == (2, 1, 2)


# Stopped and gone on with.


def test_an_evaluation_that_was_stopped_goes_on_and_ends_the_same(
    fitted: Path, snapshot: Path, media: Path, tmp_path: Path
) -> None:
    trained = load_trained(fitted, overrides=["generate.batch_size=3"])
    task = prepare(trained.config, read_snapshot(snapshot), How("whole"), str(media), [])
    whole = score(trained, task)
    facts = {"of": "a test"}
    part = Part(tmp_path, facts)
    with pytest.raises(Stopped, match="after 3 of 10 answers"):
        score(trained, task, part, Told(15))
    part.close(done=False)
    with open(part.path, "ab") as file:
        file.write(b'{"texts": {"clip_00": "half a l')  # killed while it wrote
    part = Part(tmp_path, facts)
    assert len(part.texts) == 3
    assert part.path.read_bytes().endswith(b"}\n")
    again = score(trained, task, part, Told())
    part.close(done=True)
    assert again == whole
    assert list(tmp_path.iterdir()) == []
    assert len(Part(tmp_path, {"of": "another"}).texts) == 0


def test_sigterm_leaves_no_half_file_and_the_same_call_goes_on(
    command: Any, fitted: Path, snapshot: Path, media: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(fitted, run, ignore=shutil.ignore_patterns("evaluations", "predictions.jsonl"))
    words = ["evaluate", "--run", run, "--snapshot", snapshot, "--media", media, "--split", "whole", "--allow-leak",
             "--limit", 5, "--set", "generate.batch_size=1"]  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-m", "training", *map(str, words)], cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        folder = run / "evaluations"
        until = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < until:
            if any(path.read_bytes().count(b"\n") >= 2 for path in folder.glob(".*.part")):
                break
            time.sleep(0.002)
        process.send_signal(signal.SIGTERM)
        said, err = process.communicate(timeout=60)
    assert (process.returncode, said) == (1, ""), err
    assert "told to stop by signal 15 after" in err
    assert [path.suffix for path in folder.iterdir()] == [".part"]
    assert not (run / "predictions.jsonl").exists()
    code, resumed, err = command(*words)
    assert code == 0
    assert "of 5 answers are there from before" in err
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".jsonl"]
    code, whole, err = command(*words)
    assert (code, whole, "from before" in err) == (0, resumed, False)
    first, second = sorted(folder.glob("*.predictions.jsonl"))
    assert first.read_text() == second.read_text()


# With a text LLM.


def test_an_llm_reads_and_groups_and_is_named(
    command: Any, fitted: Path, snapshot: Path, media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    words = ["evaluate", "--run", fitted, "--snapshot", snapshot, "--media", media, "--grouping", "llm"]
    for name, value in (("MODEL", "m"), ("MAX_RETRIES", "0"), ("BASE_URL", "http://127.0.0.1:9/v1")):
        monkeypatch.setenv(f"LLM_{name}", value)
    code, _, err = command(*words)
    assert (code, "label extraction stopped at clip clip_08" in err) == (1, True)
    with scripted_server.running(tmp_path / "calls.jsonl") as server:
        monkeypatch.setenv("LLM_BASE_URL", server.base_url)
        code, said, err = command(*words)
        assert (code, said["grouping"], said["extraction"]) == (0, "llm:m", "llm")
        assert "2 of 2 answers are there from before" in err  # what was generated is not generated again
        report = _latest(fitted)
        assert (report["labelled_by"], report["coverage"]["llm"]["model"]) == ("m", "m")
        asked = [call["kind"] for call in server.calls()]
        assert asked.count("labels") == 2
        code, said, _ = command(*words, "--route", "two-step")
        assert (code, said["extraction"], _latest(fitted)["route"]) == (0, "llm", "two-step")
        assert [call["kind"] for call in server.calls()][len(asked) :].count("merge") == 2


# By epoch, and run against run.


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, few: Path, media: Path) -> Path:
    """A run of four epochs that was scored after every second one, and keeps those checkpoints."""
    run = tmp_path_factory.mktemp("watched") / "run"
    code = main(
        ["fit", "--config", "tiny", "--snapshot", str(few), "--media", str(media), "--out", str(run), "--no-register",
         "--set", "train.epochs=4", "train.batch_size=2", "train.threads=1", "train.keep_every=2",
         "evaluate.every=2", "evaluate.splits=[train, test, whole]", "generate.max_new_tokens=24"]
    )  # fmt: skip
    assert code == 0
    return run


def test_a_run_is_scored_while_it_trains_and_loses_nothing_by_it(
    command: Any, watched: Path, few: Path, media: Path, tmp_path: Path
) -> None:
    reports = read_evaluations(watched)
    assert [(one["split"], one["epoch"], one["step"]) for one in reports] == [
        (split, epoch, 2 * epoch) for epoch in (2, 4) for split in ("train", "test", "whole")
    ]
    assert all(one["during_training"] and one["snapshot"]["name"] == "one" for one in reports)
    assert [one["leak"] is None for one in reports] == [False, True, False] * 2
    series = read_series([watched], ["avg"])
    assert [(one.split, len(one.points), one.n) for one in series] == [("train", 2, 3), ("test", 2, 1), ("whole", 2, 4)]
    plain = tmp_path / "plain"
    words = ["fit", "--config", "tiny", "--snapshot", few, "--media", media, "--out", plain, "--no-register"]
    assert command(*words, "--set", "train.epochs=4", "train.batch_size=2", "train.threads=1")[0] == 0
    losses = [[line["loss"] for line in read_metrics(run / "metrics.jsonl")] for run in (watched, plain)]
    assert losses[0] == losses[1]


def test_kept_checkpoints_are_scored_after_the_run_once(command: Any, watched: Path, few: Path, media: Path) -> None:
    words = ["evaluate", "--run", watched, "--snapshot", few, "--media", media, "--split", "test", "--every"]
    code, said, err = command(*words, "2")
    assert (code, "step-00000004 was evaluated before" in err) == (0, True)
    assert [(one["checkpoint"], one["epoch"], one["n"]) for one in said["evaluations"]] == [
        ("step-00000004", 2.0, 1), ("step-00000008", 4.0, 1),
    ]  # fmt: skip
    before = len(read_evaluations(watched))
    code, said, _ = command(*words, "2", "--grouping", "none")
    assert (code, len(read_evaluations(watched))) == (0, before + 2)
    code, _, err = command(*words, "3")
    assert (code, "they are at: 2, 4" in err) == (2, True)


def test_two_runs_are_compared_clip_by_clip(
    command: Any, fitted: Path, snapshot: Path, media: Path, swapped: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(fitted, other, ignore=shutil.ignore_patterns("evaluations", "predictions.jsonl"))
    words = ["--snapshot", snapshot, "--split", "train", "--allow-leak"]
    code, _, err = command("evaluate", "--run", fitted, *words, "--media", media, "--compare", other)
    assert (code, "has no evaluation with clip scores that fits" in err) == (2, True)
    assert command("evaluate", "--run", other, *words, "--media", swapped)[0] == 0
    code, said, err = command("evaluate", "--run", fitted, *words, "--media", media, "--compare", other)
    assert code == 0
    found = said["compared"]
    assert (found["run"], found["n"], found["only_a"], found["only_b"]) == (str(other), 8, 0, 0)
    assert found["difference"]["avg"] == pytest.approx(found["a"]["avg"] - found["b"]["avg"])
    assert found["ci95"]["avg"][0] > 0
    assert found["p"]["avg"] < 0.05
    assert "points against" in err
    code, stored, _ = command("evaluate", "--run", fitted, "--compare", other, "--split", "train")
    assert (code, stored["compared"]) == (0, found)
    code, _, err = command("evaluate", "--run", fitted, "--compare", other, "--split", "test")
    assert (code, "Evaluate it first" in err) == (2, True)
    assert command("evaluate", "--run", fitted)[0] == 2


def _latest(run: Path) -> dict[str, Any]:
    return read_evaluations(run)[-1]


def _lines(run: Path, report: dict[str, Any]) -> list[str]:
    return (run / "evaluations" / report["predictions"]).read_text(encoding="utf-8").splitlines()
