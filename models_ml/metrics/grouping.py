"""G(·) of the set-level metric:

which labels of a clip mean the same. A grouping maps a clip's labels to representatives.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from models_ml.llm import Endpoint
from models_ml.metrics.asking import LlmGrouping
from models_ml.metrics.labels import MetricError
from models_ml.metrics.lexicon import group_name

Groups = Sequence[Sequence[str]]
#: (clip name, its distinct gold and predicted labels, sorted) -> {label: representative}; absent = its own group.
Grouping = Callable[[str, Sequence[str]], Mapping[str, str]]


def mapping_of(groups: Groups) -> dict[str, str]:
    """Label -> first label of its group; of a label in two groups the last group wins (as in MER2024's scorer)."""
    return {label: group[0] for group in groups for label in group}


def no_grouping(name: str, labels: Sequence[str]) -> dict[str, str]:
    """Every label is its own group."""
    return {}


def lexicon_grouping(name: str, labels: Sequence[str]) -> dict[str, str]:
    """Synonyms by the bilingual lexicon in any of their forms, so a Chinese word may match an English one."""
    return {label: f"lexicon:{found}" for label in labels if (found := group_name(label))}


def groups_file(path: Path | str, compat: str | None = None) -> Grouping:
    """Groups by clip from ``{name: [[label, …], …]}``; a clip that is not in the file has none.

    With ``compat="mer2024"`` labels are looked up exactly as written, as in the original; else also in lower case.
    Raises MetricError when the file cannot be read or has another shape.
    """
    path = Path(path)
    try:
        loaded = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise MetricError(f"{path.name}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise MetricError(f"{path.name}: not JSON ({error})") from error
    if not isinstance(loaded, dict):
        raise MetricError(f"{path.name}: wanted an object {{name: [[label, …], …]}}")
    return from_groups({name: _checked(f"{path.name}, {name}", groups) for name, groups in loaded.items()}, compat)


def from_groups(groups: Mapping[str, Groups], compat: str | None = None) -> Grouping:
    """A grouping from groups by clip name, see ``groups_file``."""

    def by_clip(name: str, labels: Sequence[str]) -> dict[str, str]:
        exact = mapping_of(groups.get(name, []))
        if compat == "mer2024":
            return exact
        folded = {label.strip().lower(): first for label, first in exact.items()}
        return folded | exact

    by_clip.__name__ = "groups"  # what it is called beside a figure
    return by_clip


def llm_grouping(endpoint: Endpoint, cache: Path | str | None = None) -> LlmGrouping:
    """Groups asked from the text LLM, clip by clip (`models_ml.metrics.asking`); the question is the same whenever the
    labels are the same.

    What it returns raises ModelFailure when no usable grouping came in four attempts.
    """
    return LlmGrouping(endpoint, cache)


def is_groups(value: object) -> bool:
    """Whether this is a list of non-empty lists of strings."""
    return isinstance(value, list) and all(
        isinstance(group, list) and group and all(isinstance(label, str) for label in group) for group in value
    )


def _checked(where: str, groups: object) -> Groups:
    if not is_groups(groups):
        raise MetricError(f"{where}: wanted a list of non-empty lists of labels")
    return groups  # type: ignore[return-value]


NAMED: dict[str, Grouping] = {"lexicon": lexicon_grouping, "none": no_grouping}
