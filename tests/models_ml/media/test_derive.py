"""The derived files of a clip are all there, play in a browser, and appear only when complete."""

from __future__ import annotations

import json
import wave

import numpy as np
import pytest
from PIL import Image

from models_ml.media import MediaError, derive, load_audio, probe, waveform_peaks
from tests.models_ml.media.recipes import H264, PICTURE, TONE


def test_a_clip_with_both_streams_gets_every_file(tmp_path, clips):
    files = derive(clips / "talk.mp4", tmp_path)
    assert set(files) == {"proxy", "muted", "audio", "wav", "poster", "peaks"}
    proxy, muted, audio = (probe(files[key]) for key in ("proxy", "muted", "audio"))
    assert (proxy.video_codec, proxy.audio_codec, proxy.n_frames) == ("h264", "aac", 50)
    assert (muted.has_video, muted.has_audio) == (True, False)
    assert (audio.has_video, audio.has_audio) == (False, True)
    with wave.open(str(files["wav"])) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)
        assert file.getnframes() == pytest.approx(32000, abs=600)
    assert Image.open(files["poster"]).size == (320, 180)
    peaks = json.loads(files["peaks"].read_text())
    assert peaks["version"] == 1
    assert len(peaks["peaks"]) == pytest.approx(peaks["rate"] * peaks["duration"], abs=1)
    assert max(high for _, high in peaks["peaks"]) == pytest.approx(load_audio(files["wav"]).max(), abs=0.01)


def test_the_proxy_starts_playing_before_it_is_loaded(tmp_path, clips):
    for key in ("proxy", "muted", "audio"):
        data = derive(clips / "talk.mp4", tmp_path)[key].read_bytes()
        assert 0 < data.index(b"moov") < data.index(b"mdat"), key


def test_a_clip_without_audio_gets_the_pictures_only(tmp_path, clips):
    assert set(derive(clips / "silent.mp4", tmp_path)) == {"proxy", "muted", "poster"}


def test_a_sound_file_gets_the_sound_only(tmp_path, clips):
    assert set(derive(clips / "sound.m4a", tmp_path)) == {"audio", "wav", "peaks"}


def test_two_frames_get_a_proxy_and_a_poster(tmp_path, ffmpeg):
    path = tmp_path / "two.mp4"
    ffmpeg(*PICTURE, *H264, "-frames:v", "2", path)
    files = derive(path, tmp_path / "out")
    assert probe(files["proxy"]).n_frames == 2
    assert Image.open(files["poster"]).size == (320, 180)


def test_a_blip_of_sound_gets_peaks(tmp_path, ffmpeg):
    path = tmp_path / "blip.mkv"
    ffmpeg(*PICTURE, *TONE, *H264, "-c:a", "pcm_s16le", "-t", "0.1", path)
    peaks = json.loads(derive(path, tmp_path / "out")["peaks"].read_text())
    assert 8 <= len(peaks["peaks"]) <= 13


@pytest.mark.parametrize(
    ("size", "expected"),
    [("161x91", (160, 90)), ("2561x101", (1280, 50)), ("5x3", (16, 16)), ("100x1600", (80, 1280))],
)
def test_sides_are_made_even_and_not_too_long(tmp_path, ffmpeg, size, expected):
    path = tmp_path / "odd.mkv"
    ffmpeg("-f", "lavfi", "-i", f"testsrc=size={size}:rate=10:duration=0.3", "-c:v", "ffv1", path)
    proxy = probe(derive(path, tmp_path / "out")["proxy"])
    assert (proxy.width, proxy.height) == expected


def test_pixels_that_are_not_square_are_shown_in_their_shape(tmp_path, ffmpeg):
    path = tmp_path / "dv.mkv"
    ffmpeg(*PICTURE, "-vf", "setsar=2", "-frames:v", "5", *H264, path)
    proxy = probe(derive(path, tmp_path / "out")["proxy"])
    assert (proxy.width, proxy.height) == (640, 180)


def test_a_name_like_an_option_or_a_pattern_is_only_a_name(tmp_path, clips, monkeypatch):
    (tmp_path / "-y %03d.mp4").write_bytes((clips / "talk.mp4").read_bytes())
    monkeypatch.chdir(tmp_path)
    files = derive("-y %03d.mp4", "out %d")
    assert all(path.stat().st_size > 0 for path in files.values())


def test_a_failure_leaves_nothing_half_made(tmp_path, clips):
    path = tmp_path / "gone.mp4"
    path.write_bytes((clips / "talk.mp4").read_bytes())
    facts = probe(path)
    path.write_bytes(b"not a film any more")
    with pytest.raises(MediaError) as caught:
        derive(path, tmp_path / "out", facts)
    assert caught.value.code == "not_encoded"
    assert list((tmp_path / "out").iterdir()) == []


def test_deriving_again_replaces_the_files(tmp_path, clips):
    first = derive(clips / "talk.mp4", tmp_path)["poster"].read_bytes()
    (tmp_path / "poster.jpg").write_bytes(b"old")
    assert derive(clips / "talk.mp4", tmp_path)["poster"].read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "audio.m4a", "audio16k.wav", "muted.mp4", "peaks.json", "poster.jpg", "proxy.mp4"
    ]  # fmt: skip


def test_a_long_recording_gets_fewer_peaks_per_second(tmp_path):
    path = tmp_path / "long.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(1000)
        file.writeframes(np.full(400_000, 16384, "<i2").tobytes())
    peaks = waveform_peaks(path)
    assert peaks["rate"] == 50.0
    assert len(peaks["peaks"]) == 20_000
    assert peaks["peaks"][0] == [0.5, 0.5]


def test_a_file_that_claims_to_last_for_days_is_derived_as_any(tmp_path, ffmpeg):
    picture = ("-f", "lavfi", "-i", "testsrc=size=96x64:rate=1:duration=2")
    ffmpeg(*picture, "-vf", "setpts=N*1000000/TB", "-fps_mode", "vfr", "-c:v", "ffv1", tmp_path / "jump.mkv")
    assert probe(tmp_path / "jump.mkv").duration > 1e6
    made = derive(tmp_path / "jump.mkv", tmp_path / "out")
    assert probe(made["proxy"]).n_frames == 2
