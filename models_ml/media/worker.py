"""The child's side: opens one media file with PyAV and writes one JSON line, then raw bytes, to stdout.

Started by `child.ask` under limits. Only the file and pipe protocols and a list of plain containers are
allowed: playlists (HLS, ffconcat, DASH) could make the demuxer read other files.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import av
import numpy as np

from models_ml.media.formats import FORMATS, PROTOCOLS

#: A stream whose packets end this much before its declared end is cut off.
TRUNCATED_SLACK_S = 0.5
TRUNCATED_SLACK_SHARE = 0.1
#: From here on frames are sought, not reached by decoding all before them.
LONG_FRAMES = 3000
LONG_S = 120.0


class Refused(Exception):
    """What the parent turns into a MediaError."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


def open_media(path: str) -> av.container.InputContainer:
    options = {"protocol_whitelist": PROTOCOLS, "format_whitelist": FORMATS}
    try:
        return av.open(path, mode="r", options=options)
    except (av.error.FFmpegError, ValueError) as error:
        raise Refused("unreadable", getattr(error, "strerror", None) or str(error)) from None


def picture_stream(container: av.container.InputContainer) -> av.VideoStream | None:
    """The first video stream that is not cover art (a still attached to an audio file)."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    return None


def audio_stream(container: av.container.InputContainer) -> av.AudioStream | None:
    return container.streams.audio[0] if container.streams.audio else None


def packets(container: av.container.InputContainer, *streams: Any) -> Iterator[av.Packet]:
    """Packets up to the end of the file or to the first one that cannot be read."""
    try:
        for packet in container.demux(*streams):
            if packet.size:
                yield packet
    except (av.error.EOFError, av.error.InvalidDataError):
        return


def frames(container: av.container.InputContainer, stream: Any) -> Iterator[Any]:
    """Decoded frames; a damaged packet is left out, the frames after it still come."""
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            continue
        except av.error.EOFError:
            return


def measured_spans(container: av.container.InputContainer, streams: list[Any]) -> dict[int, dict[str, float]]:
    """Per stream index: number of packets, first time and end time in seconds, by reading every packet."""
    spans: dict[int, dict[str, float]] = {}
    for packet in packets(container, *streams):
        add_packet(spans, packet)
    return spans


def add_packet(spans: dict[int, dict[str, float]], packet: av.Packet) -> None:
    """Count one packet (with bytes in it) into the spans."""
    time = packet.pts if packet.pts is not None else packet.dts
    span = spans.setdefault(packet.stream.index, {"n": 0, "start": float("inf"), "end": 0.0})
    span["n"] += 1
    if time is None:
        return
    base = float(packet.time_base)
    seconds = float(packet.duration or 0) * base
    if not seconds and packet.stream.type == "video" and packet.stream.average_rate:
        seconds = 1.0 / float(packet.stream.average_rate)
    # Encoder delay of AAC starts before 0: that is not heard.
    span["start"] = min(span["start"], max(0.0, time * base))
    span["end"] = max(span["end"], time * base + seconds)


def spanned(container: av.container.InputContainer, spans: dict[int, dict[str, float]]) -> float:
    """The duration (s) that the packets of a file make. Raises Refused: zero_length, truncated."""
    declared = container.duration / av.time_base if container.duration else None
    if not spans:
        cut_off = declared is not None and declared > TRUNCATED_SLACK_S
        raise Refused("truncated", f"nothing of {declared:.2f} s is there") if cut_off else Refused("zero_length")
    start = min(span["start"] for span in spans.values())
    duration = max(span["end"] for span in spans.values()) - (start if start != float("inf") else 0.0)
    if duration <= 0:
        # Raw streams carry no times; the container's own estimate is all there is.
        duration = declared or 0.0
    if duration <= 0:
        raise Refused("zero_length")
    if declared is not None and declared - duration > max(TRUNCATED_SLACK_S, TRUNCATED_SLACK_SHARE * declared):
        raise Refused("truncated", f"{duration:.2f} s of {declared:.2f} s are there")
    return duration


def first_frame(path: str) -> av.VideoFrame:
    with open_media(path) as container:
        stream = picture_stream(container)
        for frame in frames(container, stream):
            return frame
    raise Refused("unreadable", "no frame of the video stream can be decoded")


def probe(path: str) -> tuple[dict[str, Any], bytes]:
    with open_media(path) as container:
        video, audio = picture_stream(container), audio_stream(container)
        streams = [stream for stream in (video, audio) if stream is not None]
        if not streams:
            raise Refused("no_streams")
        spans = measured_spans(container, streams)
        duration = spanned(container, spans)
        has_video = video is not None and video.index in spans
        has_audio = audio is not None and audio.index in spans
        info: dict[str, Any] = {
            "duration": round(duration, 6),
            "has_video": has_video,
            "has_audio": has_audio,
            "width": None,
            "height": None,
            "fps": None,
            "n_frames": None,
            "video_codec": None,
            "audio_codec": None,
            "sample_rate": None,
            "container": container.format.name,
        }
        if video is not None and has_video:
            rate = video.average_rate or video.guessed_rate
            info["fps"] = round(float(rate), 6) if rate else None
            info["n_frames"] = int(spans[video.index]["n"])
            info["video_codec"] = video.codec_context.name
        if audio is not None and has_audio:
            info["audio_codec"] = audio.codec_context.name
            info["sample_rate"] = audio.codec_context.sample_rate
    if has_video:
        frame = first_frame(path)
        turned = round(frame.rotation / 90) % 2 == 1
        info["width"], info["height"] = (frame.height, frame.width) if turned else (frame.width, frame.height)
    return info, b""


def rgb(frame: av.VideoFrame, size: int | None, max_side: int | None) -> np.ndarray:
    """(h, w, 3) uint8, turned as the file says; `size` gives a square (aspect lost), `max_side` keeps aspect."""
    width, height = frame.width, frame.height
    if size is not None:
        width = height = size
    elif max_side is not None and max(width, height) > max_side:
        scale = max_side / max(width, height)
        width, height = max(1, round(width * scale)), max(1, round(height * scale))
    pixels = frame.reformat(width=width, height=height, format="rgb24", interpolation="BICUBIC").to_ndarray()
    # `rotation` is counter-clockwise, as rot90 counts.
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90) % 4))


def sought(
    path: str, times: list[float], request: dict[str, Any], *, absolute: bool
) -> tuple[dict[str, Any], bytes] | None:
    """The frames on screen at `times` (s; `absolute`: of the stream's clock, else from its first frame), each from the
    key frame before it; None where the file cannot be sought in, or shows another size there.

    Of half an hour some seconds are decoded instead of all of it.
    """
    shown: list[tuple[np.ndarray, float]] = []
    with open_media(path) as container:
        stream = picture_stream(container)
        if stream is None or not stream.time_base:
            return None
        stream.thread_type = "NONE"  # as in `pick`
        first = next(frames(container, stream), None)
        if first is None or first.time is None:
            return None
        for time in times:
            until = time + (0.0 if absolute else first.time) + 1e-6
            try:
                container.seek(int(until / stream.time_base), stream=stream, backward=True, any_frame=False)
            except av.error.FFmpegError:
                return None
            last = None
            for frame in frames(container, stream):
                if frame.time is None or (frame.time > until and last is None and frame.time > first.time):
                    return None  # it landed behind what was asked for
                if frame.time > until and last is not None:
                    break
                last = frame
            if last is None:
                return None
            shown.append((rgb(last, request.get("size"), request.get("max_side")), last.time - first.time))
    if len({pixels.shape for pixels, _ in shown}) != 1:
        return None
    pixels = np.stack([image for image, _ in shown])
    return {"shape": pixels.shape, "timestamps": [round(time, 6) for _, time in shown]}, pixels.tobytes()


def pick(path: str, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Frames at `times` (what is on screen at t) or `n` uniform ones (index floor(i·len/n)), decoded in order, or
    sought in a long file: the same frames."""
    with open_media(path) as container:
        stream = picture_stream(container)
        if stream is None:
            raise Refused("no_video")
        stamps = [packet.pts for packet in packets(container, stream)] if request.get("n") else []
        base = float(stream.time_base or 0)
    if request.get("n"):
        count = len(stamps)
        wanted: list[float] = [i * count // request["n"] for i in range(request["n"])]
        known = sorted(stamp for stamp in stamps if stamp is not None)
        far = [known[int(index)] * base for index in wanted] if count > LONG_FRAMES and len(known) == count else []
    else:
        wanted = [float(time) for time in request["times"]]
        far = wanted if max(wanted) > LONG_S else []
    if far and (found := sought(path, far, request, absolute=bool(request.get("n")))):
        return found
    chosen: dict[int, tuple[np.ndarray, float]] = {}
    with open_media(path) as container:
        stream = picture_stream(container)
        if stream is None:
            raise Refused("no_video")
        # One thread: with FFmpeg's frame threads about one decode in twenty never ended (PyAV 18.1), at the same speed.
        stream.thread_type = "NONE"
        rate = float(stream.average_rate or 25)
        for place, frame, time in on_screen(frames(container, stream), wanted, rate, counted=bool(request.get("n"))):
            pixels = rgb(frame, request.get("size"), request.get("max_side"))
            chosen[place] = (same_size(pixels, next(iter(chosen.values()))[0] if chosen else pixels), time)
    pixels = np.stack([chosen[i][0] for i in range(len(wanted))])
    return {"shape": pixels.shape, "timestamps": [round(chosen[i][1], 6) for i in range(len(wanted))]}, pixels.tobytes()


def on_screen(
    decoded: Iterable[av.VideoFrame], wanted: Sequence[float], rate: float, *, counted: bool = False
) -> Iterator[tuple[int, av.VideoFrame, float]]:
    """(place in `wanted`, frame, its time from the first frame in s) for each wanted time, or index when `counted`.

    The frame at a time is the last one that came before it; behind the end it is the last one. Raises Refused.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    position, origin = 0, None
    previous: tuple[av.VideoFrame, float] | None = None
    for index, frame in enumerate(decoded):
        time = frame.time if frame.time is not None else index / rate
        origin = time if origin is None else origin
        time -= origin
        shown = (frame, time) if counted else previous or (frame, time)
        while position < len(order) and (
            wanted[order[position]] <= index if counted else wanted[order[position]] < time - 1e-6
        ):
            yield order[position], *shown
            position += 1
        previous = (frame, time)
        if position == len(order):
            return
    if previous is None:
        raise Refused("zero_length", "no frame can be decoded")
    for place in order[position:]:
        yield place, *previous


def same_size(pixels: np.ndarray, first: np.ndarray) -> np.ndarray:
    """`pixels` at the size of the first picture, where the picture size changes inside a stream."""
    if pixels.shape == first.shape:
        return pixels
    fixed = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    return fixed.reformat(width=first.shape[1], height=first.shape[0]).to_ndarray()


def audio(path: str, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    with open_media(path) as container:
        stream = audio_stream(container)
        if stream is None:
            raise Refused("no_audio")
        wave = mono(frames(container, stream), request["rate"])
    return {"samples": len(wave)}, wave.tobytes()


def mono(decoded: Iterable[av.AudioFrame], rate: int) -> np.ndarray:
    """Float32 mono (samples,) in [-1, 1]: resampled with all channels kept, then their mean."""
    resampler: av.AudioResampler | None = None
    parts: list[np.ndarray] = []
    for frame in decoded:
        if resampler is None:
            resampler = av.AudioResampler(format="fltp", layout=frame.layout, rate=rate)
        parts += [out.to_ndarray().mean(axis=0) for out in resampler.resample(frame)]
    if resampler is not None:
        parts += [out.to_ndarray().mean(axis=0) for out in resampler.resample(None)]
    wave = np.concatenate(parts) if parts else np.zeros(0)
    return np.clip(np.nan_to_num(wave), -1.0, 1.0).astype("<f4")


def main(argument: str) -> int:
    request = json.loads(argument)
    path = os.fsdecode(request["path"].encode("latin-1"))
    av.logging.set_level(av.logging.PANIC)
    handlers: dict[str, Callable[[], tuple[dict[str, Any], bytes]]] = {
        "probe": lambda: probe(path),
        "frames": lambda: pick(path, request),
        "audio": lambda: audio(path, request),
    }
    body = b""
    try:
        header, body = handlers[request["do"]]()
    except Refused as refusal:
        header = {"error": refusal.code, "detail": refusal.detail}
    except av.error.FFmpegError as error:
        header = {"error": "unreadable", "detail": error.strerror or str(error)}
    sys.stdout.buffer.write(json.dumps(header).encode() + b"\n")
    sys.stdout.buffer.write(body)
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
