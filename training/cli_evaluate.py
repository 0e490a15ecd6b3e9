"""The commands evaluate, generate, curves, best and ablate: their options and what they call."""

from __future__ import annotations

import argparse
from typing import Any

from .ablate import ablate, add_options

COMMANDS = ("evaluate", "generate", "curves", "best", "ablate")


def add_commands(commands: Any) -> None:
    """Add these commands to the command line."""
    evaluate = commands.add_parser("evaluate", help="generate on a split and score the labels")
    evaluate.add_argument(
        "--run", required=True, metavar="RUN", help="a run (its best, else last checkpoint), RUN@NAME"
    )
    evaluate.add_argument("--snapshot", metavar="DIR", help="needed but where --compare finds both evaluations made")
    evaluate.add_argument("--split", default="test", help="train, test, whole, val, or any split of the snapshot")
    evaluate.add_argument("--route", choices=["one-step", "two-step"], default="one-step")
    evaluate.add_argument("--media", metavar="DIR")
    evaluate.add_argument("--missing-media", choices=["text-only"])
    evaluate.add_argument("--extraction", choices=["llm", "lexicon", "direct"], help="default: what is configured")
    how = evaluate.add_mutually_exclusive_group()
    how.add_argument("--grouping", choices=["lexicon", "none", "llm"], default="lexicon")
    how.add_argument("--groups", metavar="FILE.json", help="{clip: [[label, ...], ...]}")
    evaluate.add_argument("--limit", type=int, metavar="N", help="so many clips, always the same ones")
    evaluate.add_argument("--every", type=int, metavar="N", help="each kept checkpoint at a multiple of N epochs")
    evaluate.add_argument("--compare", metavar="RUN2", help="a paired test against that run's evaluation")
    evaluate.add_argument("--allow-leak", action="store_true")
    evaluate.add_argument("--set", action="extend", nargs="+", default=[], metavar="key=value",
                          help="how it is generated, e.g. generate.batch_size=32")  # fmt: skip

    generate = commands.add_parser("generate", help="describe one media file")
    generate.add_argument("--run", required=True)
    generate.add_argument("--clip", required=True, metavar="MEDIA")
    generate.add_argument("--subtitle", metavar="TEXT")
    generate.add_argument("--set", action="extend", nargs="+", default=[], metavar="key=value",
                          help="e.g. generate.sample=true generate.seed=1")  # fmt: skip

    curves = commands.add_parser("curves", help="score and loss by epoch, raw and smoothed")
    curves.add_argument("--run", required=True, nargs="+", metavar="RUN")
    curves.add_argument("--out", metavar="FILE.svg|csv|md")
    curves.add_argument("--what", nargs="+", choices=["avg", "accuracy", "recall", "loss"], default=["avg", "loss"])
    curves.add_argument("--split", nargs="+", metavar="NAME", help="default: all that were evaluated")
    curves.add_argument("--smoothing", type=float, default=0.6, metavar="W", help="weight of the past, from 0 to 1")

    best = commands.add_parser("best", help="choose a run's best checkpoint and note it in best.json")
    best.add_argument("--run", required=True)
    best.add_argument("--by", choices=["last", "validation", "test-curve"], help="default: the config's")
    best.add_argument("--smoothing", type=float, metavar="W", help="default: the config's")

    add_options(commands.add_parser("ablate", help="the paper's ablations, each a table of runs"))


def run_command(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Do what the command line says; returns its JSON object and the exit code. Raises TrainingError."""
    if options.command == "evaluate":
        return _evaluate(options)
    if options.command == "generate":
        from .generate import generate

        return generate(options.run, options.clip, options.subtitle, options.set), 0
    if options.command == "curves":
        from .curves import curves

        return curves(options.run, options.out, options.what, options.split, options.smoothing), 0
    if options.command == "best":
        from .select import command

        return command(options.run, options.by, options.smoothing), 0
    return ablate(options)


def _evaluate(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    from .errors import UsageError
    from .evaluate import How, compare, evaluate

    for name in ("limit", "every"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise UsageError(f"--{name} {getattr(options, name)} is not above 0")
    if options.snapshot is None:
        if options.compare is None:
            raise UsageError("evaluate needs --snapshot DIR")
        return compare(options.run, options.compare, options.split), 0
    if options.every is not None and options.compare is not None:
        raise UsageError("--compare takes one checkpoint of a run; leave --every out")
    how = How(
        options.split, options.route, options.extraction, options.grouping, options.groups, options.limit,
        options.missing_media, options.allow_leak,
    )  # fmt: skip
    result, failed = evaluate(
        options.run, options.snapshot, how, options.media, options.set, options.every, options.compare
    )
    return result, 1 if failed else 0
