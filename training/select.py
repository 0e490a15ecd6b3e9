"""Which checkpoint of a run is its best: by a validation part, by the paper's way, or simply the last.

``validation``: the best epoch of the smoothed curve of a part of train that was set apart and not trained on; the test
split is then scored once. ``test-curve``: what the paper did, the best epoch of the smoothed *test* curve. It chooses
on the clips that are reported, so the figure is too high; it is there to repeat the paper and always says so.
``last``: the last checkpoint, which chooses nothing.

    python -m training best --run RUN --by validation
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .curves import Series, formula, read_evaluations, score_series
from .errors import UsageError
from .runlog import read_run, write_json
from .snapshot import Record

log = logging.getLogger("training")
WAYS = ("last", "validation", "test-curve")
VALIDATION = ("val", "valid", "validation", "dev")
ON_TEST = (
    "chosen on the test curve, as in the paper: its test score is too high, for the same clips chose it; "
    "compare it only with scores that were chosen this way, too"
)


@dataclass(frozen=True)
class Choice:
    """A checkpoint's folder name and why it is the one; ``score`` is its smoothed avg where a curve chose."""

    checkpoint: str
    why: str
    by: str
    epoch: float | None = None
    score: float | None = None
    warning: str | None = None


def best(
    evaluations: Iterable[dict[str, Any]], by: str, weight: float, kept: Iterable[str] | None = None
) -> Choice | None:
    """The best of these evaluations by ``validation`` or ``test-curve``; None where there is none of that split.

    The smoothing looks only back, so while a run goes on its best so far stays known: a later epoch either is better or
    changes nothing. Of equals the earliest counts. Where a split was evaluated in several ways (another grouping, say),
    the one with most epochs decides, of equals the first by name. With ``kept`` the whole curve is smoothed, but only
    these checkpoints may be chosen.

    Raises:
        UsageError: ``by`` is neither of the two.
    """
    if by not in WAYS[1:]:
        raise UsageError(f"the best epoch is chosen by {' or '.join(WAYS[1:])}, not {by!r}")
    splits = VALIDATION if by == "validation" else ("test",)
    told = [one for one in evaluations if one.get("split") in splits and one.get("checkpoint")]
    found: list[Series] = score_series("", told, "avg", weight)
    if not found:
        return None
    curve = max(found, key=lambda one: len(one.points))
    allowed = None if kept is None else set(kept)
    open_to = [i for i, point in enumerate(curve.points) if allowed is None or point.checkpoint in allowed]
    if not open_to:
        return None
    index = max(open_to, key=lambda i: (curve.smoothed[i], -i))
    point = curve.points[index]
    why = (
        f"epoch {point.epoch:g} has the highest avg on {curve.split} ({100 * curve.smoothed[index]:.2f} smoothed, "
        f"{100 * point.value:.2f} raw, n = {curve.n}) of {len(open_to)} evaluated; {formula(weight)}; grouping "
        f"{curve.grouping}, labels {curve.extraction}"
    )
    warning = ON_TEST if by == "test-curve" else None
    return Choice(str(point.checkpoint), why, by, point.epoch, curve.smoothed[index], warning)


def choose(run: str | Path, by: str | None = None, weight: float | None = None) -> Choice:
    """The best kept checkpoint of a run folder; ``by`` and ``weight`` default to the run's config. A warning is logged.

    Raises:
        UsageError: no run, no checkpoint, or no evaluation to choose by.
    """
    from .checkpoints import complete

    asked = (read_run(run).get("config") or {}).get("evaluate") or {}
    by = by or str(asked.get("select") or "last")
    weight = float(asked.get("smoothing") or 0.0) if weight is None else weight
    kept = [path.name for path in complete(run)]
    if not kept:
        raise UsageError(f"{run} holds no checkpoint")
    if by == "last":
        return Choice(kept[-1], "the last checkpoint", by)
    evaluations = read_evaluations(run)
    choice = best(evaluations, by, weight)
    if choice is None:
        split = "validation" if by == "validation" else "test"
        raise UsageError(
            f"--by {by}: {run} holds no evaluation of a {split} split with its epoch; train with evaluate.every=N, or "
            "evaluate the kept checkpoints with evaluate --every N"
        )
    if choice.checkpoint not in kept:
        log.warning("%s is not kept (%s); the best of those that are is taken", choice.checkpoint, choice.why)
        choice = best(evaluations, by, weight, kept)
        if choice is None:
            raise UsageError(f"--by {by}: no evaluated checkpoint of {run} is kept; keep them with train.keep_every")
    if choice.warning:
        log.warning("%s", choice.warning)
    return choice


def write_best(run: str | Path, choice: Choice) -> Path:
    """``RUN/checkpoints/best.json``: the choice, replaced whole."""
    path = Path(run) / "checkpoints" / "best.json"
    write_json(path, asdict(choice))
    return path


def command(run: str, by: str | None, weight: float | None) -> dict[str, Any]:
    """``python -m training best``: choose, keep the choice in best.json, and give it as the command's result."""
    choice = choose(run, by, weight)
    write_best(run, choice)
    result = {"run": str(Path(run).absolute()), **asdict(choice)}
    # Nobody shall read the score without having read the warning.
    return {"warning": choice.warning, **result} if choice.warning else result


def set_apart(
    records: list[Record], share: float, group_by: tuple[str, ...], seed: int
) -> tuple[list[Record], list[Record]]:
    """(to train on, for validation): about ``share`` of the records set apart, in their order.

    Clips of one source or speaker (as far as the snapshot was split by them) or of one media file stay together. Which
    groups go is a function of their clips' names and the seed alone: adding records elsewhere does not move them, and
    ``evaluate --split val`` finds the same part again.

    Raises:
        UsageError: the share is not between 0 and 1, or the records are one group, which cannot be parted.
    """
    if not 0 < share < 1:
        raise UsageError(f"evaluate.validation: {share} is not a share between 0 and 1")
    groups = _groups(records, ("media_sha256", *group_by))
    if len(groups) < 2:
        raise UsageError(
            f"evaluate.validation: the {len(records)} records to train on all belong together (by "
            f"{', '.join(('media', *group_by))}); no part of them can be set apart"
        )
    wanted = share * len(records)
    drawn = sorted(groups, key=lambda clips: hashlib.sha256(f"{seed}\n{min(clips)}".encode()).digest())
    apart: set[str] = set()
    for clips in drawn[:-1]:  # one group at least stays to train on
        # Taken when that brings the count nearer to the share; the first always.
        if not apart or abs(len(apart) + len(clips) - wanted) <= abs(len(apart) - wanted):
            apart.update(clips)
        if len(apart) >= wanted:
            break
    return (
        [record for record in records if record.clip not in apart],
        [record for record in records if record.clip in apart],
    )


def _groups(records: list[Record], fields: tuple[str, ...]) -> list[list[str]]:
    """Clips that share a value in any of the fields, directly or through others."""
    parent = {record.clip: record.clip for record in records}

    def root(clip: str) -> str:
        while parent[clip] != clip:
            parent[clip] = clip = parent[parent[clip]]
        return clip

    first: dict[tuple[str, str], str] = {}
    for record in records:
        for field in fields:
            value = getattr(record, field)
            if value:
                parent[root(record.clip)] = root(first.setdefault((field, value), record.clip))
    groups: dict[str, list[str]] = {}
    for record in records:
        groups.setdefault(root(record.clip), []).append(record.clip)
    return list(groups.values())
