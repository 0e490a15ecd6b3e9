"""The learning demonstration's bookkeeping: snapshots that training reads, arms that fit together, honest intervals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.learning import corpus, figures, jobs
from benchmarks.learning.__main__ import CONFIG
from benchmarks.learning.arms import MODALITIES, Arms, Cell, Job
from benchmarks.learning.language import text
from benchmarks.learning.sizes import FULL, SLICE
from models_ml.metrics import openset
from models_ml.synthetic.world import ROUND
from models_ml.synthetic.world_clips import BLOCK
from training.config import load_config
from training.snapshot import read_snapshot

LABELS = [["happy", "excited"], ["surprised", "excited"], ["calm"], ["sad"]]


def facts_of(part: Any) -> list[dict[str, Any]]:
    """Facts of a part's first clips without their media."""
    from models_ml.synthetic import world_clips
    from models_ml.synthetic.world import scene

    made = []
    for index in range(ROUND):
        told = None if part.world == "elsewhere" else world_clips._plain(scene(index, part.seed))
        made.append({
            "clip": part.clip(index), "media": f"{part.clip(index)}.mp4", "sha256": f"{len(part.name)}{index:063d}",
            "duration": 2.0, "speaker": part.who(index).speaker.code, "source": f"{part.name}-{index // 8}",
            "zh": "好。", "en": "Right.", "scene": told, "aus": {"AU12": [0.0, 4.0]}, "gaze": [0.0, 1.5],
            "voice": {"pitch": 0.0, "tempo": 0.0, "loudness": 0.0, "melody": 1.0},
        })  # fmt: skip
    return made


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[dict[str, Any]]]]:
    folder = tmp_path_factory.mktemp("learning")
    (folder / "world" / "media").mkdir(parents=True)
    facts = {part.name: facts_of(part) for part in SLICE.parts()}
    corpus.make_snapshots(folder / "snapshots", folder / "world", facts, SLICE)
    return folder / "snapshots", facts


def test_training_reads_the_snapshots_and_they_say_that_they_are_synthetic(snapshots):
    folder, _ = snapshots
    read = {path.name: read_snapshot(path) for path in sorted(folder.iterdir())}
    assert sorted(read) == sorted(["captions", "coarse", "coarse-silent", "fine", "fine-silent", "shuffled", "swapped"])
    assert all(snapshot.synthetic for snapshot in read.values())
    assert {name: snapshot.grade for name, snapshot in read.items() if snapshot.grade == "coarse"} == dict.fromkeys(
        ("captions", "coarse", "coarse-silent"), "coarse"
    )
    assert sorted(read["fine"].splits) == ["test", "train", "val"]


def test_nobody_of_the_test_part_is_trained_on(snapshots):
    folder, _ = snapshots
    fine, coarse, captions = (read_snapshot(folder / name) for name in ("fine", "coarse", "captions"))
    test = {record.speaker for record in fine.split("test")} | {record.speaker for record in fine.split("val")}
    assert not test & {record.speaker for record in fine.split("train")}
    assert not test & {record.speaker for record in (*coarse.records.values(), *captions.records.values())}
    for size in (FULL, SLICE):
        people = [(part.world, number) for part in size.parts() for number in part.people]
        assert len(people) == len(set(people))
        assert all(part.count % BLOCK == 0 for part in size.parts())


def test_shuffled_clips_keep_their_labels_and_show_another_clip(snapshots):
    folder, facts = snapshots
    fine, shuffled, swapped = (read_snapshot(folder / name) for name in ("fine", "shuffled", "swapped"))
    told = {fact["clip"]: fact for fact in facts["test"]}
    assert set(shuffled.splits["test"]) == set(swapped.splits["test"]) == set(told)
    for clip in told:
        assert shuffled.records[clip].ov_labels == swapped.records[clip].ov_labels == fine.records[clip].ov_labels
        assert (
            shuffled.records[clip].media_sha256 == swapped.records[clip].media_sha256 != fine.records[clip].media_sha256
        )
        assert Path(shuffled.media[clip]).stem != clip
    shown = sorted(record.media_sha256 for record in shuffled.records.values())
    assert shown == sorted(fact["sha256"] for fact in facts["test"])


def test_the_arm_of_the_words_sees_one_silent_file(snapshots):
    folder, _ = snapshots
    silent = read_snapshot(folder / "fine-silent")
    (path,) = {Path(path).resolve() for path in silent.media.values()}
    assert path.is_file()
    assert {record.media_sha256 for record in silent.records.values()} == {None}


def test_a_derangement_moves_everything():
    for count in (2, 3, 50):
        found = corpus.derangement(count, 1)
        assert sorted(found) == list(range(count))
        assert all(index != place for place, index in enumerate(found))
    with pytest.raises(ValueError, match="one clip"):
        corpus.derangement(1, 1)


@pytest.mark.parametrize("size", [FULL, SLICE], ids=["full", "slice"])
def test_every_job_needs_jobs_before_it_and_every_cell_is_evaluated(size, tmp_path):
    arms = Arms(tmp_path, size)
    for seed in size.seeds:
        captions = arms.captions(seed)
        (arms.table if size.table else arms.both)(seed, captions)
        arms.modalities(seed, captions)
        arms.shuffled(seed)
    known: set[str] = set()
    for job in arms.jobs:
        assert set(job.needs) <= known
        assert job.name not in known
        known.add(job.name)
    evaluated = {(words[words.index("--run") + 1], words[words.index("--snapshot") + 1])
                 for job in arms.jobs for words in job.commands if words[0] == "evaluate"}  # fmt: skip
    for cell in arms.cells:
        assert (str(tmp_path / "runs" / cell.run), str(tmp_path / "snapshots" / cell.snapshot)) in evaluated
    told = {(cell.arm, cell.stage1 > 0, cell.stage2) for cell in arms.cells}
    expected = {("pretrained", True, True), *((arm, True, True) for arm in MODALITIES)}
    if size.table:
        expected |= {(arm, *stages) for arm in ("pretrained", "random")
                     for stages in ((False, False), (False, True), (True, False), (True, True))}  # fmt: skip
    assert told == expected


def test_a_text_of_the_language_model_is_a_prompt_with_key_words_for_the_media():
    config = load_config(str(CONFIG))
    pieces = [text(index, config, 0) for index in range(60)]
    assert all(len(prompt) == 5 and prompt[0] == "###Human: Sound " for prompt, _ in pieces)
    assert all(said.endswith(".###") for _, said in pieces)
    assert {"", "ordinary"} < {prompt[1] for prompt, _ in pieces}
    assert any("What is seen and heard?" in prompt[4] for prompt, _ in pieces)
    assert text(5, config, 0) == text(5, config, 0) != text(5, config, 1)


def test_an_interval_holds_the_mean_and_narrows_with_clips():
    rng = np.random.default_rng(0)
    few, many = (figures.interval((rng.random((3, count)) < 0.6).astype(float)) for count in (50, 2000))
    for found in (few, many):
        assert found["ci95"][0] < found["mean"] < found["ci95"][1]
        assert len(found["seeds"]) == 3
    assert many["ci95"][0] < 60 < many["ci95"][1]
    width = [found["ci95"][1] - found["ci95"][0] for found in (few, many)]
    assert width[1] < width[0] / 3


def test_seeds_that_differ_widen_an_interval():
    same, apart = np.full((3, 1000), 0.5), np.array([[0.3], [0.5], [0.7]]).repeat(1000, 1)
    assert figures.interval(same)["ci95"] == [50.0, 50.0]
    low, high = figures.interval(apart)["ci95"]
    assert (low, high) == (pytest.approx(30, abs=7), pytest.approx(70, abs=7))


def test_the_label_prior_is_the_metric_of_saying_the_same_to_every_clip():
    train, gold = [LABELS[0], LABELS[0], LABELS[2], LABELS[3]], LABELS * 5
    found = figures.prior(train, gold)
    clips = {str(number): labels for number, labels in enumerate(gold)}
    always = {name: openset(clips, dict.fromkeys(clips, labels))["avg"] for name, labels in
              (("happy", LABELS[0]), ("calm", LABELS[2]), ("sad", LABELS[3]))}  # fmt: skip
    assert found["most frequent"].mean() == pytest.approx(always["happy"])
    assert found["drawn"].mean() == pytest.approx(0.5 * always["happy"] + 0.25 * (always["calm"] + always["sad"]))


def write_evaluation(folder: Path, name: str, checkpoint: str, scores: dict[str, list[float]], **more: Any) -> None:
    place = folder / "runs" / "one" / "evaluations"
    place.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"clip": clip, "scores": pair}) + "\n" for clip, pair in scores.items()]
    (place / f"{name}.predictions.jsonl").write_text("".join(lines))
    said = {"split": "test", "snapshot": {"digest": "d"}, "during_training": False, "checkpoint": checkpoint,
            "predictions": f"{name}.predictions.jsonl", **more}  # fmt: skip
    (place / f"{name}.json").write_text(json.dumps(said))


def test_scores_are_those_of_the_cells_checkpoint_on_its_snapshot(tmp_path):
    (tmp_path / "snapshots" / "fine").mkdir(parents=True)
    (tmp_path / "snapshots" / "fine" / "manifest.json").write_text('{"digest": "d"}')
    write_evaluation(tmp_path, "1", "step-00000005", {"a": [1.0, 0.5], "b": [1.0, 1.0]})
    write_evaluation(tmp_path, "2", "step-00000010", {"a": [0.0, 0.0], "b": [0.5, 1.0]})
    write_evaluation(tmp_path, "3", "step-00000010", {"a": [1.0, 1.0]}, snapshot={"digest": "other"})
    write_evaluation(tmp_path, "4", "step-00000010", {"a": [1.0, 1.0]}, during_training=True)
    cells = [Cell("pretrained", 5, False, 1, f"one@step-{step:08d}") for step in (5, 10)]
    found = figures.read(tmp_path, cells, ["a", "b"])
    assert found.accuracy.tolist() == [[1.0, 1.0], [0.0, 0.5]]
    assert found.exact.tolist() == [[0.0, 1.0], [0.0, 0.0]]
    assert found.avg.tolist() == [[0.75, 1.0], [0.0, 0.75]]
    with pytest.raises(ValueError, match="other clips"):
        figures.read(tmp_path, cells, ["a", "b", "c"])
    with pytest.raises(ValueError, match="no evaluation"):
        figures.read(tmp_path, [Cell("pretrained", 9, False, 1, "one@step-00000009")], ["a", "b"])


def test_a_command_that_fails_is_named_with_its_reason(tmp_path):
    job = Job("bad", (("evaluate", "--run", str(tmp_path / "none"), "--snapshot", str(tmp_path)),))
    with pytest.raises(jobs.CommandFailed, match="exit 2") as raised:
        jobs.run_job(tmp_path, job)
    assert "error: " in str(raised.value)
