"""From evaluation files to figures: per cell a row of seeds by clips, with intervals over both.

Intervals are percentile bootstraps in two levels (2,000 draws): seeds are drawn with replacement, then clips, the same
ones for every arm, so that differences are paired. With three seeds the upper level is coarse; each seed's own figure
stands beside it in results.json.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models_ml.metrics import openset
from models_ml.synthetic.world import KINDS

from .arms import Cell

DRAWS = 2000


@dataclass(frozen=True)
class Scores:
    """accuracy, recall, exact: (seeds, clips); exact is 1 where the label set is that of the gold."""

    accuracy: np.ndarray
    recall: np.ndarray
    exact: np.ndarray

    @property
    def avg(self) -> np.ndarray:
        return (self.accuracy + self.recall) / 2

    def of(self, clips: np.ndarray) -> Scores:
        """Only these clips (indices or a mask)."""
        return Scores(self.accuracy[:, clips], self.recall[:, clips], self.exact[:, clips])


def read(folder: Path, cells: Sequence[Cell], clips: list[str]) -> Scores:
    """The scores of one arm's cells (one per seed) over the test clips in this order.

    Raises ValueError when an evaluation is missing or is not of exactly these clips.
    """
    rows = []
    for cell in cells:
        lines = {line["clip"]: line for line in evaluation(folder, cell)}
        if set(lines) != set(clips):
            raise ValueError(f"{cell.run} on {cell.snapshot}: evaluated on other clips than the test part's")
        rows.append([[*lines[clip]["scores"], _exact(lines[clip])] for clip in clips])
    table = np.array(rows, dtype=np.float64)
    return Scores(table[..., 0], table[..., 1], table[..., 2])


def _exact(line: dict[str, Any]) -> float:
    # Grouped, so that "worry" is as right as "worried".
    return float(line["scores"] == [1.0, 1.0])


def evaluation(folder: Path, cell: Cell) -> list[dict[str, Any]]:
    """The lines of a cell's evaluation of the test part: the last one, should there be several."""
    run, _, checkpoint = cell.run.partition("@")
    digest = json.loads((folder / "snapshots" / cell.snapshot / "manifest.json").read_text())["digest"]
    place = folder / "runs" / run / "evaluations"
    for path in sorted(place.glob("*.json"), reverse=True):
        said = json.loads(path.read_text(encoding="utf-8"))
        ours = said["split"] == "test" and said["snapshot"]["digest"] == digest and not said["during_training"]
        if ours and checkpoint in ("", said["checkpoint"]):
            lines = (place / said["predictions"]).read_text(encoding="utf-8").splitlines()
            return [json.loads(line) for line in lines]
    raise ValueError(f"no evaluation of {cell.run} on {cell.snapshot} in {place}")


def drawn(shape: tuple[int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Which seeds (draws, seeds) and how often each clip (draws, clips) the bootstrap takes."""
    rng = np.random.default_rng(seed)
    seeds = rng.integers(0, shape[0], (DRAWS, shape[0]))
    counts = rng.multinomial(shape[1], np.full(shape[1], 1 / shape[1]), DRAWS)
    return seeds, counts


def interval(values: np.ndarray) -> dict[str, Any]:
    """``{mean, ci95, seeds}`` in points (0 to 100) of values (seeds, clips)."""
    seeds, counts = drawn(values.shape)  # type: ignore[arg-type]
    per_seed = values @ counts.T / values.shape[1]  # (seeds, draws)
    means = np.take_along_axis(per_seed, seeds.T, axis=0).mean(0)
    low, high = np.percentile(means, [2.5, 97.5])
    return {
        "mean": round(100 * float(values.mean()), 2),
        "ci95": [round(100 * float(low), 2), round(100 * float(high), 2)],
        "seeds": [round(100 * float(value), 2) for value in values.mean(1)],
    }


def by_kind(scores: Scores, kinds: np.ndarray) -> dict[str, dict[str, Any]]:
    """Avg over all clips and over each kind."""
    return {"all": interval(scores.avg), **{kind: interval(scores.of(kinds == kind).avg) for kind in KINDS}}


def prior(train: list[list[str]], gold: list[list[str]]) -> dict[str, np.ndarray]:
    """What knowing only how often label sets occur gives: avg per gold clip when always the most frequent set is said
    (of equals the one that scores best here), and in expectation when sets are drawn as often as they occur."""
    sets = Counter(tuple(labels) for labels in train)
    # Each distinct pair is scored once by the metric itself.
    tables = {said: _against(list(said), gold) for said in sets}
    most = max(sets.values())
    constant = max((tables[said] for said in sets if sets[said] == most), key=lambda table: float(table.mean()))
    total = sum(sets.values())
    expected = np.sum([tables[said] * (count / total) for said, count in sets.items()], axis=0)
    return {"most frequent": constant, "drawn": expected}


def _against(said: list[str], gold: list[list[str]]) -> np.ndarray:
    known: dict[tuple[str, ...], float] = {}
    for labels in map(tuple, gold):
        if labels not in known:
            known[labels] = openset({"clip": list(labels)}, {"clip": said}, "lexicon")["avg"]
    return np.array([[known[tuple(labels)] for labels in gold]])
