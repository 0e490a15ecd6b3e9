"""Pictures and sound of a clip lie on one time line, and nothing of the sound is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training import world
from training.affectgpt.inputs import audio_windows, log_mel, media_inputs
from training.config import load_config
from training.evidence import MediaIndex, load_evidence, normalise, open_media, segment_times
from training.snapshot import read_snapshot

RATE = 1000


@pytest.mark.parametrize("duration", [0.1, 1.0, 3.0, 8.0, 16.0, 17.0, 61.5])
def test_every_sample_is_heard_and_window_i_is_centred_on_frame_i(duration: float) -> None:
    wave = np.arange(1, round(duration * RATE) + 1, dtype=np.float32)
    windows, segments = audio_windows(wave, duration, 8, 2.0, RATE)
    assert windows.shape[1] == 2 * RATE
    assert set(wave) <= set(windows.ravel())
    for index, instant in enumerate(segment_times(duration, 8)):
        centres = []
        for window in windows[segments == index]:
            # The value of a sample is its place, so the window tells where it lies.
            place = int(np.flatnonzero(window)[0])
            centres.append((window[place] - 1 - place + RATE) / RATE)
        assert np.mean(centres) == pytest.approx(instant, abs=0.002)


def test_an_utterance_is_normalised_by_itself() -> None:
    rng = np.random.default_rng(0)
    quiet, loud = rng.normal(0.2, 0.01, 8000), rng.normal(-0.1, 0.3, 8000)
    for wave in (quiet, loud):
        out = normalise(wave.astype(np.float32))
        assert out.mean() == pytest.approx(0, abs=1e-6)
        assert np.sqrt(np.mean(out**2)) == pytest.approx(0.05, rel=1e-3)


def test_silence_stays_silence() -> None:
    assert np.abs(normalise(np.zeros(1000, np.float32))).max() == 0
    assert np.isfinite(log_mel(np.zeros(32000, np.float32), 16000, 128, 204)).all()


def test_log_mel_has_imagebind_s_shape_and_shows_the_pitch() -> None:
    time = np.arange(32000) / 16000
    low, high = (log_mel(np.sin(2 * np.pi * hz * time).astype(np.float32), 16000, 128, 204) for hz in (300, 3000))
    assert low.shape == (204, 128)
    assert (low[198:] == 0).all()
    assert not (low[:198] == 0).all()
    assert low[50].argmax() < high[50].argmax()


def test_both_channels_are_heard(tmp_path: Path) -> None:
    import av

    path = tmp_path / "stereo.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16000)
        stream.layout = "stereo"
        right_only = np.zeros((1, 64000), np.int16)
        right_only[0, 1::2] = (8000 * np.sin(np.arange(32000) / 5)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(right_only, format="s16", layout="stereo")
        frame.sample_rate = 16000
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    evidence = load_evidence(open_media(path), load_config("tiny"))
    assert evidence.frames is None
    assert media_inputs(evidence, load_config("tiny"))["audio"]["mel"].std() > 1


def test_a_real_clip_gives_frames_at_the_segments_middles(media: Path) -> None:
    file = open_media(media / "clip_00.mp4")
    evidence = load_evidence(file, load_config("tiny"))
    assert evidence.frames is not None
    assert evidence.frames.shape == (8, 56, 56, 3)
    assert media_inputs(evidence, load_config("tiny"))["audio"]["mel"].shape == (8, 204, 128)
    assert evidence.times == pytest.approx([file.duration * (i + 0.5) / 8 for i in range(8)], abs=0.06)
    # The square moves: no two of these frames are the same picture.
    assert len({frame.tobytes() for frame in evidence.frames}) == 8


def test_a_clip_shorter_than_the_frames_asked_for_and_without_sound_is_a_clip(tmp_path: Path) -> None:
    path = world.write_clip(tmp_path / "two.avi", 1, seconds=0.25, audio=False)
    evidence = load_evidence(open_media(path), load_config("tiny"))
    assert evidence.frames is not None
    assert evidence.frames.shape[0] == 8
    assert evidence.wave is None


def test_media_is_looked_up_by_hash_then_by_name_then_in_the_snapshot(tmp_path: Path) -> None:
    folder = tmp_path / "media"
    folder.mkdir()
    listed = tmp_path / "elsewhere.mp4"
    listed.write_bytes(b"x")
    snapshot = read_snapshot(
        world.write_snapshot(tmp_path / "s", [world.record(0, media_sha256="a" * 64)], media={"clip_00": listed})
    )
    record = snapshot.records["clip_00"]
    assert MediaIndex(folder, snapshot.media).find(record) == listed
    (folder / "clip_00.csv").write_bytes(b"AU04_r")
    (folder / "clip_00.avi").write_bytes(b"x")
    assert MediaIndex(folder, snapshot.media).find(record) == folder / "clip_00.avi"
    (folder / f"{'a' * 64}.mkv").write_bytes(b"x")
    assert MediaIndex(folder, snapshot.media).find(record) == folder / f"{'a' * 64}.mkv"
    assert MediaIndex(None, {}).find(record) is None
