"""The core of an evaluation, on a model in memory: what is evaluated (``prepare``), then ``score``: generate, extract,
count. What can be said of the figures stands with them: how labels were extracted and grouped, how many clips,
intervals, what was left out, and whether a clip was trained on. Nothing is written here (see evaluate.py).
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .config import Config
from .data import OTHER, Sample, clue_texts, in_language, require_media, without_media
from .errors import TrainingError, UsageError
from .evidence import MediaReport, survey
from .extraction import Extractor, extractor
from .generate import Trained, answer_batches, batches_of
from .lineage import refuse_leak
from .part import Part
from .select import VALIDATION, set_apart
from .signals import Stopped, Told
from .snapshot import Record, Snapshot

log = logging.getLogger("training")
GROUPINGS = ("lexicon", "none", "llm")
AT_ONCE = 512  # clips whose features are made before their answers
SPREAD = 0.366  # standard deviation of a clip's avg on MER2024's own predictions (332 clips)
FEW = 10  # clips; of fewer the spread cannot be told, SPREAD stands in
SAY_EVERY = 10.0  # seconds between progress lines


@dataclass(frozen=True)
class How:
    """How a split is evaluated. ``groups``: a file ``{clip: [[label, …], …]}`` in place of a grouping; ``limit``: so
    many of its clips, always the same ones."""

    split: str = "test"
    route: str = "one-step"
    extraction: str | None = None
    grouping: str = "lexicon"
    groups: str | None = None
    limit: int | None = None
    missing_media: str | None = None
    allow_leak: bool = False


@dataclass
class Task:
    """A split ready to be evaluated: every refusal is behind it. Clips without gold labels are left out."""

    how: How
    snapshot: Snapshot
    records: list[Record]
    samples: list[Sample]
    gold: dict[str, list[str]]
    media: MediaReport
    extractor: Extractor
    grouping: tuple[str, Any]  # its name and what `models_ml.metrics` takes
    leak: str | None
    unlabelled: list[str]
    notes: list[str] = field(default_factory=list)


def prepare(
    config: Config, snapshot: Snapshot, how: How, media: str | None, lineage: list[dict[str, Any]],
    memo: Path | None = None,
) -> Task:  # fmt: skip
    """Decide what is evaluated, and how. ``memo``: the folder that remembers what media files hold.

    Raises:
        UsageError: no such split; it leaks into the lineage; no clip has gold labels; media is missing; an LLM is
            needed and not configured; the groups file cannot be used.
    """
    records, notes = _once(records_of(snapshot, how.split, config))
    leak = refuse_leak(lineage, snapshot, records, how.allow_leak)
    read, grouping = extractor(config, how.route, how.extraction), grouping_of(how)
    gold = {record.clip: gold_labels(record, config.data.language) for record in records}
    unlabelled = [clip for clip, labels in gold.items() if not labels]
    if len(unlabelled) == len(records):
        raise UsageError(f"split {how.split} of snapshot {snapshot.name}: no record has OV labels to score against")
    records = limited([record for record in records if gold[record.clip]], how.limit)
    if unlabelled:
        notes.append(f"{len(unlabelled)} records without OV labels are left out, first {unlabelled[0]}")
    if how.groups is not None:
        notes += _uncovered(how.groups, records)
    report = survey(records, snapshot, media, config, memo)
    require_media(report, len(records), how.missing_media)
    samples = [
        Sample(record.clip, in_language(record.subtitle, config.data.language)[0], "", report.files.get(record.clip),
               record.media_sha256, clues=clue_texts(record, config.data.language))
        for record in records
    ]  # fmt: skip
    return Task(
        how, snapshot, records, samples, {record.clip: gold[record.clip] for record in records}, report, read,
        grouping, leak, unlabelled, notes,
    )  # fmt: skip


def records_of(snapshot: Snapshot, split: str, config: Config) -> list[Record]:
    """The records of a split of the snapshot; ``whole`` is all of them where it has no split of that name, ``val`` its
    split for validation or, where it has none, the part that ``evaluate.validation`` sets apart from train.

    Raises UsageError when there is none.
    """
    if split == "whole" and split not in snapshot.splits:
        return [snapshot.records[clip] for clip in sorted(snapshot.records)]
    if split in VALIDATION and split not in snapshot.splits:
        for name in VALIDATION:
            if name in snapshot.splits:
                return snapshot.split(name)
        share = config.evaluate.validation
        if not share:
            raise UsageError(
                f"snapshot {snapshot.name} has no split {split}, and the run set no part of train apart "
                "(evaluate.validation)"
            )
        return set_apart(snapshot.split(snapshot.training_split()), share, snapshot.group_by, config.seed)[1]
    return snapshot.split(split)


def limited(records: list[Record], limit: int | None) -> list[Record]:
    """At most ``limit`` of the records, in their order; which ones is a function of the clips' names alone."""
    if limit is None or limit >= len(records):
        return records
    drawn = sorted(records, key=lambda record: hashlib.sha256(record.clip.encode()).digest())[:limit]
    chosen = {record.clip for record in drawn}
    return [record for record in records if record.clip in chosen]


def gold_labels(record: Record, language: str) -> list[str]:
    """The record's OV labels in this language, else in the other."""
    return record.ov_labels.get(language) or record.ov_labels.get(OTHER[language]) or []


def grouping_of(how: How) -> tuple[str, Any]:
    """The grouping's name and what `models_ml.metrics` takes for it. Raises UsageError."""
    from models_ml.llm import NotConfigured, endpoint_from_env, require
    from models_ml.metrics import MetricError, groups_file, llm_grouping
    from models_ml.metrics.asking import cache_folder as groupings

    if how.groups is not None:
        try:
            return "groups", groups_file(how.groups)
        except MetricError as error:
            raise UsageError(f"--groups {error}") from error
    if how.grouping not in GROUPINGS:
        raise UsageError(f"--grouping {how.grouping!r} is none of {', '.join(GROUPINGS)}")
    if how.grouping != "llm":
        return how.grouping, how.grouping
    try:
        endpoint = require(endpoint_from_env("LLM"), "LLM")
    except NotConfigured as error:
        raise UsageError(str(error)) from error
    return f"llm:{endpoint.model}", llm_grouping(endpoint, groupings())


@dataclass
class Scored:
    """``report``: an evaluation as it is kept, but for what says whose it is; ``lines``: its predictions."""

    report: dict[str, Any]
    lines: list[dict[str, Any]]


def score(trained: Trained, task: Task, part: Part | None = None, told: Told | None = None) -> Scored:
    """Generate, extract and count. ``part`` keeps what is done; ``told`` is looked at between batches.

    Raises:
        UsageError: media that passed the survey does not decode, and --missing-media was not said.
        TrainingError: the LLM is down, or nothing could be scored.
        Stopped: a signal said to stop.
    """
    from models_ml.llm import ModelFailure
    from models_ml.metrics import MetricError
    from models_ml.metrics.openset import by_clip, result_of, score_table

    texts = _answered(trained, task, part, told)
    labels, failed = _labelled(task, texts, part, told)
    name, grouping = task.grouping
    gold = {clip: task.gold[clip] for clip in labels}
    try:
        table = score_table(gold, labels, grouping)
    except MetricError as error:
        raise TrainingError(f"nothing could be scored: {error}") from error
    except ModelFailure as failure:
        raise TrainingError(f"grouping stopped: {failure}") from failure
    figures, scores = {**result_of(table, grouping), "grouping": name}, by_clip(table, grouping)
    counted = {"records": len(task.records), "unlabelled": len(task.unlabelled), "failed": len(failed), **table.report}
    report = {
        "split": task.how.split, **figures, "extraction": task.extractor.how, "route": task.how.route,
        "labelled_by": task.extractor.by, "standard_error": spread(scores), "limit": task.how.limit,
        "snapshot": {"digest": task.snapshot.digest, "name": task.snapshot.name}, "leak": task.leak,
        "media": task.media.counts(), "unlabelled": task.unlabelled, "failed": failed, "coverage": counted,
        "notes": task.notes + table.notes,
    }  # fmt: skip
    lines = [
        {"clip": clip, "text": text, "ov_labels": labels.get(clip), "gold": task.gold[clip],
         "scores": [round(value, 6) for value in scores[clip]] if clip in scores else None,
         "failed": failed.get(clip)}
        for clip, text in texts.items()
    ]  # fmt: skip
    low, high = (100 * edge for edge in report["ci95"]["avg"])
    log.info(
        "%s: n = %d, accuracy %.2f, recall %.2f, avg %.2f [%.2f, %.2f] (95 %%); grouping %s, labels %s, %s",
        report["split"], report["n"], 100 * report["accuracy"], 100 * report["recall"], 100 * report["avg"], low, high,
        report["grouping"], report["extraction"], report["route"],
    )  # fmt: skip
    return Scored(report, lines)


def score_split(
    trained: Trained, snapshot: Snapshot, split: str, records: list[Record], media: str | None, **how: Any
) -> dict[str, Any]:
    """The figures of these records of a split for a model in memory (see ``How`` for ``how``); nothing is written, and
    no lineage is asked. Raises as ``prepare`` and ``score``."""
    part = replace(snapshot, records={row.clip: row for row in records}, splits={split: [row.clip for row in records]})
    return score(trained, prepare(trained.config, part, How(split=split, **how), media, [])).report


def spread(scores: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """The standard error of avg over the clips: ``{avg, of}``; of fewer than FEW clips that of MER2024's predictions,
    0.366 / sqrt(n), and ``of`` says which."""
    values = [(accuracy + recall) / 2 for accuracy, recall in scores.values()]
    if len(values) < FEW:
        return {"avg": SPREAD / math.sqrt(max(1, len(values))), "of": "0.366 / sqrt(n), of MER2024's predictions"}
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
    return {"avg": deviation / math.sqrt(len(values)), "of": "these clips' scores"}


def warn(report: dict[str, Any]) -> None:
    """Say what a reader of the figures must know: clips left out, predictions without labels, too few clips."""
    for clip, reason in report["failed"].items():
        log.warning("clip %s is left out: %s", clip, reason)
    for note in report["notes"]:
        log.warning("%s", note)
    error = report["standard_error"]
    if error["avg"] >= 0.01:
        log.warning(
            "n = %d tells avg to ± %.1f points (one standard error, from %s): a difference between runs that is "
            "smaller than twice that says little; --compare tests two runs clip by clip",
            report["n"], 100 * error["avg"], error["of"],
        )  # fmt: skip


def _answered(trained: Trained, task: Task, part: Part | None, told: Told | None) -> dict[str, str]:
    """Every clip's answer, in the records' order."""
    texts = dict(part.texts) if part else {}
    samples = task.samples
    # The whole plan, also of what is done: a batch is the same whether the evaluation was interrupted or not.
    plan = [batch for batch in batches_of(trained, samples) if any(samples[i].clip not in texts for i in batch)]
    if part and texts:
        log.info("%d of %d answers are there from before", len(texts), len(samples))
    began = said = time.monotonic()
    made, open_ = 0, sum(map(len, plan))
    size = max(1, AT_ONCE // trained.config.generate.batch_size)
    for start in range(0, len(plan), size):
        batches = plan[start : start + size]
        _encode(trained, task, [samples[i] for batch in batches for i in batch])
        for indices, found in answer_batches(trained, samples, batches):
            answers = {samples[i].clip: text for i, text in zip(indices, found, strict=True)}
            texts.update(answers)
            if part:
                part.add_texts(answers)
            made += len(indices)
            if told and told.number:
                raise Stopped(f"told to stop{told} after {len(texts)} of {len(samples)} answers")
            if time.monotonic() - said >= SAY_EVERY and made < open_:
                said, rate = time.monotonic(), made / (time.monotonic() - began)
                log.info("%d/%d answers, %.2f clips/s, %.0f s left", made, open_, rate, (open_ - made) / rate)
    return {sample.clip: texts[sample.clip] for sample in samples}


def _encode(trained: Trained, task: Task, samples: list[Sample]) -> None:
    """Make the features these samples lack; a clip whose media is damaged inside counts as missing media."""
    failed = trained.featurizer.build([sample for sample in samples if sample.media], training=False).failed
    if failed:
        require_media(MediaReport({}, failed), len(task.samples), task.how.missing_media)
        without_media(samples, failed)
        task.media.missing.update(failed)
        for clip in failed:
            task.media.files.pop(clip, None)


def _labelled(
    task: Task, texts: dict[str, str], part: Part | None, told: Told | None
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Labels of the clips whose answers could be read, and why the others could not."""
    found = dict(part.labels) if part else {}
    said = time.monotonic()
    for clip, labels, reason in task.extractor.each([row for row in task.records if row.clip not in found], texts):
        found[clip] = (labels, reason)
        if part:
            part.add_labels(clip, labels, reason)
        if told and told.number:
            raise Stopped(f"told to stop{told} after the labels of {len(found)} of {len(texts)} answers")
        if time.monotonic() - said >= SAY_EVERY:
            said = time.monotonic()
            log.info("labels of %d/%d answers", len(found), len(texts))
    return (
        {row.clip: labels for row in task.records if (labels := found[row.clip][0]) is not None},
        {row.clip: found[row.clip][1] for row in task.records if found[row.clip][0] is None},
    )


def _uncovered(groups: str, records: list[Record]) -> list[str]:
    """Clips that a groups file does not speak of: their labels match only where they are the same."""
    known = json.loads(Path(groups).read_text("utf-8-sig"))
    absent = [record.clip for record in records if record.clip not in known]
    return [f"{len(absent)} clips have no groups in {groups}, first {absent[0]}"] if absent else []


def _once(records: list[Record]) -> tuple[list[Record], list[str]]:
    """Each record once, and what must be said of clips that are there twice: by name, or by their media."""
    unique = list({record.clip: record for record in records}.values())
    notes = []
    if len(unique) < len(records):
        notes.append(f"{len(records) - len(unique)} clips stand in the split twice and count once")
    first: dict[str, str] = {}
    doubles = [
        (record.clip, first[record.media_sha256])
        for record in unique
        if record.media_sha256 and first.setdefault(record.media_sha256, record.clip) != record.clip
    ]
    if doubles:
        notes.append(
            f"{len(doubles)} clips have the media of another one, first {doubles[0][0]} that of {doubles[0][1]}"
        )
    return unique, notes
