"""What a vision model and an audio model are sent of a clip, and what becomes of their answers."""

import hashlib
import wave

import numpy as np
import pytest

from models_ml.face import read_openface
from models_ml.llm import ModelFailure
from models_ml.media import MediaError, derive, frame_jpeg, uniform_jpegs
from models_ml.steps import Evidence, au_expression, audio_clue, visual_clue, visual_objective
from models_ml.steps.audio import audible_part, wav_bytes
from models_ml.steps.visual import numbered_frames

LEFT = {"track": 2, "place": {"zh": "画面左侧的人", "en": "the person on the left"}, "span": [0, 2], "boxes": []}
TRACK = read_openface("frame, timestamp, AU06_r, AU12_r\n1, 0.0, 0.2, 0.3\n2, 1.5, 1.0, 2.0\n3, 1.9, 0.4, 0.1\n")


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def media(server):
    return [tuple(part) for part in server.calls()[-1]["media"]]


def test_the_scene_is_described_in_the_frame_that_the_expression_clue_names(film, ask, server):
    ev = Evidence("c", media_path=film, clues=au_expression(Evidence("c", au=TRACK)).clues)
    result = visual_objective(ev, ask())
    (clue,) = result.clues
    assert (clue["modality"], clue["aspect"], clue["language"]) == ("visual", "scene", "en")
    assert clue["text"].startswith("The person is standing at a kitchen table")
    assert media(server) == [("image_url", sha256(frame_jpeg(film, 1.5, max_side=768)))]
    assert (result.provenance["parameters"]["frame"], result.provenance["parameters"]["time"]) == ("peak", 1.5)
    assert result.provenance["prompt"]["file"] == "visual_objective.en.md"
    assert server.calls()[-1]["kind"] == "objective"


def test_a_track_alone_names_the_same_frame(film, ask):
    result = visual_objective(Evidence("c", media_path=film, au=TRACK), ask(), language="zh", frame_side=320)
    assert (
        result.provenance["parameters"] | {"frame": "peak", "time": 1.5, "frame_side": 320}
        == (result.provenance["parameters"])
    )
    assert result.clues[0]["language"] == "zh"


def test_without_action_units_it_is_the_middle_frame_and_provenance_says_so(film, ask, server):
    result = visual_objective(Evidence("c", media_path=film), ask())
    assert (result.provenance["parameters"]["frame"], result.provenance["parameters"]["time"]) == ("middle", 1.0)
    assert media(server) == [("image_url", sha256(frame_jpeg(film, 1.0, max_side=768)))]


def test_a_peak_behind_the_end_of_the_film_is_its_last_frame(film, ask, server):
    late = read_openface("frame,timestamp,AU12_r\n1,60.0,2.0\n")
    visual_objective(Evidence("c", media_path=film, au=late), ask())
    assert media(server) == [("image_url", sha256(frame_jpeg(film, 1.9, max_side=768)))]


@pytest.mark.parametrize("frames", [4, 8])
def test_uniform_frames_go_to_the_model_in_the_order_of_time(film, ask, server, frames):
    result = visual_clue(Evidence("c", media_path=film), ask(), frames=frames)
    images, times = uniform_jpegs(film, frames, max_side=448)
    assert media(server) == [("image_url", sha256(image)) for image in images]
    assert result.provenance["parameters"]["times"] == times
    assert len(set(times)) == frames
    assert result.provenance["parameters"]["frames"] == frames
    assert result.clues[0]["aspect"] == "expression"


def test_a_server_that_takes_films_gets_the_one_without_sound(film, ask, server, tmp_path):
    made = derive(film, tmp_path / "derived")
    ev = Evidence("c", media_path=film, muted_path=made["muted"])
    result = visual_clue(ev, ask(), send="video")
    assert media(server) == [("video_url", sha256(made["muted"].read_bytes()))]
    assert result.provenance["parameters"]["sent"] == "video"
    assert result.clues[0]["text"].startswith("The person smiles")


def test_a_film_with_sound_is_never_sent_frames_are_and_provenance_says_why(film, ask, server):
    result = visual_clue(Evidence("c", media_path=film), ask(), send="video")
    assert {kind for kind, _ in media(server)} == {"image_url"}
    assert result.provenance["parameters"]["why_no_video"] == "there is no video file of the clip without sound"


@pytest.mark.parametrize("step", [visual_clue, visual_objective])
@pytest.mark.parametrize(("language", "words"), [("en", "the person on the left"), ("zh", "画面左侧的人")])
def test_a_chosen_person_is_named_in_the_prompt_and_in_the_provenance(film, ask, told, step, language, words):
    result = step(Evidence("c", media_path=film, person=LEFT), ask(), language=language)
    assert words in told()[-1][1]
    assert result.provenance["parameters"]["person"] == 2


@pytest.mark.parametrize(
    "text",
    [
        "In the first image she smiles, in the last image she cries.",
        "Frame 3 shows a frown.",
        "Images 2 and 3 show a man.",
        "图1中人物微笑，图2中低头。",
        "第一张图片里他在笑。",
        "画面三显示她转身。",
    ],
)
def test_a_description_that_numbers_its_pictures_is_recognised(text):
    assert numbered_frames(text)


@pytest.mark.parametrize(
    "text",
    [
        "At first she smiles, then she frames the picture with two hands.",
        "A photo of one man hangs on the wall.",
        "画面中的人物面带微笑，墙上挂着一幅图画。",
        "画面一开始，她低着头。",
    ],
)
def test_a_description_that_only_mentions_pictures_is_not(text):
    assert not numbered_frames(text)


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [("refuse", "refusal"), ("empty", "empty"), ("wrong-language", "wrong_language"), ("truncated", "truncated")],
)
@pytest.mark.parametrize("step", [visual_clue, visual_objective])
def test_what_is_no_description_is_a_named_failure(film, ask, step, behaviour, code):
    with pytest.raises(ModelFailure) as caught:
        step(Evidence("c", media_path=film), ask(behaviour))
    assert (caught.value.code, caught.value.calls) == (code, 1)


def test_a_clip_with_sound_only_is_skipped_and_a_broken_one_fails_by_name(ask, server, voice, tmp_path):
    heard = Evidence("c", media_path=voice(1.0))
    assert [step(heard, ask()).reason for step in (visual_clue, visual_objective)] == ["the clip has no video"] * 2
    broken = tmp_path / "坏.mp4"
    broken.write_bytes(b"nothing")
    for step in (visual_clue, visual_objective):
        with pytest.raises(MediaError, match="坏.mp4"):
            step(Evidence("c", media_path=broken), ask())
    assert server.calls() == []


def test_a_short_voice_is_heard_whole(voice, ask, server):
    path = voice(1.5, loud=(0, 1))
    result = audio_clue(Evidence("c", wav_path=path), ask())
    samples, start, seconds = audible_part(path)
    assert (start, seconds, len(samples)) == (0.0, 1.5, 24000)
    assert media(server) == [("input_audio", sha256(wav_bytes(samples)))]
    assert result.clues[0]["span"] is None
    assert result.provenance["parameters"]["audio_seconds"] == 1.5
    assert (result.clues[0]["modality"], result.clues[0]["aspect"]) == ("audio", "tone")


def test_of_half_an_hour_the_loudest_thirty_seconds_are_heard_and_the_clue_says_which(voice, ask, server):
    path = voice(1800, loud=(1201, 1229))
    result = audio_clue(Evidence("c", wav_path=path), ask())
    assert result.clues[0]["span"] == [1199.0, 1229.0]
    kept = {"audio_window": "loudest", "window": [1199.0, 1229.0], "of_seconds": 1800.0, "audio_seconds": 30.0}
    assert kept.items() <= result.provenance["parameters"].items()
    with wave.open(str(path)) as source:
        source.setpos(1199 * 16000)
        heard = np.frombuffer(source.readframes(30 * 16000), "<i2")
    assert media(server) == [("input_audio", sha256(wav_bytes(heard)))]


def test_the_first_thirty_seconds_can_be_asked_for_instead(voice, ask):
    result = audio_clue(Evidence("c", wav_path=voice(200, loud=(150, 160))), ask(), audio_window="first")
    assert result.clues[0]["span"] == [0.0, 30.0]


def test_a_long_recording_of_another_kind_is_cut_the_same_way(voice, ask, tmp_path):
    from tests.annotator.clips.material import ffmpeg

    path = tmp_path / "long.mp4"
    ffmpeg("-i", str(voice(150, loud=(100, 130))), "-c:a", "aac", str(path))
    (clue,) = audio_clue(Evidence("c", media_path=path), ask()).clues
    assert clue["span"] == pytest.approx([100, 130], abs=1)  # an encoder shifts the sound by some milliseconds


@pytest.mark.parametrize(
    ("seconds", "level", "reason"),
    [
        (0.1, 0.5, "the audio is 0.10 s long, too short for a tone of voice"),
        (2.0, 0.0, "the audio is silent"),
        (2.0, 0.0005, "the audio is silent"),
    ],
)
def test_where_there_is_no_voice_nobody_is_asked(voice, ask, server, seconds, level, reason):
    result = audio_clue(Evidence("c", wav_path=voice(seconds, quiet=level)), ask())
    assert (result.state, result.reason) == ("skipped", reason)
    assert server.calls() == []


def test_an_offset_of_the_recorder_is_silence(tmp_path, ask):
    path = tmp_path / "offset.wav"
    path.write_bytes(wav_bytes(np.full(32000, 6000, "<i2")))
    assert audio_clue(Evidence("c", wav_path=path), ask()).reason == "the audio is silent"


def test_a_film_without_sound_is_skipped(film, ask, tmp_path):
    made = derive(film, tmp_path / "derived")
    assert audio_clue(Evidence("c", media_path=made["muted"]), ask()).reason == "the clip has no audio"


def test_of_half_an_hour_of_film_eight_frames_are_sampled_and_the_peak_is_found(ask, server, tmp_path):
    from tests.annotator.clips.material import ffmpeg

    path = tmp_path / "long.mp4"
    film = "testsrc2=size=160x90:rate=2:duration=1800"
    ffmpeg("-f", "lavfi", "-i", film, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", str(path))
    result = visual_clue(Evidence("c", media_path=path), ask())
    assert result.provenance["parameters"]["times"] == [225.0 * n for n in range(8)]
    assert len(set(media(server))) == 8
    late = read_openface("frame,timestamp,AU12_r\n1,1700.25,2.0\n")
    visual_objective(Evidence("c", media_path=path, au=late), ask())
    assert media(server) == [("image_url", sha256(frame_jpeg(path, 1700.0, max_side=768)))]
