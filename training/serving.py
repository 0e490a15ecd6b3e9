"""A trained checkpoint behind ``models_ml.serve``, so that it comes back as a pre-labeller.

    AFFECTGPT_RUN=runs/stage2 python -m models_ml.serve --factory training.serving:describer --port 8013

It answers the one question that it was trained on, about the file that it is given: a video without sound, or a sound.
The clause of its prompt that names the other is left out, as in training. What else the request says is not read.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def describer() -> Callable[..., str]:
    """Load the run named by AFFECTGPT_RUN (on AFFECTGPT_DEVICE, default the config's); gives the function to serve.

    Raises UsageError when it is not set or cannot be used.
    """
    from .errors import UsageError

    run = os.environ.get("AFFECTGPT_RUN", "")
    if not run:
        raise UsageError("set AFFECTGPT_RUN to the folder of a training run")
    from .generate import load_trained

    trained = load_trained(run, os.environ.get("AFFECTGPT_DEVICE") or None)

    def describe(video_path: Path | None, audio_path: Path | None, prompt: str) -> str:
        return answer(trained, video_path, audio_path)

    return describe


def answer(trained: Any, video_path: Path | None, audio_path: Path | None) -> str:
    """What the model says to one file. Raises UsageError without one or with two, TrainingError for a damaged one."""
    from models_ml.media import MediaError

    from .data import Sample
    from .errors import UsageError
    from .evidence import open_media
    from .generate import answers

    given = [path for path in (video_path, audio_path) if path is not None]
    if len(given) != 1:
        raise UsageError("AffectGPT is asked about one file: a video_url or an input_audio part")
    try:
        media = open_media(given[0])
    except MediaError as error:
        raise UsageError(str(error)) from error
    return answers(trained, [Sample(given[0].stem, "", "", media)])[0]
