"""The synthetic corpus is what it says: known AUs, speech that follows the emotion, the same for a seed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from models_ml.face import peak, pseudo_labels, read_openface
from models_ml.media import load_audio, probe, sha256_file, uniform_frames
from models_ml.synthetic import make_clip, make_corpus
from models_ml.synthetic.corpus import plan
from models_ml.synthetic.draw import draw_face
from models_ml.synthetic.look import mark
from models_ml.synthetic.scenarios import FACES, SCENARIOS, SPEAKERS, VOICES
from models_ml.synthetic.speech import RATE, speak
from models_ml.voice import count_syllables, measure


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict]]:
    out = tmp_path_factory.mktemp("corpus")
    return out, make_corpus(out, n=12, seed=0)


def test_twelve_clips_have_twelve_subtitles_in_both_languages_and_six_emotions(corpus):
    _, items = corpus
    assert len({item["subtitle_zh"] for item in items}) == len({item["subtitle_en"] for item in items}) == 12
    assert len({item["emotion"] for item in items}) >= 6
    assert "neutral" in {item["emotion"] for item in items}
    assert len({item["speaker"] for item in items}) >= 3
    assert {item["language"] for item in items} == {"zh", "en"}
    assert {Path(item["media"]).suffix for item in items} == {".mp4", ".avi"}


def test_every_speaker_has_clips_enough_for_a_baseline(corpus):
    _, items = corpus
    for speaker in {item["speaker"] for item in items}:
        assert sum(item["speaker"] == speaker for item in items) >= 2


def test_some_words_disagree_with_the_emotion():
    masked = [scenario for scenario in SCENARIOS if scenario.face is not None and "AU12" in scenario.face]
    assert {scenario.emotion for scenario in masked} >= {"sad", "angry"}


def test_the_clips_are_short_and_have_both_streams(corpus):
    out, items = corpus
    for item in items:
        facts = probe(out / item["media"])
        assert (facts.width, facts.height, facts.fps) == (360, 360, 25.0)
        assert facts.has_audio
        assert 2.9 < facts.duration < 6.5
        assert facts.duration == pytest.approx(item["duration"], abs=0.1)


def test_the_peak_frame_shows_the_intended_aus_and_their_emotion(corpus):
    out, items = corpus
    for item in items:
        found = peak(read_openface(out / "au" / f"{item['name']}.csv"))
        assert set(item["au"]) <= set(found["aus"]), item["name"]
        assert set(found["aus"]) - set(item["au"]) <= {"AU25"}, "only speech parts the lips on top"
        for au, apex in item["au"].items():
            assert found["aus"][au] == pytest.approx(apex, abs=0.15 * apex + 0.2)
        if item["emotion"] != "neutral":
            assert found["pseudo_labels"][:1] == [item["emotion"]]


@pytest.mark.parametrize("emotion", [name for name in FACES if name != "neutral"])
def test_each_emotions_face_is_its_own_prototype(emotion):
    assert pseudo_labels(FACES[emotion])[0] == emotion


@pytest.mark.parametrize("speaker", SPEAKERS, ids=lambda speaker: speaker.code)
def test_the_voice_follows_the_emotion_for_the_same_speaker_and_line(speaker):
    line = SCENARIOS[5].zh if speaker.language == "zh" else SCENARIOS[5].en
    syllables = count_syllables(line, speaker.language)

    def voice(emotion: str) -> dict:
        return measure(speak(line, speaker, VOICES[emotion]).astype(np.float64), RATE, syllables=syllables)

    found = {emotion: voice(emotion) for emotion in ("neutral", "happy", "sad", "angry", "surprise")}
    f0 = {emotion: measures["f0_median_hz"] for emotion, measures in found.items()}
    level = {emotion: measures["intensity_db"] for emotion, measures in found.items()}
    rate = {emotion: measures["syllables_per_s"] for emotion, measures in found.items()}
    assert f0["sad"] < f0["neutral"] < f0["happy"] < f0["surprise"]
    assert f0["neutral"] < f0["angry"]
    assert level["sad"] + 3 < level["neutral"] < level["happy"] < level["angry"]
    assert rate["sad"] < rate["neutral"] < rate["angry"]


def test_speech_is_heard_in_the_file_and_the_mouth_moves_with_it(corpus):
    out, items = corpus
    item = items[0]
    wave = load_audio(out / item["media"])
    track = read_openface(out / "au" / f"{item['name']}.csv")
    frames = np.array_split(wave, len(track.frames))
    loud = np.array([np.sqrt(np.mean(frame**2)) for frame in frames])
    assert np.corrcoef(loud, track.intensity["AU25"])[0, 1] > 0.7


def test_the_files_beside_the_clips_are_those_that_ingest_reads(corpus):
    out, items = corpus
    with (out / "subtitles.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["chinese"] for row in rows] == [item["subtitle_zh"] for item in items]
    assert [row["english"] for row in rows] == [item["subtitle_en"] for item in items]
    with (out / "labels.csv").open(encoding="utf-8", newline="") as file:
        assert [tuple(row.values()) for row in csv.DictReader(file)] == [(i["name"], i["emotion"]) for i in items]
    manifest = [json.loads(line) for line in (out / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    for row, item in zip(manifest, items, strict=True):
        assert row["sha256"] == sha256_file(out / row["media"])
        assert (row["name"], row["speaker"]) == (item["name"], item["speaker"])
        assert row["source"] == f"synthetic-{item['speaker']}-1"


def test_a_clip_depends_on_its_seed_and_index_only(corpus, tmp_path):
    out, items = corpus
    again = make_clip(tmp_path, 5, 0)
    assert again == items[5]
    assert (tmp_path / "au" / f"{again['name']}.csv").read_bytes() == (out / "au" / f"{again['name']}.csv").read_bytes()
    other = make_clip(tmp_path, 5, 1)
    assert other["sha256"] != again["sha256"]
    assert other["name"] != again["name"]


def test_thousands_of_clips_have_hundreds_of_subtitles_and_all_pairings():
    plans = [plan(index, 0) for index in range(2000)]
    assert len({zh for _, _, zh, _, _ in plans}) > 200
    assert len({(scenario.zh, speaker.code) for scenario, speaker, *_ in plans}) == len(SCENARIOS) * len(SPEAKERS)


def test_every_frame_is_marked_synthetic(corpus):
    out, items = corpus
    plate = mark()
    left, top = 360 - plate.width - 8, 360 - plate.height - 8
    expected = np.asarray(plate)[..., 3] > 200
    images, _ = uniform_frames(out / items[1]["media"], 3)
    for image in images:
        grey = np.asarray(image.convert("L")).astype(float)[top : top + plate.height, left : left + plate.width]
        assert grey[expected].mean() - grey[~expected].mean() > 60


#: Where a part of the face is (left, top, right, bottom).
BROWS, EYES, MOUTH = (90, 90, 270, 165), (100, 158, 260, 200), (120, 220, 240, 345)
CHEEKS, NOSE = (90, 150, 270, 260), (100, 130, 260, 262)
MOVES = {
    "AU01": BROWS, "AU02": BROWS, "AU04": BROWS, "AU05": EYES, "AU06": CHEEKS, "AU07": EYES, "AU09": NOSE,
    "AU10": MOUTH, "AU12": MOUTH, "AU14": MOUTH, "AU15": MOUTH, "AU17": MOUTH, "AU20": MOUTH, "AU23": MOUTH,
    "AU25": MOUTH, "AU26": MOUTH, "AU28": MOUTH, "AU45": EYES,
}  # fmt: skip


@pytest.mark.parametrize("au", MOVES)
def test_each_action_unit_moves_its_part_of_the_face_most(au):
    speaker = SPEAKERS[1]
    still, moved = (np.asarray(draw_face(speaker, aus)).astype(int) for aus in ({}, {au: 4.0}))
    change = np.abs(moved - still).sum(axis=2)
    left, top, right, bottom = MOVES[au]
    assert change.sum() > 2000
    assert change[top:bottom, left:right].sum() > 0.75 * change.sum()


def test_a_corpus_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one"):
        make_corpus(tmp_path, n=0)
