"""One reading in this process gives what two readings in child processes give."""

from __future__ import annotations

import numpy as np
import pytest

from models_ml.media import MediaError, decode, direct, frames_at, load_audio, probe, probe_direct
from tests.models_ml.media.recipes import PICTURE, TONE

KINDS = {
    "b-frames.mp4": ["-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-c:a", "aac"],
    "open-gop.mkv": ["-c:v", "libx264", "-x264-params", "open-gop=1:keyint=12:bframes=3", "-c:a", "aac"],
    "old.avi": ["-c:v", "mpeg4", "-c:a", "mp3"],
    "packed.avi": ["-c:v", "mpeg4", "-bf", "2", "-c:a", "mp3"],
    "web.webm": ["-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"],
    "stream.ts": ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory, ffmpeg):
    """A file of each kind, by name."""
    folder = tmp_path_factory.mktemp("kinds")

    def make(name):
        path = folder / name
        if not path.exists():
            ffmpeg(*PICTURE, *TONE, "-pix_fmt", "yuv420p", *KINDS[name], path)
        return path

    return make


@pytest.mark.parametrize("name", KINDS)
def test_frames_and_samples_are_those_of_two_readings(made, name):
    path = made(name)
    found = decode(path, 8, size=64)
    assert found.duration == pytest.approx(max(probe(path).duration, len(found.wave) / 16000))
    assert found.times == pytest.approx([(i + 0.5) * found.duration / 8 for i in range(8)])
    frames, stamps = frames_at(path, found.times, size=64)
    assert np.array_equal(found.frames, frames)
    assert found.stamps == stamps
    assert np.array_equal(found.wave, load_audio(path))


@pytest.mark.parametrize("name", ["b-frames.mp4", "packed.avi"])
def test_times_out_of_order_before_the_start_and_behind_the_end(made, name):
    times = [1.3, -2.0, 99.0, 0.0, 1.3]
    found = decode(made(name), times, size=32)
    frames, stamps = frames_at(made(name), times, size=32)
    assert np.array_equal(found.frames, frames)
    assert (found.times, found.stamps) == (times, stamps)


def test_pictures_that_nothing_is_built_on_are_left_out_and_nothing_else_changes(made, monkeypatch):
    path = made("b-frames.mp4")
    quick = decode(path, [0.5, 1.7], size=64).frames
    decoded = []
    plain = direct._decoded
    monkeypatch.setattr(direct, "_plan", lambda packets, times: None)
    monkeypatch.setattr(direct, "_decoded", lambda *arguments: (decoded.append(f) or f for f in plain(*arguments)))
    assert np.array_equal(decode(path, [0.5, 1.7], size=64, audio=False).frames, quick)
    in_full = len(decoded)
    monkeypatch.undo()
    decoded.clear()
    monkeypatch.setattr(direct, "_decoded", lambda *arguments: (decoded.append(f) or f for f in plain(*arguments)))
    decode(path, [0.5, 1.7], size=64, audio=False)
    assert len(decoded) < 0.7 * in_full


def test_a_long_file_is_read_again_not_kept(made, monkeypatch):
    path = made("b-frames.mp4")
    kept = decode(path, 5, size=32, max_side=64)
    monkeypatch.setattr(direct, "KEEP_BYTES", 0)
    again = decode(path, 5, size=32, max_side=64)
    assert np.array_equal(kept.frames, again.frames)
    assert np.array_equal(kept.wave, again.wave)
    assert kept.stamps == again.stamps
    assert [np.array_equal(a, b) for a, b in zip(kept.pictures, again.pictures, strict=True)] == [True] * 5


def test_the_number_of_frames_may_follow_from_the_duration(made):
    found = decode(made("old.avi"), lambda duration: [0.25 * i for i in range(int(duration / 0.25))], size=16)
    assert len(found.frames) == len(found.times) == int(found.duration / 0.25)


def test_pictures_keep_their_shape_beside_the_squares(made):
    found = decode(made("old.avi"), 2, size=16, max_side=160)
    assert [picture.shape for picture in found.pictures] == [(90, 160, 3)] * 2


def test_a_stream_that_is_absent_or_not_wanted_is_none(clips):
    silent, sound = decode(clips / "silent.mp4", 2, size=16), decode(clips / "sound.m4a", 2)
    assert (silent.wave, sound.frames) == (None, None)
    assert silent.frames is not None
    assert len(sound.wave) == pytest.approx(32000, abs=1100)
    neither = decode(clips / "talk.mp4", 2, size=16, video=False, audio=False)
    assert (neither.frames, neither.wave) == (None, None)
    assert neither.duration == pytest.approx(2, abs=0.1)


def test_a_damaged_middle_still_gives_the_frames_around_it(tmp_path, made):
    path = tmp_path / "坏了 '; rm -rf $HOME.avi"
    data = bytearray(made("old.avi").read_bytes())
    third = len(data) // 3
    data[third : third + 2000] = bytes(2000)
    path.write_bytes(bytes(data))
    found = decode(path, 8, size=32)
    frames, _ = frames_at(path, found.times, size=32)
    assert np.array_equal(found.frames, frames)


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [("no.mp4", None, "missing"), ("no.mp4", b"", "empty"), ("no.mp4", b"no media at all " * 50, "unreadable")],
)
def test_what_cannot_be_read_is_named(tmp_path, name, content, code):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    for act in (lambda path: decode(path, 4), probe_direct):
        with pytest.raises(MediaError, match=name) as caught:
            act(tmp_path / name)
        assert caught.value.code == code


def test_a_file_that_was_cut_off_is_truncated_for_both(tmp_path, made):
    path = tmp_path / "half.mkv"
    path.write_bytes(made("open-gop.mkv").read_bytes()[: made("open-gop.mkv").stat().st_size // 3])
    for act in (lambda: decode(path, 4), lambda: probe(path), lambda: probe_direct(path)):
        with pytest.raises(MediaError) as caught:
            act()
        assert caught.value.code == "truncated"


def test_a_playlist_that_names_other_files_is_refused(tmp_path, clips):
    path = tmp_path / "list.m3u8"
    path.write_text(f"#EXTM3U\n#EXTINF:2,\n{clips / 'talk.mp4'}\n#EXT-X-ENDLIST\n")
    with pytest.raises(MediaError) as caught:
        decode(path, 2)
    assert caught.value.code == "unreadable"


def test_facts_are_the_same_in_this_process(clips):
    assert probe_direct(clips / "talk.mp4") == probe(clips / "talk.mp4")
