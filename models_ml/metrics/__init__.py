"""Set-level metric of open-vocabulary emotion labels, label grouping, and the lexicon behind it."""

from __future__ import annotations

from models_ml.metrics.grouping import from_groups, groups_file, lexicon_grouping, llm_grouping, no_grouping
from models_ml.metrics.labels import MetricError, parse_mer2024, parse_strict, read_openset
from models_ml.metrics.lexicon import lexicon_labels
from models_ml.metrics.openset import bootstrap, openset, score

__all__ = [
    "MetricError",
    "bootstrap",
    "from_groups",
    "groups_file",
    "lexicon_grouping",
    "lexicon_labels",
    "llm_grouping",
    "no_grouping",
    "openset",
    "parse_mer2024",
    "parse_strict",
    "read_openset",
    "score",
]
