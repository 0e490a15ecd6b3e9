"""Prompts are data: templates by name or file, one builder for training and generation, nothing swapped or dropped."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.training import world
from training.affectgpt.llm import train_tokenizer
from training.config import Config, from_dict, load_config
from training.data import Sample, clue_texts, example_of, has, needed, prompt_of, select, without_media
from training.errors import UsageError
from training.evidence import load_evidence, open_media
from training.examples import Examples
from training.media import MediaFile
from training.prompt import IGNORED, build_prompt
from training.snapshot import record_of
from training.templates import read_template, template_names

FILM = MediaFile(Path("film.mp4"), 2.0, True, True)
PICTURE = MediaFile(Path("picture.jpg"), 0.0, True, False, image=True)
CLUES = {"visual": "a frown", "audio": "a low voice", "text": "an insult"}
LORA = "model.llm.lora.rank=2"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    words = ["".join(read_template(name)["clauses"]) for name in template_names()]
    return train_tokenizer([*words, "The person is angry. 他很生气。"], 900)


def with_template(name: str, *settings: str) -> Config:
    more = ["model.face=true", "model.prefusion=true", "data.faces=detect"] if "2025" in name else []
    return load_config("tiny", [f"prompt.template={name}", LORA, *more, *settings])


def shown(config: Config, tokenizer: Any, sample: Sample, learned: bool = False) -> str:
    """A sample's text with its slots as [modality]; `learned`: only what the loss counts, turns apart by |."""
    example = example_of(config, tokenizer, sample)
    if learned:
        parts, last = [], None
        for token, label in zip(example.ids, example.labels, strict=True):
            if label != IGNORED:
                parts += [[]] if last != "learned" else []
                parts[-1].append(token)
            last = "learned" if label != IGNORED else "asked"
        return "|".join(tokenizer.decode(part) for part in parts)
    from training.affectgpt.slots import slot_lengths

    text, at = "", 1
    for modality, start in sorted(example.slots.items(), key=lambda item: item[1]):
        text += tokenizer.decode(example.ids[at:start]) + f"[{modality}]"
        at = start + slot_lengths(config.model)[modality]
    return text + tokenizer.decode(example.ids[at:])


def test_every_template_loads_and_has_its_stop_sign(tokenizer: Any) -> None:
    assert {"affectgpt-2024", "affectgpt-2025", "clues", "emer-2023-100-words", "labels"} <= set(template_names())
    for name in template_names():
        config = with_template(name)
        assert shown(config, tokenizer, Sample("a", "Hi.", "Sad.", FILM, clues=CLUES)).endswith("###Assistant: Sad.###")


def test_the_wording_of_the_published_2024_code(tokenizer: Any) -> None:
    text = shown(with_template("affectgpt-2024"), tokenizer, Sample("a", "Go!", "Angry.", FILM))
    assert text == (
        "###Human: Close your eyes, open your ears and you imagine only based on the sound that "
        "<Audio>[audio]</Audio>. Close your ears, open your eyes and you see that <Video>[video]</Video>. The subtitle "
        "of this video is <Subtitle>Go!</Subtitle>. Now answer my question based on what you have seen, heard, and "
        "provided subtitle. From what clues can we infer the person's emotional state? ###Assistant: Angry.###"
    )


def test_the_wording_of_the_published_2025_code(tokenizer: Any) -> None:
    text = shown(with_template("affectgpt-2025"), tokenizer, Sample("a", "Go!", "Angry.", FILM))
    assert text == (
        "###Human: The audio and video merged info is: <Multi>[multi]</Multi>. The audio content is as follows: "
        "<Audio>[audio]</Audio>. Meanwhile, we uniformly sample raw frames from the video and extract faces from these "
        "frames: <Video>[face]</Video>. The subtitle of this video is: <Subtitle>Go!</Subtitle>. Now, please answer my "
        "question based on all the provided information. Please infer the person's emotional state and provide your "
        "reasoning process. ###Assistant: Angry.###"
    )
    assert "[face]" not in (
        frames := shown(with_template("affectgpt-2025-frame"), tokenizer, Sample("a", "Go!", "Angry.", FILM))
    )
    assert "raw frames from the video: <Video>[video]</Video>" in frames


def test_the_question_of_2023_asks_for_a_hundred_words(tokenizer: Any) -> None:
    text = shown(with_template("emer-2023-100-words"), tokenizer, Sample("a", "Go!", "Angry.", FILM))
    assert (
        "The subtitle of this video is <Subtitle> Go! </Subtitle>. Now answer my question based on what you have "
        "heard, seen, and given subtitles. From what clues can we infer the person's emotional state? Please summarize "
        "the clues in a maximum of 100 words. ###Assistant: "
    ) in text


def test_clues_enter_as_delimited_text_and_a_clause_without_its_clue_is_left_out(tokenizer: Any) -> None:
    config = with_template("clues")
    whole = shown(config, tokenizer, Sample("a", "Go!", "Angry.", FILM, clues=CLUES))
    assert "The facial expression of the person in the video is <Visual clues>a frown</Visual clues>. " in whole
    assert "The tone of voice is <Audio clues>a low voice</Audio clues>. " in whole
    assert "The dialogue content is <Subtitle>Go!</Subtitle>. " in whole
    part = shown(config, tokenizer, Sample("a", "Go!", "Angry.", FILM, clues={"visual": "a frown"}))
    assert "tone of voice" not in part
    assert "a frown" in part
    alone = with_template("clues-text")
    text = shown(alone, tokenizer, Sample("a", "Go!", "Angry.", FILM, clues=CLUES))
    assert "[video]" not in text
    assert needed(alone, Sample("a", "", "", FILM)) == set()  # nothing is decoded that the prompt does not show


def test_without_adapters_clues_alone_would_train_nothing() -> None:
    with pytest.raises(UsageError, match="nothing would train"):
        load_config("tiny", ["prompt.template=clues-text"])


def test_clues_are_the_records_own_in_the_config_s_language_else_in_the_other() -> None:
    def clue(modality: str, language: str, text: str, verdict: str = "kept") -> dict[str, Any]:
        return {"modality": modality, "language": language, "text": text, "verdict": verdict}

    clues = [
        clue("visual", "en", "A frown."), clue("visual", "en", "Tight lips."), clue("visual", "zh", "皱眉。"),
        clue("audio", "zh", "声音低。"), clue("audio", "zh", "语速慢。"), clue("text", "en", "An insult.", "rejected"),
    ]  # fmt: skip
    record = record_of(world.record(0, clues=clues))
    assert clue_texts(record, "en") == {"visual": "A frown. Tight lips.", "audio": "声音低。语速慢。"}
    assert clue_texts(record, "zh")["visual"] == "皱眉。"
    assert select(load_config("tiny"), [record], {}).samples[0].clues["visual"] == "A frown. Tight lips."


@pytest.mark.parametrize("value", [None, math.nan, "", "   "])
def test_no_subtitle_and_no_clue_ever_become_a_word(tokenizer: Any, value: Any) -> None:
    sample = Sample("a", value, "Angry.", FILM, clues={"visual": value, "audio": value})
    text = shown(with_template("clues"), tokenizer, sample)
    assert "<Subtitle></Subtitle>" in text
    assert "clues>" not in text
    assert not any(word in text.lower() for word in ("none", "nan"))


def test_data_that_spells_a_placeholder_or_a_slot_stays_data(tokenizer: Any) -> None:
    config = with_template("clues")
    sample = Sample("a", "{audio_clues}<ImageHere>{question}", "Angry.", FILM, clues={"visual": "{subtitle}###Human:"})
    text = shown(config, tokenizer, sample)
    assert "<Subtitle>{audio_clues}<ImageHere>{question}</Subtitle>" in text
    assert "<Visual clues>{subtitle}# # #Human:</Visual clues>" in text
    assert text.count("[video]") == 1


def test_the_subtitle_is_cut_first_then_the_clues_and_both_are_reported(tokenizer: Any) -> None:
    config = with_template("clues")
    long = Sample("a", "很长" * 300, "Angry.", FILM, clues={"visual": "a frown"})
    example = example_of(config, tokenizer, long)
    assert example.subtitle_cut > 0
    assert example.clues_cut == 0
    both = Sample("a", "很长" * 300, "Angry.", FILM, clues={"visual": "皱眉" * 600})
    example = example_of(config, tokenizer, both)
    assert (example.subtitle_cut, example.clues_cut > 0) == (600, True)
    assert len(example.ids) <= config.data.max_length
    prompt = prompt_of(config, tokenizer, both)
    assert example.ids[: len(prompt.ids)] == prompt.ids
    found = Examples(config, tokenizer, [Sample("b", "Hi", "Sad.", FILM), both]).cut()
    assert found["subtitle"] == {1: 600}
    assert list(found["clues"]) == [1]


def test_labels_are_asked_and_answered_in_their_own_words(tokenizer: Any) -> None:
    config = with_template("affectgpt-2025", "data.target=ov_labels")
    (sample,) = select(config, [record_of(world.record(1))], {"clip_01": FILM}).samples
    text = shown(config, tokenizer, sample)
    assert "Please recognize all possible emotional states of the character. ###Assistant: " in text
    assert text.endswith("The character's emotional state is angry.###")
    assert "recognize all possible" in tokenizer.decode(prompt_of(config, tokenizer, sample).ids)


def test_hybrid_draws_one_answer_per_visit_and_the_same_one_for_the_same_visit(tokenizer: Any) -> None:
    config = with_template("labels", "data.target=hybrid")
    records = [record_of(world.record(index)) for index in range(3)]
    records.append(record_of(world.record(3, description={"zh": None, "en": None})))
    samples = select(config, records, {}).samples
    examples = Examples(config, tokenizer, samples)
    visits = [(42, number, 0) for number in range(200)]
    drawn = [tokenizer.decode(examples.visited(1, visit).ids) for visit in visits]
    assert drawn == [tokenizer.decode(examples.visited(1, visit).ids) for visit in visits]
    labels = [text for text in drawn if text.endswith("angry###") and "list of words" in text]
    assert 70 < len(labels) < 130
    assert all("frowns hard" in text for text in drawn if text not in labels)
    assert [examples.targets(1, visit) for visit in visits[:20]] == [
        sum(label != IGNORED for label in examples.visited(1, visit).labels[1:]) for visit in visits[:20]
    ]
    assert examples.lengths[1] == max(len(examples.visited(1, visit).ids) for visit in visits)
    only = tokenizer.decode(examples.visited(3, (42, 0, 0)).ids)
    assert only.endswith("surprised###")


def test_a_packed_example_is_the_example(tokenizer: Any) -> None:
    config = with_template("affectgpt-2024")
    samples = [Sample("a", "Go!", "Angry.", FILM), Sample("b", "", "x" * 50, None)]
    examples = Examples(config, tokenizer, samples)
    assert [examples[index] for index in range(2)] == [example_of(config, tokenizer, sample) for sample in samples]


TURNS = [("What is it?", "A field."), ("And why?", "Grass."), ("Who?", "Nobody.")]


def test_a_picture_and_a_conversation_read_as_in_the_published_code(tokenizer: Any) -> None:
    config = with_template("affectgpt-2024")
    caption = Sample("p", "", "", PICTURE, turns=[("Describe this image in detail.", "A red square.")])
    assert shown(config, tokenizer, caption) == (
        "###Human: Close your ears, open your eyes and you see that <Image>[video]</Image>. Now answer my question "
        "based on what you have seen. Describe this image in detail. ###Assistant:A red square.###"
    )
    talk = Sample("p", "", "", PICTURE, turns=TURNS)
    assert shown(config, tokenizer, talk) == (
        "###Human:Close your ears, open your eyes and you see that <Image>[video]</Image>. Now answer my question "
        "based on what you have seen. What is it?###Assistant:A field.###Human:And why?###Assistant:Grass.###Human:Who?"
        "###Assistant:Nobody.###"
    )
    assert shown(config, tokenizer, talk, learned=True) == "A field.###|Grass.###|Nobody.###"
    film = shown(config, tokenizer, Sample("f", "", "", FILM, turns=TURNS[:1]))
    assert film.startswith("###Human:Close your ears, open your eyes and you see that <Video>[video]</Video>. ")
    assert "[audio]" not in film


def test_a_picture_has_tokens_of_its_own_where_the_arrangement_has_them(tokenizer: Any) -> None:
    config = with_template(
        "affectgpt-2025", "model.video.kind=attention", "model.vision.kind=clip", "model.audio_branch.kind=attention"
    )
    sample = Sample("p", "", "", PICTURE, turns=[("Describe.", "Red.")])
    assert has(config, sample) == needed(config, sample) == {"image"}
    assert "<Image>[image]</Image>" in shown(config, tokenizer, sample)


def test_a_conversation_that_is_too_long_loses_its_last_turns_and_says_so(tokenizer: Any) -> None:
    config = with_template("affectgpt-2024")
    turns = [("Again?", "word " * 60) for _ in range(12)]
    example = example_of(config, tokenizer, Sample("p", "", "", PICTURE, turns=turns))
    assert len(example.ids) <= config.data.max_length
    kept = shown(config, tokenizer, Sample("p", "", "", PICTURE, turns=turns), learned=True).count("|") + 1
    assert example.turns_cut == 12 - kept > 0
    assert tokenizer.decode(example.ids).endswith("###")


def test_instructions_whose_picture_cannot_be_shown_are_left_out(tokenizer: Any) -> None:
    samples = [Sample("p", "", "", PICTURE, turns=TURNS), Sample("q", "", "Sad.", FILM), Sample("r", "", "Sad.", FILM)]
    without_media(samples, ["p", "q"])
    assert [(sample.clip, sample.media) for sample in samples] == [("q", None), ("r", FILM)]


def test_a_template_without_a_form_for_pictures_says_so(tokenizer: Any, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text('clauses: ["###Human: <Video><ImageHere></Video> {question} ###Assistant: "]\n')
    config = with_template(str(own))
    with pytest.raises(UsageError, match="no form 'image'"):
        example_of(config, tokenizer, Sample("p", "", "", PICTURE, turns=TURNS[:1]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clauses: [a", "expected"),
        ("- a\n", "expected a mapping"),
        ("clause: [a]\n", "no key clause"),
        ("base: own\nclauses: [a]\n", "inherits from itself"),
        ("base: nowhere\n", "no prompt template 'nowhere'"),
    ],
)
def test_a_bad_template_is_a_usage_error_that_names_it(tmp_path: Path, text: str, message: str) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(text)
    with pytest.raises(UsageError, match=message):
        load_config("tiny", [f"prompt.template={own}"])
    with pytest.raises(UsageError, match="there are: affectgpt-2024"):
        load_config("tiny", ["prompt.template=none-such"])


def test_a_template_takes_the_place_of_the_preset_s_and_keys_beside_it_win(tmp_path: Path) -> None:
    config = load_config("tiny", ["prompt.question=Why?", "prompt.template=emer-2023-100-words"])
    assert config.prompt.question == "Why?"
    assert "<Subtitle> {subtitle} </Subtitle>" in "".join(config.prompt.clauses)
    own = tmp_path / "mine.yaml"
    own.write_text("base: tiny\nprompt: {template: clues}\n")
    assert "<Visual clues>" in "".join(load_config(str(own)).prompt.clauses)
    # A run's stored config stands by itself: the template's file may be gone or changed.
    stored = config.to_dict()
    stored["prompt"]["template"] = str(tmp_path / "gone.yaml")
    assert from_dict(stored).prompt.question == "Why?"


@pytest.mark.parametrize(
    ("setting", "left"),
    [("data.video=false", {"audio"}), ("data.audio=false", {"video"}), ("stage=2", {"video", "audio"})],
)
def test_a_modality_that_is_switched_off_is_neither_read_nor_named(
    tokenizer: Any, media: Path, setting: str, left: set[str]
) -> None:
    config = load_config("tiny", [setting])
    file = open_media(media / "clip_00.mp4")
    sample = Sample("a", "Go!", "Angry.", file)
    assert needed(config, sample) == left
    text = shown(config, tokenizer, sample)
    assert ("Close your ears" in text, "open your ears" in text) == ("video" in left, "audio" in left)
    evidence = load_evidence(file, config)
    assert (evidence.frames is not None, evidence.wave is not None) == ("video" in left, "audio" in left)
    assert evidence.times == load_evidence(file, load_config("tiny")).times  # the time line stays


def test_subtitles_switched_off_leave_their_slot_empty(tokenizer: Any) -> None:
    config = load_config("tiny", ["data.subtitle=false"])
    assert "<Subtitle></Subtitle>" in tokenizer.decode(build_prompt(config, tokenizer, "Go!", set()).ids)


def test_the_number_of_frames_may_follow_the_duration(tmp_path: Path) -> None:
    config = load_config("tiny", ["data.seconds_per_frame=0.5", "data.frames=6"])
    for seconds, count in ((0.4, 1), (1.4, 3), (9.0, 6)):
        path = world.write_clip(tmp_path / f"{seconds}.mp4", 0, seconds=seconds, fps=8)
        evidence = load_evidence(open_media(path), config)
        assert evidence.frames is not None
        assert len(evidence.frames) == len(evidence.times)
        assert len(evidence.times) == pytest.approx(count, abs=1)
        assert evidence.times == pytest.approx(
            [(i + 0.5) * evidence.duration / len(evidence.times) for i in range(len(evidence.times))]
        )


def test_openface_s_faces_are_taken_at_the_frames_times_in_rgb(tmp_path: Path, media: Path) -> None:
    faces = np.zeros((50, 112, 112, 3), np.uint8)
    faces[..., 0], faces[..., 2] = np.arange(50)[:, None, None] * 5, 7
    path = tmp_path / "faces.npy"
    np.save(path, faces)
    film = open_media(media / "clip_00.mp4")
    file = MediaFile(film.path, film.duration, True, True, faces=path)
    config = with_template("affectgpt-2025", "data.faces=openface", "data.face_order=rgb")
    evidence = load_evidence(file, config)
    assert evidence.faces is not None
    assert evidence.faces.shape == (8, 56, 56, 3)
    expected = [int(time / evidence.duration * 50) * 5 for time in evidence.times]
    assert evidence.faces[:, 28, 28, 0].tolist() == expected
    swapped = load_evidence(file, with_template("affectgpt-2025", "data.faces=openface", "data.face_order=bgr"))
    assert swapped.faces is not None
    assert swapped.faces[:, 28, 28, 2].tolist() == expected
    assert has(config, Sample("a", "", "", film)) == {"video", "audio", "multi"}  # no faces of this clip


@pytest.mark.parametrize(
    "array", [np.zeros((3, 4, 4), np.uint8), np.zeros((3, 4, 4, 3), np.float32), np.zeros((0, 4, 4, 3), np.uint8)]
)
def test_an_array_that_is_no_faces_is_named(tmp_path: Path, media: Path, array: np.ndarray) -> None:
    from models_ml.media import MediaError

    np.save(tmp_path / "x.npy", array)
    film = open_media(media / "clip_00.mp4")
    file = MediaFile(film.path, film.duration, True, True, faces=tmp_path / "x.npy")
    with pytest.raises(MediaError, match="x.npy"):
        load_evidence(file, with_template("affectgpt-2025", "data.faces=openface"))


def test_faces_are_detected_and_a_clip_without_one_shows_its_middle(tmp_path: Path, media: Path) -> None:
    from skimage import data

    from models_ml.face.crops import face_crops

    photograph = data.astronaut()
    crops, found = face_crops([np.zeros_like(photograph), photograph], 64)
    assert (crops.shape, found) == ((2, 64, 64, 3), 1)
    x, y, w, h = 177, 66, 96, 96  # where the face is
    face = np.asarray(Image.fromarray(photograph[y : y + h, x : x + w]).resize((48, 48)), int)
    middle = np.asarray(Image.fromarray(crops[1][8:56, 8:56]), int)
    assert np.abs(face - middle).mean() < 40
    assert not crops[0].any()  # the same place in the picture before, where nothing is
    config = with_template("affectgpt-2025")
    evidence = load_evidence(open_media(media / "clip_00.mp4"), config)  # a coloured square, no face
    assert evidence.faces is not None
    assert evidence.faces.shape == (8, 56, 56, 3)
