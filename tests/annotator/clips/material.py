"""Real media files of half a second, and an OpenFace track."""

import subprocess
from pathlib import Path

import imageio_ffmpeg


def ffmpeg(*arguments: str) -> None:
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", *arguments], check=True)


def make_media(path: Path, *, seconds: float = 0.5, video: bool = True, audio: bool = True, tone: int = 300) -> Path:
    """A real media file; `tone` makes its bytes differ from others'."""
    inputs, codecs = [], []
    if video:
        inputs += ["-f", "lavfi", "-i", f"testsrc=size=96x64:rate=10:duration={seconds}"]
        codecs += ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-preset", "ultrafast"]
    if audio:
        inputs += ["-f", "lavfi", "-i", f"sine=frequency={tone}:duration={seconds}"]
        codecs += ["-c:a", "aac"]
    ffmpeg(*inputs, *codecs, "-metadata", f"comment={tone}", str(path))
    return path


OPENFACE = """frame, face_id, timestamp, confidence, success, AU05_r, AU26_r, AU05_c, AU26_c
1, 0, 0.000, 0.98, 1, 0.10, 0.20, 1, 1
2, 0, 0.040, 0.98, 1, 1.50, 2.00, 1, 1
3, 0, 0.080, 0.98, 1, 0.30, 0.20, 1, 1
"""
