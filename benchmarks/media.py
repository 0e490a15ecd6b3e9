"""Ingest's media work: `models_ml.media.derive` in one ffmpeg call against one ffmpeg call per output file.

Both write the same six files from the same clip; the separate calls decode it once each, as a script would.
"""

import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from models_ml.media import derive, probe, waveform_peaks
from models_ml.synthetic import make_clip

from .figures import ratio

ROUNDS = 5
VIDEO = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-g", "50", "-pix_fmt", "yuv420p"]
AUDIO = ["-c:a", "aac", "-b:a", "128k", "-ac", "2", "-ar", "48000"]


def separate(path: Path, out: Path, middle: float) -> None:
    """Proxy, muted, audio, wave, poster and peaks, each by a call of its own."""
    import imageio_ffmpeg

    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-y", "-threads", "2"]
    fast = ["-movflags", "+faststart"]
    for options in (
        [*VIDEO, *AUDIO, *fast, str(out / "proxy.mp4")],
        ["-an", *VIDEO, *fast, str(out / "muted.mp4")],
        ["-vn", *AUDIO, *fast, str(out / "audio.m4a")],
        ["-vn", "-c:a", "pcm_s16le", "-ac", "1", "-ar", "16000", str(out / "audio16k.wav")],
        ["-ss", f"{middle:.3f}", "-frames:v", "1", "-q:v", "3", str(out / "poster.jpg")],
    ):
        subprocess.run([*ffmpeg, "-i", str(path), *options], check=True)
    waveform_peaks(out / "audio16k.wav")


def measure() -> dict[str, Any]:
    """Median seconds per clip of both ways, in turn, on one synthetic clip."""
    one_call, calls = [], []
    with tempfile.TemporaryDirectory(prefix="workbench-bench-media-") as folder:
        here = Path(folder)
        made = make_clip(here, 0, 0)
        path = here / made["media"]
        facts = probe(path)
        for round_number in range(ROUNDS + 1):
            began = time.perf_counter()
            derive(path, here / f"one-{round_number}", facts)
            middle = time.perf_counter()
            out = here / f"many-{round_number}"
            out.mkdir()
            separate(path, out, facts.duration / 2)
            if round_number:  # the first round warms the disk cache
                one_call.append(middle - began)
                calls.append(time.perf_counter() - middle)
    one, many = statistics.median(one_call), statistics.median(calls)
    return {
        "clip_seconds": round(facts.duration, 2),
        "rounds": ROUNDS,
        "derive_s": round(one, 3),
        "separate_calls_s": round(many, 3),
        "separate_over_derive": ratio(many, one),
    }
