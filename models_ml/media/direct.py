"""Frames and sound of a file by one reading, in this process: for files of one's own, such as a training set.

Without the limits of the child processes that `read` uses (files from outside belong there), and without their
start-up. A file's packets are read once and kept compressed; the sound is decoded first, because only then the
clip's duration is sure, then the pictures at the times that are wanted. Of the pictures in between those are left
out that no other picture is built on (B-frames), which changes no pixel of the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models_ml.media.errors import MediaError
from models_ml.media.read import Probe

if TYPE_CHECKING:
    import av

#: Packets of a longer file are not kept: it is read as `read` reads it, by seeking.
KEEP_BYTES = 256 << 20
Times = Sequence[float] | Callable[[float], Sequence[float]]


@dataclass(frozen=True)
class Decoded:
    """What one reading gave.

    duration in s: of the packets, or of the decoded sound where that is longer; times: as wanted, in s; frames:
    (n, size, size, 3) uint8 RGB, aspect ratio lost, or None without video; stamps: the frames' own times from the
    first frame; pictures: the same frames with their aspect ratio where `max_side` was given; wave: (samples,)
    float32 mono in [-1, 1], or None without audio.
    """

    duration: float
    times: list[float]
    frames: np.ndarray | None = None
    stamps: list[float] = field(default_factory=list)
    pictures: list[np.ndarray] = field(default_factory=list)
    wave: np.ndarray | None = None


def middles(n: int) -> Callable[[float], list[float]]:
    """The middles of n equal segments of a clip, as a function of its duration."""
    return lambda duration: [(index + 0.5) * duration / n for index in range(n)]


def probe_direct(path: str | Path) -> Probe:
    """`read.probe` in this process. Raises MediaError as it does."""
    from models_ml.media import worker

    return Probe(**_guarded(path, lambda name: worker.probe(name)[0]))


def decode(
    path: str | Path,
    times: Times | int,
    *,
    size: int = 224,
    rate: int = 16000,
    video: bool = True,
    audio: bool = True,
    max_side: int | None = None,
) -> Decoded:
    """Frames at `times` (s, a function of the duration, or the middles of so many segments) and the whole sound.

    Same frames as `frames_at`, same samples as `load_audio`. `video`, `audio`: False leaves that stream unread.
    Raises MediaError: missing, empty, unreadable, truncated, no_streams, zero_length.
    """
    wanted = middles(times) if isinstance(times, int) else times
    return _guarded(path, lambda name: _decode(name, wanted, size, rate, video, audio, max_side))


def _guarded(path: str | Path, act: Callable[[str], Any]) -> Any:
    """Run `act` on the file; what goes wrong becomes a MediaError that names it."""
    import av

    from models_ml.media import worker

    absolute = Path(path).absolute()
    if not absolute.exists():
        raise MediaError("missing", path)
    if not absolute.is_file():
        raise MediaError("unreadable", path, "not a regular file")
    if absolute.stat().st_size == 0:
        raise MediaError("empty", path)
    av.logging.set_level(av.logging.PANIC)
    try:
        return act(os.fspath(absolute))
    except worker.Refused as refusal:
        raise MediaError(refusal.code, path, refusal.detail) from None
    except av.error.FFmpegError as error:
        raise MediaError("unreadable", path, error.strerror or str(error)) from None


def _decode(path: str, wanted: Times, size: int, rate: int, video: bool, audio: bool, max_side: int | None) -> Decoded:
    from models_ml.media import worker

    with worker.open_media(path) as container:
        pictures = worker.picture_stream(container)
        sound = worker.audio_stream(container)
        if pictures is None and sound is None:
            raise worker.Refused("no_streams")
        streams = [stream for stream in (pictures, sound) if stream is not None]
        kept: dict[int, list[av.Packet]] | None = {stream.index: [] for stream in streams}
        spans: dict[int, dict[str, float]] = {}
        held = 0
        for packet in _demuxed(container, streams):
            if packet.size:
                worker.add_packet(spans, packet)
            if kept is not None:
                kept[packet.stream.index].append(packet)
                held += packet.size
                kept = kept if held <= KEEP_BYTES else None
        duration = worker.spanned(container, spans)
        if pictures is not None and pictures.index not in spans:
            pictures = None
        if sound is not None and sound.index not in spans:
            sound = None
        wave = None
        if sound is not None and audio:
            if kept is None:
                wave = np.frombuffer(worker.audio(path, {"rate": rate})[1], dtype="<f4")
            else:
                wave = worker.mono(_decoded(kept[sound.index]), rate)
            duration = max(duration, len(wave) / rate)
        times = [float(time) for time in (wanted(duration) if callable(wanted) else wanted)]
        if not times:
            raise ValueError("decode needs at least one frame to take")
        if pictures is None or not video:
            return Decoded(duration, times, wave=wave)
        taker = _Taker(len(times), size, max_side)
        if kept is None or max(times) > worker.LONG_S:
            for place, (pixels, stamp) in enumerate(_far(path, times, size, None)):
                taker.frames[place], taker.stamps[place] = pixels, stamp
            if max_side is not None:
                taker.pictures = [pixels for pixels, _ in _far(path, times, None, max_side)]
        else:
            pictures.thread_type = "NONE"  # as in worker.pick
            _take(pictures, kept[pictures.index], times, taker)
        return Decoded(duration, times, np.stack(taker.frames), taker.stamps, taker.pictures, wave)


class _Taker:
    """Converts the chosen frames at once, so that no more than one full picture is held."""

    def __init__(self, count: int, size: int, max_side: int | None) -> None:
        self.size, self.max_side = size, max_side
        self.frames: list[Any] = [None] * count
        self.stamps = [0.0] * count
        self.pictures: list[Any] = [] if max_side is None else [None] * count

    def take(self, place: int, frame: av.VideoFrame, time: float) -> None:
        from models_ml.media import worker

        self.frames[place], self.stamps[place] = worker.rgb(frame, self.size, None), round(time, 6)
        if self.max_side is not None:
            self.pictures[place] = worker.rgb(frame, None, self.max_side)


def _take(stream: av.VideoStream, packets: list[av.Packet], times: list[float], taker: _Taker) -> None:
    from models_ml.media import worker

    plan = _plan(packets, times)
    if plan and _take_planned(stream, packets, plan, taker):
        return
    # Packets without times, or pictures that do not come when their packets say: decoded in full, in order.
    stream.codec_context.flush_buffers()
    stream.codec_context.skip_frame = "DEFAULT"
    rate = float(stream.average_rate or 25)
    for place, frame, time in worker.on_screen(_decoded(packets), times, rate):
        taker.take(place, frame, time)


def _plan(packets: list[av.Packet], times: list[float]) -> dict[int, list[int]] | None:
    """pts of the frame on screen at each time -> places of those times; None where the packets do not tell."""
    shown = [packet for packet in packets if packet.size and not packet.is_discard]
    stamps = sorted(packet.pts for packet in shown if packet.pts is not None)
    if not stamps or len(set(stamps)) != len(shown):
        return None
    if shown[0].pts != stamps[0] or not shown[0].is_keyframe or shown[0] is not packets[0]:
        return None
    seconds = (np.array(stamps, dtype=np.float64) - stamps[0]) * float(shown[0].time_base)
    plan: dict[int, list[int]] = {}
    for place, index in enumerate(np.searchsorted(seconds, np.array(times) + 1e-6, side="right") - 1):
        plan.setdefault(stamps[max(0, int(index))], []).append(place)
    return plan


def _take_planned(stream: av.VideoStream, packets: list[av.Packet], plan: dict[int, list[int]], taker: _Taker) -> bool:
    """Take the frames of the plan; False when one of them did not come."""
    context, left, first = stream.codec_context, dict(plan), packets[0].pts
    origin: float | None = None
    for frame in _decoded(packets, lambda packet: _skip(context, packet.pts not in plan)):
        if frame.pts is None or frame.time is None or (origin is None and frame.pts != first):
            return False
        origin = frame.time if origin is None else origin
        for place in left.pop(frame.pts, []):
            taker.take(place, frame, frame.time - origin)
        if not left:
            return True
    return False


def _skip(context: Any, skip: bool) -> None:
    context.skip_frame = "NONREF" if skip else "DEFAULT"


def _decoded(packets: list[av.Packet], before: Callable[[av.Packet], None] | None = None) -> Iterator[Any]:
    """Frames of kept packets; a damaged packet is left out, as in `worker.frames`."""
    import av

    for packet in packets:
        if before is not None:
            before(packet)
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            continue
        except av.error.EOFError:
            return


def _demuxed(container: av.container.InputContainer, streams: list[Any]) -> Iterator[av.Packet]:
    """Every packet, and the empty ones at the end that make a decoder give what it holds."""
    import av

    try:
        yield from container.demux(*streams)
    except (av.error.EOFError, av.error.InvalidDataError):
        return


def _far(path: str, times: list[float], size: int | None, max_side: int | None) -> list[tuple[np.ndarray, float]]:
    from models_ml.media import worker

    header, body = worker.pick(path, {"times": times, "size": size, "max_side": max_side})
    pixels = np.frombuffer(body, dtype=np.uint8).reshape(header["shape"])
    return list(zip(pixels.copy(), header["timestamps"], strict=True))
