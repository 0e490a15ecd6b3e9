"""Set-level metric of open-vocabulary emotion labels, label grouping, and the lexicon behind it (docs/metric.md)."""

from __future__ import annotations

from models_ml.metrics.bootstrap import bootstrap
from models_ml.metrics.compare import compare
from models_ml.metrics.grouping import from_groups, groups_file, lexicon_grouping, llm_grouping, no_grouping
from models_ml.metrics.labels import MetricError, parse_answer, parse_mer2024, parse_strict, read_openset, read_table
from models_ml.metrics.lexicon import group_name, lexicon_labels
from models_ml.metrics.openset import openset, score, score_clips
from models_ml.metrics.wheel import read_wheels

__all__ = [
    "MetricError",
    "bootstrap",
    "compare",
    "from_groups",
    "group_name",
    "groups_file",
    "lexicon_grouping",
    "lexicon_labels",
    "llm_grouping",
    "no_grouping",
    "openset",
    "parse_answer",
    "parse_mer2024",
    "parse_strict",
    "read_openset",
    "read_table",
    "read_wheels",
    "score",
    "score_clips",
]
