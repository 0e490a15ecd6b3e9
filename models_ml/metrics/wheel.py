"""The emotion wheels of MER2025 and MER2026: from a label to its cluster in each of five wheels, and their tables.

A wheel folder is what those challenges publish: ``wheel1.xlsx`` … ``wheel5.xlsx`` (columns level1, level2, level3),
``synonym.xlsx`` (``word_runK``, ``synonym_runK``: what a model named as synonyms of each wheel word, in eight runs)
and ``format.csv`` (``name,format``: surface forms of words and synonyms). Written from the description of the metric
and held against its published figures; the folder itself is not part of this project.

A label is looked up as a surface form of names, these as synonyms of wheel words; of all wheel words found the
alphabetically first that stands in a wheel decides its cluster there. A label that leads to none is dropped.
"""

from __future__ import annotations

import csv
import functools
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models_ml.metrics.labels import MetricError

YEARS = (2025, 2026)
LEVELS = ("level1", "level2")
WHEELS = tuple(f"wheel{number}" for number in range(1, 6))
#: what can be scored: every wheel at both levels, and the two steps before a wheel (cases 1 and 2 of MER2025)
STEPS = FORMS, SYNONYMS = "forms", "synonyms"
COMPILED = "wheel_mapping.npz"


@dataclass(frozen=True, eq=False)
class Wheels:
    """The tables of a wheel folder. ``year`` says which levels make the score: 2025 both, 2026 the first."""

    forms: Mapping[str, tuple[str, ...]]  # surface form -> names that have it
    words: Mapping[str, tuple[str, ...]]  # name -> wheel words that it is a synonym of
    clusters: Mapping[tuple[str, str], Mapping[str, str]]  # (wheel, level) -> wheel word -> cluster
    year: int = 2025

    @property
    def parts(self) -> list[tuple[str, str]]:
        """The (wheel, level) pairs whose mean is the score."""
        return [(wheel, level) for level in (LEVELS if self.year == 2025 else LEVELS[:1]) for wheel in WHEELS]

    def candidates(self, label: str) -> tuple[str, ...]:
        """All wheel words of a label (lower case, stripped), sorted."""
        names = self.forms.get(label, ())
        return tuple(sorted({word for name in names for word in self.words.get(name, ())}))

    def cluster(self, label: str, wheel: str, level: str) -> str | None:
        """The label's cluster, None where the wheel has no word for it."""
        place = self.clusters[wheel, level]
        return next((place[word] for word in self.candidates(label) if word in place), None)

    def step(self, label: str, case: str) -> str | None:
        """The alphabetically first name of a label (``forms``), or the first wheel word of that name (``synonyms``)."""
        names = self.forms.get(label)
        if not names:
            return None
        name = min(names)
        return name if case == FORMS else min(self.words.get(name, ()), default=None)

    def known(self, label: str) -> bool:
        """Whether the label is in the vocabulary, so that some wheel word stands for it."""
        return label in self.forms


def read_wheels(folder: Path | str, year: int = 2025) -> Wheels:
    """The tables of a wheel folder.

    Raises MetricError: a file is missing, cannot be read or has other columns; openpyxl is not installed; the path is
    the compiled ``wheel_mapping.npz`` (or a folder with nothing else), which holds pickled Python objects: opening
    such a file can run any code that somebody put there, so it is refused; the tables it was made from say the same.
    """
    folder = Path(folder)
    if year not in YEARS:
        raise MetricError(f"there is no wheel metric of {year}; known: {', '.join(map(str, YEARS))}")
    if folder.suffix == ".npz" or ((folder / COMPILED).is_file() and not (folder / "format.csv").is_file()):
        raise MetricError(
            f"{COMPILED} is refused: it holds pickled Python objects, which can run code when they are opened. "
            "Name the folder with wheel1.xlsx to wheel5.xlsx, synonym.xlsx and format.csv: the same tables"
        )
    wheels = {wheel: _wheel(folder / f"{wheel}.xlsx") for wheel in WHEELS}
    every = {word for tree in wheels.values() for word in _every(tree)}
    return Wheels(
        forms=_forms(folder / "format.csv"),
        words=_synonyms(folder / "synonym.xlsx", every),
        clusters={(wheel, level): _clusters(tree, level) for wheel, tree in wheels.items() for level in LEVELS},
        year=year,
    )


def wheel_scores(
    gold: Mapping[str, Sequence[str]], pred: Mapping[str, Sequence[str]], clips: Sequence[str], wheels: Wheels,
    parts: Sequence[tuple[str, str]],
) -> np.ndarray:  # fmt: skip
    """(clips, parts, 2): precision and recall of each clip in each part; NaN where no gold label has a cluster.

    ``parts`` are (wheel, level) pairs, or (``forms``, "") and (``synonyms``, "").
    """

    @functools.cache
    def places(label: str) -> tuple[str | None, ...]:
        return tuple(
            wheels.step(label, part) if part in STEPS else wheels.cluster(label, part, level) for part, level in parts
        )

    def sets(labels: Iterable[str]) -> list[set[str]]:
        found = [places(label.strip().lower()) for label in labels]
        return [{place for row in found if (place := row[part]) is not None} for part in range(len(parts))]

    scores = np.full((len(clips), len(parts), 2), np.nan)
    for row, clip in enumerate(clips):
        for part, (truth, guess) in enumerate(zip(sets(gold[clip]), sets(pred[clip]), strict=True)):
            if truth:
                both = len(truth & guess)
                scores[row, part] = both / len(guess) if guess else 0.0, both / len(truth)
    return scores


def vocabulary(wheels: Wheels, labels: Iterable[str]) -> dict[str, int]:
    """``{known, all}``: how many of these labels the tables know; the others vanish from the score."""
    every = [label.strip().lower() for label in labels]
    return {"known": sum(map(wheels.known, every)), "all": len(every)}


Tree = dict[str, dict[str, list[str]]]


def _wheel(path: Path) -> Tree:
    """level1 -> level2 -> [level3]; a blank cell repeats what stands above it."""
    tree: Tree = {}
    above = ["", "", ""]
    for line, row in enumerate(_sheet(path, (*LEVELS, "level3")), 2):
        cells = [row[level] for level in (*LEVELS, "level3")]
        if not any(cells):
            continue
        above = [cell or last for cell, last in zip(cells, above, strict=True)]
        if not all(above):
            raise MetricError(f"{path.name} line {line}: an empty cell with nothing above it")
        tree.setdefault(above[0], {}).setdefault(above[1], []).append(above[2])
    return tree


def _every(tree: Tree) -> Iterable[str]:
    for one, inner in tree.items():
        yield one
        for two, three in inner.items():
            yield two
            yield from three


def _clusters(tree: Tree, level: str) -> dict[str, str]:
    """Wheel word -> cluster; of a word that stands twice the last place counts, as in the original."""
    found: dict[str, str] = {}
    for one, inner in tree.items():
        found[one] = one if level == "level1" else min(inner)
        for two, three in inner.items():
            cluster = one if level == "level1" else two
            found |= dict.fromkeys((two, *three), cluster)
    return found


def _synonyms(path: Path, every: set[str]) -> dict[str, tuple[str, ...]]:
    """Name -> wheel words: each wheel word itself, and what all runs named as its synonyms."""
    found: dict[str, set[str]] = {}
    rows = _sheet(path, ("word_run1", "synonym_run1"))
    runs = [head.removeprefix("word_") for head in rows[0] if head.startswith("word_")] if rows else []
    for line, row in enumerate(rows, 2):
        for run in runs:
            word = row[f"word_{run}"]
            if word and word not in every:
                raise MetricError(f"{path.name} line {line}: {word!r} (word_{run}) stands in no wheel")
            for name in (word, *_items(row.get(f"synonym_{run}", ""))) if word else ():
                found.setdefault(name, set()).add(word)
    return {name: tuple(sorted(words)) for name, words in found.items()}


def _forms(path: Path) -> dict[str, tuple[str, ...]]:
    """Surface form -> the names that have it; every name is a form of itself."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise MetricError(f"{path.name}: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise MetricError(f"{path.name}: {error}") from error
    if not rows or not {"name", "format"} <= set(rows[0]):
        raise MetricError(f"{path.name}: wanted the columns name,format")
    found: dict[str, set[str]] = {}
    for row in rows:
        name = (row["name"] or "").strip().lower()
        for form in (name, *_items(row["format"] or "")):
            found.setdefault(form, set()).add(name)
    return {form: tuple(sorted(names)) for form, names in found.items()}


def _items(text: str) -> list[str]:
    return [item for part in text.split(",") if (item := part.strip().lower())]


def _sheet(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a workbook's first sheet by column, as text, lower case and stripped; an empty cell is ""."""
    try:
        from openpyxl import load_workbook
        from openpyxl.utils.exceptions import InvalidFileException
    except ImportError as error:
        raise MetricError(f"{path.name}: openpyxl is needed to read it (requirements/ml.txt)") from error
    try:
        book = load_workbook(path, read_only=True, data_only=True)
        try:
            rows = [[_text(cell) for cell in row] for row in book.worksheets[0].iter_rows(values_only=True)]
        finally:
            book.close()
    except OSError as error:
        raise MetricError(f"{path.name}: {error.strerror or error}") from error
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError, IndexError, SyntaxError) as error:
        raise MetricError(f"{path.name}: not a workbook ({error})") from error
    heads = rows[0] if rows else []
    absent = [column for column in columns if column not in heads]
    if absent:
        raise MetricError(f"{path.name}: no column {' and no column '.join(absent)}")
    return [dict(zip(heads, row + [""] * (len(heads) - len(row)), strict=False)) for row in rows[1:]]


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell).strip().lower()
