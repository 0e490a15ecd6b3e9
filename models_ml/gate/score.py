"""The gate on claims whose verdicts are known: precision, recall and where it goes wrong."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models_ml.face import AuTrack
from models_ml.gate.judge import judge
from models_ml.gate.measures import CODES, OCCURS

VERDICTS = ("supported", "contradicted", "not_measurable")
NOTHING = "-"  # on one side of the confusion: not found, or not expected


class ClaimsError(ValueError):
    """A file of claims is malformed; the message names file and line."""


def score(path: str | Path) -> dict[str, Any]:
    """`{n, precision, recall, tp, fp, fn, confusion, codes}` of a JSONL file of clues with their expected claims.

    A found claim is right where one of the same code, polarity, person and verdict is expected. `confusion` counts
    expected verdict -> found verdict per claim ("-": not found, not expected); `codes` the same by code, with precision
    and recall. Raises ClaimsError naming the line.
    """
    lines = list(read(path))
    table: Counter[tuple[str, str]] = Counter()
    codes: dict[str, Counter[str]] = {}
    right = wrong = missed = 0
    for line in lines:
        expected = {_key(one) for one in line["expect"]}
        found = {_key(one) for one in judged(line)}
        right, wrong, missed = (
            right + len(expected & found),
            wrong + len(found - expected),
            missed + len(expected - found),
        )
        for code, outcome in _outcomes(expected, found):
            codes.setdefault(code, Counter())[outcome] += 1
        for pair in _pairs(expected, found):
            table[pair] += 1
    return {
        "n": len(lines),
        "precision": _share(right, right + wrong),
        "recall": _share(right, right + missed),
        "tp": right,
        "fp": wrong,
        "fn": missed,
        "confusion": {
            row: {column: table[row, column] for column in (*VERDICTS, NOTHING)} for row in (*VERDICTS, NOTHING)
        },
        "codes": {code: _row(codes[code]) for code in CODES if code in codes},
    }


def judged(line: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The gate's verdicts on one line of a file of claims."""
    return judge(
        line["text"],
        line["language"],
        modality=line["modality"],
        au=track_of(line),
        measures=line.get("measures"),
        subtitle=line.get("subtitle") or {},
        span=line.get("span"),
    )


def track_of(line: Mapping[str, Any]) -> AuTrack | None:
    """The action-unit track a line describes; None where it has none.

    `au`: `{"fps", "frames", "tracks": {"AU12": [[t0, t1, intensity], …]}, "columns": ["AU01", …]}`; a unit in `columns`
    or `tracks` is 0 outside its stretches, and present where its intensity is at least 1.0.
    """
    au = line.get("au")
    if au is None:
        return None
    n = int(au["frames"])
    times = np.arange(n) / float(au["fps"])
    intensity = {}
    for unit in sorted({*(au.get("columns") or ()), *au["tracks"]}):
        values = np.zeros(n)
        for start, end, strength in au["tracks"].get(unit, ()):
            values[(times >= start - 1e-9) & (times < end - 1e-9)] = strength
        intensity[unit] = values
    return AuTrack(
        frames=np.arange(1, n + 1),
        timestamps=times,
        success=np.ones(n, dtype=bool),
        confidence=np.ones(n),
        intensity=intensity,
        presence={unit: (values >= OCCURS).astype(float) for unit, values in intensity.items()},
    )


def read(path: str | Path) -> Iterable[dict[str, Any]]:
    """Lines of a file of claims, checked. Raises ClaimsError naming the line."""
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ClaimsError(f"{path}: cannot be read ({error})") from None
    for number, row in enumerate(text.split("\n"), 1):
        if not row.strip():
            continue
        try:
            line = json.loads(row)
        except (ValueError, RecursionError):
            raise ClaimsError(f"{path}: line {number}: not JSON") from None
        missing = [
            key for key in ("language", "modality", "text", "expect") if not isinstance(line, dict) or key not in line
        ]
        if missing:
            raise ClaimsError(f"{path}: line {number}: without {', '.join(missing)}")
        for one in line["expect"]:
            if not isinstance(one, dict) or one.get("claim") not in CODES or one.get("verdict") not in VERDICTS:
                raise ClaimsError(f"{path}: line {number}: {one!r} is no claim with its verdict")
        yield line


Key = tuple[str, bool, str, str]


def _key(one: Mapping[str, Any]) -> Key:
    return one["claim"], bool(one.get("negated")), one.get("who", "target"), one["verdict"]


def _outcomes(expected: set[Key], found: set[Key]) -> Iterable[tuple[str, str]]:
    for outcome, keys in (("tp", expected & found), ("fp", found - expected), ("fn", expected - found)):
        for key in sorted(keys):
            yield key[0], outcome


def _pairs(expected: set[Key], found: set[Key]) -> Iterable[tuple[str, str]]:
    """(expected verdict, found verdict) of each claim; those that differ only in person or polarity belong together."""
    left, over = sorted(expected - found), sorted(found - expected)
    for key in expected & found:
        yield key[3], key[3]
    for key in left:
        same = next((other for other in over if other[0] == key[0]), None)
        if same is not None:
            over.remove(same)
        yield key[3], same[3] if same else NOTHING
    for key in over:
        yield NOTHING, key[3]


def _row(counts: Counter[str]) -> dict[str, Any]:
    tp, fp, fn = (counts[outcome] for outcome in ("tp", "fp", "fn"))
    return {"tp": tp, "fp": fp, "fn": fn, "precision": _share(tp, tp + fp), "recall": _share(tp, tp + fn)}


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
