"""Training, read top to bottom as the recipe of the paper: read, check, build, encode, step, evaluate, save.

Everything a run needs to be understood later is in its folder: ``run.json`` (state, config, snapshot, lineage,
environment, seeds, argv), ``metrics.jsonl``, ``lineage.json`` and ``checkpoints/``.

In one process, or in many (``accelerate launch -m training fit …``): optimiser step s, part a of ``accumulate``,
process p of w takes the batch of number (s * accumulate + a) * w + p, a function of config and seed alone.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from .affectgpt.model import AffectGPT, Batch
from .cache import cache_folder, open_store
from .cards import write_card
from .checkpoints import (
    Checkpoint,
    check_frozen,
    complete,
    load_resume,
    load_trainable,
    open_checkpoint,
    prune,
    save_checkpoint,
)
from .config import load_config
from .counting import Cost, language_cost
from .curves import SCORES, read_evaluations
from .data import Featurizer
from .encoding import encode, report_cuts, texts_of
from .errors import NotFinite, UsageError
from .estimate import peak_of
from .evaluate import during
from .examples import Batches, Examples
from .feed import Feed
from .generate import Trained
from .lineage import summary
from .optim import adamw, learning_rate, warmup_of
from .plan import Plan, check_resume, make_plan, place_of, take_up
from .processes import Processes, trainable_tensors
from .runlog import (
    SCHEMA,
    Clock,
    Metrics,
    argv,
    environment,
    git_revision,
    now,
    open_run,
    progress,
    read_metrics,
    read_run,
    register,
    write_json,
)
from .select import best, write_best
from .signals import Stopped, Told, until_told_to_stop
from .snapshot import read_snapshot
from .weights import assemble, check_weights, identities, make_tokenizer

log = logging.getLogger("training")
HOPELESS = 40  # steps in a row whose fp16 gradients overflowed, before the run gives up


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
    snapshot = read_snapshot(snapshot_folder)
    start = open_checkpoint(init) if init else None
    with contextlib.closing(Processes(config.train)) as processes, until_told_to_stop() as told:
        if processes.sharded and config.evaluate.every is not None:
            raise UsageError(
                "evaluate.every: a model that is cut over processes cannot generate while it trains; keep checkpoints "
                "with train.keep_every and evaluate them afterwards (evaluate --every N)"
            )
        with processes.main_first():
            plan = make_plan(config, snapshot, media, out, start, missing_media, allow_leak, processes.count)
        with contextlib.ExitStack() as held:
            with processes.main_first():
                if processes.main:
                    run, lock = open_run(out, resume)
                    held.enter_context(lock)
                else:
                    run = Path(out).absolute()
            if resume:
                finished = check_resume(run, plan, start, processes.count)
                if finished is not None:
                    return finished
                start = take_up(run, plan, start)
            return _run(plan, run, start, processes, told, resume, register_run, began)


def _run(
    plan: Plan, run: Path, start: Checkpoint | None, processes: Processes, told: Told, resume: bool,
    register_run: bool, began: float,
) -> dict[str, Any]:  # fmt: skip
    """Train and keep run.json true, whatever happens."""
    config = plan.config
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    previous = read_run(run) if resume else {}
    facts: dict[str, Any] = {
        "schema": SCHEMA, "run": str(run), "state": "running", "reason": None, "config_name": config.name,
        "stage": config.stage, "config": config.to_dict(),
        "snapshot": {"path": str(plan.snapshot.path), "digest": plan.snapshot.digest, "name": plan.snapshot.name,
                     "corpus": plan.snapshot.corpus, "grade": plan.snapshot.grade, "split": plan.split,
                     "samples": len(plan.samples), "validation": len(plan.validation)},
        "init": previous["init"] if resume else place_of(start) if start else None, "lineage": summary(plan.lineage),
        "media": plan.media.counts(), "steps": plan.total, "steps_per_epoch": plan.per_epoch, "seed": config.seed,
        "weights_seed": config.model.weights_seed, "processes": processes.count, "device": str(processes.device),
        "git": git_revision(), "environment": environment(), "argv": argv(),
        "started": previous.get("started") or now(), "finished": None,
        "resumed": [*previous.get("resumed", []), now()] if resume else [],
        "skipped": [{"clip": clip, "reason": reason} for clip, reason in plan.skipped.items()],
        "trainable_parameters": None, "result": None,
    }  # fmt: skip

    def write() -> None:
        if processes.main:
            write_json(run / "run.json", facts)

    if processes.main:
        write_json(run / "lineage.json", plan.lineage)
        write()
        if register_run:
            register(run, facts["started"])
    try:
        recipe = set_up(plan, run, start, processes, told, facts)
        write()
        loss = train(recipe)
    except BaseException as error:
        state = "stopped" if isinstance(error, Stopped | KeyboardInterrupt) else "failed"
        facts.update(state=state, finished=now(), reason=str(error) or repr(error))
        write()
        raise
    result = {
        "run": str(run), "steps": plan.total, "loss": loss, "trainable_parameters": facts["trainable_parameters"],
        "media": plan.media.counts(), "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip
    facts.update(state="finished", finished=now(), result=result, media=result["media"])
    write()
    return result


@dataclass
class Recipe:
    """A run under way: what is trained, on what, by which steps."""

    plan: Plan
    run: Path
    processes: Processes
    told: Told
    facts: dict[str, Any]
    model: AffectGPT
    tokenizer: Any
    optimizer: torch.optim.Optimizer
    frozen: dict[str, str]
    batches: Batches
    cost: Cost  # of the language model, for the MFU
    peak: float  # FLOP/s of all devices
    done: int  # steps that the last checkpoint had behind it
    overflows: list[int] = field(default_factory=list)  # steps that fp16 skipped

    def numbers(self, step: int) -> list[int]:
        """The numbers of the batches of all processes in a step, this process's own among them."""
        count = self.plan.config.train.accumulate * self.processes.count
        return list(range(step * count, (step + 1) * count))

    def own(self, step: int) -> list[int]:
        return self.numbers(step)[self.processes.rank :: self.processes.count]

    def size(self, step: int) -> tuple[int, int, float]:
        """Target tokens, samples and FLOPs of a step's batches in all processes."""
        order, numbers = self.batches.order, self.numbers(step)
        tokens = sum(self.batches.size(number)[0] for number in numbers)
        lengths = [int(order.lengths[index]) for number in numbers for index in order.batch(number)]
        return tokens, len(lengths), self.cost.step(lengths, tokens)


def set_up(
    plan: Plan, run: Path, start: Checkpoint | None, processes: Processes, told: Told, facts: dict[str, Any]
) -> Recipe:
    """Build the model, load what it begins from, encode the clips, and hand all of it to the processes."""
    config, train = plan.config, plan.config.train
    kept = complete(run)
    last = open_checkpoint(kept[-1]) if kept else None
    source = last or start
    tokenizer = source.tokenizer() if source else make_tokenizer(config, texts_of(plan))
    model = assemble(config, tokenizer)
    frozen = identities(config, model)
    if source:
        check_frozen(source, frozen)
        load_trainable(source, model)
    model.to(processes.device).train()
    facts["trainable_parameters"] = model.trainable_count()

    featurizer = Featurizer(model, config, open_store(config, frozen, cache_folder(config, run)))
    if plan.watched or not last or last.step < plan.total:
        encode(featurizer, plan, processes)
    examples = Examples(config, tokenizer, plan.samples)
    facts["cut"] = report_cuts(plan, examples)
    batches = Batches(config, plan.samples, examples, featurizer, config.seed)

    cost, (peak, basis) = language_cost(model.llm), peak_of(processes.device, train.precision)
    facts["peak"] = {"flops_per_second": peak * processes.count, "basis": basis}
    processes.seed(config.seed)
    optimizer = adamw(model.named_parameters(), train)
    processes.prepare(model, optimizer)
    recipe = Recipe(plan, run, processes, told, facts, model, tokenizer, optimizer, frozen, batches, cost,
                    peak * processes.count, last.step if last else 0)  # fmt: skip
    if last:
        processes.restore(load_resume(last), model, optimizer)
        recipe.overflows = list(last.state.get("overflows") or [])
        log.info("resumed after step %d", last.step)
    log.info(
        "stage %d on %d clips: %d steps (%d epochs of %d), %d warm-up, batch %d x %d x %d processes, %d trainable "
        "parameters, %s, %s", config.stage, len(examples), plan.total, train.epochs, plan.per_epoch,
        warmup_of(train, plan.total), train.batch_size, train.accumulate, processes.count,
        facts["trainable_parameters"], train.precision, processes.device,
    )  # fmt: skip
    return recipe


def train(recipe: Recipe) -> float | None:
    """The steps that are left; returns the last one's loss."""
    plan, config, processes = recipe.plan, recipe.plan.config.train, recipe.processes
    recipe.told.wait = True
    with contextlib.ExitStack() as held:
        metrics = Metrics(recipe.run / "metrics.jsonl", recipe.done, config.tensorboard) if processes.main else None
        if metrics:
            held.callback(metrics.close)
        if _unwatched(recipe):  # killed between the checkpoint and its evaluation
            evaluate(recipe, recipe.done, metrics)
        steps = range(recipe.done, plan.total)
        feed = Feed(recipe.batches.make, (number for step in steps for number in recipe.own(step)))
        held.callback(feed.close)
        loss, clock = None, Clock(plan.total, recipe.done)
        for step in steps:
            tokens, samples, flops = recipe.size(step)
            line = one_step(recipe, feed, step, tokens)
            loss, stop, waited = line["loss"], line.pop("stop"), line.pop("waited")
            line = {"step": step + 1, "epoch": round((step + 1) / plan.per_epoch, 4), **line}
            line |= clock.lap(samples, waited, flops, recipe.peak)
            ended = step + 1 == plan.total
            if metrics and ((step + 1) % config.log_every == 0 or ended):
                metrics.write(line)
                # About fifty lines a run, whatever its length.
                if step == recipe.done or ended or (step + 1) % max(1, plan.total // 50) == 0:
                    log.info("%s", progress(line, plan.total))
            watched = plan.due(step + 1, plan.config.evaluate.every)
            if ended or stop or watched or (step + 1) % config.save_every == 0 or plan.due(step + 1, config.keep_every):
                save(recipe, step + 1)
                if watched and not stop:
                    with feed.held():
                        evaluate(recipe, step + 1, metrics)
                if processes.main:
                    keep_every = config.keep_every
                    prune(recipe.run, config.keep, keep_every * plan.per_epoch if keep_every else None)
            if stop and not ended:
                raise Stopped(f"told to stop{recipe.told} after step {step + 1}; go on with --resume")
            clock.resume()
    if plan.total == 0:  # epochs 0: the model is kept as it is before training
        save(recipe, 0)
    if recipe.overflows:
        log.warning("%d steps were skipped because fp16 gradients overflowed, last step %d",
                    len(recipe.overflows), recipe.overflows[-1])  # fmt: skip
    if loss is None:  # killed between the last checkpoint and the last word
        loss = next((line["loss"] for line in reversed(read_metrics(recipe.run / "metrics.jsonl"))), None)
    return loss


def one_step(recipe: Recipe, feed: Feed[Batch], step: int, tokens: int) -> dict[str, Any]:
    """One optimiser step over the batches of all processes, ``tokens`` target tokens in all.

    Returns ``{loss, lr, grad_norm, tokens, stop, waited}``: loss per target token; grad_norm before clipping, None
    where fp16 overflowed and nothing moved; stop: how many processes were told to; waited: seconds without data.

    Raises:
        NotFinite: loss or gradient is NaN or infinite; parameters are as before the step.
    """
    config, processes = recipe.plan.config.train, recipe.processes
    rate = learning_rate(step, recipe.plan.total, config, recipe.plan.per_epoch)
    for group in recipe.optimizer.param_groups:
        group["lr"] = rate
    recipe.optimizer.zero_grad(set_to_none=True)
    losses, clips, waited = [], [], 0.0
    for part in range(config.accumulate):
        batch, seconds = feed.next()
        waited += seconds
        loss = processes.loss_sum(batch)
        processes.backward(loss, tokens, last=part + 1 == config.accumulate)
        losses.append(loss.detach())
        clips.append(batch.clips)
    own = [float(value) for value in losses]
    total, stop = processes.total(sum(own), float(recipe.told.number > 0))
    norm = processes.update(recipe.optimizer, config.clip_norm) if math.isfinite(total) else math.nan
    overflow = config.precision == "fp16" and math.isfinite(total) and not math.isfinite(norm)
    if overflow:
        recipe.overflows.append(step + 1)
        _give_up(recipe, step)
    elif not (math.isfinite(total) and math.isfinite(norm)):
        raise NotFinite(_not_finite(processes, step, total / tokens, norm, rate, own, clips))
    return {
        "loss": total / tokens, "lr": rate, "grad_norm": None if overflow else norm, "tokens": tokens, "stop": stop,
        "waited": waited,
    }  # fmt: skip


def save(recipe: Recipe, step: int) -> None:
    """Write a checkpoint."""
    plan, processes = recipe.plan, recipe.processes
    trainable = trainable_tensors(recipe.model)
    resume = processes.resume_state(recipe.model, recipe.optimizer)
    if processes.main:
        state = {
            "step": step, "epoch": round(step / plan.per_epoch, 4), "steps_per_epoch": plan.per_epoch,
            "processes": processes.count, "config": plan.config.to_dict(), "frozen": recipe.frozen,
            "overflows": recipe.overflows,
            **{key: recipe.facts[key] for key in ("snapshot", "git", "environment", "trainable_parameters")},
        }  # fmt: skip
        save_checkpoint(recipe.run, state, trainable, resume, recipe.tokenizer, plan.lineage)
    processes.wait()


def evaluate(recipe: Recipe, step: int, metrics: Metrics | None) -> None:
    """Score the watched splits with the model as it stands; the main process does. Raises Stopped in all of them."""
    stopped = None
    if recipe.processes.main:
        try:
            _score(recipe, step, metrics)
        except Stopped as error:
            stopped = str(error)
    if told := next(filter(None, recipe.processes.gathered(stopped)), None):
        raise Stopped(told)


def _score(recipe: Recipe, step: int, metrics: Metrics | None) -> None:
    """Keep the figures, say which checkpoint is the best so far, and put both into the cards."""
    plan, run, asked = recipe.plan, recipe.run, recipe.plan.config.evaluate
    trained = Trained(None, plan.config, recipe.model, recipe.tokenizer, recipe.batches.featurizer.store)
    for report in during(trained, plan.watched, run, step, round(step / plan.per_epoch, 4), recipe.told):
        if metrics:
            metrics.draw({f"{report['split']}/{name}": report[name] for name in SCORES}, step)
    changed = {f"step-{step:08d}"}
    if asked.select != "last" and (choice := best(read_evaluations(run), asked.select, asked.smoothing)):
        write_best(run, choice)
        log.info("best so far: %s", choice.why)
        changed.add(choice.checkpoint)
    for checkpoint in complete(run):
        if checkpoint.name in changed:
            write_card(checkpoint, run)


def _unwatched(recipe: Recipe) -> bool:
    """Whether the checkpoint that the run goes on from should have been evaluated and was not."""
    plan = recipe.plan
    if not plan.due(recipe.done, plan.config.evaluate.every):
        return False
    name = f"step-{recipe.done:08d}"
    scored = {one["split"] for one in read_evaluations(recipe.run) if one.get("checkpoint") == name}
    return not scored.issuperset(task.how.split for task in plan.watched)


def _not_finite(
    processes: Processes, step: int, loss: float, norm: float, rate: float, losses: list[float], clips: list[list[str]]
) -> str:  # fmt: skip
    """What went wrong, where; every process calls."""
    found = processes.gathered(list(zip(losses, clips, strict=True)))
    parts = [part for process in found for part in process]
    bad = [part for part in parts if not math.isfinite(part[0])] or parts
    which = f"loss {loss}" if not math.isfinite(loss) else f"loss {loss:.4f} is finite, its gradient is not"
    names = ", ".join(clip for _, batch in bad for clip in batch)
    return (
        f"step {step + 1}: {which}; gradient norm {norm} at lr {rate:.3g}; clips: {names}. Lower train.lr or use "
        "train.precision=fp32; the last checkpoint is sound"
    )


def _give_up(recipe: Recipe, step: int) -> None:
    """Raises NotFinite when fp16 has skipped too many steps in a row."""
    row = recipe.overflows[-HOPELESS:]
    if len(row) == HOPELESS and row[0] == step + 2 - HOPELESS:
        raise NotFinite(
            f"step {step + 1}: fp16 gradients overflowed {HOPELESS} steps in a row, loss scale "
            f"{recipe.processes.scaler.get_scale():g}: nothing is learned. Use train.precision=bf16 or fp32, or lower "
            "train.lr; the last checkpoint is sound"
        )
