"""Training, read top to bottom as the recipe of the paper: read, check, build, encode, step, save.

Everything a run needs to be understood later is in its folder: ``run.json`` (state, config, snapshot, lineage,
environment, seeds, argv), ``metrics.jsonl``, ``lineage.json`` and ``checkpoints/``.
"""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .affectgpt.model import AffectGPT, resolve_device
from .checkpoints import (
    Checkpoint,
    check_frozen,
    complete,
    load_optimizer,
    load_trainable,
    open_checkpoint,
    save_checkpoint,
)
from .config import Config, load_config
from .data import Featurizer, Sample, collate, example_of, require_media, sample_at, select
from .errors import NotFinite, TrainingError, UsageError
from .evidence import MediaReport, survey
from .lineage import describe, entry, leaks, summary
from .optim import learning_rate, parameter_groups, warmup_of
from .prompt import Example
from .runlog import (
    SCHEMA,
    Metrics,
    argv,
    environment,
    git_revision,
    now,
    open_run,
    read_metrics,
    read_run,
    register,
    write_json,
)
from .snapshot import Snapshot, read_snapshot
from .weights import assemble, check_weights, identities, make_tokenizer

log = logging.getLogger("training")
UNDER_TEST = ("test", "val", "valid", "validation", "dev")


@dataclass
class Plan:
    """What a run does, decided before the first step."""

    config: Config
    snapshot: Snapshot
    split: str
    samples: list[Sample]
    media: MediaReport
    lineage: list[dict[str, Any]]
    per_epoch: int
    missing_media: str | None = None

    @property
    def total(self) -> int:
        return self.config.train.epochs * self.per_epoch


def fit(
    config_name: str, snapshot_folder: str, out: str, media: str | None = None, init: str | None = None,
    overrides: list[str] | None = None, missing_media: str | None = None, allow_leak: bool = False,
    resume: bool = False, register_run: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """Train on a snapshot's ``train`` split (``all`` where there is none) and write the run folder ``out``.

    Returns ``{run, steps, loss, trainable_parameters, media:{video, audio, missing}, seconds}``.

    Raises:
        UsageError: config, snapshot, media, checkpoint or folder cannot be used (nothing was trained).
        NotFinite: the loss or gradient became NaN or infinite.
        TrainingError: a clip that passed the survey does not decode, or the run was told to stop.
    """
    began = time.monotonic()
    config = load_config(config_name, overrides)
    check_weights(config)
    resolve_device(config.train.device)
    snapshot = read_snapshot(snapshot_folder)
    start = open_checkpoint(init) if init else None
    plan = make_plan(config, snapshot, media, start, missing_media, allow_leak)
    run, lock = open_run(out, resume)
    with lock:
        if resume:
            finished = _check_resume(run, plan, start)
            if finished is not None:
                return finished
            start = _take_up(run, plan, start)
        return _run(plan, run, start, resume, register_run, began)


def make_plan(
    config: Config, snapshot: Snapshot, media: str | None, start: Checkpoint | None, missing_media: str | None,
    allow_leak: bool,
) -> Plan:  # fmt: skip
    """Decide split, samples, media and lineage; every refusal happens here. Raises UsageError."""
    if snapshot.grade and snapshot.grade != config.grade:
        raise UsageError(
            f"config {config.name} is stage {config.stage}, which trains on {config.grade} records, but snapshot "
            f"{snapshot.name} is {snapshot.grade}; use its stage {3 - config.stage} (…-stage{3 - config.stage})"
        )
    split = snapshot.training_split()
    records = snapshot.split(split)
    lineage = [*(start.lineage if start else []), entry(snapshot, split, config.stage, records)]
    if start is not None:
        under_test = [row for name in UNDER_TEST if name in snapshot.splits and snapshot.splits[name]
                      for row in snapshot.split(name)]  # fmt: skip
        refuse_leak(start.lineage, snapshot, under_test, allow_leak)
    report = survey(records, snapshot, media)
    require_media(report, len(records), missing_media)
    chosen = select(config, records, report.files)
    if chosen.without_target:
        log.warning(
            "%d records have no %s and are left out, first %s",
            len(chosen.without_target), config.data.target, chosen.without_target[0],
        )  # fmt: skip
    if chosen.other_language:
        log.warning("%d records have their %s in the other language only", chosen.other_language, config.data.target)
    if not chosen.samples:
        raise UsageError(f"split {split} of snapshot {snapshot.name}: no record has a {config.data.target}")
    config.train.batch_size = min(config.train.batch_size, len(chosen.samples))
    per_step = config.train.batch_size * config.train.accumulate
    per_epoch = config.train.iters_per_epoch or math.ceil(len(chosen.samples) / per_step)
    return Plan(config, snapshot, split, chosen.samples, report, lineage, per_epoch, missing_media)


def refuse_leak(lineage: list[dict[str, Any]], snapshot: Snapshot, records: list, allow: bool) -> str | None:
    """Print what leaks, first of all. Returns that line when it is allowed; raises UsageError when it is not."""
    found = leaks(lineage, snapshot, records)
    if not found:
        return None
    message = describe(found, len(records))
    if not allow:
        raise UsageError(f"{message}; to go on all the same, use --allow-leak")
    log.warning("%s (allowed by --allow-leak)", message)
    return message


def _check_resume(run: Path, plan: Plan, start: Checkpoint | None) -> dict[str, Any] | None:
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
    if start is not None and _place(start) != before["init"]:
        raise UsageError(f"--resume: the run began from {before['init'] or 'no checkpoint'}, not {_place(start)}")
    if before["state"] == "finished":
        return before["result"]
    if before["media"] != plan.media.counts():
        raise UsageError(f"--resume: the run began with media {before['media']}, here are {plan.media.counts()}")
    return None


def _take_up(run: Path, plan: Plan, start: Checkpoint | None) -> Checkpoint | None:
    """The whole lineage for a resumed run, though `--init` was not said again; returns what the run began from while
    it has no checkpoint of its own. Raises UsageError when that is gone."""
    if done := complete(run):
        plan.lineage = open_checkpoint(done[-1]).lineage
    elif start is None and (init := read_run(run)["init"]):
        start = open_checkpoint(init)
        plan.lineage = [*start.lineage, *plan.lineage]
    return start


def _place(checkpoint: Checkpoint) -> str:
    return str(checkpoint.path.absolute())


def _run(
    plan: Plan, run: Path, start: Checkpoint | None, resume: bool, register_run: bool, began: float
) -> dict[str, Any]:
    config = plan.config
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    previous = read_run(run) if resume else {}
    facts: dict[str, Any] = {
        "schema": SCHEMA, "run": str(run), "state": "running", "reason": None, "config_name": config.name,
        "stage": config.stage, "config": config.to_dict(),
        "snapshot": {"path": str(plan.snapshot.path), "digest": plan.snapshot.digest, "name": plan.snapshot.name,
                     "corpus": plan.snapshot.corpus, "grade": plan.snapshot.grade, "split": plan.split,
                     "samples": len(plan.samples)},
        "init": previous["init"] if resume else _place(start) if start else None, "lineage": summary(plan.lineage),
        "media": plan.media.counts(), "steps": plan.total, "seed": config.seed,
        "weights_seed": config.model.weights_seed, "git": git_revision(), "environment": environment(),
        "argv": argv(), "started": previous.get("started") or now(), "finished": None,
        "resumed": [*previous.get("resumed", []), now()] if resume else [],
        "trainable_parameters": None, "result": None,
    }  # fmt: skip
    write_json(run / "lineage.json", plan.lineage)
    write_json(run / "run.json", facts)
    if register_run:
        register(run, facts["started"])
    try:
        result = _train(plan, run, start, facts, began)
    except BaseException as error:
        stopped = isinstance(error, Stopped)
        facts.update(state="stopped" if stopped else "failed", finished=now(), reason=str(error) or repr(error))
        write_json(run / "run.json", facts)
        raise
    facts.update(state="finished", finished=now(), result=result, media=result["media"])
    write_json(run / "run.json", facts)
    return result


def _train(plan: Plan, run: Path, start: Checkpoint | None, facts: dict[str, Any], began: float) -> dict[str, Any]:
    config, train = plan.config, plan.config.train
    done = complete(run)
    last = open_checkpoint(done[-1]) if done else None
    source = last or start
    tokenizer = source.tokenizer() if source else make_tokenizer(config, _texts(plan.samples))
    model = assemble(config, tokenizer)
    frozen = identities(config, model)
    if source:
        check_frozen(source, frozen)
        load_trainable(source, model)
    model.to(resolve_device(train.device)).train()
    optimizer = torch.optim.AdamW(
        parameter_groups(model.named_parameters(), train.weight_decay), lr=train.lr,
        betas=(train.betas[0], train.betas[1]),
    )  # fmt: skip
    torch.manual_seed(config.seed)
    first = 0
    if last:
        load_optimizer(last, model, optimizer)
        first = last.step
        log.info("resumed after step %d", first)
    facts["trainable_parameters"] = model.trainable_count()
    write_json(run / "run.json", facts)

    featurizer = Featurizer(model, config)
    if first < plan.total:
        _warm_up(featurizer, plan)
    examples = [example_of(config, tokenizer, sample) for sample in plan.samples]
    _report_cuts(plan.samples, examples)
    log.info(
        "stage %d on %d clips: %d steps (%d epochs of %d), %d warm-up, batch %d x %d, %d trainable parameters, %s",
        config.stage, len(examples), plan.total, train.epochs, plan.per_epoch, warmup_of(train, plan.total),
        train.batch_size, train.accumulate, facts["trainable_parameters"], model.device,
    )  # fmt: skip

    metrics = Metrics(run / "metrics.jsonl", first)
    loss: float | None = None
    with _until_told_to_stop() as told, contextlib.closing(metrics):
        for step in range(first, plan.total):
            clock = time.monotonic()
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, plan.total, train)
            line = one_step(model, optimizer, featurizer, plan.samples, examples, config, step)
            loss = line["loss"]
            if (step + 1) % train.log_every == 0 or step + 1 == plan.total:
                epoch = round((step + 1) / plan.per_epoch, 4)
                metrics.write({"step": step + 1, "epoch": epoch, **line, "seconds": round(time.monotonic() - clock, 4)})
                _say(step + 1, plan.total, line)
            ended = step + 1 == plan.total
            if ended or told or (step + 1) % train.save_every == 0:
                save_checkpoint(run, step + 1, model, optimizer, tokenizer, config, frozen, plan.lineage)
            if told and not ended:
                raise Stopped(f"told to stop by signal {told[0]} after step {step + 1}; go on with --resume")
    if loss is None:  # killed between the last checkpoint and the last word
        loss = next((line["loss"] for line in reversed(read_metrics(run / "metrics.jsonl"))), None)
    return {
        "run": str(run), "steps": plan.total, "loss": loss, "trainable_parameters": facts["trainable_parameters"],
        "media": plan.media.counts(), "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip


def one_step(
    model: AffectGPT, optimizer: torch.optim.Optimizer, featurizer: Featurizer, samples: list[Sample],
    examples: list[Example], config: Config, step: int,
) -> dict[str, float]:  # fmt: skip
    """One optimiser step over ``accumulate`` batches: ``{loss, lr, grad_norm, tokens}``, loss per target token.

    Raises:
        NotFinite: loss or gradient is NaN or infinite; parameters are as before the step.
    """
    train = config.train
    batches = []
    for part in range(train.accumulate):
        place = (step * train.accumulate + part) * train.batch_size
        chosen = [sample_at(place + i, len(samples), config.seed) for i in range(train.batch_size)]
        crop = config.data.crop_scale is not None
        features = [
            featurizer.features(samples[index], (config.seed, place + i) if crop else None)
            for i, index in enumerate(chosen)
        ]
        batches.append(collate([examples[i] for i in chosen], features, [samples[i].clip for i in chosen]))
    tokens = sum(int((batch.labels[:, 1:] != -100).sum()) for batch in batches if batch.labels is not None)
    optimizer.zero_grad(set_to_none=True)
    total = 0.0
    for batch in batches:
        with _precision(model, train.precision):
            loss, _ = model.loss_sum(batch.to(model.device))
        # A batch of text alone reaches no trainable parameter.
        if loss.requires_grad:
            (loss / tokens).backward()
        total += loss.item()
    norm = float(torch.nn.utils.clip_grad_norm_(model.trainable().values(), train.clip_norm))
    if not (math.isfinite(total) and math.isfinite(norm)):
        clips = ", ".join(clip for batch in batches for clip in batch.clips)
        raise NotFinite(
            f"step {step + 1}: loss {total / tokens}, gradient norm {norm} at lr "
            f"{optimizer.param_groups[0]['lr']:.3g}; clips: {clips}. Lower train.lr or use "
            "train.precision=fp32; the last checkpoint is sound"
        )
    optimizer.step()
    return {
        "loss": total / tokens, "lr": optimizer.param_groups[0]["lr"], "grad_norm": norm, "tokens": tokens,
    }  # fmt: skip


class Stopped(TrainingError):
    """SIGTERM or SIGINT arrived; a checkpoint was written."""


@contextlib.contextmanager
def _until_told_to_stop() -> Iterator[list[int]]:
    """A list that holds the signal's number once SIGTERM or SIGINT came; a second one acts at once."""
    told: list[int] = []
    before: dict[int, Any] = {}

    def remember(number: int, frame: Any) -> None:
        told.append(number)
        signal.signal(number, before[number])

    try:
        for number in map(int, (signal.SIGTERM, signal.SIGINT)):
            before[number] = signal.getsignal(number)
            signal.signal(number, remember)
    except ValueError:  # not the main thread: whoever runs us there handles signals
        before.clear()
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _precision(model: AffectGPT, name: str) -> contextlib.AbstractContextManager:
    return torch.autocast(model.device.type, torch.bfloat16) if name == "bf16" else contextlib.nullcontext()


def _warm_up(featurizer: Featurizer, plan: Plan) -> None:
    """Encode every clip once before the first step, when all will fit, so that a file damaged inside counts as
    missing media now. Raises UsageError as ``require_media`` does."""
    data = plan.config.data
    seen = [sample for sample in plan.samples if sample.media is not None]
    if data.cache != "memory" or data.crop_scale is not None or not seen:
        return
    clock = time.monotonic()
    damaged: dict[str, str] = {}
    for index, sample in enumerate(seen):
        try:
            featurizer.features(sample)
        except TrainingError as error:
            damaged[sample.clip] = str(error)
            sample.media = None
            continue
        if index == 0 and featurizer.cache.bytes * len(seen) > featurizer.cache.limit:
            log.info("features of %d clips exceed data.cache_mb; clips are encoded as they come", len(seen))
            return
    if damaged:
        for clip in damaged:
            plan.media.files.pop(clip)
        require_media(MediaReport({}, damaged), len(plan.samples), plan.missing_media)
        plan.media.missing.update(damaged)
    log.info("encoded %d clips in %.1f s (%.1f MB)", len(seen), time.monotonic() - clock, featurizer.cache.bytes / 1e6)


def _texts(samples: list[Sample]) -> list[str]:
    return [text for sample in samples for text in (sample.subtitle, sample.target) if text]


def _report_cuts(samples: list[Sample], examples: list[Example]) -> None:
    for what, attribute, unit in (("subtitle", "subtitle_cut", "characters"), ("target", "target_cut", "tokens")):
        cut = [(sample.clip, getattr(example, attribute)) for sample, example in zip(samples, examples, strict=True)
               if getattr(example, attribute)]  # fmt: skip
        if cut:
            log.warning("%d %ss are too long and lose their end, first %s (%d %s)", len(cut), what, *cut[0], unit)


def _say(step: int, total: int, line: dict[str, float]) -> None:
    # About fifty lines a run, whatever its length.
    if step == 1 or step == total or step % max(1, total // 50) == 0:
        loss, rate, norm = line["loss"], line["lr"], line["grad_norm"]
        log.info("step %d/%d loss %.4f lr %.2e grad norm %.3f", step, total, loss, rate, norm)
