"""People are found in real decoded video, on drawn faces and on a photograph, and linked over time."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage import data

from models_ml.face import detect
from models_ml.face.boxes import overlap_over_time, where
from models_ml.face.people import linked, people, tracks_of
from models_ml.media import MediaError

from .made import covers, side_by_side, write_video


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    photograph = Image.fromarray(data.astronaut())
    mirrored = photograph.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    write_video(folder / "two.mp4", side_by_side(40))
    write_video(folder / "three.mp4", side_by_side(10, who=(0, 2, 3)))
    write_video(folder / "photograph.mp4", [photograph] * 10)
    write_video(folder / "cut.mp4", [*[photograph] * 40, *[mirrored] * 40])
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    write_video(folder / "nobody.mp4", [Image.fromarray(noise)] * 10)
    return folder


def test_two_drawn_people_side_by_side_are_two_tracks_with_their_places(videos):
    found = people(videos / "two.mp4")
    by_place = {person["place"]["en"]: person for person in found}
    assert set(by_place) == {"on the left", "on the right"}
    assert sorted(person["number"] for person in found) == [1, 2]
    assert [person["presence"] for person in found] == [1.0, 1.0]
    assert covers(by_place["on the left"]["boxes"][0][1:], (0.1, 0.22, 0.3, 0.65))
    assert covers(by_place["on the right"]["boxes"][0][1:], (0.6, 0.22, 0.3, 0.65))


def test_three_people_are_left_centre_and_right(videos):
    found = people(videos / "three.mp4")
    assert {person["place"]["zh"] for person in found} == {"画面左侧", "画面中央", "画面右侧"}


def test_the_photographed_face_is_found_where_it_is(videos):
    (person,) = people(videos / "photograph.mp4")
    assert covers(person["boxes"][0][1:], (177 / 512, 66 / 512, 96 / 512, 96 / 512), least=0.7)
    assert person["area"] == pytest.approx(0.036, abs=0.01)


def test_a_cut_ends_a_track_although_a_face_is_at_the_same_place(videos):
    found = people(videos / "cut.mp4")
    assert [person["presence"] for person in found] == pytest.approx([0.5, 0.5], abs=0.05)
    spans = sorted(person["span"] for person in found)
    assert spans[0][1] < spans[1][0]
    assert len({person["place"]["en"] for person in found}) == 2


def test_where_nobody_is_seen_there_are_no_people(videos):
    assert people(videos / "nobody.mp4") == []


def test_whole_pictures_are_searched_once_a_second_and_faces_followed_in_between(videos, monkeypatch):
    """What the step's time is made of: `_find` over the whole picture costs ten times the one around a face."""
    whole, find = [], detect._find

    def counted(grey, *more):
        whole.append(grey.shape == (240, 480))
        return find(grey, *more)

    monkeypatch.setattr(detect, "_find", counted)
    found = detect.look(str(videos / "two.mp4"), 4.0, 240)  # 1.6 s
    assert len(found) == 7
    assert sum(whole) == 2 + 2  # frontal at 0 and 1 s, profiles to both sides at 0 s
    assert not all(whole)
    assert all(len(frame["faces"]) == 2 for frame in found)


def test_whoever_comes_leaves_or_moves_between_the_searches_is_still_told(tmp_path):
    """One person walks across half the picture; another comes after 0.5 s and is gone after 1.5 s."""
    walker, guest = next(side_by_side(1, who=(0,))), next(side_by_side(1, who=(1,)))
    room = Image.fromarray(np.random.default_rng(2).integers(0, 255, (3, 6, 3), dtype=np.uint8)).resize((960, 240))
    pictures = []
    for i in range(50):
        picture = room.copy()
        picture.paste(walker.resize((120, 120)), (6 * i, 60))
        if 12 <= i < 37:
            picture.paste(guest.resize((120, 120)), (700, 60))
        pictures.append(picture)
    by_start = sorted(people(write_video(tmp_path / "walk.mp4", pictures)), key=lambda person: person["span"][0])
    assert len(by_start) == 2
    assert by_start[0]["presence"] == 1.0
    assert by_start[0]["boxes"][-1][1] - by_start[0]["boxes"][0][1] == pytest.approx(6 * 43 / 960, abs=0.03)
    assert by_start[1]["span"] == [pytest.approx(0.75, abs=0.3), pytest.approx(1.25, abs=0.05)]  # 1 s late at most


def test_half_an_hour_is_looked_at_in_bounded_time_and_memory(tmp_path):
    """Key frames only, 240 at most: 1,800 s at one frame a second."""
    still = next(iter(side_by_side(1, who=(1,))))
    path = write_video(tmp_path / "long.mp4", (still for _ in range(1800)), fps=1)
    (person,) = people(path)
    assert person["span"][1] > 1500
    assert len(person["boxes"]) <= 200
    assert person["presence"] == 1.0


@pytest.mark.parametrize(
    ("content", "code"), [(b"", "empty"), (b"nothing of a video " * 50, "unreadable"), (None, "missing")]
)
def test_a_broken_file_is_told_by_its_name(tmp_path, content, code):
    path = tmp_path / "坏的.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MediaError, match="坏的.mp4") as caught:
        people(path)
    assert caught.value.code == code


def test_a_file_with_sound_only_has_no_video(tmp_path):
    import wave

    with wave.open(str(tmp_path / "a.wav"), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16000)
        out.writeframes(bytes(32000))
    with pytest.raises(MediaError) as caught:
        people(tmp_path / "a.wav")
    assert caught.value.code == "no_video"


def test_a_file_name_that_looks_like_an_option_is_a_file_name(tmp_path):
    write_video(tmp_path / "plain.mp4", side_by_side(4, who=(0,)))
    hostile = tmp_path / "-f; touch x $(id) 'a\".mp4"
    (tmp_path / "plain.mp4").rename(hostile)
    assert len(people(hostile)) == 1


def frames(*seen, step=0.25):
    return [{"t": i * step, "cut": False, "faces": [[*box, 1.0] for box in boxes]} for i, boxes in enumerate(seen)]


HERE, NEAR, FAR = [0.1, 0.1, 0.2, 0.2], [0.12, 0.1, 0.2, 0.2], [0.7, 0.1, 0.2, 0.2]


def test_a_face_missed_for_a_moment_is_still_the_same_track():
    (person,) = linked(frames([HERE], [NEAR], [], [], [HERE], [HERE]))
    assert (person["presence"], person["span"]) == (0.6667, [0.0, 1.25])


def test_a_face_that_is_away_for_long_comes_back_as_another_track():
    assert len(linked(frames([HERE], [HERE], [], [], [], [], [HERE], [HERE]))) == 2


def test_a_find_in_one_frame_is_a_mistake_of_the_detector():
    assert len(linked(frames([HERE], [HERE, FAR], [HERE], [HERE], [HERE]))) == 1


def test_faces_are_given_to_the_track_that_they_overlap_most():
    shifted = [0.25, 0.1, 0.2, 0.2]
    tracks = tracks_of(frames([HERE, shifted], [shifted, NEAR], [NEAR, shifted]))
    assert sorted(track[-1][1] for track in tracks) == [0.12, 0.25]
    assert {len(track) for track in tracks} == {3}


def test_people_of_no_frames_are_none():
    assert linked([]) == []


def test_people_who_share_a_third_are_counted_from_the_left():
    def person(number, x):
        return {"number": number, "span": [0, 1], "boxes": [[0, x - 0.05, 0.2, 0.1, 0.2]]}

    placed = where([person(1, 0.9), person(2, 0.4), person(3, 0.5), person(4, 0.6)])
    assert [each["place"]["en"] for each in placed] == [
        "on the right",
        "on the left",
        "second from the left",
        "third from the left",
    ]
    assert placed[2]["place"]["zh"] == "画面左起第二位"


def test_overlap_over_time_compares_only_moments_at_which_both_are_seen():
    a = [[0.0, *HERE], [5.0, *FAR]]
    assert overlap_over_time(a, [[0.1, *HERE]]) == pytest.approx(1.0)
    assert overlap_over_time(a, [[5.0, *HERE]]) == 0.0
    assert overlap_over_time(a, [[2.5, *HERE]]) == 0.0
    assert overlap_over_time(a, []) == 0.0
