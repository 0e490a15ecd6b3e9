"""OpenFace files are read as OpenFace writes them, and a broken one is told by file, line and column."""

from __future__ import annotations

import numpy as np
import pytest

from models_ml.face import AuTrackError, peak, read_openface

GOOD = "frame, face_id, timestamp, confidence, success, AU01_r, AU12_r, AU01_c, AU28_c\n"


def test_headers_with_leading_blanks_are_understood():
    track = read_openface(GOOD + "1, 0, 0.000, 0.98, 1, 0.50, 1.25, 1.00, 0.00\n")
    assert track.frames.tolist() == [1]
    assert track.intensity["AU12"].tolist() == [1.25]
    assert track.presence["AU01"].tolist() == [1.0]
    assert "AU28" not in track.intensity
    assert track.aus == ["AU01", "AU12", "AU28"]


def test_a_file_is_read_by_path(tmp_path):
    path = tmp_path / "片段.csv"
    path.write_text("\ufeff" + GOOD + "7, 0, 0.24, .9, 1, 0, 0, 0, 0\n\n", encoding="utf-8")
    assert read_openface(path).frames.tolist() == [7]
    assert read_openface(str(path)).frames.tolist() == [7]


def test_of_several_faces_the_one_tracked_longest_is_taken():
    rows = "".join(f"{i}, 0, {i}, 0.9, {int(i < 2)}, 1, 0, 1, 0\n{i}, 1, {i}, 0.9, 1, 2, 0, 1, 0\n" for i in range(4))
    track = read_openface(GOOD + rows)
    assert track.frames.tolist() == [0, 1, 2, 3]
    assert track.intensity["AU01"].tolist() == [2.0] * 4


def test_failed_unsure_and_nan_frames_are_not_valid():
    rows = [
        "1, 0, 0, 0.98, 1, 1, 1, 1, 0",
        "2, 0, 1, 0.98, 0, 5, 5, 1, 0",
        "3, 0, 2, 0.10, 1, 5, 5, 1, 0",
        "4, 0, 3, 0.98, 1, nan, 5, 1, 0",
        "5, 0, 4, 0.98, 1, -nan(ind), 5, 1, 0".replace("-nan(ind)", "inf"),
        "6, 0, 5, 0.98, 1, , 5, 1, 0",
    ]
    track = read_openface(GOOD + "\n".join(rows) + "\n")
    assert np.flatnonzero(track.valid()).tolist() == [0]
    assert peak(track)["frame"] == 1


def test_a_file_without_success_and_confidence_trusts_every_frame():
    track = read_openface("frame,timestamp,AU01_r\n1,0,2\n2,1,3\n")
    assert track.valid().all()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\n", "the file is empty"),
        (GOOD, "header and no frame"),
        ("frame, timestamp, x_0\n1, 0, 2\n", "line 1: no AUxx_r or AUxx_c column"),
        ("face, confidence, AU01_r\n0, 1, 2\n", "line 1: column frame is missing"),
        ("frame, AU01_r\n0, 2\n", "line 1: column timestamp is missing"),
        ("frame, timestamp, AU01_r, AU01_r\n1, 0, 2, 2\n", "line 1: column AU01_r is there twice"),
        (GOOD + "1, 0, 0.0, 0.98, 1, 0.5\n", "line 2: 6 cells where the header has 9"),
        (GOOD + "1, 0, 0, .9, 1, 1, 1, 1, 0\n2, 0, 0, .9, 1, 1, 坏, 1, 0\n", "line 3: column AU12_r: '坏' is not"),
        (GOOD + "1, 0, , .9, 1, 1, 1, 1, 0\n", "line 2: column timestamp is not a number"),
        (GOOD + "1e300, 0, 0, .9, 1, 1, 1, 1, 0\n", "line 2: column frame is out of range"),
        (GOOD + "1, 0, -5, .9, 1, 1, 1, 1, 0\n", "line 2: column timestamp is out of range"),
        ('a,"b\nc', "line 2: "),
        ("PK\x03\x04\n\x00\x01", ""),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, text, says):
    path = tmp_path / "clip_7.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(AuTrackError) as caught:
        read_openface(path)
    assert str(caught.value).startswith("clip_7.csv: ")
    assert says in str(caught.value)


def test_an_empty_a_missing_and_a_binary_file_are_told(tmp_path):
    (tmp_path / "empty.csv").touch()
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01")
    for name, says in (("empty.csv", "empty"), ("binary.csv", "UTF-8"), ("none.csv", "No such file")):
        with pytest.raises(AuTrackError, match=f"{name}.*{says}"):
            read_openface(tmp_path / name)


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("at", [0, 3, 6])
def test_wanted_columns_are_found_wherever_they_stand(at, quote):
    head = ["AU12_r", "timestamp", "AU04_c", "confidence", "frame", "success"]
    cells = ["2.5", "0.04", "1", "0.9", "7", "1"]
    head[at:at] = [f"x_{i}" for i in range(300)]
    cells[at:at] = ["word"] * 300  # nobody asks what these hold
    text = f"{','.join(head)}\n{quote}{f'{quote},{quote}'.join(cells)}{quote}\n{',' * 305}\n\n"
    track = read_openface(text)
    assert (track.frames.tolist(), track.timestamps.tolist(), track.confidence.tolist()) == ([7], [0.04], [0.9])
    assert (track.intensity["AU12"].tolist(), track.presence["AU04"].tolist()) == ([2.5], [1.0])
    with pytest.raises(AuTrackError, match="line 3: 307 cells where the header has 306"):
        read_openface(f"{text.splitlines()[0]}\n{','.join(cells)}\n{',' * 305}1,\n")
