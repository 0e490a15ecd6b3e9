"""A trained checkpoint behind ``models_ml.serve``, so that it comes back as a pre-labeller.

    AFFECTGPT_RUN=runs/stage2 python -m models_ml.serve --factory training.serving:describer --port 8013

It answers the one question that it was trained on, about what it is given: a video, a sound, or both of a clip; a
video's own sound is heard, unless a sound comes beside it. The clause of its prompt that names what is missing is left
out, as in training. Of the request's text it reads what stands in ``<Subtitle>…</Subtitle>``, as the subtitle, and
nothing else. The workbench asks promoted checkpoints without a server (`training.generate.answers`).
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

SUBTITLE = re.compile(r"<Subtitle>(.*)</Subtitle>", re.DOTALL)


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
        return answer(trained, video_path, audio_path, subtitle_in(prompt))

    return describe


def subtitle_in(prompt: str) -> str:
    """What stands between the first ``<Subtitle>`` and the last ``</Subtitle>``; "" where there is none."""
    found = SUBTITLE.search(prompt)
    return found[1].strip() if found else ""


def answer(trained: Any, video_path: Path | None, audio_path: Path | None, subtitle: str = "") -> str:
    """What the model says to a clip. Raises UsageError without a file or with one that is no media, TrainingError for
    a damaged one."""
    from models_ml.media import MediaError

    from .data import Sample
    from .errors import UsageError
    from .evidence import open_media
    from .generate import answers

    given = [path for path in (video_path, audio_path) if path is not None]
    if not given:
        raise UsageError("AffectGPT is asked about a clip: a video_url or an input_audio part, or both")
    with tempfile.TemporaryDirectory(prefix="affectgpt-") as folder:
        try:
            for path in given:
                open_media(path)  # says which one cannot be read
            if video_path is not None and audio_path is not None:
                media = open_media(joined(video_path, audio_path, Path(folder) / "clip.mkv"))
            else:
                media = open_media(given[0])
        except MediaError as error:
            raise UsageError(str(error)) from error
        return answers(trained, [Sample(given[0].stem, subtitle, "", media)])[0]


def joined(video: Path, audio: Path, out: Path) -> Path:
    """The pictures of one file and the sound of another in one, nothing encoded again.

    Raises UsageError when the first has no pictures, the second no sound, or they cannot be put together.
    """
    import av

    from .errors import UsageError

    with av.open(str(video)) as seen, av.open(str(audio)) as heard, av.open(str(out), "w", format="matroska") as made:
        if not seen.streams.video or not heard.streams.audio:
            raise UsageError("a video_url without pictures, or an input_audio without sound")
        try:
            # Both streams first: a file's head is written with its first packet.
            parts = [
                (source, stream, made.add_stream_from_template(stream))
                for source, stream in ((seen, seen.streams.video[0]), (heard, heard.streams.audio[0]))
            ]
            for source, stream, target in parts:
                for packet in source.demux(stream):
                    if packet.dts is not None:  # the last one only flushes
                        packet.stream = target
                        made.mux(packet)
        except (av.error.FFmpegError, ValueError) as error:
            raise UsageError(f"video_url and input_audio cannot be put together: {error}") from error
    return out
