"""Before the first step of a run: texts are looked at, and every clip goes through the frozen encoders once."""

from __future__ import annotations

import logging

from .data import Featurizer, Sample, needed, require_media, without_media
from .errors import UsageError
from .evidence import MediaReport
from .examples import Examples
from .plan import Plan
from .processes import Processes

log = logging.getLogger("training")


def encode(featurizer: Featurizer, plan: Plan, processes: Processes) -> None:
    """Make and keep the features of all clips that the run will see, as far as the store holds them; a file that is
    damaged inside counts as missing media now. When all are kept the encoders' memory is freed.

    Raises:
        UsageError: media is missing that was there (see ``require_media``), or the model is to be cut over processes
            and still needs its encoders.
    """
    config, store = plan.config, featurizer.store
    watched = [sample for task in plan.watched for sample in task.samples]
    # A store on disk is shared: every process makes its part. In memory each needs all.
    rank, count = (processes.rank, processes.count) if config.data.cache == "disk" else (0, 1)
    report = featurizer.build(plan.samples[rank::count])
    if processes.main or config.data.cache == "disk":
        featurizer.build(watched[rank::count], training=False)  # what fails is said when it is evaluated
    damaged: dict[str, str] = {}
    for failed in processes.gathered(report.failed):
        damaged.update(failed)
    store.refresh()
    if damaged:
        require_media(MediaReport({}, damaged), len(plan.samples), plan.missing_media)
        plan.media.missing.update(damaged)
        for clip, reason in damaged.items():
            plan.media.files.pop(clip, None)
            plan.skipped[clip] = f"{reason}; goes on as text alone"
        without_media(plan.samples, damaged)
    all_kept = config.data.cache != "none" and _kept(featurizer, plan.samples, True)
    if processes.main:
        all_kept = all_kept and _kept(featurizer, watched, False)
    if all(processes.gathered(all_kept)):
        featurizer.model.release_encoders()
    elif processes.sharded:
        raise UsageError("a model that is cut over processes cannot encode clips as they come: set data.cache=disk")


def _kept(featurizer: Featurizer, samples: list[Sample], training: bool) -> bool:
    """Whether the store has everything that these samples need."""
    views = featurizer.store.views(training)
    return all(
        featurizer.store.has(sample, modality, view if modality in ("video", "image") else None)
        for sample in samples
        if sample.media is not None
        for modality in needed(featurizer.config, sample) - {"multi"}
        for view in views
    )


def texts_of(plan: Plan) -> list[str]:
    """What a tokenizer is trained on where the language model brings none."""
    return [text for sample in plan.samples for text in (sample.subtitle, sample.target) if text]


def report_cuts(plan: Plan, examples: Examples) -> dict[str, int]:
    """How many samples lose the end of what; said in the log as well."""
    units = {"subtitle": "characters", "clues": "characters", "target": "tokens", "turns": "turns"}
    for what, cut in examples.cut().items():
        if cut:
            index, count = next(iter(cut.items()))
            log.warning(
                "%d samples have %s that are too long and lose their end, first %s (%d %s)",
                len(cut), what, plan.samples[index].clip, count, units[what],
            )  # fmt: skip
    return {what: len(cut) for what, cut in examples.cut().items()}
