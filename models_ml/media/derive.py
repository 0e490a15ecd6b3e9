"""The files that are made of a clip at ingest: proxy, muted, audio-only, 16 kHz wave, poster, peaks."""

from __future__ import annotations

import json
import os
import tempfile
import wave
from pathlib import Path
from typing import Any

import numpy as np

from models_ml.media.child import run_limited
from models_ml.media.errors import MediaError
from models_ml.media.formats import FORMATS, PROTOCOLS
from models_ml.media.read import Probe
from models_ml.media.read import probe as read_probe

FILES = {
    "proxy": "proxy.mp4",
    "muted": "muted.mp4",
    "audio": "audio.m4a",
    "wav": "audio16k.wav",
    "poster": "poster.jpg",
    "peaks": "peaks.json",
}
MAX_SIDE = 1280  # pixels of the proxy's longer side
PEAKS_PER_SECOND = 100
MAX_PEAKS = 20_000
ENCODE_S_PER_S = 30.0  # wall seconds allowed per second of clip, on top of 60
ENCODE_S_MOST = 6 * 3600.0  # whatever length a file claims


def derive(path: str | Path, out_dir: str | Path, probe: Probe | None = None) -> dict[str, Path]:
    """Make every derived file of `path` in `out_dir` by one ffmpeg call (one decode, one encode per stream).

    proxy: H.264 yuv420p + AAC, faststart, even sides of at most 1280 px; muted: the same video alone; audio:
    the same AAC alone; wav: 16 kHz mono s16; poster: a JPEG from the middle; peaks: JSON for a waveform.
    Without video: no proxy, muted, poster. Without audio: no audio, wav, peaks. Everything is written to a
    temporary folder beside and renamed, so a file under its final name is complete.
    Raises MediaError: not_encoded, timeout, and what `probe` raises.
    """
    facts = probe or read_probe(path)
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".derive-", dir=out_dir) as scratch:
        scratch_dir = Path(scratch)
        status, _, err = run_limited(
            ffmpeg_command(path, facts),
            path=path,
            timeout_s=min(60.0 + ENCODE_S_PER_S * facts.duration, ENCODE_S_MOST),
            cwd=scratch_dir,
        )
        names = expected(facts)
        missing = [FILES[key] for key in names if key != "peaks" and not _filled(scratch_dir / FILES[key])]
        if status != 0 or missing:
            lines = err.decode("utf-8", "replace").strip().splitlines()
            raise MediaError("not_encoded", path, (lines[-1] if lines else f"no {', '.join(missing)}")[:300])
        if "peaks" in names:
            peaks = waveform_peaks(scratch_dir / FILES["wav"])
            (scratch_dir / FILES["peaks"]).write_text(json.dumps(peaks, separators=(",", ":")))
        for key in names:
            os.replace(scratch_dir / FILES[key], out_dir / FILES[key])
    return {key: out_dir / FILES[key] for key in names}


def expected(facts: Probe) -> list[str]:
    """Keys of the files that a clip with these streams gets."""
    video = ["proxy", "muted", "poster"] if facts.has_video else []
    audio = ["audio", "wav", "peaks"] if facts.has_audio else []
    return [key for key in FILES if key in video + audio]


def ffmpeg_command(path: str | Path, facts: Probe) -> list[str]:
    """The ffmpeg call; outputs have fixed names in its working directory, the input is an absolute path."""
    import ffmpeg
    import imageio_ffmpeg

    source = ffmpeg.input("INPUT", protocol_whitelist=PROTOCOLS, format_whitelist=FORMATS, threads=2)
    outputs: list[Any] = []
    encoded: dict[str, Any] = {"map_metadata": -1, "map_chapters": -1, "dn": None, "sn": None}
    slaves: list[str] = []
    streams: list[Any] = []
    if facts.has_video:
        # V leaves cover art out. The first frame is the poster until the middle one comes, so that there
        # is one whatever the time stamps are.
        split = source["V:0"].filter_multi_output("split")
        shown, still = split[0], split[1]
        shown = shown.filter("scale", w=_even("iw*sar"), h=_even("ih")).filter("setsar", "1")
        shown = shown.filter("format", "yuv420p")
        middle = facts.duration / 2
        still = still.filter("select", f"eq(n,0)+gte(t,{middle:.3f})*lt(prev_selected_t,{middle:.3f})")
        outputs.append(
            ffmpeg.output(still, FILES["poster"], f="image2", update=1, fps_mode="passthrough", **{"q:v": 3})
        )
        streams.append(shown)
        encoded |= {"c:v": "libx264", "preset": "veryfast", "crf": 23, "g": 50, "fps_mode": "vfr"}
        slaves.append(f"[select=v:movflags=+faststart]{FILES['muted']}")
    if facts.has_audio:
        streams.append(source["a:0"])
        encoded |= {"c:a": "aac", "b:a": "128k", "ac": 2, "ar": 48000}
        slaves.append(f"[select=a:movflags=+faststart]{FILES['audio']}")
        outputs.append(ffmpeg.output(source["a:0"], FILES["wav"], f="wav", acodec="pcm_s16le", ac=1, ar=16000))
    if facts.has_video:
        slaves.insert(0, f"[movflags=+faststart]{FILES['proxy']}")
    # The tee muxer writes one encoded stream into several files.
    outputs.insert(0, ffmpeg.output(*streams, "|".join(slaves), f="tee", flags="+global_header", **encoded))
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-hide_banner", "-loglevel", "error"]
    call = ffmpeg.compile(ffmpeg.merge_outputs(*outputs), cmd=command, overwrite_output=True)
    # Put in afterwards: ffmpeg-python hashes its arguments as UTF-8, which a path need not be.
    call[call.index("INPUT")] = str(Path(path).absolute())
    return call


def _even(side: str) -> str:
    return f"max(16,2*trunc({side}*min(1,{MAX_SIDE}/max(iw*sar,ih))/2))"


def _filled(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def waveform_peaks(wav: str | Path) -> dict[str, Any]:
    """Minimum and maximum per bin of a 16-bit mono wave: `{version, duration, rate, peaks:[[min,max],…]}`.

    `rate` is bins per second, 100 unless that gave more than 20,000 bins; values in [-1, 1], 3 decimals.
    """
    with wave.open(str(wav), "rb") as file:
        rate, count = file.getframerate(), file.getnframes()
        samples = np.frombuffer(file.readframes(count), dtype="<i2").astype(np.float32) / 32768.0
    duration = len(samples) / rate
    per_second = PEAKS_PER_SECOND if duration * PEAKS_PER_SECOND <= MAX_PEAKS else MAX_PEAKS / duration
    starts = np.unique(np.floor(np.arange(0, duration * per_second) * rate / per_second).astype(int))
    starts = starts[starts < len(samples)]
    low = np.minimum.reduceat(samples, starts) if len(starts) else np.zeros(0)
    high = np.maximum.reduceat(samples, starts) if len(starts) else np.zeros(0)
    pairs = [[round(float(a), 3), round(float(b), 3)] for a, b in zip(low, high, strict=True)]
    return {"version": 1, "duration": round(duration, 3), "rate": round(per_second, 4), "peaks": pairs}
