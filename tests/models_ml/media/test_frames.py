"""The frames that are asked for are the frames that come."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from models_ml.media import MediaError, derive, frame_jpeg, frames_at, load_audio, uniform_frames, uniform_jpegs, worker


def grey(frames: np.ndarray) -> list[int]:
    """Which of the steps each frame is."""
    return [round(float(frame.mean()) / 20) for frame in frames]


def test_uniform_frames_are_those_of_the_papers_loader(grey_steps):
    frames, times = frames_at(grey_steps, 4)
    assert frames.shape == (4, 224, 224, 3)
    assert frames.dtype == np.uint8
    assert grey(frames) == [0, 2, 5, 7]  # floor(i * 10 / 4)
    assert times == pytest.approx([0.0, 0.2, 0.5, 0.7], abs=0.002)


def test_a_clip_with_fewer_frames_than_asked_for_repeats_them(grey_steps):
    frames, times = frames_at(grey_steps, 16, size=32)
    assert grey(frames) == [i * 10 // 16 for i in range(16)]
    assert len(times) == 16


def test_frames_at_times_are_what_is_on_screen_then(grey_steps):
    frames, times = frames_at(grey_steps, [0.0, 0.35, 0.3, 99.0, -1.0], size=16)
    assert grey(frames) == [0, 3, 3, 9, 0]
    assert times[3] == pytest.approx(0.9, abs=0.002)


def test_without_a_size_the_picture_keeps_its_shape(grey_steps):
    images, _ = uniform_frames(grey_steps, 2)
    assert [image.size for image in images] == [(64, 48), (64, 48)]
    small, _ = uniform_frames(grey_steps, 2, max_side=32)
    assert small[0].size == (32, 24)


def test_a_frame_is_a_jpeg(grey_steps):
    image = Image.open(io.BytesIO(frame_jpeg(grey_steps, 0.61)))
    assert (image.format, image.size) == ("JPEG", (64, 48))
    assert round(np.asarray(image).mean() / 20) == 6
    jpegs, times = uniform_jpegs(grey_steps, 3)
    assert len(jpegs) == len(times) == 3


def test_a_rotated_clips_frames_are_upright_as_in_its_proxy(tmp_path, ffmpeg, clips):
    for degrees in ("90", "180", "270"):
        path = tmp_path / f"turned{degrees}.mp4"
        ffmpeg("-display_rotation", degrees, "-i", clips / "talk.mp4", "-c", "copy", path)
        proxy = derive(path, tmp_path / degrees)["proxy"]
        mine, shown = (frames_at(file, [0.5], size=96)[0].astype(int) for file in (path, proxy))
        assert np.abs(mine - shown).mean() < 12, degrees


def test_asking_for_no_frame_is_a_mistake(grey_steps):
    with pytest.raises(ValueError, match="at least one"):
        frames_at(grey_steps, [])


def test_frames_of_a_sound_file_are_refused(clips):
    with pytest.raises(MediaError) as caught:
        frames_at(clips / "sound.m4a", 4)
    assert caught.value.code == "no_video"


def test_audio_is_mono_float_at_the_wanted_rate(clips):
    wave = load_audio(clips / "talk.mp4")
    assert wave.dtype == np.float32
    assert len(wave) == pytest.approx(32000, abs=600)
    spectrum = np.abs(np.fft.rfft(wave[4000:20000]))
    assert np.argmax(spectrum) * 16000 / 16000 == pytest.approx(220, abs=1)


def test_channels_are_averaged(tmp_path, ffmpeg):
    path = tmp_path / "stereo.wav"
    ffmpeg("-f", "lavfi", "-i", "aevalsrc=0.8|0.2:d=0.5:s=16000", path)
    assert load_audio(path)[1000:7000] == pytest.approx(0.5, abs=0.001)


def test_audio_of_a_clip_without_any_is_refused_by_that_name(clips):
    with pytest.raises(MediaError, match="silent.mp4: the file has no audio stream") as caught:
        load_audio(clips / "silent.mp4")
    assert caught.value.code == "no_audio"


def test_a_damaged_middle_still_gives_the_frames_around_it(tmp_path, ffmpeg, clips):
    path = tmp_path / "damaged.avi"
    ffmpeg("-i", clips / "talk.mp4", "-c:v", "mpeg4", "-an", path)
    data = bytearray(path.read_bytes())
    third = len(data) // 3
    data[third : third + 2000] = bytes(2000)
    path.write_bytes(bytes(data))
    frames, _ = frames_at(path, 8, size=32)
    assert frames.shape == (8, 32, 32, 3)


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        ("mp4", ["-c:v", "libx264", "-preset", "veryfast", "-g", "40", "-bf", "3"]),
        ("mkv", ["-c:v", "libx264", "-preset", "veryfast", "-g", "40", "-bf", "3"]),
        ("avi", ["-c:v", "mpeg4", "-g", "30"]),
        ("webm", ["-c:v", "libvpx", "-deadline", "realtime", "-g", "30"]),
        ("mov", ["-c:v", "libx264", "-preset", "ultrafast", "-g", "1000"]),
    ],
)
@pytest.mark.parametrize(
    "request_",
    [{"n": 8}, {"n": 3, "size": 32}, {"times": [0.0, 2.5, 5.01, 3.3]}, {"times": [99.0]}],
    ids=["eight", "three", "times", "behind the end"],
)
def test_in_a_long_file_the_same_frames_are_sought(tmp_path, ffmpeg, monkeypatch, suffix, codec, request_):
    path = tmp_path / f"long.{suffix}"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25:duration=6", "-pix_fmt", "yuv420p", *codec, path)
    decoded = worker.pick(str(path), dict(request_))
    monkeypatch.setattr(worker, "LONG_FRAMES", 10)
    monkeypatch.setattr(worker, "LONG_S", 0.1)
    found = worker.pick(str(path), dict(request_))
    assert found[0] == decoded[0]
    assert found[1] == decoded[1]
    if suffix in ("mp4", "mkv", "mov"):
        sought = worker.sought(str(path), [4.0], {}, absolute=True)
        assert sought is not None
        assert sought[0]["timestamps"] == [4.0]
