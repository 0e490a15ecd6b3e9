"""The paper's ablations, one command each: every cell is a run of the real ``fit`` and ``evaluate``, then a table.

    python -m training ablate init-stages --config affectgpt-2024 --coarse S1 --fine S2 --media DIR --out DIR --seeds 3

``init-stages``: begun from ``--pretrained`` or at random x stage 1 (none, half of its epochs, all of them) x stage 2
(none or done), the paper's Table 4; half and all are checkpoints of one run. ``llm``, ``modality``, ``prompt``: one arm
each, through stage 1 (where ``--coarse`` is given) and stage 2. ``OUT/runs`` holds the runs, ``OUT/cells`` what each
cell scored, clip by clip; what is there is not done again, so ``--resume`` goes on after a kill at any line.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import logging
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .config import Config, load_config
from .errors import TrainingError, UsageError
from .runlog import read_run, write_json
from .signals import Stopped, until_told_to_stop

log = logging.getLogger("training")
KINDS = ("init-stages", "llm", "modality", "prompt")
PRETRAINED = ("pretrained", "")  # of Fit.init: begins from --pretrained
NO_VIDEO = ("data.video=false", "data.faces=none")
MODALITIES = {
    "all": (),
    "audio+text": NO_VIDEO,
    "video+text": ("data.audio=false",),
    "audio+video": ("data.subtitle=false",),
    "text": (*NO_VIDEO, "data.audio=false"),
}


@dataclass(frozen=True)
class Fit:
    """A run below ``OUT/runs``. ``init``: another of them and which of its checkpoints (``half``, ``last``),
    PRETRAINED, or nothing."""

    name: str
    stage: int
    overrides: tuple[str, ...]
    init: tuple[str, str] | None = None


@dataclass(frozen=True)
class Cell:
    """A figure of the table: its place in it (factor -> value), the seed, and the checkpoint that is scored."""

    place: tuple[tuple[str, str], ...]
    seed: int
    fit: str
    at: str  # half | last | best

    @property
    def name(self) -> str:
        words = "_".join([*(f"{key}-{value}" for key, value in self.place), f"seed-{self.seed}"])
        return words.replace("/", "-").replace(" ", "-")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--config", required=True, metavar="PRESET|FILE", help="of both stages, e.g. affectgpt-2024")
    parser.add_argument("--fine", required=True, metavar="DIR", help="snapshot of stage 2; its split is scored")
    parser.add_argument("--coarse", metavar="DIR", help="snapshot of stage 1; init-stages needs it")
    parser.add_argument("--media", metavar="DIR")
    parser.add_argument("--out", required=True, metavar="DIR")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="runs per cell")
    parser.add_argument("--pretrained", metavar="CKPT|FILE.pth", help="what the arm `pretrained` begins from")
    parser.add_argument("--llm", nargs="+", default=[], metavar="NAME=FOLDER", help="the arms of llm")
    parser.add_argument("--templates", metavar="A,B", help="the arms of prompt: names or files of prompt templates")
    parser.add_argument("--modalities", metavar="A,B", help=f"the arms of modality; default {','.join(MODALITIES)}")
    parser.add_argument("--set", action="extend", nargs="+", default=[], metavar="key=value",
                        help="for every run; stage1:key=value and stage2:key=value for one stage's")  # fmt: skip
    parser.add_argument("--split", default="test")
    parser.add_argument("--extraction", choices=["llm", "lexicon", "direct"])
    parser.add_argument("--grouping", choices=["lexicon", "none", "llm"], default="lexicon")
    parser.add_argument("--missing-media", choices=["text-only"])
    parser.add_argument("--allow-leak", action="store_true")
    parser.add_argument("--launch", metavar="COMMAND", help="starts each fit, as 'accelerate launch --num_processes 4'")
    parser.add_argument("--resume", action="store_true", help="go on with what is in --out")


def ablate(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Fill the table's cells. ``{kind, out, cells, failed: [{cell, reason}], rows}`` and the exit code: 1 when a cell
    failed (NaN, say); the others are done all the same.

    Raises:
        UsageError: the options do not fit together, ``--out`` is used, or a run cannot begin (nothing goes on then).
        Stopped: a signal said to stop; ``--resume`` goes on.
    """
    from .ablation_table import write_tables

    fits, cells = plan(options)
    out = Path(options.out).absolute()
    with _held(out, options.resume):
        _same(out, options)
        failed: dict[str, str] = {}
        broken: dict[str, str] = {}  # runs that failed: what begins from them fails, too
        for number, cell in enumerate(cells, 1):
            file = out / "cells" / f"{cell.name}.json"
            if file.is_file():
                continue
            log.info("cell %d of %d: %s", number, len(cells), cell.name)
            try:
                _make(out, fits, cell.fit, options, broken)
                write_json(file, _scored(out, cell, options))
            except (UsageError, Stopped):
                raise
            except TrainingError as error:
                log.error("cell %s failed: %s", cell.name, error)
                failed[cell.name] = str(error)
        done = [_read(out / "cells" / f"{cell.name}.json") for cell in cells if cell.name not in failed]
        rows = write_tables(out, options.kind, done)
    told = [{"cell": name, "reason": reason} for name, reason in failed.items()]
    return {"kind": options.kind, "out": str(out), "cells": len(done), "failed": told, "rows": rows}, int(bool(told))


def plan(options: argparse.Namespace) -> tuple[dict[str, Fit], list[Cell]]:
    """Every run and every cell. Raises UsageError when the options do not say enough."""
    if options.seeds < 1:
        raise UsageError(f"--seeds {options.seeds} is not above 0")
    configs = {stage: load_config(config_of(options.config, stage), list(_set(options, stage))) for stage in (1, 2)}
    select = configs[2].evaluate.select
    if select != "last" and configs[2].evaluate.every is None:
        raise UsageError(f"evaluate.select={select} chooses an epoch; set evaluate.every, too")
    fits: dict[str, Fit] = {}
    cells: list[Cell] = []
    for seed in range(configs[2].seed, configs[2].seed + options.seeds):
        if options.kind == "init-stages":
            _init_stages(options, configs, seed, fits, cells)
        else:
            _arms(options, configs, seed, fits, cells)
    return fits, cells


def _init_stages(
    options: argparse.Namespace, configs: dict[int, Config], seed: int, fits: dict[str, Fit], cells: list[Cell]
) -> None:
    """Table 4: {pretrained, random} x {none, half, all} x {none, stage 2}."""
    if options.coarse is None:
        raise UsageError("ablate init-stages trains stage 1 on --coarse SNAPSHOT")
    epochs, second = configs[1].train.epochs, _second(configs[2])
    if epochs % 2:
        raise UsageError(f"ablate init-stages scores stage 1 at half of its epochs, and {epochs} is odd: set "
                         "stage1:train.epochs")  # fmt: skip
    if options.pretrained is None:
        log.warning("without --pretrained only the arm that begins at random is run")
    for init in ("pretrained", "random") if options.pretrained else ("random",):
        begin = PRETRAINED if init == "pretrained" else None
        own = (f"seed={seed}",)
        first = f"{init}-stage1-seed{seed}"
        fits[first] = Fit(first, 1, (*own, f"train.keep_every={epochs // 2}"), begin)
        nothing = f"{init}-untrained-seed{seed}"
        fits[nothing] = Fit(nothing, 2, (*own, "train.epochs=0", "evaluate.every=null"), begin)
        for stage1, at in (("none", ""), (str(epochs // 2), "half"), (str(epochs), "last")):
            name = f"{init}-stage1-{stage1}-stage2-seed{seed}"
            fits[name] = Fit(name, 2, own, (first, at) if at else begin)
            for stage2, fit, which in (("none", first if at else nothing, at or "last"), (second, name, "best")):
                cells.append(Cell((("init", init), ("stage 1", stage1), ("stage 2", stage2)), seed, fit, which))


def _arms(
    options: argparse.Namespace, configs: dict[int, Config], seed: int, fits: dict[str, Fit], cells: list[Cell]
) -> None:
    """One factor: each arm through stage 1, where there is a coarse snapshot, and stage 2."""
    for arm, overrides in arms_of(options).items():
        own = (f"seed={seed}", *overrides)
        tag = f"{options.kind}-{arm.replace('/', '-')}"
        init = PRETRAINED if options.pretrained else None
        if options.coarse is not None:
            first = f"{tag}-stage1-seed{seed}"
            fits[first] = Fit(first, 1, own, init)
            init = (first, "last")
        name = f"{tag}-stage2-seed{seed}"
        fits[name] = Fit(name, 2, own, init)
        cells.append(Cell(((options.kind, arm), ("stage 2", _second(configs[2]))), seed, name, "best"))


def arms_of(options: argparse.Namespace) -> dict[str, tuple[str, ...]]:
    """Arm -> the config keys that make it. Raises UsageError for an arm that there is not, or fewer than two."""
    arms: dict[str, tuple[str, ...]]
    if options.kind == "llm":
        pairs = [text.partition("=") for text in options.llm]
        if any(not name or not folder for name, _, folder in pairs):
            raise UsageError("--llm takes NAME=FOLDER for each arm")
        arms = {name: (f"model.llm.pretrained={folder}",) for name, _, folder in pairs}
    elif options.kind == "prompt":
        arms = {Path(name).stem: (f"prompt.template={name}",) for name in _listed(options.templates)}
    else:
        wanted = _listed(options.modalities) or list(MODALITIES)
        alien = [name for name in wanted if name not in MODALITIES]
        if alien:
            raise UsageError(f"--modalities: {alien[0]!r} is none of {', '.join(MODALITIES)}")
        arms = {name: MODALITIES[name] for name in wanted}
    if len(arms) < 2:
        raise UsageError(f"ablate {options.kind} compares at least two arms, and {len(arms)} were given")
    return arms


def config_of(name_or_file: str, stage: int) -> str:
    """The config of a stage of a preset (``affectgpt-2024`` -> ``affectgpt-2024-stage1``); a file is both stages'."""
    if name_or_file.endswith((".yaml", ".yml")):
        return name_or_file
    return f"{name_or_file.removesuffix('-stage1').removesuffix('-stage2')}-stage{stage}"


def _set(options: argparse.Namespace, stage: int) -> Iterator[str]:
    yield f"stage={stage}"
    for item in options.set:
        place, colon, rest = item.partition(":")
        if colon and place in ("stage1", "stage2"):
            if place == f"stage{stage}":
                yield rest
        else:
            yield item


def _second(config: Config) -> str:
    return "last" if config.evaluate.select == "last" else f"best by {config.evaluate.select}"


def _listed(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


@contextlib.contextmanager
def _held(out: Path, resume: bool) -> Iterator[None]:
    """The folder, made or checked, and held against a second process."""
    known = (out / "ablation.json").is_file()
    if not resume and out.is_dir() and any(out.iterdir()):
        raise UsageError(f"--out {out} is already used; give a new folder, or --resume to go on with that ablation")
    if resume and not known and out.is_dir() and any(path.name != ".lock" for path in out.iterdir()):
        raise UsageError(f"--resume: {out} holds no ablation (no ablation.json)")
    (out / "cells").mkdir(parents=True, exist_ok=True)
    with open(out / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(f"--out {out}: another process is at work on this ablation") from error
        yield


def _same(out: Path, options: argparse.Namespace) -> None:
    """An ablation that is gone on with must be the same one. Raises UsageError."""
    ours = {key: value for key, value in vars(options).items() if key not in ("command", "resume", "launch", "out")}
    if not (out / "ablation.json").is_file():
        write_json(out / "ablation.json", ours)
        return
    before = _read(out / "ablation.json")
    changed = [key for key in ours if before.get(key) != ours[key]]
    if changed:
        raise UsageError(f"--resume: the ablation in {out} was begun with other {', '.join(changed)}")


def _make(out: Path, fits: dict[str, Fit], name: str, options: argparse.Namespace, broken: dict[str, str]) -> Path:
    """A run, and before it the one that it begins from; what is finished is not done again."""
    fit, folder = fits[name], out / "runs" / name
    known = (folder / "run.json").is_file()
    if known and read_run(folder)["state"] == "finished":
        return folder
    if name in broken:
        raise TrainingError(broken[name])
    overrides = [*_set(options, fit.stage), *fit.overrides]
    init = None
    if fit.init == PRETRAINED and str(options.pretrained).endswith(".pth"):
        overrides.append(f"model.original={options.pretrained}")  # a published checkpoint: the config loads it
    elif fit.init == PRETRAINED:
        init = options.pretrained
    elif fit.init is not None:
        init = checkpoint_of(_make(out, fits, fit.init[0], options, broken), fit.init[1])
    if not known:
        shutil.rmtree(folder, ignore_errors=True)  # killed before it began
    log.info("run %s", name)
    snapshot = options.coarse if fit.stage == 1 else options.fine
    try:
        _fit(config_of(options.config, fit.stage), snapshot, folder, init, overrides, known, options)
    except (UsageError, Stopped):
        raise
    except TrainingError as error:
        broken[name] = f"run {name}: {error}"
        raise
    return folder


def _fit(
    config: str, snapshot: str, folder: Path, init: str | None, overrides: list[str], resume: bool,
    options: argparse.Namespace,
) -> None:  # fmt: skip
    if options.launch is None:
        from .fit import fit

        fit(config, snapshot, str(folder), options.media, init, overrides, options.missing_media, options.allow_leak,
            resume, register_run=False)  # fmt: skip
        return
    words = [*shlex.split(options.launch), "-m", "training", "fit", "--config", config, "--snapshot", snapshot,
             "--out", str(folder), "--no-register", "--set", *overrides]  # fmt: skip
    for word, value in (("--media", options.media), ("--init", init), ("--missing-media", options.missing_media)):
        words += [word, value] if value is not None else []
    words += ["--allow-leak"] * options.allow_leak + ["--resume"] * resume
    with until_told_to_stop(), subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        try:
            code = process.wait()
        except BaseException:
            process.terminate()
            raise
    if code:
        told = (read_run(folder).get("reason") if (folder / "run.json").is_file() else None) or "see its messages above"
        raise (UsageError if code == 2 else TrainingError)(f"fit of {folder.name} ended with exit code {code}: {told}")


def checkpoint_of(run: Path, at: str) -> str:
    """The place of a run's checkpoint: at ``half`` of its epochs, the ``last`` one, or the ``best`` (where one was
    chosen, else the last)."""
    if at == "best":
        return str(run)
    if at == "last":
        return f"{run}@last"
    facts = read_run(run)
    return f"{run}@step-{facts['config']['train']['epochs'] // 2 * facts['steps_per_epoch']:08d}"


def _scored(out: Path, cell: Cell, options: argparse.Namespace) -> dict[str, Any]:
    """Evaluate a cell's checkpoint: what the table needs of it, clip by clip."""
    from .checkpoints import find_checkpoint
    from .curves import read_evaluations
    from .evaluate import How, evaluate, scores_of

    run = out / "runs" / cell.fit
    place = checkpoint_of(run, cell.at)
    how = How(options.split, extraction=options.extraction, grouping=options.grouping,
              missing_media=options.missing_media, allow_leak=options.allow_leak)  # fmt: skip
    evaluate(place, options.fine, how, options.media)
    name = find_checkpoint(place).name
    report = [one for one in read_evaluations(run) if one["checkpoint"] == name and not one["during_training"]][-1]
    keys = ("checkpoint", "epoch", "n", "accuracy", "recall", "avg", "ci95", "grouping", "extraction", "route", "split",
            "snapshot", "leak")  # fmt: skip
    return {
        "place": dict(cell.place), "seed": cell.seed, "run": str(run.relative_to(out)),
        **{key: report[key] for key in keys}, "scores": scores_of(run, report),
    }  # fmt: skip


def _read(path: Path) -> dict[str, Any]:
    """Raises UsageError for a file that is no JSON object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}") from error
    if not isinstance(value, dict):
        raise UsageError(f"{path}: not a JSON object")
    return value
