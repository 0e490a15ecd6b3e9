"""A clip with a picture and a voice, and a scripted model server that logs what it was asked."""

import json
import subprocess
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest

from models_ml.llm import Endpoint
from tests.support import scripted_server


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds, 10 frames a second: the picture grows from black to white, 640 x 360, with a tone."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    grow = "color=black:s=640x360:r=10:d=2,geq=lum='12*N':cb=128:cr=128"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", grow, "-f", "lavfi", "-i",
               "sine=300:d=2", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", "-y", str(path)]  # fmt: skip
    subprocess.run(command, check=True, timeout=60)
    return path


@pytest.fixture
def voice(tmp_path: Path) -> Callable[..., Path]:
    """Write a 16 kHz mono WAV: a quiet tone, loud within ``loud`` = (from, to) seconds."""

    def write(seconds: float, loud: tuple[float, float] = (0, 0), quiet: float = 0.01, name: str = "voice.wav") -> Path:
        t = np.arange(int(seconds * 16000)) / 16000
        level = np.where((t >= loud[0]) & (t < loud[1]), 0.5, quiet)
        with wave.open(str(tmp_path / name), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(16000)
            out.writeframes((level * np.sin(2 * np.pi * 200 * t) * 32767).astype("<i2").tobytes())
        return tmp_path / name

    return write


@pytest.fixture
def server(tmp_path: Path) -> Iterator[scripted_server.Running]:
    with scripted_server.running(tmp_path / "calls.jsonl") as running:
        yield running


@pytest.fixture
def ask(server: scripted_server.Running) -> Callable[..., Endpoint]:
    """An endpoint of the scripted server, behaving as named."""

    def endpoint(behaviour: str = "", **more: Any) -> Endpoint:
        model = f"scripted:{behaviour}" if behaviour else "scripted"
        return Endpoint(server.base_url, model, max_retries=0, timeout_s=20, **more)

    return endpoint


@pytest.fixture
def told(server: scripted_server.Running) -> Callable[[], list[tuple[str, str]]]:
    """What the server was asked so far: (kind, material)."""
    return lambda: [(call["kind"], call["text"]) for call in server.calls()]


def as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
