"""An AU track made from a video by a tracker that the operator installed: OpenFace, MediaPipe, or a plug-in.

None of them comes with the workbench. Which one is used is said in the environment (docs/faces.md); the first of
OPENFACE_BIN, FACE_LANDMARKER_TASK and AU_TRACKER that is set. Each runs as a program of its own, under limits.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models_ml.face import blendshapes
from models_ml.face.program import run_program
from models_ml.face.rows import AuTrackError, NoFace
from models_ml.face.track import read_openface

HOW_TO = (
    "not configured: no face tracker. Set OPENFACE_BIN to OpenFace 2.2's FeatureExtraction or FaceLandmarkVidMulti, or "
    "FACE_LANDMARKER_TASK and FACE_LANDMARKER_PYTHON to MediaPipe's model file and the Python that has mediapipe, or "
    "AU_TRACKER to another tracker; or give OpenFace CSVs when the clips are ingested"
)
MEDIAPIPE_WORKER = Path(__file__).with_name("mediapipe_worker.py")
PLUGIN_WORKER = Path(__file__).with_name("plugin_worker.py")
SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm")
SECONDS_PER_SECOND = 60.0  # a tracker may take as many times the clip's length, and LEAST_S at least
LEAST_S = 120.0
MOST_S = 780.0  # a worker's task is ended after 840 s; so it is the tracker that is said to be too slow


class TrackerMissing(AuTrackError):
    """A tracker is named in the environment and is not there; the message says which variable is wrong."""


@dataclass(frozen=True)
class Track:
    """What a tracker made: the text of an OpenFace CSV, and its name and version (at most 80 characters)."""

    csv: str
    producer: str


@dataclass(frozen=True)
class Tracker:
    """A tracker of the environment; `run(video, folder, timeout_s)` works in an empty folder of its own."""

    name: str
    run: Callable[[Path, Path, float], Track]


def tracker() -> Tracker | None:
    """The tracker that the environment names, None where it names none. Raises TrackerMissing."""
    if binary := os.environ.get("OPENFACE_BIN", "").strip():
        program = _program("OPENFACE_BIN", binary)
        return Tracker("OpenFace", lambda video, folder, s: _openface(program, video, folder, s))
    if model := os.environ.get("FACE_LANDMARKER_TASK", "").strip():
        if not Path(model).is_file():
            raise TrackerMissing(f"FACE_LANDMARKER_TASK names {model}, which is not a file")
        named = os.environ.get("FACE_LANDMARKER_PYTHON", "").strip()
        if not named:
            raise TrackerMissing("FACE_LANDMARKER_PYTHON is not set: it names the Python that has mediapipe")
        python = _program("FACE_LANDMARKER_PYTHON", named)
        return Tracker("MediaPipe", lambda video, folder, s: _mediapipe(python, Path(model), video, folder, s))
    if target := os.environ.get("AU_TRACKER", "").strip():
        return _plugin(target)
    return None


def produce(video: Path, found: Tracker, duration: float | None = None) -> Track:
    """The video's AU track by this tracker, read and checked. `duration` (s) sets how long it may take.

    The video is seen by the tracker under a plain name: what a file is called reaches no command line. Raises NoFace
    where no face was tracked, AuTrackError that names the tracker for everything else.
    """
    timeout_s = min(MOST_S, max(LEAST_S, SECONDS_PER_SECOND * (duration or 0.0)))
    suffix = video.suffix.lower() if video.suffix.lower() in SUFFIXES else ""
    with tempfile.TemporaryDirectory(prefix="face-") as scratch:
        folder = Path(scratch) / "work"
        folder.mkdir()
        plain = Path(scratch) / f"video{suffix}"
        plain.symlink_to(video.resolve(strict=True))
        try:
            made = found.run(plain, folder, timeout_s)
        except UnicodeDecodeError:
            raise AuTrackError(f"{found.name} wrote a file that is not text in UTF-8") from None
    try:
        track = read_openface(made.csv if "\n" in made.csv else made.csv + "\n")
    except NoFace:
        raise NoFace(f"{found.name} tracked no face") from None
    except AuTrackError as error:
        raise AuTrackError(f"{found.name} wrote a CSV that cannot be used: {error}") from None
    if not track.valid().any():
        raise NoFace(f"{found.name} tracked no face")
    return made


def _program(variable: str, value: str) -> str:
    path = shutil.which(value) or ""
    if not path:
        raise TrackerMissing(f"{variable} names {value}, which is not a program here")
    # OpenFace looks for its models beside the program as it was called.
    return os.path.abspath(path)


def _openface(program: str, video: Path, folder: Path, timeout_s: float) -> Track:
    out = folder / "out"
    command = [program, "-f", str(video), "-out_dir", str(out), "-of", "track", "-aus", "-2Dfp", "-q"]
    run_program("OpenFace", command, folder, timeout_s)
    written = sorted(out.glob("*.csv"))
    if not written:
        raise AuTrackError("OpenFace wrote no CSV")
    return Track(written[0].read_text(encoding="utf-8"), f"openface-2.2 {Path(program).name}"[:80])


def _mediapipe(python: str, model: Path, video: Path, folder: Path, timeout_s: float) -> Track:
    command = [python, "-I", str(MEDIAPIPE_WORKER), str(model.resolve()), str(video)]
    with run_program("MediaPipe", command, folder, timeout_s).open(encoding="utf-8") as lines:
        return Track(*blendshapes.to_csv(lines))


def _plugin(target: str) -> Tracker:
    """`module:function` (called with the video's path, gives the CSV's text), or a command with {video} in it."""
    if "{video}" in target:
        try:
            first, *rest = shlex.split(target)
        except ValueError as error:
            raise TrackerMissing(f"AU_TRACKER cannot be read as a command: {error}") from None
        program, name = _program("AU_TRACKER", first), Path(first).name

        def command(video: Path) -> list[str]:
            return [program, *(part.replace("{video}", str(video)) for part in rest)]
    else:
        module, colon, function = target.partition(":")
        if not colon or not all(part.isidentifier() for part in (*module.split("."), function)):
            raise TrackerMissing(f"AU_TRACKER is neither module:function nor a command with {{video}}: {target[:80]}")
        named = os.environ.get("AU_TRACKER_PYTHON", "").strip()
        python, name = _program("AU_TRACKER_PYTHON", named) if named else sys.executable, target

        def command(video: Path) -> list[str]:
            return [python, str(PLUGIN_WORKER), target, str(video)]

    def run(video: Path, folder: Path, timeout_s: float) -> Track:
        text = run_program(name, command(video), folder, timeout_s).read_text(encoding="utf-8")
        first_line, _newline, rest_of_it = text.partition("\n")
        if first_line.startswith("#"):  # `# py-feat 0.6.2`: who made it
            return Track(rest_of_it, first_line.lstrip("# ").strip()[:80] or name[:80])
        return Track(text, name[:80])

    return Tracker(name, run)
