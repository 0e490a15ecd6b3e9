"""Ingest's media work: `models_ml.media.derive` against the bare ffmpeg command and against a call per output file.

All three write the same files from the same clip. `plain` is the very command that derive runs, called as one would
from a shell: without the limits of its child process, the check of what came out, the waveform's peaks and the move to
its place. The separate calls decode the clip once each, as a script would. Two clips: one of the demo corpus, and that
picture enlarged to 1280x720 with grain, five seconds long, as a phone or a film gives it.
"""

import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from models_ml.media import derive, probe, waveform_peaks
from models_ml.media.derive import ffmpeg_command
from models_ml.synthetic import make_clip

from .figures import ratio

ROUNDS = 5
VIDEO = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-g", "50", "-pix_fmt", "yuv420p"]
AUDIO = ["-c:a", "aac", "-b:a", "128k", "-ac", "2", "-ar", "48000"]


def ffmpeg() -> list[str]:
    import imageio_ffmpeg

    return [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-y"]


def separate(path: Path, out: Path, middle: float) -> None:
    """Proxy, muted, audio, wave, poster and peaks, each by a call of its own."""
    fast = ["-movflags", "+faststart"]
    for options in (
        [*VIDEO, *AUDIO, *fast, str(out / "proxy.mp4")],
        ["-an", *VIDEO, *fast, str(out / "muted.mp4")],
        ["-vn", *AUDIO, *fast, str(out / "audio.m4a")],
        ["-vn", "-c:a", "pcm_s16le", "-ac", "1", "-ar", "16000", str(out / "audio16k.wav")],
        ["-ss", f"{middle:.3f}", "-frames:v", "1", "-q:v", "3", str(out / "poster.jpg")],
    ):
        subprocess.run([*ffmpeg(), "-threads", "2", "-i", str(path), *options], check=True)
    waveform_peaks(out / "audio16k.wav")


def enlarged(path: Path, out: Path, rate: str | None = None) -> Path:
    """The clip at 1280x720 with grain, repeated to five seconds; at so many bit/s, or of a fixed quality."""
    quality = ["-crf", "20"] if rate is None else ["-b:v", rate]
    video = ["-vf", "scale=1280:720,noise=alls=6:allf=t", "-t", "5", "-c:v", "libx264", *quality]
    subprocess.run([*ffmpeg(), "-stream_loop", "3", "-i", str(path), *video, "-c:a", "aac", str(out)], check=True)
    return out


def measure() -> dict[str, Any]:
    """Both clips."""
    with tempfile.TemporaryDirectory(prefix="workbench-bench-media-") as folder:
        here = Path(folder)
        made = here / make_clip(here, 0, 0)["media"]
        return {"rounds": ROUNDS, "demo": compare(made, here), "720p": compare(enlarged(made, here / "720p.mp4"), here)}


def compare(path: Path, here: Path) -> dict[str, Any]:
    """Median seconds of the three ways, in turn."""
    facts = probe(path)
    took: dict[str, list[float]] = {"derive": [], "plain": [], "separate": []}
    for number in range(ROUNDS + 1):
        folders = {way: here / f"{path.stem}-{way}-{number}" for way in took}
        for way, out in folders.items():
            out.mkdir()
            began = time.perf_counter()
            if way == "derive":
                derive(path, out, facts)
            elif way == "plain":
                subprocess.run(ffmpeg_command(path, facts), cwd=out, check=True)
            else:
                separate(path, out, facts.duration / 2)
            if number:  # the first round warms the disk cache
                took[way].append(time.perf_counter() - began)
    ours, plain, many = (statistics.median(took[way]) for way in ("derive", "plain", "separate"))
    return {
        "clip_seconds": round(facts.duration, 2),
        "derive_s": round(ours, 3),
        "clips_per_s": round(1 / ours, 2),
        "plain_over_derive": ratio(plain, ours),
        "separate_over_derive": ratio(many, ours),
    }
