"""The demonstration's tables: results.json, table4.csv and report.md."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from models_ml.synthetic.world import KINDS

from .arms import MODALITIES, Arms, Cell
from .figures import Scores, by_kind, interval, prior, read

Facts = list[dict[str, Any]]
SYNTHETIC = (
    "**Synthetic.** Drawn faces, eSpeak voices, sentences from a grammar, a rule of our own. The figures show that the "
    "arrangement learns what there is to learn in this world; they say nothing about people."
)


def results(folder: Path, arms: Arms, facts: dict[str, Facts]) -> dict[str, Any]:
    """Every figure that the tables show, and what they are of."""
    test = facts["test"]
    clips, kinds = [fact["clip"] for fact in test], np.array([fact["scene"]["kind"] for fact in test])
    grouped: dict[tuple[str, int, bool, str], list[Cell]] = {}
    for cell in arms.cells:
        grouped.setdefault((cell.arm, cell.stage1, cell.stage2, cell.snapshot), []).append(cell)
    scores = {key: read(folder, cells, clips) for key, cells in grouped.items()}
    whole = arms.size.stage1_epochs
    both = scores.get(("pretrained", whole, True, "fine"))
    found: dict[str, Any] = {
        "synthetic": True, "clips": len(clips), "seeds": list(arms.size.seeds), "extraction": "lexicon",
        "grouping": "lexicon", "pretraining": json.loads((folder / "pretraining.json").read_text()),
        "table": [_row(key, value) for key, value in scores.items() if key[0] not in MODALITIES and key[3] == "fine"],
        "prior": _prior(facts, kinds),
    }  # fmt: skip
    found["gains"] = _gains(scores, whole)
    alone = {name: scores[key] for key in scores for name in MODALITIES if key[0] == name}
    if both is not None and alone:
        found["modalities"] = {"all three": by_kind(both, kinds)}
        found["modalities"] |= {name: by_kind(value, kinds) for name, value in alone.items()}
        found["over_alone"] = {
            name: {"all": interval(both.avg - value.avg),
                   "combination": interval((both.avg - value.avg)[:, kinds == "combination"])}
            for name, value in alone.items()
        }  # fmt: skip
    found["shuffled"] = {
        snapshot: by_kind(scores[key], kinds) for key in scores if (snapshot := key[3]) in ("shuffled", "swapped")
    }
    return found


def _row(key: tuple[str, int, bool, str], scores: Scores) -> dict[str, Any]:
    names = ("accuracy", "recall", "avg", "exact")
    return {"init": key[0], "stage1": key[1], "stage2": key[2],
            **{name: interval(getattr(scores, name)) for name in names}}  # fmt: skip


def _gains(scores: dict[tuple[str, int, bool, str], Scores], whole: int) -> dict[str, Any]:
    """Two stages against either alone, the same init, paired."""
    found = {}
    for init in ("pretrained", "random"):
        both = scores.get((init, whole, True, "fine"))
        for name, key in (("stage 1 alone", (init, whole, False, "fine")), ("stage 2 alone", (init, 0, True, "fine"))):
            if both is not None and key in scores:
                found[f"{init}: two stages over {name}"] = interval(both.avg - scores[key].avg)
    return found


def _prior(facts: dict[str, Facts], kinds: np.ndarray) -> dict[str, Any]:
    from models_ml.synthetic.world import EMOTIONS

    train, gold = ([list(EMOTIONS[fact["scene"]["emotion"]].en) for fact in facts[part]] for part in ("fine", "test"))
    tables = prior(train, gold)
    return {
        name: {"all": round(100 * float(table.mean()), 2),
               **{kind: round(100 * float(table[:, kinds == kind].mean()), 2) for kind in KINDS}}
        for name, table in tables.items()
    }  # fmt: skip


def write(folder: Path, found: dict[str, Any]) -> str:
    """results.json, table4.csv and report.md; returns the report."""
    (folder / "results.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    with (folder / "table4.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        measures = ("avg", "accuracy", "recall", "exact")
        head = [f"{measure}_{part}" for measure in measures for part in ("mean", "low", "high")]
        writer.writerow(["synthetic", "init", "stage1_epochs", "stage2", *head])
        for row in found["table"]:
            cells = [value for measure in measures for value in (row[measure]["mean"], *row[measure]["ci95"])]
            writer.writerow(["yes", row["init"], row["stage1"], "best" if row["stage2"] else "none", *cells])
    text = markdown(found)
    (folder / "report.md").write_text(text, encoding="utf-8")
    return text


def markdown(found: dict[str, Any]) -> str:
    """The tables as Markdown."""
    parts = [
        "# Learning shown in a synthetic world",
        SYNTHETIC,
        f"{found['clips']} test clips, seeds {', '.join(map(str, found['seeds']))}; set-level metric in points, labels "
        f"read by {found['extraction']}, grouping {found['grouping']}; mean over seeds [95 % interval over seeds and "
        "clips].",
        *_table4(found),
        *_lines("## Two stages against one (points of Avg, paired)", found["gains"]),
        *_modalities(found),
        *_shuffled(found),
        *_pretraining(found["pretraining"]),
    ]
    return "\n\n".join(parts) + "\n"


def _said(figure: dict[str, Any]) -> str:
    return f"{figure['mean']:.1f} [{figure['ci95'][0]:.1f}, {figure['ci95'][1]:.1f}]"


def _grid(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _table4(found: dict[str, Any]) -> list[str]:
    by = {(row["stage1"], row["stage2"], row["init"]): row for row in found["table"]}
    rows = []
    for stage1, stage2 in sorted({key[:2] for key in by}):
        line = [str(stage1) if stage1 else "-", "best" if stage2 else "-"]
        for init in ("pretrained", "random"):
            row = by.get((stage1, stage2, init))
            line += ["", "", ""] if row is None else [
                _said(row["avg"]), f"{row['accuracy']['mean']:.1f}", f"{row['recall']['mean']:.1f}"
            ]  # fmt: skip
        rows.append(line)
    head = ["stage 1 (epochs)", "stage 2", "pretrained Avg", "Acc", "Rec", "random Avg", "Acc", "Rec"]
    if not rows:
        return []
    return ["## In the shape of the paper's Table 4", _grid(head, rows)]


def _lines(title: str, figures: dict[str, dict[str, Any]]) -> list[str]:
    if not figures:
        return []
    return [title, "\n".join(f"- {name}: {_said(figure)}" for name, figure in figures.items())]


def _modalities(found: dict[str, Any]) -> list[str]:
    if "modalities" not in found:
        return []
    head = ["trained and tested with", "all clips", *(f"{kind} tells" for kind in KINDS[:3]), "combination only"]
    rows = [[name, *(_said(figure[kind]) for kind in ("all", *KINDS))] for name, figure in found["modalities"].items()]
    for name, figure in found["prior"].items():
        rows.append([f"label prior, {name}", *(f"{figure[kind]:.1f}" for kind in ("all", *KINDS))])
    gains = {f"over {name} alone": figure["combination"] for name, figure in found["over_alone"].items()}
    return ["## Modalities (Avg)", _grid(head, rows), *_lines("All three, combination-only clips:", gains)]


def _shuffled(found: dict[str, Any]) -> list[str]:
    if not found["shuffled"]:
        return []
    said = {"shuffled": "another clip's media and subtitle", "swapped": "another clip's media, own subtitle"}
    head = ["the two-stage model with", "all clips", *(f"{kind} tells" for kind in KINDS[:3]), "combination only"]
    rows = [
        [said[name], *(_said(figure[kind]) for kind in ("all", *KINDS))] for name, figure in found["shuffled"].items()
    ]
    for name, figure in found["prior"].items():
        rows.append([f"label prior, {name}", *(f"{figure[kind]:.1f}" for kind in ("all", *KINDS))])
    return ["## Shuffled evidence (Avg)", _grid(head, rows)]


def _pretraining(figures: dict[str, Any]) -> list[str]:
    def listed(values: dict[str, float]) -> str:
        return ", ".join(f"{name} {value:.2f}" for name, value in values.items())

    language = figures["language"]
    return [
        "## Frozen parts (pre-trained here, on other people and on texts alone)",
        f"- picture encoder, correlation on held-out people: {listed(figures['vision'])}\n"
        f"- audio encoder: {listed(figures['audio'])}\n"
        f"- language model: {language['parameters']:,} parameters, {language['tokens']} tokens; perplexity of new "
        f"texts {language['text']:.3f}, of their answers {language['answer']:.3f}; given all clues as key words it "
        f"says the right thing in {100 * language['concludes']:.1f} % of cases",
    ]
