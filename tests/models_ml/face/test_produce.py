"""Tracks made by other people's trackers. The real binaries are not here: a script with OpenFace's command line, and
lines in the form that the MediaPipe worker prints, stand in for them; the plug-ins are real programs."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
import time
from pathlib import Path

import pytest

from models_ml.face import AuTrackError, blendshapes, peak, produce, read_openface, read_person
from models_ml.face.rows import NoFace
from models_ml.llm import NotConfigured
from models_ml.steps.tracks import au_track
from models_ml.steps.types import Evidence

VARIABLES = ("OPENFACE_BIN", "FACE_LANDMARKER_TASK", "FACE_LANDMARKER_PYTHON", "AU_TRACKER", "AU_TRACKER_PYTHON")
CSV = "frame, timestamp, AU12_r\\n1, 0.0, 2.5\\n"


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Its name would be an option, a shell command and no ASCII."""
    path = tmp_path / "-out_dir; touch 'x' $(id) 片段.mp4"
    path.write_bytes(b"moving pictures")
    return path


@pytest.fixture
def openface(tmp_path: Path, monkeypatch):
    """Calls `openface("crash")` to say how the stand-in behaves from then on."""
    folder = tmp_path / "OpenFace bin"
    folder.mkdir()
    shutil.copy(Path(__file__).with_name("stand_in_openface.py"), folder / "stand_in.py")
    program = folder / "FeatureExtraction"
    program.write_text(f"#!/bin/sh\nexec {sys.executable} '{folder}/stand_in.py' \"$@\"\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("OPENFACE_BIN", str(program))

    def behave(mode: str) -> None:
        (folder / "mode").write_text(mode)

    behave("works")
    return behave


def evidence(video: Path) -> Evidence:
    return Evidence("片段", media_path=video, media_sha256="ab" * 32)


def test_openface_makes_a_track_whatever_the_file_is_called(openface, video, tmp_path):
    result = au_track(evidence(video))
    assert (result.state, result.track["producer"]) == ("done", "openface-2.2 FeatureExtraction")
    assert peak(read_openface(result.track["csv"]))["frame"] == 5
    assert result.provenance["parameters"]["producer"] == "openface-2.2 FeatureExtraction"
    assert not (tmp_path / "x").exists()


def test_a_clip_that_has_a_track_keeps_it(openface, video):
    openface("crash")  # nobody is asked
    ev = evidence(video)
    ev.au = read_openface("frame, timestamp, AU12_r\n1, 0, 2\n")
    result = au_track(ev)
    assert (result.state, result.track) == ("done", None)
    assert "keeps it" in result.reason
    assert result.provenance["parameters"]["kept"] is True


def test_a_longer_clip_gives_its_tracker_more_time_within_what_a_task_may_take(video, tmp_path, monkeypatch):
    program = tmp_path / "slow"
    program.write_text(f"#!/bin/sh\nsleep 1.5\nprintf '{CSV}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("AU_TRACKER", f"{program} {{video}}")
    monkeypatch.setattr(produce, "LEAST_S", 0.3)
    ev = evidence(video)
    with pytest.raises(AuTrackError, match="took longer than 0.3 s"):
        au_track(ev)
    ev.duration = 0.5  # x 60
    assert au_track(ev).state == "done"
    monkeypatch.setattr(produce, "MOST_S", 0.4)
    ev.duration = 1800.0
    with pytest.raises(AuTrackError, match="took longer than 0.4 s"):
        au_track(ev)


def test_without_a_tracker_the_step_says_which_variables_to_set(video):
    result = au_track(evidence(video))
    assert result.state == "skipped"
    assert all(name in result.reason for name in ("OPENFACE_BIN", "FACE_LANDMARKER_TASK", "AU_TRACKER"))


@pytest.mark.parametrize("mode", ["noface", "empty"])
def test_a_clip_in_which_no_face_is_tracked_is_skipped(openface, video, mode):
    openface(mode)
    result = au_track(evidence(video))
    assert (result.state, result.reason, result.track) == ("skipped", "OpenFace tracked no face", None)


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        ("crash", r"OpenFace failed \(exit status 1\): Could not find the HAAR face detector location"),
        ("nothing", "OpenFace wrote no CSV"),
        ("corrupt", "OpenFace wrote a CSV that cannot be used: .*line 2: column timestamp: 'zero' is not a number"),
    ],
)
def test_a_tracker_that_fails_is_told_with_the_clip_and_its_own_words(openface, video, mode, says):
    openface(mode)
    with pytest.raises(AuTrackError, match=f"片段: {says}"):
        au_track(evidence(video))


def test_a_tracker_that_hangs_is_stopped_with_whatever_it_started(openface, video, monkeypatch):
    openface("hang")
    monkeypatch.setattr(produce, "LEAST_S", 1.0)
    started = time.monotonic()
    with pytest.raises(AuTrackError, match="OpenFace took longer than 1 s and was stopped"):
        au_track(evidence(video))
    assert time.monotonic() - started < 20
    folder = os.fspath(Path(os.environ["OPENFACE_BIN"]).parent)
    commands = [p.read_bytes() for p in Path("/proc").glob("[0-9]*/cmdline") if p.exists()]
    assert not any(folder.encode() in command for command in commands)


def test_a_tracker_that_writes_without_end_is_stopped(openface, video, monkeypatch):
    openface("flood")
    monkeypatch.setattr("models_ml.face.program.FILE_BYTES", 1 << 20)
    with pytest.raises(AuTrackError, match="OpenFace (used more disk than allowed|failed)"):
        au_track(evidence(video))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"OPENFACE_BIN": "/nowhere/FeatureExtraction"}, "OPENFACE_BIN names /nowhere/FeatureExtraction"),
        ({"FACE_LANDMARKER_TASK": "/nowhere/face.task"}, "FACE_LANDMARKER_TASK names /nowhere/face.task"),
        ({"FACE_LANDMARKER_TASK": __file__}, "FACE_LANDMARKER_PYTHON is not set"),
        ({"AU_TRACKER": "no colon"}, "AU_TRACKER is neither module:function nor a command"),
        ({"AU_TRACKER": "/nowhere/tool {video}"}, "AU_TRACKER names /nowhere/tool"),
        ({"AU_TRACKER": "a:b", "AU_TRACKER_PYTHON": "/nowhere/python"}, "AU_TRACKER_PYTHON names /nowhere/python"),
    ],
)
def test_a_tracker_that_is_named_and_not_there_is_not_configured(video, monkeypatch, settings, says):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(NotConfigured, match=says):
        au_track(evidence(video))


def test_a_plug_in_function_runs_in_a_process_of_its_own(video, tmp_path, monkeypatch):
    (tmp_path / "my_tracker.py").write_text(
        "import os\n"
        "def track(path):\n"
        "    print('loading')\n"
        "    assert open(path, 'rb').read() == b'moving pictures'\n"
        f"    return '# my-tracker 2.1 pid ' + str(os.getpid()) + '\\n{CSV}'\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("AU_TRACKER", "my_tracker:track")
    monkeypatch.setenv("AU_TRACKER_PYTHON", sys.executable)
    result = au_track(evidence(video))
    assert result.track["csv"] == CSV.replace("\\n", "\n")
    assert result.track["producer"].startswith("my-tracker 2.1 pid ")
    assert result.track["producer"] != f"my-tracker 2.1 pid {os.getpid()}"


def test_a_plug_in_command_gets_the_video_as_one_argument(video, tmp_path, monkeypatch):
    script = tmp_path / "my tool.sh"
    script.write_text(f'#!/bin/sh\ntest $# = 2 && test -f "$2" && printf "{CSV}"\n')
    script.chmod(0o755)
    monkeypatch.setenv("AU_TRACKER", f"'{script}' --in {{video}}")
    assert au_track(evidence(video)).track["producer"] == "my tool.sh"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return 7", "my_tracker:track failed .*returned int, not the text of a CSV"),
        ("raise RuntimeError('no GPU')", "my_tracker:track failed .*RuntimeError: no GPU"),
        ("return 'hello'", "my_tracker:track wrote a CSV that cannot be used: .*column frame is missing"),
    ],
)
def test_a_plug_in_that_is_wrong_is_told_so(video, tmp_path, monkeypatch, body, says):
    (tmp_path / "my_tracker.py").write_text(f"def track(path):\n    {body}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("AU_TRACKER", "my_tracker:track")
    with pytest.raises(AuTrackError, match=says):
        au_track(evidence(video))


LEFT, RIGHT = [0.1, 0.2, 0.2, 0.4], [0.6, 0.2, 0.2, 0.4]


def recorded(n=10, swap=True):
    """Two people as Face Landmarker gives them: in no fixed order, without identities."""
    yield json.dumps({"mediapipe": "0.10.21", "model": "face_landmarker.task"})
    for i in range(n):
        smiling = {"box": LEFT, "blendshapes": {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.6, "jawOpen": 0.1}}
        frowning = {"box": RIGHT, "blendshapes": {"browDownLeft": 0.5, "browDownRight": 0.4, "mouthClose": 0.1}}
        faces = [smiling, frowning] if i % 2 or not swap else [frowning, smiling]
        yield json.dumps({"frame": i + 1, "timestamp": i / 25, "faces": faces})


def test_blendshapes_become_action_units_on_openfaces_scale(tmp_path):
    csv, producer = blendshapes.to_csv(recorded())
    assert producer == "mediapipe 0.10.21 face_landmarker.task blendshapes x5"
    path = tmp_path / "a.csv"
    path.write_text(csv)
    left = read_person(path, {"boxes": [[0.1, *LEFT]]})
    assert peak(left)["aus"] == {"AU12": 4.0}  # AU25, AU26 at 0.5 are traces: not present
    assert set(left.intensity["AU12"]) == {4.0}  # one person, although the order of the faces changes
    assert peak(read_person(path, {"boxes": [[0.1, *RIGHT]]}))["aus"] == {"AU04": 2.5}


def test_every_blendshape_of_the_table_moves_its_unit_and_no_other():
    for au, names in blendshapes.AU_OF.items():
        for name in names:
            moved = {a for a, value in blendshapes.intensities({name: 1.0}).items() if value}
            assert moved == {au} | ({"AU25"} if name == "jawOpen" else set())
    assert blendshapes.intensities({"jawOpen": 1.0, "mouthClose": 1.0})["AU25"] == 0.0
    assert blendshapes.intensities({"jawOpen": 7.0})["AU26"] == 5.0


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["{}"], "line 1 is not as agreed"),
        (['{"mediapipe": "1", "model": "m"}', "WARNING: from the log"], "line 2 is not as agreed"),
        (['{"mediapipe": "1", "model": "m"}', '{"frame": 1, "timestamp": 0, "faces": [{"box": 3}]}'], "line 2"),
        (['{"mediapipe": "1", "model": "m"}'], "gave no frame"),
        ([], "gave no frame"),
    ],
)
def test_a_worker_that_says_something_else_is_told_by_line(lines, says):
    with pytest.raises(AuTrackError, match=says):
        blendshapes.to_csv(lines)


def test_no_face_in_any_frame_is_no_face():
    with pytest.raises(NoFace):
        blendshapes.to_csv(['{"mediapipe": "1", "model": "m"}', '{"frame": 1, "timestamp": 0, "faces": []}'])


def test_the_mediapipe_worker_is_run_by_the_named_python_and_read(video, tmp_path, monkeypatch):
    """The interpreter is a script that checks its arguments and prints recorded lines."""
    (tmp_path / "lines").write_text("\n".join(recorded()) + "\n")
    python = tmp_path / "python-of-its-own"
    python.write_text(
        f'#!/bin/sh\ntest "$1" = -I && test -f "$2" && test -f "$3" && test -f "$4" && cat {tmp_path}/lines\n'
    )
    python.chmod(0o755)
    (tmp_path / "face.task").write_bytes(b"weights")
    monkeypatch.setenv("FACE_LANDMARKER_TASK", str(tmp_path / "face.task"))
    monkeypatch.setenv("FACE_LANDMARKER_PYTHON", str(python))
    result = au_track(evidence(video))
    assert result.track["producer"].startswith("mediapipe 0.10.21")


def test_the_mediapipe_worker_imports_nothing_of_ours():
    source = produce.MEDIAPIPE_WORKER.read_text()
    assert "models_ml" not in source
    assert "models_ml" not in produce.PLUGIN_WORKER.read_text()
