"""Metrics from the command line; the last line on stdout is one JSON object.

python -m models_ml.metrics openset --gold gold.csv --pred pred.csv --groups groups.json --compat mer2024
python -m models_ml.metrics agreement --data annotations.csv
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from models_ml.llm import ModelFailure, NotConfigured, endpoint_from_env, require
from models_ml.metrics.agreement import agreement, read_annotations
from models_ml.metrics.grouping import NAMED, Grouping, groups_file, llm_grouping
from models_ml.metrics.labels import MetricError, read_openset
from models_ml.metrics.openset import openset


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m models_ml.metrics", description="Set-level metrics.")
    commands = top.add_subparsers(dest="command", required=True)
    one = commands.add_parser("openset", help="accuracy, recall and their mean after grouping labels")
    one.add_argument("--gold", required=True, metavar="CSV", help="name,openset")
    one.add_argument("--pred", required=True, metavar="CSV", help="name,openset")
    how = one.add_mutually_exclusive_group()
    how.add_argument("--groups", metavar="FILE.json", help="{name: [[label, ...], ...]}")
    how.add_argument("--llm", action="store_true", help="ask the model at LLM_BASE_URL")
    how.add_argument("--grouping", choices=sorted(NAMED), default="lexicon")
    one.add_argument("--compat", choices=["mer2024"], help="parse and look up labels as MER2024's scorer does")
    one.add_argument("--seed", type=int, default=0, help="of the bootstrap interval")
    two = commands.add_parser("agreement", help="Krippendorff's alpha and the set-level metric between annotators")
    two.add_argument("--data", required=True, metavar="CSV", help="name,annotator and openset or label, or both")
    two.add_argument("--grouping", choices=sorted(NAMED), default="lexicon")
    two.add_argument("--seed", type=int, default=0, help="of the bootstrap intervals")
    return top


def main(argv: list[str] | None = None) -> int:
    """0: scored; 1: scored, but clips were left out because the model gave no grouping; 2: the call was wrong."""
    options = parser().parse_args(argv)
    if options.command == "agreement":
        return _agreement(options)
    warnings: list[str] = []
    try:
        gold, pred = read_openset(options.gold, options.compat), read_openset(options.pred, options.compat)
        name, grouping = _grouping(options)
        result = openset(gold, pred, grouping, name=name, compat=options.compat, seed=options.seed, warnings=warnings)
    except (MetricError, NotConfigured, ModelFailure) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(json.dumps(result, ensure_ascii=False))
    return 1 if any(warning.startswith("not grouped") for warning in warnings) else 0


def _agreement(options: Any) -> int:
    try:
        result = agreement(read_annotations(options.data), options.grouping, seed=options.seed)
    except MetricError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(result, ensure_ascii=False))
    return 0


def _grouping(options: Any) -> tuple[str, Grouping]:
    if options.groups:
        return "groups", groups_file(options.groups, options.compat)
    if options.llm:
        endpoint = require(endpoint_from_env("LLM"), "LLM")
        return f"llm:{endpoint.model}", llm_grouping(endpoint)
    return options.grouping, NAMED[options.grouping]


if __name__ == "__main__":
    sys.exit(main())
