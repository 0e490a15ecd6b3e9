"""What a run does, decided before its first step: samples, media, lineage, steps; and whether it may be gone on with.

Every refusal of ``fit`` happens here or earlier, before anything was trained.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .cache import cache_folder
from .checkpoints import Checkpoint, complete, open_checkpoint
from .config import Config
from .data import Sample, require_media, select
from .errors import UsageError
from .evaluate import watch
from .evidence import MediaReport, survey
from .lineage import entry, refuse_leak
from .runlog import read_run
from .scoring import Task
from .select import VALIDATION, set_apart
from .snapshot import Record, Snapshot
from .sources import load_sources

log = logging.getLogger("training")
UNDER_TEST = ("test", *VALIDATION)


@dataclass
class Plan:
    """``samples`` are trained on, ``validation`` was set apart from them to choose the best epoch by, ``watched`` are
    the splits that are scored every ``evaluate.every`` epochs."""

    config: Config
    snapshot: Snapshot
    split: str
    samples: list[Sample]
    media: MediaReport
    lineage: list[dict[str, Any]]
    per_epoch: int
    missing_media: str | None = None
    validation: list[Record] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)  # clip -> why it is not trained on, or on its text alone
    watched: list[Task] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.config.train.epochs * self.per_epoch

    def due(self, step: int, epochs: int | None) -> bool:
        """Whether a multiple of so many epochs ends after ``step`` steps; never for None."""
        return epochs is not None and step > 0 and step % (self.per_epoch * epochs) == 0


def make_plan(
    config: Config, snapshot: Snapshot, media: str | None, run: str | Path, start: Checkpoint | None,
    missing_media: str | None, allow_leak: bool, processes: int = 1,
) -> Plan:  # fmt: skip
    """Decide split, samples, media and lineage for a run of so many processes. Raises UsageError."""
    asked = config.evaluate
    if asked.select != "last" and (asked.every is None or asked.every > config.train.epochs):
        raise UsageError(
            f"evaluate.select={asked.select} chooses among evaluations, and there will be none: set evaluate.every to "
            f"at most {config.train.epochs} epochs"
        )
    if snapshot.grade and snapshot.grade != config.grade:
        raise UsageError(
            f"config {config.name} is stage {config.stage}, which trains on {config.grade} records, but snapshot "
            f"{snapshot.name} is {snapshot.grade}; use its stage {3 - config.stage} (…-stage{3 - config.stage})"
        )
    split, memo = snapshot.training_split(), cache_folder(config, run)
    records, validation = snapshot.split(split), list[Record]()
    if asked.validation:
        records, validation = set_apart(records, asked.validation, snapshot.group_by, config.seed)
    own = entry(snapshot, split, config.stage, records)
    lineage = [*(start.lineage if start else []), own]
    report = survey(records, snapshot, media, config, memo)
    require_media(report, len(records), missing_media)
    samples, skipped = chosen(config, records, report)
    for source in load_sources(config, memo):
        require_media(source.media, len(source.records), missing_media)
        more, left = chosen(config, source.records, source.media, source.number)
        samples, skipped = samples + more, skipped | left
        lineage.append(entry(source.snapshot, source.split, config.stage, source.records))
    under_test = [row for name in UNDER_TEST if name in snapshot.splits and snapshot.splits[name]
                  for row in snapshot.split(name)]  # fmt: skip
    # The snapshot's own splits were kept apart when it was frozen; what was or is trained on beside them was not.
    refuse_leak([stage for stage in lineage if stage is not own], snapshot, under_test, allow_leak)
    if not samples:
        raise UsageError(f"split {split} of snapshot {snapshot.name}: no record has a {config.data.target}")
    config.train.batch_size = min(config.train.batch_size, len(samples))
    per_epoch = config.train.iters_per_epoch or steps_of_a_pass(len(samples), config, processes)
    watched = watch(config, snapshot, media, lineage, missing_media, memo)
    return Plan(
        config, snapshot, split, samples, report, lineage, per_epoch, missing_media, validation, skipped, watched
    )  # fmt: skip


def chosen(
    config: Config, records: list[Record], report: MediaReport, source: int = 0
) -> tuple[list[Sample], dict[str, str]]:
    """The samples of these records, and why others are not trained on or go on as text alone (clip -> reason)."""
    found = select(config, records, report.files, source)
    skipped = {clip: f"{reason}; goes on as text alone" for clip, reason in report.missing.items()}
    skipped.update(dict.fromkeys(found.without_target, f"no {config.data.target}"))
    skipped.update(dict.fromkeys(found.without_media, "its picture or video is missing; left out"))
    if found.without_target:
        log.warning(
            "%d records have no %s and are left out, first %s",
            len(found.without_target), config.data.target, found.without_target[0],
        )  # fmt: skip
    if found.without_media:
        log.warning(
            "%d instructions are left out, their picture or video is missing, first %s",
            len(found.without_media), found.without_media[0],
        )  # fmt: skip
    if found.other_language:
        log.warning("%d records have their %s in the other language only", found.other_language, config.data.target)
    return found.samples, skipped


def steps_of_a_pass(samples: int, config: Config, processes: int) -> int:
    """Optimiser steps that see every sample about once (with ``data.drop_last`` no sample twice)."""
    per_step = config.train.accumulate * processes
    if config.data.drop_last:
        return max(1, samples // config.train.batch_size // per_step)
    return math.ceil(math.ceil(samples / config.train.batch_size) / per_step)


def check_resume(run: Path, plan: Plan, start: Checkpoint | None, processes: int = 1) -> dict[str, Any] | None:
    """The run must be the same one; a finished run's result is given again. Raises UsageError."""
    before = read_run(run)
    if any(key not in before for key in ("snapshot", "config", "state", "init", "media", "result")):
        raise UsageError(f"--resume: {run / 'run.json'} is not of a run that `fit` began")
    if before["snapshot"]["digest"] != plan.snapshot.digest:
        raise UsageError(f"--resume: the run was on snapshot {before['snapshot']['digest'][:12]}, not this one")
    ours = plan.config.to_dict()
    changed = [key for key in ours if ours[key] != before["config"].get(key)]
    if changed:
        raise UsageError(f"--resume: the config differs from the run's in: {', '.join(changed)}")
    if start is not None and place_of(start) != before["init"]:
        raise UsageError(f"--resume: the run began from {before['init'] or 'no checkpoint'}, not {place_of(start)}")
    if before["state"] == "finished":
        return before["result"]
    if before["media"] != plan.media.counts():
        raise UsageError(f"--resume: the run began with media {before['media']}, here are {plan.media.counts()}")
    if before.get("processes", 1) != processes:
        raise UsageError(f"--resume: the run has {before.get('processes', 1)} processes, this call {processes}")
    return None


def take_up(run: Path, plan: Plan, start: Checkpoint | None) -> Checkpoint | None:
    """The whole lineage for a resumed run, though ``--init`` was not said again; returns what the run began from while
    it has no checkpoint of its own. Raises UsageError when that is gone."""
    if done := complete(run):
        plan.lineage = open_checkpoint(done[-1]).lineage
    elif start is None and (init := read_run(run)["init"]):
        start = open_checkpoint(init)
        plan.lineage = [*start.lineage, *plan.lineage]
    return start


def place_of(checkpoint: Checkpoint) -> str:
    return str(checkpoint.path.absolute())
