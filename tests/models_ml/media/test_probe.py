"""What a file holds is told rightly, and what cannot be used is refused with its reason and name."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from models_ml.media import MediaError, check, probe, sha256_file
from tests.models_ml.media.recipes import H264, PICTURE, TONE


def refusal(path: Path, **options) -> MediaError:
    with pytest.raises(MediaError) as caught:
        probe(path, **options)
    assert path.name in str(caught.value)
    return caught.value


def test_a_plain_clip_is_described(clips):
    facts = probe(clips / "talk.mp4")
    assert (facts.width, facts.height, facts.fps, facts.n_frames) == (320, 180, 25.0, 50)
    assert facts.duration == pytest.approx(2.0, abs=0.03)
    assert (facts.video_codec, facts.audio_codec, facts.sample_rate) == ("h264", "aac", 44100)
    assert "mp4" in facts.container


@pytest.mark.parametrize(
    ("suffix", "codecs"),
    [
        ("avi", ["-c:v", "mpeg4", "-c:a", "libmp3lame"]),
        ("mkv", [*H264, "-c:a", "aac"]),
        ("mov", [*H264, "-c:a", "aac"]),
        ("webm", ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus"]),
    ],
)
def test_every_accepted_container_is_read(tmp_path, ffmpeg, suffix, codecs):
    path = tmp_path / f"clip.{suffix}"
    ffmpeg(*PICTURE, *TONE, *codecs, "-shortest", path)
    facts = probe(path)
    assert facts.has_video
    assert facts.has_audio
    assert facts.duration == pytest.approx(2.0, abs=0.1)
    assert facts.n_frames == pytest.approx(50, abs=1)


def test_a_webm_without_a_duration_in_its_header_is_measured(tmp_path, ffmpeg):
    path = tmp_path / "recorder.webm"
    ffmpeg(*PICTURE, "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-f", "webm", "-live", "1", path)
    assert probe(path).duration == pytest.approx(2.0, abs=0.1)


def test_a_clip_without_audio_is_valid(clips):
    facts = probe(clips / "silent.mp4")
    assert (facts.has_video, facts.has_audio, facts.audio_codec) == (True, False, None)
    check(facts, clips / "silent.mp4")


def test_a_file_with_audio_only_is_told_and_refused_only_where_video_is_needed(clips):
    path = clips / "sound.m4a"
    facts = probe(path)
    assert (facts.has_video, facts.has_audio, facts.width) == (False, True, None)
    check(facts, path, need_video=False)
    with pytest.raises(MediaError, match="sound.m4a: the file has no video stream") as caught:
        check(facts, path)
    assert caught.value.code == "no_video"


def test_cover_art_is_not_a_video(tmp_path, ffmpeg, clips):
    cover, song = tmp_path / "cover.png", tmp_path / "song.m4a"
    ffmpeg("-f", "lavfi", "-i", "color=red:size=64x64", "-frames:v", "1", cover)
    ffmpeg("-i", clips / "sound.m4a", "-i", cover, "-map", "0:a", "-map", "1:v", "-c:a", "copy", "-c:v", "png",
           "-disposition:v:0", "attached_pic", song)  # fmt: skip
    assert not probe(song).has_video


def test_two_frames_are_a_video(tmp_path, ffmpeg):
    path = tmp_path / "two.mp4"
    ffmpeg(*PICTURE, *H264, "-frames:v", "2", path)
    facts = probe(path)
    assert (facts.n_frames, facts.has_video) == (2, True)
    assert facts.duration == pytest.approx(0.08, abs=0.01)


def test_a_tenth_of_a_second_of_sound_is_audio(tmp_path, ffmpeg):
    path = tmp_path / "blip.wav"
    ffmpeg(*TONE, "-t", "0.1", path)
    assert probe(path).duration == pytest.approx(0.1, abs=0.001)


def test_a_rotated_clip_is_as_wide_as_it_is_shown(tmp_path, ffmpeg, clips):
    path = tmp_path / "phone.mp4"
    ffmpeg("-display_rotation", "90", "-i", clips / "talk.mp4", "-c", "copy", path)
    facts = probe(path)
    assert (facts.width, facts.height) == (180, 320)


def test_odd_sides_are_kept(tmp_path, ffmpeg):
    path = tmp_path / "odd.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=161x91:rate=10:duration=0.5", "-c:v", "ffv1", path)
    assert (probe(path).width, probe(path).height) == (161, 91)


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    assert refusal(tmp_path / "无此文件.mp4").code == "missing"


def test_an_empty_file_is_said_to_be_empty(tmp_path):
    path = tmp_path / "empty.mp4"
    path.touch()
    assert refusal(path).code == "empty"


def test_a_text_file_named_mp4_is_unreadable(tmp_path):
    path = tmp_path / "notes.mp4"
    path.write_text("这不是视频。\n" * 50, encoding="utf-8")
    assert refusal(path).code == "unreadable"


def test_a_folder_is_unreadable(tmp_path):
    path = tmp_path / "folder.mp4"
    path.mkdir()
    assert refusal(path).code == "unreadable"


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_file_cut_before_its_index_is_unreadable(tmp_path, clips, share):
    whole = (clips / "talk.mp4").read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: int(len(whole) * share)])
    assert refusal(path).code == "unreadable"


def test_a_file_cut_after_its_index_is_truncated_and_says_where(tmp_path, ffmpeg, clips):
    whole, path = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    ffmpeg("-i", clips / "talk.mp4", "-c", "copy", "-movflags", "+faststart", whole)
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    error = refusal(path)
    assert error.code == "truncated"
    assert "of 2.0" in error.detail


def test_a_video_without_a_single_frame_has_zero_length(tmp_path, ffmpeg):
    path = tmp_path / "nothing.avi"
    ffmpeg(*PICTURE, "-c:v", "mpeg4", "-t", "0", path)
    assert refusal(path).code == "zero_length"
    wav = tmp_path / "nothing.wav"
    ffmpeg(*TONE, "-t", "0", wav)
    assert refusal(wav).code == "zero_length"


def test_a_container_with_neither_stream_is_told_so(tmp_path, ffmpeg):
    path = tmp_path / "hollow.mp4"
    ffmpeg(*PICTURE, *H264, "-t", "0", path)
    assert refusal(path).code == "no_streams"


def test_a_playlist_cannot_make_the_decoder_read_another_file(tmp_path, clips):
    shutil.copy(clips / "talk.mp4", tmp_path / "secret.ts")
    hls = tmp_path / "clip.mp4"
    hls.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nsecret.ts\n#EXT-X-ENDLIST\n")
    assert refusal(hls).code == "unreadable"
    concat = tmp_path / "list.mkv"
    concat.write_text("ffconcat version 1.0\nfile secret.ts\n")
    assert refusal(concat).code == "unreadable"


@pytest.mark.parametrize("name", ["-i.mp4", "http:x.mp4", "%d 'q\" $(id);.mp4", "视频 片段.mp4", "a\nb.mp4"])
def test_names_with_odd_characters_are_only_names(tmp_path, clips, name, monkeypatch):
    shutil.copy(clips / "silent.mp4", tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert probe(name).n_frames == 50


def test_a_name_that_is_not_utf8_is_read(tmp_path, clips):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.mp4")
    shutil.copy(clips / "silent.mp4", path)
    assert probe(path).n_frames == 50


def test_a_decoder_that_takes_too_long_is_stopped(clips):
    error = refusal(clips / "talk.mp4", timeout_s=0.01)
    assert error.code == "timeout"


def test_a_clip_longer_than_allowed_is_refused_with_both_figures(clips):
    facts = probe(clips / "talk.mp4")
    with pytest.raises(MediaError, match=r"2\.0 s, at most 1\.5 s"):
        check(facts, "talk.mp4", max_seconds=1.5)


def test_the_hash_is_of_the_bytes(tmp_path):
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert sha256_file(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
