"""Faces in a run: a tracker's CSV becomes the clip's track, people are found, and the words are the chosen person's."""

import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.test import Client
from PIL import Image

from annotator.clips import people
from annotator.clips.ingest import ingest_folder
from annotator.clips.models import AuTrack, Clip, SeenPerson, Subtitle
from annotator.prelabels import evidence, services
from annotator.prelabels.models import Clue, DescriptionDraft, Run
from models_ml.steps import STEPS as STEPS_BY_NAME
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


def test_the_same_words_of_somebody_else_are_another_clue(clip: Clip, openface: Any) -> None:
    """Both smile alike: the text and the codes are the same, the person is not."""
    openface(several_faces([SMILE, {**FROWN, "aus": SMILE["aus"]}], frames=30))
    run_over(clip)
    manager = create_member(clip.corpus, "manager")
    browser = Client()
    browser.force_login(manager)
    first = Clue.objects.get(superseded_at=None)
    run_over(clip, ["au_expression"])
    assert Clue.objects.get(superseded_at=None) == first  # of the same person: checks go on referring to it
    right = SeenPerson.objects.get(place__en="on the right")
    people.choose_person(manager, Clip.objects.get(pk=clip.pk), right.number)
    run_over(clip, ["au_expression"])
    clue = Clue.objects.get(superseded_at=None)
    assert (clue.text, clue.codes["aus"]) == (first.text, first.codes["aus"])
    assert clue.pk != first.pk
    assert clue.provenance["parameters"]["person"] == right.number
    assert "about somebody else" not in browser.get(f"/clips/{clip.pk}/").content.decode()


def test_a_track_that_comes_after_the_choice_has_the_peak_of_the_chosen_person(clip: Clip, openface: Any) -> None:
    openface(several_faces([SMILE, FROWN], frames=30))
    run_over(clip, ["faces"])
    right = SeenPerson.objects.get(place__en="on the right")
    people.choose_person(create_member(clip.corpus, "manager"), Clip.objects.get(pk=clip.pk), right.number)
    run_over(clip, ["au_track"])
    assert AuTrack.objects.get().peak["pseudo_labels"] == ["sad"]


def test_a_faces_job_that_finds_nobody_takes_back_whom_an_earlier_one_saw(tmp_path: Path, media_root: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    write_video(tmp_path / "nobody.mp4", [Image.fromarray(noise)] * 10)
    corpus = create_corpus(person_rule="leftmost")
    ingest_folder(corpus, tmp_path)
    clip = corpus.clips.get()
    box = {"presence": 1.0, "area": 0.04, "span": [0.0, 1.0], "place": {"zh": "x", "en": "x"}}
    seen = [{**box, "boxes": [[0.0, x, 0.2, 0.2, 0.2]]} for x in (0.1, 0.7)]
    people.store_people(clip, seen, "an older detector")
    meant = people.for_clip(clip)
    assert meant is not None
    assert meant["track"] == 1  # the leftmost
    job = jobs_of(run_over(clip, ["faces"]))["faces"]
    assert (job.state, job.provenance["parameters"]["people"]) == ("done", 0)
    assert (SeenPerson.objects.count(), people.for_clip(clip)) == (0, None)


def test_a_job_knows_how_long_its_clip_is(clip: Clip) -> None:
    run = services.create_run(None, clip.corpus, prelabellers=["au_track"])
    job = run.jobs.get()
    found = evidence.gather(job, STEPS_BY_NAME["au_track"])
    assert found.duration == pytest.approx(1.2, abs=0.1)


def test_the_whole_chain_speaks_of_the_chosen_person(scripted: Any, clip: Clip, openface: Any) -> None:
    """AU track, prompts, clues, descriptions and their marks: of one person, then of the other."""
    openface(several_faces([SMILE, FROWN], frames=30))
    Subtitle.objects.create(clip=clip, language="en", text="Well done.")
    steps = [*STEPS, "visual_objective", "visual_clue", "disambiguate", "coarse_template", "merge"]
    manager = create_member(clip.corpus, "manager")
    browser = Client()
    browser.force_login(manager)
    for place, label in (("on the left", "happy"), ("on the right", "sad")):
        person = SeenPerson.objects.filter(place__en=place).first()
        if person is not None:
            people.choose_person(manager, Clip.objects.get(pk=clip.pk), person.number)
            page = browser.get(f"/clips/{clip.pk}/").content.decode()
            assert page.count("about somebody else") == 5  # four clues, and the description
        before = len(scripted.calls())
        jobs = jobs_of(run_over(clip, steps))
        assert {job.state for job in jobs.values()} == {"done"}, {step: job.reason for step, job in jobs.items()}
        asked = [call["text"] for call in scripted.calls()[before:]]  # what stood in the data blocks of each
        assert len(asked) == 4
        for text in asked:
            assert text.startswith(place)
        number = SeenPerson.objects.get(place__en=place).number
        current = Clue.objects.filter(superseded_at=None)
        assert {clue.provenance["parameters"].get("person") for clue in current} == {number}
        assert current.get(codes__kind="au").codes["pseudo_label"] == label
        drafts = DescriptionDraft.objects.filter(job__run=jobs["merge"].run)
        assert [draft.provenance["parameters"]["person"] for draft in drafts] == [number, number]
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
