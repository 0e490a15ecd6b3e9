"""Metrics from the command line; the last line on stdout is one JSON object.

python -m models_ml.metrics openset --gold gold.csv --pred pred.csv --groups groups.json --compat mer2024
python -m models_ml.metrics openset --gold gold.csv --pred pred.csv --wheel emotion_wheel --wheel-year 2026
python -m models_ml.metrics compare --gold gold.csv --pred run_a.csv --pred run_b.csv
python -m models_ml.metrics agreement --data annotations.csv
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models_ml.llm import ModelFailure, NotConfigured, endpoint_from_env, require
from models_ml.metrics.agreement import agreement, read_annotations
from models_ml.metrics.asking import cache_folder
from models_ml.metrics.compare import compare_scored
from models_ml.metrics.grouping import NAMED, groups_file, llm_grouping
from models_ml.metrics.labels import MetricError, Table, read_table
from models_ml.metrics.openset import How, Scored, by_clip, result_of, score_table
from models_ml.metrics.wheel import YEARS, read_wheels


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m models_ml.metrics", description="Set-level metrics.")
    commands = top.add_subparsers(dest="command", required=True)
    one = commands.add_parser("openset", help="accuracy, recall and their mean after grouping labels")
    one.add_argument("--gold", required=True, metavar="CSV", help="name,openset")
    one.add_argument("--pred", required=True, metavar="CSV", help="name,openset")
    one.add_argument("--per-clip", metavar="CSV", help="write name,accuracy,recall of every clip scored to this file")
    _common(one)
    both = commands.add_parser("compare", help="two runs on the same clips: difference, interval, p value")
    both.add_argument("--gold", required=True, metavar="CSV", help="name,openset")
    both.add_argument("--pred", required=True, action="append", metavar="CSV", help="name,openset; give it twice")
    _common(both)
    two = commands.add_parser("agreement", help="Krippendorff's alpha and the set-level metric between annotators")
    two.add_argument("--data", required=True, metavar="CSV", help="name,annotator and openset or label, or both")
    two.add_argument("--grouping", choices=sorted(NAMED), default="lexicon")
    two.add_argument("--seed", type=int, default=0, help="of the bootstrap intervals")
    return top


def _common(command: argparse.ArgumentParser) -> None:
    how = command.add_mutually_exclusive_group()
    how.add_argument("--groups", metavar="FILE.json", help="{name: [[label, ...], ...]}")
    how.add_argument("--wheel", metavar="DIR", help="the emotion wheels of MER2025 or MER2026 (wheel1.xlsx ...)")
    how.add_argument("--llm", action="store_true", help="ask the model at LLM_BASE_URL")
    how.add_argument("--grouping", choices=sorted(NAMED), default="lexicon")
    command.add_argument("--wheel-year", type=int, choices=YEARS, default=YEARS[0], help="2025: both levels; 2026: one")
    command.add_argument("--cache", metavar="DIR", help="answers to --llm (default: in the user's cache folder)")
    command.add_argument("--compat", choices=["mer2024"], help="parse and look up labels as MER2024's scorer does")
    command.add_argument("--missing", choices=["error", "empty"], default="error",
                         help="gold clips without a prediction: stop, or count an empty prediction")  # fmt: skip
    command.add_argument("--unreadable", choices=["error", "empty"], default="error",
                         help="predictions that are prose, no list: stop, or count an empty prediction")  # fmt: skip
    command.add_argument("--seed", type=int, default=0, help="of what is drawn at random")


def main(argv: list[str] | None = None) -> int:
    """0: scored; 1: scored, but clips were left out because the model gave no grouping; 2: the call was wrong."""
    options = parser().parse_args(argv)
    try:
        result, partial = {"openset": _openset, "compare": _compare, "agreement": _agreement}[options.command](options)
    except (MetricError, NotConfigured, ModelFailure) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(result, ensure_ascii=False))
    return 1 if partial else 0


def _openset(options: Any) -> tuple[dict[str, Any], bool]:
    grouping = _grouping(options)
    gold = read_table(options.gold, options.compat)
    scored = _scored(options, gold, options.pred, grouping)
    if options.per_clip:
        _write_scores(options.per_clip, by_clip(scored, grouping))
    return {**result_of(scored, grouping, options.seed), "report": scored.report}, bool(scored.report["ungrouped"])


def _compare(options: Any) -> tuple[dict[str, Any], bool]:
    if len(options.pred) != 2:
        raise MetricError(f"compare wants --pred twice, got it {len(options.pred)} times")
    grouping = _grouping(options)
    gold = read_table(options.gold, options.compat)
    a, b = (_scored(options, gold, path, grouping) for path in options.pred)
    reports = {"a": a.report, "b": b.report}
    partial = any(report["ungrouped"] for report in reports.values())
    return {**compare_scored(a, b, grouping, options.seed), "grouping": a.grouping, "report": reports}, partial


def _agreement(options: Any) -> tuple[dict[str, Any], bool]:
    return agreement(read_annotations(options.data), options.grouping, seed=options.seed), False


def _scored(options: Any, gold: Table, path: str, grouping: How) -> Scored:
    """The predictions of a file scored; what must be said of them goes to stderr."""
    pred = read_table(path, options.compat, answers=True, unreadable=options.unreadable)
    scored = score_table(gold.labels, pred.labels, grouping, compat=options.compat, missing=options.missing)
    scored.report |= {"duplicates": len(gold.duplicates) + len(pred.duplicates), "unreadable": len(pred.unreadable)}
    notes = []
    for name, table in ((Path(options.gold).name, gold), (Path(path).name, pred)):
        notes += [f"{name} line {line}: {clip} stands again, with the same labels" for clip, line in
                  table.duplicates.items()]  # fmt: skip
    notes += [f"no list of labels, counted as 0: {clip} ({why})" for clip, why in pred.unreadable.items()]
    for note in notes + scored.notes:
        print(f"warning: {note}", file=sys.stderr)
    return scored


def _write_scores(path: str, scores: Mapping[str, tuple[float, float]]) -> None:
    try:
        with Path(path).open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("name", "accuracy", "recall"))
            rows.writerows((clip, accuracy, recall) for clip, (accuracy, recall) in scores.items())
    except OSError as error:
        raise MetricError(f"{path}: {error.strerror or error}") from error


def _grouping(options: Any) -> How:
    if options.groups:
        return groups_file(options.groups, options.compat)
    if options.wheel:
        return read_wheels(options.wheel, options.wheel_year)
    if options.llm:
        return llm_grouping(require(endpoint_from_env("LLM"), "LLM"), options.cache or cache_folder())
    return str(options.grouping)


if __name__ == "__main__":
    sys.exit(main())
