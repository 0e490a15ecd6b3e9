"""Several faces in one file: the main one is the large one that stays, and any other can be had by its number."""

from __future__ import annotations

import numpy as np
import pytest

from models_ml.face import AuTrackError, openface_faces, peak, read_openface, read_person

from .made import several_faces

LARGE = {"id": 3, "aus": {"AU12": 2.0}, "at": (700, 100, 400)}
SMALL = {"id": 1, "aus": {"AU04": 3.0}, "at": (100, 200, 120)}


def test_the_main_face_is_the_large_one_although_both_are_always_there():
    track = read_openface(several_faces([SMALL, LARGE]))
    assert (track.face_id, peak(track)["aus"]) == (3, {"AU12": 2.0})


def test_a_large_face_that_passes_by_is_not_the_main_one():
    passing = {**LARGE, "seen": {4}}
    assert read_openface(several_faces([passing, SMALL], frames=40)).face_id == 1


def test_without_landmarks_the_face_tracked_longest_is_the_main_one():
    text = several_faces([{**LARGE, "seen": {0, 1}}, SMALL], landmarks=False)
    assert read_openface(text).face_id == 1


def test_another_face_is_read_by_its_number_and_an_unknown_number_is_told():
    text = several_faces([SMALL, LARGE])
    assert peak(read_openface(text, face_id=1))["aus"] == {"AU04": 3.0}
    with pytest.raises(AuTrackError, match=r"there is no face 7; there are 1, 3"):
        read_openface(text, face_id=7)


def test_a_face_whose_every_frame_is_nan_is_never_the_main_one(tmp_path):
    path = tmp_path / "clip.csv"
    rows = [f"{i}, {face}, {i}, 0.98, 1, {'nan' if face == 0 else 1.5}" for i in range(4) for face in (0, 1)]
    path.write_text("frame, face_id, timestamp, confidence, success, AU12_r\n" + "\n".join(rows) + "\n")
    assert read_openface(path).face_id == 1
    assert [face["number"] for face in openface_faces(path)] == [1]


def test_a_track_of_nan_alone_has_no_people_and_no_peak():
    text = "frame, timestamp, success, AU12_r\n1, 0, 1, nan\n2, 1, 1, nan\n"
    assert openface_faces(text) == []
    with pytest.raises(AuTrackError, match="no frame with a tracked face"):
        peak(read_openface(text))


def test_people_have_presence_area_span_boxes_and_a_place_of_their_own():
    main, other = openface_faces(several_faces([{**SMALL, "seen": {2, 3, 4}}, LARGE]), size=(1280, 720))
    assert (main["number"], main["presence"], main["span"]) == (3, 1.0, [0.0, 0.36])
    assert main["area"] == pytest.approx(400 * 400 / (1280 * 720), rel=0.02)
    assert main["boxes"][0] == pytest.approx([0.0, 700 / 1280, 100 / 720, 400 / 1280, 400 / 720], abs=0.01)
    assert main["place"] == {"zh": "画面右侧", "en": "on the right"}
    assert (other["presence"], other["span"]) == (0.3, [0.08, 0.16])
    assert other["place"] == {"zh": "画面左侧", "en": "on the left"}


def test_the_pictures_size_is_estimated_from_landmarks_in_space():
    known = openface_faces(several_faces([SMALL, LARGE]), size=(1280, 720))
    guessed = openface_faces(several_faces([SMALL, LARGE], solid=True))
    for a, b in zip(known, guessed, strict=True):
        assert np.allclose(a["boxes"], b["boxes"], atol=0.01)
    assert openface_faces(several_faces([SMALL, LARGE]))[0]["boxes"] == []


def test_the_track_of_the_chosen_person_is_found_by_where_it_is(tmp_path):
    path = tmp_path / "two.csv"
    path.write_text(several_faces([SMALL, LARGE]))
    # Framed as a detector does, a little larger, at times of its own.
    chosen = {"boxes": [[t, 80 / 1280, 170 / 720, 160 / 1280, 160 / 720] for t in (0.05, 0.3)]}
    assert read_person(path, chosen, (1280, 720)).face_id == 1
    assert read_person(path, None, (1280, 720)).face_id == 3


def test_a_track_of_somebody_else_is_refused(tmp_path):
    path = tmp_path / "one.csv"
    path.write_text(several_faces([LARGE]))
    with pytest.raises(AuTrackError, match=r"one.csv: none of its faces is the chosen person's"):
        read_person(path, {"boxes": [[0.1, 0.05, 0.2, 0.1, 0.2]]}, (1280, 720))


def test_which_of_several_faces_without_landmarks_is_chosen_cannot_be_told(tmp_path):
    path = tmp_path / "two.csv"
    path.write_text(several_faces([SMALL, LARGE], landmarks=False))
    with pytest.raises(AuTrackError, match="2 faces and no landmarks"):
        read_person(path, {"boxes": [[0.1, 0.05, 0.2, 0.1, 0.2]]})
    path.write_text(several_faces([LARGE], landmarks=False))
    assert read_person(path, {"boxes": [[0.1, 0.05, 0.2, 0.1, 0.2]]}).face_id == 3


def test_columns_that_nobody_asked_for_are_not_turned_into_numbers():
    text = "frame, timestamp, gaze_0_x, AU12_r\n1, 0, not-a-number, 2\n"
    assert read_openface(text).intensity["AU12"].tolist() == [2.0]


def test_cells_in_quotation_marks_are_read_as_csv():
    text = 'frame,timestamp,AU12_r\n1,0,2\n"2","0.04","3"\n'
    assert read_openface(text).frames.tolist() == [1, 2]
    with pytest.raises(AuTrackError, match="line 3: "):
        read_openface('frame,timestamp,AU12_r\n1,0,2\n"2"x,0.04,3\n')


def test_half_an_hour_with_all_of_openfaces_columns_is_read(tmp_path):
    """45,000 frames; a tenth of the real width, so that the test stays small (the width is not what costs)."""
    path = tmp_path / "long.csv"
    filler = ", ".join(["0.123"] * 60)
    with path.open("w") as file:
        file.write("frame, face_id, timestamp, confidence, success, AU12_r, " + ", ".join(f"p_{i}" for i in range(60)))
        for i in range(45_000):
            file.write(f"\n{i + 1}, 0, {i / 25:.3f}, 0.98, 1, {i % 5}, {filler}")
    track = read_openface(path)
    assert len(track.frames) == 45_000
    assert track.timestamps[-1] == pytest.approx(1799.96)
    assert peak(track)["frame"] == 5


def test_a_face_number_out_of_range_is_a_corrupt_track():
    with pytest.raises(AuTrackError, match="face_id is out of range"):
        read_openface("frame, face_id, timestamp, AU12_r\n1, 1e300, 0, 2\n")
