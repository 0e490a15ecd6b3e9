"""Media files of every awkward kind, made once per run by ffmpeg."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from tests.models_ml.media.recipes import H264, PICTURE, TONE


@pytest.fixture(scope="session")
def ffmpeg() -> Callable[..., None]:
    def run(*arguments: str | Path) -> None:
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-y", "-loglevel", "error", *map(str, arguments)]
        subprocess.run(command, check=True, capture_output=True)

    return run


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., None]) -> Path:
    """A folder with `talk.mp4` (2 s, 320x180, tone), `silent.mp4` (no audio) and `sound.m4a` (no video)."""
    folder = tmp_path_factory.mktemp("clips")
    ffmpeg(*PICTURE, *TONE, *H264, "-c:a", "aac", "-shortest", folder / "talk.mp4")
    ffmpeg("-i", folder / "talk.mp4", "-c", "copy", "-an", folder / "silent.mp4")
    ffmpeg("-i", folder / "talk.mp4", "-c", "copy", "-vn", folder / "sound.m4a")
    return folder


@pytest.fixture
def grey_steps(tmp_path: Path) -> Path:
    """10 frames at 10 per second; frame i is a flat grey of 20·i, so a frame can be told by its brightness."""
    import av

    path = tmp_path / "steps.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * i, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
