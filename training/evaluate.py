"""Evaluation: generate on a split, read OV labels out of the answers, score them with the set-level metric.

    python -m training evaluate --run RUN --snapshot DIR --split test --media DIR

Also while a run trains (``watch``, ``during``), of every kept checkpoint, and of two runs clip by clip. Evaluations are
kept under ``RUN/evaluations/``; one that is stopped leaves no half file and goes on when the same call comes again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from .cache import cache_folder
from .cards import write_card
from .checkpoints import Checkpoint, complete, find_checkpoint, load_trainable, open_checkpoint
from .config import Config
from .curves import read_evaluations
from .errors import UsageError
from .generate import Trained, load_trained, with_overrides
from .lineage import describe, leaks
from .part import Part
from .runlog import now, write_json
from .scoring import SPREAD, How, Scored, Task, prepare, score, score_split, warn
from .signals import Told, until_told_to_stop
from .snapshot import Snapshot, read_snapshot

__all__ = ["How", "compare", "during", "evaluate", "prepare", "score", "score_split", "watch", "write"]
log = logging.getLogger("training")
FIGURES = ("run", "split", "n", "accuracy", "recall", "avg", "ci95", "grouping", "extraction")
SAME = ("split", "route", "grouping", "extraction")  # of two evaluations that may be compared


def write(folder: Path, scored: Scored, about: dict[str, Any]) -> dict[str, Any]:
    """Keep an evaluation in ``folder``: ``<stamp>.predictions.jsonl``, then ``<stamp>.json``, which names it; so what
    is named is there and whole. ``about``: run, checkpoint, step, epoch, during_training. Returns what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{scored.report['split']}-{scored.report['route']}"
    name = f"{stamp}.predictions.jsonl"
    _replace(folder / name, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in scored.lines))
    report = {**about, **scored.report, "predictions": name, "finished": now()}
    write_json(folder / f"{stamp}.json", report)
    return report


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


# While a run trains.


def watch(
    config: Config, snapshot: Snapshot, media: str | None, lineage: list[dict[str, Any]],
    missing_media: str | None = None, memo: Path | None = None,
) -> list[Task]:  # fmt: skip
    """The splits that ``evaluate.every`` asks to be scored, decided before the first step; [] when it does not.

    What was trained on may be among them (the curve of train); it is noted with the figures, not refused: test and
    validation were refused earlier. Raises UsageError as ``prepare``.
    """
    asked = config.evaluate
    if asked.every is None:
        if asked.select != "last":
            log.warning("evaluate.select=%s chooses no epoch while evaluate.every is not set", asked.select)
        return []
    splits = list(dict.fromkeys([*asked.splits, *(["val"] if asked.select == "validation" else []),
                                 *(["test"] if asked.select == "test-curve" else [])]))  # fmt: skip
    tasks = []
    for split in splits:
        how = How(split, extraction=asked.extraction, grouping=asked.grouping, limit=asked.limit,
                  missing_media=missing_media)  # fmt: skip
        task = prepare(config, snapshot, how, media, [], memo)
        found = leaks(lineage, snapshot, task.records)
        task.leak = describe(found, len(task.records)) if found else None
        for note in task.notes:
            log.warning("%s", note)
        error = SPREAD / math.sqrt(len(task.records))
        log.info("%s is scored every %d epochs: %d clips, which tell avg to about ± %.1f points", split, asked.every,
                 len(task.records), 100 * error)  # fmt: skip
        tasks.append(task)
    return tasks


def during(
    trained: Trained, tasks: list[Task], run: str | Path, step: int, epoch: float, told: Told | None = None
) -> list[dict[str, Any]]:
    """Score a model under way on ``watch``'s splits and keep each under ``RUN/evaluations``. The model is left in the
    mode it was in, random state as it was: a run that is watched has the same losses as one that is not."""
    mode, device = trained.model.training, trained.model.device
    reports = []
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        trained.model.eval()
        try:
            for task in tasks:
                about = {"run": str(Path(run).absolute()), "checkpoint": f"step-{step:08d}", "step": step,
                         "epoch": epoch, "during_training": True}  # fmt: skip
                reports.append(write(Path(run) / "evaluations", score(trained, task, told=told), about))
        finally:
            trained.model.train(mode)
    return reports


# The command.


def evaluate(
    run: str, snapshot_folder: str, how: How, media: str | None = None, overrides: Sequence[str] = (),
    every: int | None = None, versus: str | None = None,
) -> tuple[dict[str, Any], dict[str, str]]:  # fmt: skip
    """``{run, split, n, accuracy, recall, avg, ci95, grouping, extraction}`` of a run's checkpoint and the clips left
    out because the LLM's answer could not be read (clip -> reason). ``leak`` stands first where there is one.

    every: of each kept checkpoint at a multiple of so many epochs: ``{run, split, every, evaluations: […]}``; those
    that are there from before are not done again. versus: another run, whose evaluation is compared with this one clip
    by clip (see ``compare``) under ``compared``. overrides: ``key=value`` of how it is generated (MAY_BE_SET).

    Raises UsageError, TrainingError and Stopped as ``prepare`` and ``score``; UsageError for a run or a comparison
    that cannot be made.
    """
    snapshot = read_snapshot(snapshot_folder)
    first = open_checkpoint(run)
    root = root_of(first)
    config = with_overrides(first.config, overrides)
    task = prepare(config, snapshot, how, media, first.lineage, cache_folder(config, root))
    wanted = {"split": how.split, "route": how.route, "grouping": task.grouping[0], "extraction": task.extractor.how}
    other = None if versus is None else _evaluated(versus, wanted, snapshot.digest)
    chosen = [first] if every is None else _every(root, every)
    done: list[dict[str, Any]] = []
    with until_told_to_stop() as told:
        told.wait = True
        trained: Trained | None = None
        for checkpoint in chosen:
            if every is not None and (known := _known(root, checkpoint, wanted, task)) is not None:
                log.info("%s was evaluated before", checkpoint.path.name)
                done.append(known)
                continue
            if trained is None:
                trained = load_trained(str(checkpoint.path), overrides=overrides, keep=True)
            elif trained.checkpoint is not checkpoint:
                load_trainable(checkpoint, trained.model)
            trained.checkpoint = checkpoint
            done.append(_one(trained, checkpoint, task, told, other))
    failed = {clip: reason for report in done for clip, reason in report["failed"].items()}
    if failed:
        log.error("%d clips could not be read by the LLM; the figures leave them out", len(failed))
    if every is None:
        result = {key: done[0][key] for key in (*FIGURES, "compared") if key in done[0]}
    else:
        keys = ("checkpoint", "epoch", *FIGURES[2:])
        result = {"run": str(root), "split": how.split, "every": every,
                  "evaluations": [{key: report[key] for key in keys} for report in done]}  # fmt: skip
    # Nobody shall read the figures without having read this.
    return ({"leak": task.leak, **result} if task.leak else result), failed


def _one(
    trained: Trained, checkpoint: Checkpoint, task: Task, told: Told, other: tuple[dict[str, Any], Scores] | None
) -> dict[str, Any]:
    """Evaluate one checkpoint and keep it; taken up where an earlier call was stopped."""
    root = root_of(checkpoint)
    folder = root / "evaluations"
    folder.mkdir(parents=True, exist_ok=True)
    part, done = Part(folder, _facts(trained, checkpoint, task)), False
    try:
        scored = score(trained, task, part, told)
        warn(scored.report)
        if other is not None:
            scored.report["compared"] = _paired(_scores(scored.lines), *other)
        about = {"run": str(root), "checkpoint": checkpoint.path.name, "step": checkpoint.step,
                 "epoch": checkpoint.state.get("epoch"), "during_training": False}  # fmt: skip
        report = write(folder, scored, about)
        _replace(root / "predictions.jsonl", (folder / report["predictions"]).read_text(encoding="utf-8"))
        write_card(checkpoint.path, root)  # with these figures
        done = True
    finally:
        part.close(done)
    return report


def _facts(trained: Trained, checkpoint: Checkpoint, task: Task) -> dict[str, Any]:
    """All that decides answers and labels."""
    weights = (checkpoint.path / "trainable.safetensors").stat()
    clips = [
        [sample.clip, sample.subtitle, sample.clues, sample.media and (sample.media.sha256 or str(sample.media.path))]
        for sample in task.samples
    ]
    return {
        "checkpoint": checkpoint.path.name, "weights": [weights.st_size, weights.st_mtime_ns],
        "config": trained.config.to_dict(), "snapshot": task.snapshot.digest, "route": task.how.route,
        "extraction": [task.extractor.how, task.extractor.by],
        "clips": hashlib.sha256(json.dumps(clips, ensure_ascii=False).encode()).hexdigest(),
    }  # fmt: skip


def root_of(checkpoint: Checkpoint) -> Path:
    """The run folder of a checkpoint; of one that was copied away from its run, its own folder."""
    path = checkpoint.path.absolute()
    return path.parent.parent if path.parent.name == "checkpoints" else path


def _every(root: Path, every: int) -> list[Checkpoint]:
    """The kept checkpoints that end a multiple of ``every`` epochs."""
    found = [open_checkpoint(path) for path in complete(root)]
    epochs = [checkpoint.state.get("epoch") for checkpoint in found]
    chosen = [checkpoint for checkpoint, epoch in zip(found, epochs, strict=True)
              if epoch is not None and epoch > 0 and abs(epoch / every - round(epoch / every)) < 1e-6]  # fmt: skip
    if not chosen:
        told = ", ".join("unknown" if epoch is None else f"{epoch:g}" for epoch in epochs)
        raise UsageError(
            f"--every {every}: none of the kept checkpoints of {root} is at a multiple of {every} epochs (they are at: "
            f"{told}); keep them with train.keep_every"
        )
    return chosen


def _known(root: Path, checkpoint: Checkpoint, wanted: dict[str, str], task: Task) -> dict[str, Any] | None:
    """This evaluation of this checkpoint, where it is there from before, of as many clips."""
    for report in reversed(read_evaluations(root)):
        same = all(report.get(key) == value for key, value in wanted.items()) and report.get("limit") == task.how.limit
        if same and report.get("checkpoint") == checkpoint.path.name and _digest(report) == task.snapshot.digest:
            return {"failed": {}, **report}
    return None


# Two runs.

Scores = dict[str, list[float]]


def compare(run: str, versus: str, split: str = "test") -> dict[str, Any]:
    """Two runs' evaluations of the same clips, made in the same way, held against each other clip by clip:
    ``{run, split, …figures, compared}``; nothing is generated.

    ``compared``: ``{run, checkpoint, n, only_a, only_b, a, b, difference, ci95, p}``, difference = the first run minus
    the other; ci95 by a paired bootstrap, p by a permutation test. Of each run its best (else last) checkpoint counts.

    Raises:
        UsageError: one of them was not evaluated on the split, or not in the same way.
    """
    report, scores = _evaluated(run, {"split": split}, None)
    other = _evaluated(versus, {key: report[key] for key in SAME}, _digest(report))
    return {**{key: report[key] for key in FIGURES}, "compared": _paired(scores, *other)}


def _paired(scores: Scores, report: dict[str, Any], theirs: Scores) -> dict[str, Any]:
    from models_ml.metrics import MetricError
    from models_ml.metrics import compare as test

    try:
        found = test(scores, theirs)
    except MetricError as error:
        raise UsageError(f"--compare {report['run']}: {error}") from error
    low, high = (100 * edge for edge in found["ci95"]["avg"])
    log.info(
        "avg %+.2f points against %s [%.2f, %.2f] (95 %%, paired), p = %.3g, n = %d", 100 * found["difference"]["avg"],
        report["run"], low, high, found["p"]["avg"], found["n"],
    )  # fmt: skip
    return {"run": report["run"], "checkpoint": report.get("checkpoint"), **found}


def _evaluated(run: str, wanted: dict[str, str], digest: str | None) -> tuple[dict[str, Any], Scores]:
    """The latest evaluation of a run's checkpoint made in this way, and its clips' scores. Raises UsageError."""
    path = find_checkpoint(run)
    root = path.absolute().parent.parent if path.parent.name == "checkpoints" else path.absolute()
    known = [report for report in read_evaluations(root) if report.get("checkpoint") == path.name]
    for report in reversed(known):
        same = all(report.get(key) == value for key, value in wanted.items())
        if same and (digest is None or _digest(report) == digest) and (scores := scores_of(root, report)):
            return report, scores
    there = "; ".join(", ".join(str(report.get(key)) for key in SAME) for report in known) or "none"
    asked = ", ".join(wanted.values())
    raise UsageError(
        f"--compare: checkpoint {path.name} of {root} has no evaluation with clip scores that fits ({asked}, on the "
        f"same snapshot); it has: {there}. Evaluate it first"
    )


def scores_of(root: Path, report: dict[str, Any]) -> Scores:
    """Clip -> (accuracy, recall) of an evaluation in a run folder. Raises UsageError when its predictions are gone."""
    file = root / "evaluations" / str(report.get("predictions"))
    try:
        return _scores([json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line])
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: {error}") from error


def _scores(lines: list[dict[str, Any]]) -> Scores:
    return {line["clip"]: line["scores"] for line in lines if line.get("scores")}


def _digest(report: dict[str, Any]) -> str | None:
    snapshot = report.get("snapshot")
    return snapshot.get("digest") if isinstance(snapshot, dict) else None
