"""The synthetic world: its rule is what it says, texts name the emotion once, clips depend on part and index only."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from models_ml.media import frames_at, probe
from models_ml.metrics import lexicon_labels
from models_ml.metrics.lexicon import group_of
from models_ml.synthetic import world_clips
from models_ml.synthetic.look import mark
from models_ml.synthetic.world import CUES, EMOTIONS, KINDS, NAMES, ROUND, STATES, cells, meaning, scene
from models_ml.synthetic.world_clips import Part, make_part, make_world_clip, scene_of
from models_ml.synthetic.world_lines import line
from models_ml.synthetic.world_people import VOICES, person
from models_ml.synthetic.world_speech import RATE, say
from models_ml.synthetic.world_texts import ERROR, FACE_VALUE, caption, description, prelabelled
from models_ml.voice import measure

SHOWN = [scene(index, 5) for index in range(5 * ROUND)]


def shown_cues(cell: tuple) -> dict[str, str]:
    face, tone, words = cell
    return {"lips": face.lips, "eyes": face.eyes, "energy": tone.energy, "pitch": tone.pitch, "news": words.news,
            "manner": words.manner}  # fmt: skip


@pytest.fixture(scope="module")
def combinations() -> list[tuple[dict[str, str], str]]:
    return [(shown_cues(cell), emotion) for emotion, members in cells().items() for cell in members]


def test_every_combination_of_cues_stands_for_one_emotion(combinations):
    assert len({tuple(cues.values()) for cues, _ in combinations}) == 64
    assert Counter(emotion for _, emotion in combinations) == dict.fromkeys(NAMES, 8)


@pytest.mark.parametrize("modality", CUES)
def test_one_modality_alone_leaves_all_emotions_equally_likely(combinations, modality):
    for states in itertools.product(*(STATES[cue] for cue in CUES[modality])):
        wanted = dict(zip(CUES[modality], states, strict=True))
        left = Counter(emotion for cues, emotion in combinations if wanted.items() <= cues.items())
        assert left == dict.fromkeys(NAMES, 2)


@pytest.mark.parametrize("pair", list(itertools.combinations(CUES, 2)))
def test_two_modalities_leave_four_emotions_equally_likely(combinations, pair):
    names = [cue for modality in pair for cue in CUES[modality]]
    for states in itertools.product(*(STATES[cue] for cue in names)):
        wanted = dict(zip(names, states, strict=True))
        left = Counter(emotion for cues, emotion in combinations if wanted.items() <= cues.items())
        assert sorted(left.values()) == [1, 1, 1, 1]


def test_a_scene_means_its_emotion_and_each_is_as_frequent_in_every_kind():
    assert all(meaning(one.face, one.tone, one.words) == one.emotion for one in SHOWN)
    found = Counter((one.kind, one.emotion) for one in SHOWN)
    for kind, emotion in itertools.product(KINDS, NAMES):
        assert found[kind, emotion] == (10 if kind == "combination" else 5)


def test_in_a_clip_told_by_one_modality_the_others_tell_nothing():
    for one in SHOWN:
        told = [
            one.face.expression is not None or (one.face.lips, one.face.eyes) != ("straight", "ahead"),
            one.tone.energy is not None,
            one.words.emotion is not None or one.words.news is not None,
        ]
        if one.kind != "combination":
            assert told == [kind == one.kind for kind in KINDS[:3]]


@pytest.mark.parametrize("language", [0, 1], ids=["zh", "en"])
def test_a_description_names_the_emotion_and_no_other_emotion_word(language):
    for one in SHOWN:
        text = description(one.face, one.tone, one.words, one.emotion)[language]
        wanted = EMOTIONS[one.emotion]
        assert lexicon_labels(text) == list(wanted.en if language else wanted.zh)


def test_captions_name_no_emotion():
    for strong in (1.5, 4.0):
        aus = dict.fromkeys(world_clips.MEASURED_AUS, strong)
        said = caption(aus, 1.0, {"pitch": 0.4, "tempo": -0.4, "loudness": 5.0, "melody": 0.1})
        assert [word for word in lexicon_labels(said) if group_of()[word] in {"joy", "sadness"}] == []
        assert "pitch 5, pace 1, level 5, swing 1" in said


def test_labels_of_different_emotions_are_of_different_groups():
    for language in ("en", "zh"):
        main = [group_of()[getattr(emotion, language)[0]] for emotion in EMOTIONS.values()]
        assert len(set(main)) == len(EMOTIONS)


def test_the_prelabeller_believes_the_words():
    rng = np.random.default_rng(0)
    seen = [(one, prelabelled(one, rng)) for one in (scene(index, 1) for index in range(100 * ROUND))]
    assert all(read[2] == one.words for one, read in seen)
    turned = [(one, read) for one, read in seen if one.kind == "combination" and one.face.lips == "wry"]
    overlooked = np.mean([read[0].lips == "straight" for _, read in turned])
    assert overlooked == pytest.approx((1 - ERROR) * FACE_VALUE + ERROR / 2, abs=0.05)
    right = {kind: np.mean([read[3] == one.emotion for one, read in seen if one.kind == kind]) for kind in KINDS}
    assert 0.25 < right["combination"] < 0.45
    assert 0.6 < right["face"] < 0.8
    assert 0.6 < right["voice"] < 0.8
    assert right["words"] == 1.0


def test_lines_are_many_and_alike_in_both_languages():
    rng = np.random.default_rng(0)
    drawn = {line(one.words, rng) for one in (scene(index, 2) for index in range(50 * ROUND))}
    assert len({zh for zh, _ in drawn}) == len({en for _, en in drawn}) > 800


def test_the_two_worlds_share_neither_voices_nor_faces():
    assert not {name for name, _ in VOICES["here"]} & {name for name, _ in VOICES["elsewhere"]}
    people = [person(world, number) for world in VOICES for number in range(40)]
    assert len({(one.speaker.skin, one.speaker.shirt, one.speaker.wall) for one in people}) == len(people)


def test_the_voice_does_what_its_words_say():
    who, text = person("here", 3), "They gave me the job this week."

    def heard(pitch: str | None = None, energy: str | None = None, melody: str = "even") -> dict:
        tempo, gain = world_clips.ENERGY[energy]
        wave = say(text, who, world_clips.PITCH[pitch], world_clips.MELODY[melody], tempo, gain)
        return {**measure(wave, RATE, syllables=7), "seconds": len(wave) / RATE}

    plain, low, high = heard(), heard(pitch="low"), heard(pitch="high")
    quick, slow = heard(energy="quick"), heard(energy="slow")
    lilting, flat = heard(melody="lilting"), heard(melody="flat")
    assert low["f0_median_hz"] * 1.15 < plain["f0_median_hz"] < high["f0_median_hz"] / 1.15
    assert quick["seconds"] * 1.1 < plain["seconds"] < slow["seconds"] / 1.1
    assert quick["intensity_db"] > slow["intensity_db"] + 4
    assert lilting["f0_range_st"] > 2.5 * flat["f0_range_st"]


def test_a_clip_depends_on_part_and_index_only(tmp_path):
    part = Part("some", 40, (1, 2), 3)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    make_world_clip(tmp_path / "a", part, 1)
    one = make_world_clip(tmp_path / "a", part, 9)
    again = make_world_clip(tmp_path / "b", part, 9)
    assert one == again
    assert (tmp_path / "a" / one["media"]).read_bytes() == (tmp_path / "b" / one["media"]).read_bytes()
    assert scene_of(one) == scene(9, 3)
    assert one["speaker"] == "here-02"


def test_a_clip_is_a_small_film_with_speech_marked_synthetic(tmp_path):
    fact = make_world_clip(tmp_path, Part("some", 40, (1,), 3), 0)
    found = probe(tmp_path / fact["media"])
    assert (found.width, found.height, found.has_audio) == (world_clips.SIDE, world_clips.SIDE, True)
    assert found.duration == pytest.approx(fact["duration"], abs=0.1)
    assert len(fact["gaze"]) == len(fact["aus"]["AU12"]) == round(fact["duration"] * world_clips.FPS)
    frames, _ = frames_at(tmp_path / fact["media"], 3, size=world_clips.SIDE)
    plate = mark()
    letters = np.asarray(plate)[..., 3] > 200
    for frame in frames:
        corner = frame[-plate.height - 2 : -2, -plate.width - 2 : -2].mean(-1)
        assert corner[letters].mean() - corner[~letters].mean() > 40


def test_elsewhere_there_are_no_emotions(tmp_path):
    facts = [make_world_clip(tmp_path, Part("e", 40, (1,), 3, "elsewhere"), index) for index in range(3)]
    assert all(fact["scene"] is None for fact in facts)
    assert len({fact["voice"]["pitch"] for fact in facts}) == 3


def test_a_part_that_was_stopped_is_gone_on_with(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(world_clips, "BLOCK", 2)
    part = Part("some", 4, (1,), 3)
    facts = make_part(tmp_path, part, processes=1)
    assert [fact["clip"] for fact in facts] == [f"some_{index:05d}" for index in range(4)]
    blocks = sorted((tmp_path / "facts").iterdir())
    assert len(blocks) == 2
    blocks[1].unlink()
    first, last = (tmp_path / "media" / facts[index]["media"] for index in (0, 3))
    before = first.stat().st_mtime_ns
    last.write_bytes(b"half a fil")
    assert make_part(tmp_path, part, processes=1) == facts
    assert first.stat().st_mtime_ns == before
    assert probe(last).has_video


@pytest.mark.parametrize(("count", "people", "seed"), [(0, (1,), 0), (41, (1,), 0), (40, (), 0), (40, (1,), -1)])
def test_a_part_that_cannot_be_is_refused(tmp_path: Path, count, people, seed):
    with pytest.raises(ValueError, match="part odd"):
        make_part(tmp_path, Part("odd", count, people, seed))
