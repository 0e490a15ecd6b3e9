"""Which models can pre-label, and how each is reached: the table of ``models.yaml`` with the papers' scores.

>>> [row.name for row in load() if row.modality == "audio" and row.way == "transformers"]
['Qwen2-Audio']
"""

from __future__ import annotations

import csv
import functools
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
MODALITIES = ("audio", "video", "image", "text", "omni", "face")
WAYS = ("openai", "transformers", "adapter", "track")
RUN_HERE = ("tiny", "served", "own", "recorded", "never")
LANGUAGES = ("en", "zh")
UNKNOWN = "unknown"


class RegistryError(ValueError):
    """The table cannot be used; the message names the row."""


@dataclass(frozen=True)
class Score:
    """A figure of the paper's tables, in per cent. ``model`` as the paper calls it, ``media`` what it was given: video,
    audio or both with a plus. ``std`` over two runs of the scoring model; None: not given."""

    table: str
    subset: str
    model: str
    media: str
    language: str  # english | chinese
    metric: str  # avg | accuracy_s | recall_s
    mean: float
    std: float | None


@dataclass(frozen=True)
class ModelRow:
    """One model; the head of ``models.yaml`` says what each field means. ``checked`` names which of the licences
    (code, weights) somebody here read; ``example`` is what goes into a pre-labeller's field ``model``."""

    key: str
    name: str
    modality: str
    languages: tuple[str, ...]
    licence: dict[str, str]
    checked: tuple[str, ...]
    link: str
    way: str
    runs_with: str
    example: str
    run_here: str
    family: str = ""
    note: dict[str, str] | None = None
    scores: tuple[Score, ...] = ()

    def score(self, language: str, metric: str = "avg") -> Score | None:
        """The first figure of this kind, in the order of the tables; None where the paper has none."""
        return next((one for one in self.scores if (one.language, one.metric) == (language, metric)), None)

    def results(self) -> list[dict[str, Any]]:
        """Its rows in tables 1, 2 and 4 (the 66 test clips of table 8 are among those of table 1): ``{table, model,
        media, english: Score | None, chinese: Score | None}``, the mean of accuracy and recall."""
        found: dict[tuple[str, str, str], dict[str, Any]] = {}
        for one in self.scores:
            if one.metric == "avg" and one.table != "8":
                key = (one.table, one.model, one.media)
                empty = dict(zip(("table", "model", "media"), key, strict=True)) | {"english": None, "chinese": None}
                found.setdefault(key, empty)[one.language] = one
        return list(found.values())


def load(path: Path | str = FOLDER / "models.yaml") -> list[ModelRow]:
    """All rows in their order. Raises RegistryError naming the row and the field that is wrong."""
    import yaml

    try:
        listed = yaml.safe_load(Path(path).read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise RegistryError(f"{path} cannot be read: {error}") from error
    if not isinstance(listed, list):
        raise RegistryError(f"{path} must hold a list of models")
    rows = [_row(item, place) for place, item in enumerate(listed, 1)]
    keys = [row.key for row in rows]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise RegistryError(f"model {twice[0]}: its key is there twice")
    return rows


def _row(item: Any, place: int) -> ModelRow:
    named = f"model {item.get('key') or place}" if isinstance(item, dict) else f"model {place}"
    if not isinstance(item, dict):
        raise RegistryError(f"{named}: must be a mapping")
    known = {one.name: one for one in fields(ModelRow)}
    needed = [name for name in known if name not in ("family", "note", "scores")]
    if alien := sorted(set(item) - set(known)):
        raise RegistryError(f"{named}: unknown field {alien[0]!r}")
    if absent := [name for name in needed if name not in item]:
        raise RegistryError(f"{named}: the field {absent[0]!r} is missing")
    allowed: dict[str, tuple[str, ...]] = {"modality": MODALITIES, "way": WAYS, "run_here": RUN_HERE}
    for name, values in allowed.items():
        if item[name] not in values:
            raise RegistryError(f"{named}: {name} must be one of {', '.join(values)}, not {item[name]!r}")
    for name in ("key", "name", "link", "runs_with", "example"):
        if not isinstance(item[name], str) or (not item[name] and name != "example"):
            raise RegistryError(f"{named}: {name} must be text")
    if not re.fullmatch(r"[a-z0-9.-]+", item["key"]) or not item["link"].startswith("https://"):
        raise RegistryError(f"{named}: the key is lower case with . and -, the link an https address")
    _check_lists(item, named)
    scores = tuple(score for wanted in item.get("scores", []) for score in _scores_of(wanted, named))
    tuples = {name: tuple(item[name]) for name in ("languages", "checked")}
    return ModelRow(**{**item, **tuples, "scores": scores})


def _check_lists(item: dict[str, Any], named: str) -> None:
    for name, values in (("languages", LANGUAGES), ("checked", ("code", "weights"))):
        if not isinstance(item[name], list) or not set(item[name]) <= set(values):
            raise RegistryError(f"{named}: {name} is a list of {', '.join(values)}")
    if not isinstance(item["licence"], dict) or set(item["licence"]) != {"code", "weights"}:
        raise RegistryError(f"{named}: licence needs code and weights")
    for part, words in item["licence"].items():
        if not isinstance(words, str) or not words:
            raise RegistryError(f"{named}: the licence of the {part} must be text")
        if words == UNKNOWN and part in item["checked"]:
            raise RegistryError(f"{named}: a licence that is unknown was not checked")
    note = item.get("note")
    if note is not None and (not isinstance(note, dict) or set(note) != {"en", "zh"}):
        raise RegistryError(f"{named}: a note needs en and zh")
    if item["way"] == "transformers" and not item.get("family"):
        raise RegistryError(f"{named}: a model of transformers needs a family")


def _scores_of(wanted: Any, named: str) -> list[Score]:
    if not isinstance(wanted, dict) or set(wanted) != {"model", "media"}:
        raise RegistryError(f"{named}: a score needs model and media")
    flags = tuple("1" if medium in wanted["media"] else "0" for medium in ("video", "audio"))
    found = table().get((wanted["model"], *flags))
    if not found:
        raise RegistryError(f"{named}: scores.csv has no {wanted['model']!r} with {wanted['media']}")
    return found


@functools.cache
def table() -> dict[tuple[str, str, str], list[Score]]:
    """The papers' figures by (model as the paper calls it, video given, audio given): "0" or "1" each."""
    scores: dict[tuple[str, str, str], list[Score]] = {}
    with (FOLDER / "scores.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            std = float(row["std"]) if row["std"] else None
            media = "+".join(name for name, flag in (("video", "V"), ("audio", "A")) if row[flag] == "1")
            number, subset, model = row["table"], row["subset"], row["model"]
            one = Score(number, subset, model, media, row["language"], row["metric"], float(row["mean"]), std)
            scores.setdefault((row["model"], row["V"], row["A"]), []).append(one)
    return scores


__all__ = ["FOLDER", "MODALITIES", "RUN_HERE", "UNKNOWN", "WAYS", "ModelRow", "RegistryError", "Score", "load", "table"]
