"""The parts that are frozen afterwards, pre-trained side by side in processes of their own.

Not in ``__main__``: a spawned process cannot import from there.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

from models_ml.synthetic.pool import fresh_processes

from .sizes import Size


def pretrain(out: Path, config: Path, facts: list[dict[str, Any]], size: Size, processes: int) -> None:
    """Encoders and language model below `out`/frozen, and how good they are in `out`/pretraining.json."""
    kept = out / "pretraining.json"
    if kept.is_file():
        return
    with fresh_processes(min(processes, 3)) as pool:
        found = {
            name: pool.submit(pretrain_one, name, out, config, facts, size) for name in ("language", "vision", "audio")
        }
        figures = {name: future.result() for name, future in found.items()}
    kept.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def pretrain_one(name: str, out: Path, config_file: Path, facts: list[dict[str, Any]], size: Size) -> dict[str, float]:
    """One of the frozen parts."""
    import torch

    from training.config import load_config

    torch.set_num_threads(1)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    config = load_config(str(config_file))
    if name == "language":
        from .language import pretrain_language

        return pretrain_language(config, out / "frozen" / name, size.language_steps, size.seed, size.answer_weight)
    from .encoders import load, pretrain_audio, pretrain_vision

    speakers = sorted({fact["speaker"] for fact in facts})
    apart = set(speakers[: max(1, len(speakers) // 6)])
    held = {number for number, fact in enumerate(facts) if fact["speaker"] in apart}
    what = "video" if name == "vision" else "audio"
    data = load(out / "world", facts, config, what)
    if name == "vision":
        return pretrain_vision(data, held, config, out / "frozen" / name, size.vision_steps, size.seed)
    return pretrain_audio(data, held, config, out / "frozen" / name, size.audio_steps, size.seed)
