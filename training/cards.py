"""A model card per checkpoint: ``card.json`` for programs, ``README.md`` (Hugging Face's form) for people.

Both are made from files of the run folder alone (``state.json``, ``lineage.json``, ``evaluations/``, ``best.json``), so
that they can be made again when an evaluation has been added. What is not known is said to be not known.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from .curves import read_evaluations
from .runlog import write_json

SCHEMA = 1
PARTS = ("vision", "image_qformer", "audio", "llm")
FIGURES = (
    "split", "n", "accuracy", "recall", "avg", "ci95", "grouping", "extraction", "route", "leak", "snapshot",
    "during_training", "finished",
)  # fmt: skip
GRADES = {"coarse": "no person checked them", "fine": "checked by a person"}
# What the authors' weights are under where the folder does not say it itself.
KNOWN_LICENCES = {"imagebind": "CC BY-NC-SA 4.0 (non-commercial), as ImageBind's authors state it"}


def write_card(folder: Path, run: Path) -> dict[str, Any]:
    """Make ``card.json`` and ``README.md`` of the checkpoint in ``folder``, of the run folder ``run``; returns the
    card."""
    card = facts(folder, run)
    write_json(folder / "card.json", card)
    temporary = folder / "README.md.tmp"
    temporary.write_text(readme(card), encoding="utf-8")
    temporary.replace(folder / "README.md")
    return card


def facts(folder: Path, run: Path) -> dict[str, Any]:
    """``{schema, name, checkpoint, config, stage, step, epoch, trained_on, recipe, base_models, trainable_parameters,
    evaluations, best, synthetic, random_weights, limits, git, environment}``."""
    state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    lineage = json.loads((folder / "lineage.json").read_text(encoding="utf-8"))
    config = state["config"]
    name = f"step-{state['step']:08d}"
    models = base_models(config, state.get("frozen") or {})
    card: dict[str, Any] = {
        "schema": SCHEMA, "name": run.name, "checkpoint": name, "config": config["name"], "stage": config["stage"],
        "step": state["step"], "epoch": state.get("epoch"), "trained_on": [_stage(entry) for entry in lineage],
        "recipe": recipe(config, state), "base_models": models,
        "trainable_parameters": state.get("trainable_parameters"),
        "evaluations": [{key: value.get(key) for key in FIGURES} for value in read_evaluations(run)
                        if value.get("checkpoint") == name],
        "best": _best(run, name), "synthetic": any(entry.get("synthetic") for entry in lineage),
        "random_weights": [model["part"] for model in models if model["random"]],
        "git": state.get("git"), "environment": state.get("environment"),
    }  # fmt: skip
    card["limits"] = limits(card, config)
    return card


def base_models(config: dict[str, Any], frozen: dict[str, str]) -> list[dict[str, Any]]:
    """``{part, source, revision, random, licence, identity}`` of each frozen part, as the config names them."""
    found = []
    for part in PARTS:
        section = config["model"][part]
        source = section.get("pretrained")
        licence = licence_of(source) if source else None
        if source and licence is None and part == "audio":
            licence = KNOWN_LICENCES.get(str(section.get("kind")))
        found.append({
            "part": part, "source": source, "revision": section.get("revision"), "random": not source,
            "licence": licence, "identity": frozen.get("visual" if part in ("vision", "image_qformer") else part),
        })  # fmt: skip
    return found


def licence_of(folder: str) -> str | None:
    """The licence in the front matter of the folder's ``README.md`` (a model card's); None where none is stated."""
    path = Path(folder) / "README.md"
    if not path.is_file():
        return None
    _, _, rest = path.read_text(encoding="utf-8", errors="replace").partition("---\n")
    try:
        head = yaml.safe_load(rest.partition("\n---")[0])
    except yaml.YAMLError:
        return None
    if not isinstance(head, dict) or not head.get("license"):
        return None
    words = [head["license"], head.get("license_name"), head.get("license_link")]
    return ", ".join(str(word) for word in words if word)


def recipe(config: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    """What decides how the weights moved."""
    train, data, prompt = config["train"], config["data"], config["prompt"]
    keys = (
        "epochs", "batch_size", "accumulate", "lr", "min_lr", "warmup_lr", "warmup_steps", "schedule", "weight_decay",
        "decay", "betas", "clip_norm", "precision",
    )  # fmt: skip
    return {
        "optimizer": "AdamW", **{key: train.get(key) for key in keys}, "steps_per_epoch": state.get("steps_per_epoch"),
        "processes": state.get("processes"), "seed": config["seed"], "frames": data.get("frames"),
        "language": data.get("language"), "target": data.get("target"), "modalities": _modalities(data),
        "max_length": data.get("max_length"), "lora": config["model"]["llm"].get("lora"),
        "prompt": "".join(prompt.get("clauses") or []), "question": prompt.get("question"),
    }  # fmt: skip


def limits(card: dict[str, Any], config: dict[str, Any]) -> list[str]:
    """What a reader must know before using the checkpoint, in sentences."""
    said = []
    if card["random_weights"]:
        said.append(
            f"Random weights: {', '.join(card['random_weights'])} were made on the spot (seed "
            f"{config['model']['weights_seed']}). It shows that the machinery learns and knows nothing of people."
        )
    if card["synthetic"]:
        said.append("Synthetic: trained on clips made by code; its figures say nothing about real people.")
    if all(stage["grade"] == "coarse" for stage in card["trained_on"]):
        said.append("Trained on coarse records only, which no person has checked.")
    if not card["evaluations"]:
        said.append("Not evaluated yet.")
    small = [one for one in card["evaluations"] if one["n"] and one["n"] < 200]
    if small:
        said.append(
            f"{small[0]['n']} clips under test are few: a difference inside the intervals is no difference. The label "
            "grouping makes a large part of the score; compare only scores of the same grouping and extraction."
        )
    if any(one["leak"] for one in card["evaluations"]):
        said.append("Some figures are of clips that were trained on (see leak).")
    if card["best"] and card["best"].get("warning"):
        said.append(f"{card['best']['warning'][:1].upper()}{card['best']['warning'][1:]}.")
    said.append(
        f"It answers in {config['data']['language']} from {', '.join(card['recipe']['modalities'])}. What it says is "
        "guessed from what is seen, heard and said, and no evidence of what a person feels: decide about nobody by it."
    )
    return said


def readme(card: dict[str, Any]) -> str:
    """The card as Markdown with Hugging Face's front matter."""
    used = [model for model in card["base_models"] if model["source"]]
    head: dict[str, Any] = {
        "language": [card["recipe"]["language"]],
        "license": "other",
        "library_name": "safetensors",
        "pipeline_tag": "video-text-to-text",
        "tags": ["emotion", "EMER", "AffectGPT", f"stage-{card['stage']}"],
    }
    head["tags"] += ["synthetic"] * card["synthetic"] + ["random-weights"] * bool(card["random_weights"])
    hub = [model["source"] for model in used if model["source"].count("/") == 1 and not model["source"].startswith(".")]
    if hub:
        head["base_model"] = hub
    if card["evaluations"]:
        head["model-index"] = [{"name": card["name"], "results": [_result(one) for one in card["evaluations"]]}]
    lines = [
        "---", yaml.safe_dump(head, allow_unicode=True, sort_keys=False).strip(), "---",
        f"# {card['name']}, {card['checkpoint']}", "",
        f"AffectGPT (arXiv 2407.07653), stage {card['stage']}, config `{card['config']}`, after {card['step']} steps"
        + (f" ({card['epoch']:g} epochs)." if card["epoch"] is not None else "."), "",
        "## Limits", *(f"- {line}" for line in card["limits"]), "",
        "## Trained on", "| stage | snapshot | digest | split | clips | grade | licences |",
        "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for stage in card["trained_on"]:
        licences = ", ".join(f"{name} {count}" for name, count in stage["licences"].items()) or "not stated"
        name = f"{stage['corpus']}/{stage['name']}" if stage["corpus"] else stage["name"]
        grade = f"{stage['grade'] or 'not stated'}{' (synthetic)' if stage['synthetic'] else ''}"
        lines.append(
            f"| {stage['stage']} | {name} | `{stage['digest'][:12]}` | {stage['split']} | {stage['clips']} | {grade} "
            f"| {licences} |"
        )
    lines += ["", "Grades: " + "; ".join(f"{grade}: {text}" for grade, text in GRADES.items()) + ".", ""]
    lines += ["## Evaluation", *_evaluations(card["evaluations"]), ""]
    if card["best"]:
        lines += [f"Best of its run: {card['best']['why']}.", ""]
    lines += ["## Base models", "| part | source | licence | identity |", "|---|---|---|---|"]
    for model in card["base_models"]:
        source = model["source"] or "random, made on the spot"
        revision = f" at {model['revision']}" if model["revision"] else ""
        licence = model["licence"] or ("none" if model["random"] else "not stated")
        lines.append(f"| {model['part']} | {source}{revision} | {licence} | `{str(model['identity'])[:24]}` |")
    lines += ["", "## Recipe", "```yaml", yaml.safe_dump(card["recipe"], allow_unicode=True, sort_keys=False).strip(),
              "```", f"Code: revision {card['git'] or 'not known'}.", ""]  # fmt: skip
    return "\n".join(lines)


def _stage(entry: dict[str, Any]) -> dict[str, Any]:
    kept = ("stage", "name", "corpus", "grade", "split", "digest")
    clips = entry["clips"]
    return {
        **{key: entry.get(key) for key in kept}, "clips": len(clips), "synthetic": bool(entry.get("synthetic")),
        "licences": dict(sorted(Counter(str(clip["licence"]) for clip in clips if clip.get("licence")).items())),
    }  # fmt: skip


def _best(run: Path, name: str) -> dict[str, Any] | None:
    try:
        value = json.loads((run / "checkpoints" / "best.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) and value.get("checkpoint") == name else None


def _modalities(data: dict[str, Any]) -> list[str]:
    given = [("video", data.get("video")), ("audio", data.get("audio")), ("subtitle", data.get("subtitle"))]
    return [name for name, there in given if there] or ["nothing"]


def _result(one: dict[str, Any]) -> dict[str, Any]:
    """One result of the front matter's model-index."""
    snapshot = one["snapshot"] or {}
    metrics = [
        {"type": f"set-level-{key}", "name": f"{key}, grouping {one['grouping']}, labels {one['extraction']}",
         "value": round(100 * one[key], 2)}
        for key in ("avg", "accuracy", "recall")
    ]  # fmt: skip
    dataset = {"name": snapshot.get("name") or "?", "type": "EMER", "split": one["split"],
               "revision": snapshot.get("digest")}  # fmt: skip
    task = {"type": "video-text-to-text", "name": "open-vocabulary emotion recognition"}
    return {"task": task, "dataset": dataset, "metrics": metrics}


def _evaluations(found: list[dict[str, Any]]) -> list[str]:
    if not found:
        return ["None yet: `python -m training evaluate --run RUN --snapshot DIR`."]
    lines = [
        "Set-level metric (arXiv 2407.07653, Eq. 1 to 3) in points of 100, with 95 % intervals.", "",
        "| snapshot | split | n | Avg | Accuracy | Recall | route | grouping | labels |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for one in found:
        figures = []
        for key in ("avg", "accuracy", "recall"):
            ends = (one["ci95"] or {}).get(key)
            span = f" [{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]" if ends else ""
            figures.append(f"{100 * one[key]:.2f}{span}")
        leak = " (**leak**)" if one["leak"] else ""
        lines.append(
            f"| {(one['snapshot'] or {}).get('name') or '?'} | {one['split']}{leak} | {one['n']} | "
            f"{' | '.join(figures)} | {one['route'] or 'one-step'} | {one['grouping']} | {one['extraction']} |"
        )
    return lines
