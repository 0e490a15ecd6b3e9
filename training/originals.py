"""Checkpoints of the published code in this one: their keys under our names, and a report of every key.

    python -m training convert ORIGINAL.pth --config affectgpt-2024-stage2 --out DIR

The published code keeps what trains in ``.pth`` files: Video-LLaMA's video and audio branch, AffectGPT of 2024
(Q-Formers) and of 2025 (LoRA in peft's layout). ``model.original`` lays such a file over the model before a run. The
rules for names are in affectgpt/keys.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from .affectgpt import keys
from .affectgpt.model import AffectGPT
from .affectgpt.pretrained import file_hash, used_parts
from .config import Config, load_config
from .errors import UsageError

TENSORS = "trainable.safetensors"


def overlay(path: str | Path, model: AffectGPT, where: str = "model.original") -> keys.KeyReport:
    """Copy a published checkpoint over the model's tensors of these names; what it lacks stays as it was.

    ``path`` is a ``.pth`` of the published code, or the ``trainable.safetensors`` that ``convert`` wrote. On the meta
    device names and shapes are checked and nothing is copied.

    Raises:
        UsageError: the file cannot be read, nothing in it belongs to this arrangement, or a shape differs.
    """
    renamed = _read(path, model, where)
    places: keys.Tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    report = keys.fill(places, renamed, where, needed=model.trainable())
    if not set(report.loaded) & set(model.trainable()):
        raise UsageError(
            f"{where}: {path} has nothing that trains in this arrangement ({report}); is it for another config?"
        )
    model.overlaid = {name.split(".", 1)[0] for name in report.loaded if name not in model.trainable()}
    keys.log_report(path, report)
    if report.missing:
        keys.log.warning("%s: stay as they were: %s", where, ", ".join(sorted({part(name) for name in report.missing})))
    return report


def convert(
    original: str | Path, config_name: str, out: str | Path, overrides: list[str] | None = None
) -> dict[str, Any]:
    """A published checkpoint as ``DIR/trainable.safetensors`` under our names, with ``DIR/report.json``.

    That needs none of the frozen parts' weights, and the file is a value for ``model.original``. Where the config has
    them all, DIR becomes a run as well, of no steps: ``evaluate``, ``generate`` and ``fit --init`` take it.

    Returns ``{original, config, out, run, loaded, missing, unexpected, ignored}``: run says whether it is one; counts,
    of which the report has the names.

    Raises:
        UsageError: config, file or folder cannot be used, or nothing in the file belongs to the config's arrangement.
    """
    from .weights import check_weights, meta_model

    config = load_config(config_name, overrides)
    folder = Path(out)
    if (folder / TENSORS).exists():
        raise UsageError(f"--out {folder}: there is a {TENSORS} already")
    complete = config.model.random_weights or all(
        getattr(config.model, name).pretrained for name in used_parts(config.model)
    )
    if complete:
        check_weights(config)
    model = meta_model(config)
    report = overlay(original, model, "convert")
    renamed = _read(original, model, "convert")
    folder.mkdir(parents=True, exist_ok=True)
    kept = {name: renamed.tensors[name].contiguous().clone() for name in sorted(report.loaded)}
    facts = {"original": str(original), "config": config.name, **report.to_dict()}
    save_file(kept, folder / TENSORS, metadata={"format": "pt", "config": config.name})
    (folder / "report.json").write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    if complete:
        _as_run(Path(original), folder, config)
    counts = {key: len(value) for key, value in report.to_dict().items()}
    return {"original": str(original), "config": config.name, "out": str(folder), "run": complete, **counts}


def _as_run(original: Path, folder: Path, config: Config) -> None:
    """A checkpoint of step 0. Its lineage says that nobody here knows what it was trained on."""
    from .checkpoints import save_checkpoint
    from .runlog import environment, git_revision
    from .weights import assemble, identities, make_tokenizer

    config.model.original = str((folder / TENSORS).absolute())
    tokenizer = make_tokenizer(config, [])
    model = assemble(config, tokenizer)
    digest = file_hash(original)
    lineage: list[dict[str, Any]] = [{
        "digest": digest, "name": f"published checkpoint {original.name}, training data not known here", "corpus": None,
        "grade": None, "split": "not known", "stage": config.stage, "group_by": [], "synthetic": False, "clips": [],
    }]  # fmt: skip
    state = {
        "step": 0, "epoch": 0, "config": config.to_dict(), "frozen": identities(config, model), "snapshot": None,
        "original": digest, "git": git_revision(), "environment": environment(),
        "trainable_parameters": model.trainable_count(),
    }  # fmt: skip
    trainable = {name: value.detach().contiguous() for name, value in model.trainable().items()}
    save_checkpoint(folder, state, trainable, {}, tokenizer, lineage)
    keys.log.warning("what %s was trained on is not known here: no leak into a test split can be found", original.name)


def part(name: str) -> str:
    """The module of the published arrangement that a parameter belongs to."""
    return name.split(".", 1)[0]


def _read(path: str | Path, model: AffectGPT, where: str) -> keys.Renamed:
    if Path(path).suffix != ".safetensors":
        return keys.affectgpt(keys.read_original(path, where), model.arrangement.vision.layers)
    try:
        tensors: dict[str, torch.Tensor] = load_file(str(path))
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{where}: {path}: {error}") from error
    made = keys.Renamed()
    for name, tensor in tensors.items():
        made.put(name, tensor, name)
    return made
