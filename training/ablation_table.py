"""The tables of an ablation: mean over seeds with 95 % intervals, as CSV, Markdown (the shape of Table 4) and JSON."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np

from .runlog import write_json

KEYS = ("avg", "accuracy", "recall")
RESAMPLES = 2000
Place = tuple[tuple[str, str], ...]  # factor and value, as a key


def write_tables(out: Path, kind: str, cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Write ``results.json``, ``results.csv`` and ``results.md``; returns the rows, one per place of the table."""
    rows = rows_of(cells)
    pairs = differences(kind, cells)
    write_json(out / "results.json", {"kind": kind, "rows": rows, "differences": pairs})
    for name, text in (("results.csv", as_csv(rows, cells)), ("results.md", as_markdown(kind, rows, cells, pairs))):
        temporary = out / f"{name}.tmp"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(out / name)
    return rows


def differences(kind: str, cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each place against the one that it is to be judged by, clip by clip over the mean of the seeds: ``{place,
    against, n, difference, ci95, p}`` (see `models_ml.metrics.compare`; difference = place - against).

    Judged by: of ``init-stages`` stage 2 alone with the same beginning; of ``modality`` all; else the first arm.
    """
    from models_ml.metrics import MetricError, compare

    scores: dict[Place, dict[str, list[list[float]]]] = {}
    for cell in cells:
        own = scores.setdefault(tuple(cell["place"].items()), {})
        for clip, pair in cell["scores"].items():
            own.setdefault(clip, []).append(pair)
    means = {
        place: {clip: np.mean(pairs, axis=0).tolist() for clip, pairs in own.items()} for place, own in scores.items()
    }
    found = []
    for place in means:
        against = _judged_by(kind, place, list(means))
        if against is None or against == place:
            continue
        try:
            told = compare(means[place], means[against])
        except MetricError:  # a single clip
            continue
        found.append({"place": dict(place), "against": dict(against),
                      **{key: told[key] for key in ("n", "difference", "ci95", "p")}})  # fmt: skip
    return found


def _judged_by(kind: str, place: Place, places: list[Place]) -> Place | None:
    if kind == "init-stages":
        own = dict(place)
        alone = [one for one in places if dict(one)["init"] == own["init"] and dict(one)["stage 1"] == "none"
                 and dict(one)["stage 2"] != "none"]  # fmt: skip
        return alone[0] if alone else None
    if kind == "modality":
        return next((one for one in places if dict(one)["modality"] == "all"), places[0])
    return places[0]


def rows_of(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """``{place, seeds, n, avg, accuracy, recall, ci95, sd, grouping, extraction, route}`` per place of the table, in
    the cells' order. ``sd``: between seeds, None of one. Clips that a seed lacks are left out of its place."""
    places: dict[Place, list[dict[str, Any]]] = {}
    for cell in cells:
        places.setdefault(tuple(cell["place"].items()), []).append(cell)
    rows = []
    for place, own in places.items():
        clips = sorted(set.intersection(*(set(cell["scores"]) for cell in own)))
        scores = np.array([[cell["scores"][clip] for clip in clips] for cell in own], dtype=np.float64)
        means = _figures(scores.mean(axis=1))  # one per seed
        rows.append({
            "place": dict(place), "seeds": [cell["seed"] for cell in own], "n": len(clips),
            **{key: float(means[key].mean()) for key in KEYS}, "ci95": intervals(scores),
            "sd": {key: float(means[key].std(ddof=1)) for key in KEYS} if len(own) > 1 else None,
            **{key: own[0][key] for key in ("grouping", "extraction", "route", "split", "snapshot")},
            "leak": next((cell["leak"] for cell in own if cell["leak"]), None),
        })  # fmt: skip
    return rows


def intervals(scores: np.ndarray, seed: int = 0) -> dict[str, list[float]]:
    """95 % percentile bootstrap of the mean over seeds; scores: (seeds, clips, 2) of accuracy and recall.

    Clips and seeds are both drawn with replacement, for the same clips come back in every seed; with one seed clips
    alone. Of few seeds the share of chance between runs is underestimated: sd stands beside it.
    """
    random = np.random.default_rng(seed)
    seeds, clips = scores.shape[:2]
    drawn = np.empty((RESAMPLES, 2))
    for index in range(RESAMPLES):
        chosen = scores[random.integers(0, seeds, seeds)] if seeds > 1 else scores
        counts = np.bincount(random.integers(0, clips, clips), minlength=clips)
        drawn[index] = np.einsum("c,scm->m", counts, chosen) / (clips * seeds)
    found = _figures(drawn)
    return {key: [float(edge) for edge in np.percentile(found[key], [2.5, 97.5])] for key in KEYS}


def _figures(values: np.ndarray) -> dict[str, np.ndarray]:
    return {"avg": values.mean(axis=1), "accuracy": values[:, 0], "recall": values[:, 1]}


def as_csv(rows: list[dict[str, Any]], cells: list[dict[str, Any]]) -> str:
    """A line per cell and seed, then one per place with ``seed`` = mean; scores in points of 100."""
    factors = list(dict.fromkeys(factor for row in rows for factor in row["place"]))
    names = [f"{key}{end}" for key in KEYS for end in ("", "_low", "_high")]
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow([*factors, "seed", "n", *names, *(f"{key}_sd" for key in KEYS), "split", "grouping", "extraction",
                    "route", "run", "checkpoint"])  # fmt: skip
    for one in [*cells, *rows]:
        figures = [f"{100 * value:.2f}" for key in KEYS for value in (one[key], *one["ci95"][key])]
        spread = [f"{100 * one['sd'][key]:.2f}" if one.get("sd") else "" for key in KEYS]
        lines.writerow([
            *(one["place"].get(factor, "") for factor in factors), one.get("seed", "mean"), one["n"], *figures,
            *spread, one["split"], one["grouping"], one["extraction"], one["route"], one.get("run", ""),
            one.get("checkpoint", ""),
        ])  # fmt: skip
    return out.getvalue()


def as_markdown(kind: str, rows: list[dict[str, Any]], cells: list[dict[str, Any]], pairs: list[dict[str, Any]]) -> str:
    """The table, of ``init-stages`` with the two beginnings side by side as in the paper's Table 4, and below it the
    paired differences."""
    if not rows:
        return f"# Ablation {kind}\n\nNo cell is done.\n"
    across = "init" if kind == "init-stages" else None
    columns = list(dict.fromkeys(row["place"][across] for row in rows)) if across else [""]
    factors = [factor for factor in rows[0]["place"] if factor != across]
    head = [*factors, *(f"{column} {key}".strip() for column in columns for key in KEYS)]
    lines = [f"# Ablation {kind}", "", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    by_place: dict[tuple[str, ...], dict[str, dict[str, Any]]] = {}
    for row in rows:
        place = tuple(row["place"][factor] for factor in factors)
        by_place.setdefault(place, {})[row["place"].get(across, "") if across else ""] = row
    for place, found in by_place.items():
        values = [_shown(found.get(column), key) for column in columns for key in KEYS]
        lines.append(f"| {' | '.join([*place, *values])} |")
    first = rows[0]
    seeds = sorted({len(row["seeds"]) for row in rows})
    clips = sorted({row["n"] for row in rows})
    lines += [
        "",
        f"Points of 100, mean over {_range(seeds)} seed{'s' if seeds != [1] else ''} (seeds {_seeds(cells)}), "
        f"n = {_range(clips)} clips of split {first['split']}, snapshot {first['snapshot']['name']} "
        f"({first['snapshot']['digest'][:12]}). In brackets 95 % intervals: percentile bootstrap over clips"
        f"{' and seeds' if seeds[-1] > 1 else '; one seed says nothing of chance between runs'}.",
        f"Grouping {_all(rows, 'grouping')}, labels {_all(rows, 'extraction')}, {_all(rows, 'route')}. Whether "
        "two cells differ is not told by their intervals, for the clips are the same; it is told by the paired "
        "differences.",
    ]
    if any("test-curve" in row["place"].get("stage 2", "") for row in rows):
        lines.append("The epoch of stage 2 was chosen on the test curve, as in the paper: these figures are too high.")
    if any(row["place"].get("modality") == "text" for row in rows):
        lines.append("`text` reaches no branch: without LoRA it is the language model as it was before training.")
    if pairs:
        lines += ["", "## Paired differences of avg", "", "| cell | against | n | difference | 95 % | p |",
                  "|---|---|---|---|---|---|"]  # fmt: skip
        for one in pairs:
            low, high = (100 * edge for edge in one["ci95"]["avg"])
            lines.append(
                f"| {_named(one['place'])} | {_named(one['against'])} | {one['n']} | "
                f"{100 * one['difference']['avg']:+.2f} | {low:+.1f} to {high:+.1f} | {one['p']['avg']:.3g} |"
            )
        many = f" {len(pairs)} p values are told, so the smallest is small by chance, too." if len(pairs) > 1 else ""
        lines += ["", "Clip by clip, over the mean of the seeds: paired bootstrap, permutation test; chance between "
                  f"runs is not in them.{many}"]  # fmt: skip
    leaks = [row["leak"] for row in rows if row["leak"]]
    return "\n".join([f"**{leaks[0]}**", "", *lines] if leaks else lines) + "\n"


def _named(place: dict[str, str]) -> str:
    return ", ".join(f"{factor} {value}" for factor, value in place.items())


def _shown(row: dict[str, Any] | None, key: str) -> str:
    if row is None:
        return "failed"
    low, high = row["ci95"][key]
    return f"{100 * row[key]:.2f} [{100 * low:.1f}, {100 * high:.1f}]"


def _range(values: list[int]) -> str:
    return str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"


def _seeds(cells: list[dict[str, Any]]) -> str:
    return ", ".join(str(seed) for seed in sorted({cell["seed"] for cell in cells}))


def _all(rows: list[dict[str, Any]], key: str) -> str:
    return ", ".join(dict.fromkeys(str(row[key]) for row in rows))
