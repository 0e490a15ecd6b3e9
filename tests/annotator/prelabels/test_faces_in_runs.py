"""Faces in a run: a tracker's CSV becomes the clip's track, people are found, and the words are the chosen person's."""

import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from annotator.clips import people
from annotator.clips.ingest import ingest_folder
from annotator.clips.models import AuTrack, Clip, SeenPerson
from annotator.prelabels import services
from annotator.prelabels.models import Clue, Run
from tests.annotator.prelabels.test_work import do_all, jobs_of
from tests.models_ml.face.made import several_faces, side_by_side, write_video
from tests.support.factories import create_clue, create_corpus, create_member

pytestmark = pytest.mark.django_db
STEPS = ["au_track", "faces", "au_expression"]

# In the picture of 480 x 240 that `two_people` shows: a smile on the left, a frown on the right.
SMILE = {"id": 0, "aus": {"AU06": 2.0, "AU12": 3.0}, "at": (65, 60, 120)}
FROWN = {"id": 1, "aus": {"AU01": 2.0, "AU04": 3.0, "AU15": 2.0}, "at": (305, 60, 120)}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("film")
    write_video(folder / "two.mp4", side_by_side(30))
    return folder


@pytest.fixture
def clip(film: Path, media_root: Path) -> Clip:
    corpus = create_corpus(language="en", person_rule="leftmost")
    ingest_folder(corpus, film)
    return corpus.clips.get()


@pytest.fixture
def openface(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A program with OpenFace's command line that writes the given CSV."""

    def install(csv: str) -> None:
        (tmp_path / "track.csv").write_text(csv)
        program = tmp_path / "FaceLandmarkVidMulti"
        code = (
            "import shutil, sys\n"
            "from pathlib import Path\n"
            "out = Path(sys.argv[sys.argv.index('-out_dir') + 1])\n"
            "out.mkdir()\n"
            f"shutil.copy({str(tmp_path / 'track.csv')!r}, out / 'track.csv')\n"
        )
        program.write_text(f"#!{sys.executable}\n{code}")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("OPENFACE_BIN", str(program))

    return install


def run_over(clip: Clip, steps: list[str] = STEPS) -> Run:
    run = services.create_run(None, Clip.objects.get(pk=clip.pk).corpus, prelabellers=steps)
    do_all(run)
    return run


def test_the_words_are_those_of_the_person_whom_the_rule_means(clip: Clip, openface: Any) -> None:
    openface(several_faces([SMILE, FROWN], frames=30))
    jobs = jobs_of(run_over(clip))
    assert {step: job.state for step, job in jobs.items()} == dict.fromkeys(STEPS, "done")
    assert AuTrack.objects.get().producer == "openface-2.2 FaceLandmarkVidMulti"
    assert SeenPerson.objects.count() == 2
    left = SeenPerson.objects.get(place__en="on the left")
    clue = Clue.objects.get(superseded_at=None)
    assert clue.codes["pseudo_label"] == "happy"
    assert clue.provenance["parameters"]["person"] == left.number


def test_a_new_choice_marks_the_clue_and_the_next_run_supersedes_it(clip: Clip, openface: Any) -> None:
    openface(several_faces([SMILE, FROWN], frames=30))
    run_over(clip)
    manager = create_member(clip.corpus, "manager")
    browser = Client()
    browser.force_login(manager)
    assert "about somebody else" not in browser.get(f"/clips/{clip.pk}/").content.decode()
    right = SeenPerson.objects.get(place__en="on the right")
    people.choose_person(manager, Clip.objects.get(pk=clip.pk), right.number)
    assert "about somebody else" in browser.get(f"/clips/{clip.pk}/").content.decode()
    assert AuTrack.objects.get().peak["pseudo_labels"] == ["sad"]
    run_over(clip, ["au_expression"])
    clue = Clue.objects.get(superseded_at=None)
    assert (clue.codes["pseudo_label"], clue.provenance["parameters"]["person"]) == ("sad", right.number)
    assert "about somebody else" not in browser.get(f"/clips/{clip.pk}/").content.decode()


def test_a_track_that_came_with_the_clip_is_kept(clip: Clip, openface: Any, film: Path, tmp_path: Path) -> None:
    openface(several_faces([FROWN], frames=30))
    given = tmp_path / "au"
    given.mkdir()
    (given / "two.csv").write_text(several_faces([SMILE], frames=30))
    ingest_folder(clip.corpus, film, au=given)
    before = AuTrack.objects.get().sha256
    job = jobs_of(run_over(clip, ["au_track"]))["au_track"]
    assert (job.state, job.provenance["parameters"]["kept"]) == ("done", True)
    assert AuTrack.objects.get().sha256 == before


def test_without_a_tracker_the_job_says_what_to_set_and_nothing_is_said_of_the_face(clip: Clip) -> None:
    jobs = jobs_of(run_over(clip))
    assert (jobs["au_track"].state, "OPENFACE_BIN" in jobs["au_track"].reason) == ("skipped", True)
    assert jobs["au_expression"].state == "skipped"
    assert not Clue.objects.exists()


def test_a_track_of_somebody_else_is_a_failure_not_a_sentence(clip: Clip, openface: Any) -> None:
    openface(several_faces([FROWN], frames=30))
    job = jobs_of(run_over(clip))["au_expression"]
    assert (job.state, job.error_code) == ("failed", "au-track")
    assert "none of its faces is the chosen person's" in job.reason


def test_a_clip_without_strong_expression_is_left_out_with_the_reason(clip: Clip, openface: Any) -> None:
    openface(several_faces([{**SMILE, "aus": {"AU06": 0.2, "AU12": 0.4}}], frames=30))
    jobs = jobs_of(run_over(clip, ["au_track", "au_filter", "au_expression"]))
    assert jobs["au_filter"].provenance["parameters"]["pseudo_label"] == "neutral"
    assert (jobs["au_expression"].state, jobs["au_expression"].error_code) == ("skipped", "filtered")
    assert "no strong expression: happy (AU06 + AU12, mean 0.3) is below 1" in jobs["au_expression"].reason


def test_imported_and_heard_clues_are_never_marked(clip: Clip, openface: Any) -> None:
    openface(several_faces([SMILE, FROWN], frames=30))
    run_over(clip)
    Clue.objects.all().delete()
    create_clue(clip, "He smiles.")
    manager = create_member(clip.corpus, "manager")
    browser = Client()
    browser.force_login(manager)
    assert "about somebody else" not in browser.get(f"/clips/{clip.pk}/").content.decode()
