"""The evidence gate at work: clues are judged when they are stored, and again when their evidence changes."""

import io
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client

from annotator.checking.models import Record
from annotator.clips import media, people
from annotator.clips.models import AuTrack, Clip, Corpus
from annotator.clips.services import withdraw_clip
from annotator.core.errors import Conflict, Forbidden
from annotator.prelabels import gating, services, tasks, tracks
from annotator.prelabels.imports import import_clues, import_prelabels
from annotator.prelabels.models import Clue, ProsodyMeasures
from models_ml import gate
from models_ml.steps.measured import PROSODY_VERSION
from tests.annotator.prelabels.material import add_face
from tests.annotator.prelabels.test_work import do_all
from tests.models_ml.face.made import several_faces
from tests.support import factories as make

pytestmark = pytest.mark.django_db

SMILE, FROWN, LOUD = "She smiles.", "She frowns.", "She speaks in a loud voice."


@pytest.fixture
def corpus() -> Corpus:
    return make.create_corpus("lab", language="en")


@pytest.fixture
def clip(corpus: Corpus) -> Clip:
    return make.create_clip(corpus, "a", en="Leave me alone!", zh="")


@pytest.fixture
def smiling(clip: Clip, media_root: Path) -> Clip:
    return add_face(clip, media_root, AU12=2.5, AU04=0.1)


def judged(clue: Clue) -> list[tuple[str, str]]:
    clue.refresh_from_db()
    assert clue.gate_version == gate.VERSION
    return [(verdict["claim"], verdict["verdict"]) for verdict in clue.gate]


def measured(clip: Clip, **measures: float) -> ProsodyMeasures:
    numbers = {"f0_median_hz": 180.0, "intensity_db": 60.0, "voiced_fraction": 0.6} | measures
    return ProsodyMeasures.objects.create(clip=clip, version=PROSODY_VERSION, measures=numbers)


def test_a_claim_is_held_against_the_action_units(smiling: Clip) -> None:
    clue = make.create_clue(smiling, f"{SMILE} {FROWN}")
    assert gating.judge_stored([clue]) == 1
    assert judged(clue) == [("smile", "supported"), ("brows_lowered", "contradicted")]
    smile = clue.gate[0]
    assert (smile["measure"], smile["value"], smile["threshold"]) == ("AU12", 2.5, 1.0)
    assert clue.text[slice(*smile["at"])] == smile["text"]
    assert gating.judge_clue(clue) == clue.gate


def test_without_a_track_no_face_is_supported(clip: Clip) -> None:
    clue = make.create_clue(clip, SMILE)
    gating.judge_stored([clue])
    assert judged(clue) == [("smile", "not_measurable")]


@pytest.mark.parametrize("damage", ["missing", "binary", "empty"])
def test_a_broken_track_measures_nothing_and_fails_nothing(smiling: Clip, media_root: Path, damage: str) -> None:
    path = media.au_path(smiling)
    if damage == "missing":
        path.unlink()
    else:
        path.chmod(0o600)
        path.write_bytes(b"\x00\xff\x00" if damage == "binary" else b"")
    clue = make.create_clue(smiling, SMILE)
    gating.judge_stored([clue])
    assert judged(clue) == [("smile", "not_measurable")]


def test_quoted_words_are_held_against_the_subtitle(clip: Clip) -> None:
    right = make.create_clue(clip, 'She says "leave me alone".', modality="text", aspect="content")
    wrong = make.create_clue(clip, 'She says "stay with me".', modality="text", aspect="")
    gating.judge_stored([right, wrong])
    assert judged(right) == [("quote", "supported")]
    assert judged(wrong) == [("quote", "contradicted")]


def test_a_voice_is_held_against_the_speakers_other_clips(corpus: Corpus) -> None:
    clips = [make.create_clip(corpus, name, speaker="li") for name in "abc"]
    for clip, level in zip(clips, (66.0, 60.0, 61.0), strict=True):
        measured(clip, intensity_db=level)
    clues = [make.create_clue(clip, LOUD, modality="audio", aspect="tone") for clip in clips]
    gating.judge_stored(clues)
    assert [judged(clue)[0][1] for clue in clues] == ["supported", "contradicted", "contradicted"]
    assert clues[0].gate[0]["value"] == pytest.approx(5.5)


def test_one_clip_of_a_speaker_is_no_baseline(clip: Clip) -> None:
    Clip.objects.filter(pk=clip.pk).update(speaker="li")
    measured(clip, intensity_db=90.0)
    clue = make.create_clue(clip, LOUD, modality="audio", aspect="tone")
    gating.judge_stored([clue])
    assert judged(clue) == [("loud", "not_measurable")]


def test_a_measured_clue_is_not_judged_against_itself_but_tells_the_others(clip: Clip) -> None:
    tone = make.create_clue(clip, LOUD, modality="audio", aspect="tone")
    gating.judge_stored([tone])
    assert judged(tone) == [("loud", "not_measurable")]
    codes = {"kind": "prosody", "codes": [], "measures": {"intensity_re_baseline_db": 4.5, "voiced_fraction": 0.6}}
    prosody = make.create_clue(
        clip, "The voice is louder than usual.", modality="audio", aspect="prosody", codes=codes, prelabeller="m"
    )
    assert gating.judge_stored([prosody]) == 2
    assert judged(prosody) == []
    assert judged(tone) == [("loud", "supported")]


def test_imported_clues_are_judged(smiling: Clip) -> None:
    content = f"name,text\n{smiling.name},{SMILE}\n".encode()
    import_prelabels(
        None, smiling.corpus, content, filename="a.csv", prelabeller="elsewhere", modality="visual", language="en"
    )
    assert judged(Clue.objects.get()) == [("smile", "supported")]


def test_clues_of_a_manifest_are_judged(smiling: Clip) -> None:
    item = {"modality": "visual", "aspect": "expression", "language": "en", "text": FROWN, "source": "x"}
    import_clues(smiling.corpus, {smiling.pk: [item]})
    assert judged(Clue.objects.get()) == [("brows_lowered", "contradicted")]


def test_what_models_say_in_a_run_is_judged_as_it_is_stored(
    scripted: Any, whole_clip: Callable[..., Clip], corpus: Corpus
) -> None:
    clip = whole_clip(corpus)
    run = services.create_run(None, corpus, "emer")
    do_all(run)
    clues = Clue.objects.filter(clip=clip, superseded_at=None)
    tone, words = clues.get(aspect="tone"), clues.get(aspect="content")
    assert "bright and quick" in tone.text
    assert judged(tone) == [("fast", "contradicted")]  # four syllables a second
    assert "Together with the smile" in words.text
    assert judged(words) == [("smile", "supported")]
    assert {clue.gate_version for clue in clues} == {gate.VERSION}
    revision = Record.objects.get(clip=clip, grade="coarse").current
    kept = {source["clue"]: source["gate"] for source in revision.provenance["clues"]}
    assert kept[tone.pk] == {"version": gate.VERSION, "verdicts": tone.gate}


def test_a_measured_pipeline_is_not_judged_against_itself(whole_clip: Callable[..., Clip], corpus: Corpus) -> None:
    clip = whole_clip(corpus)
    do_all(services.create_run(None, corpus, "measured"))
    clues = Clue.objects.filter(clip=clip, superseded_at=None)
    assert clues.count() == 2
    assert [judged(clue) for clue in clues] == [[], []]
    assert gating.pending().count() == 0


def test_two_hundred_clues_cost_as_many_queries_as_two(
    corpus: Corpus, media_root: Path, django_assert_num_queries: Any
) -> None:
    def drafted(n: int, speaker: str) -> list[Clue]:
        clips = [make.create_clip(corpus, f"{speaker}{i}", speaker=speaker) for i in range(n)]
        for clip in clips:
            add_face(clip, media_root, AU12=2.0)
            measured(clip)
        text = f"{SMILE} {LOUD}"
        return [make.create_clue(clip, text) for clip in clips]

    for n, speaker in ((2, "li"), (200, "han")):
        clues = drafted(n, speaker)
        with django_assert_num_queries(6):  # no quotation is claimed, so no subtitle is read
            assert gating.judge_stored(clues) == n
        assert judged(clues[-1])[0] == ("smile", "supported")


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """(clip, whether within a transaction) of each AU track that was really read from its file."""
    found: list[tuple[str, bool]] = []
    read = people.au_track

    def noted(clip: Clip, person: Any) -> Any:
        found.append((clip.name, connection.in_atomic_block))
        return read(clip, person)

    tracks._kept.clear()
    monkeypatch.setattr(people, "au_track", noted)
    return found


@pytest.mark.django_db(transaction=True)
def test_a_track_is_read_once_and_before_the_clues_are_locked(
    corpus: Corpus, media_root: Path, readings: list[tuple[str, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [add_face(make.create_clip(corpus, name), media_root, AU12=2.0 + n) for n, name in enumerate("abcd")]
    clues = [make.create_clue(clip, f"{n}. {SMILE}", prelabeller=f"m{n}") for n in range(3) for clip in clips]
    make.create_clue(clips[0], "A kitchen.", aspect="scene")
    monkeypatch.setattr(gating, "CHUNK", 2)
    assert gating.judge_pending() == (13, False)
    assert readings == [(name, False) for name in "abcd"]
    assert {judged(clue)[0] for clue in clues} == {("smile", "supported")}


def test_what_is_kept_of_tracks_is_bounded(corpus: Corpus, media_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracks._kept.clear()
    clips = [add_face(make.create_clip(corpus), media_root, AU12=2.0, AU04=0.1 * n) for n in range(5)]
    one = tracks.size(tracks.au_track(clips[0], None))
    monkeypatch.setattr(tracks, "KEPT_BYTES", 3 * one)
    for clip in clips:
        tracks.au_track(clip, None)
    assert [track.intensity["AU04"].max() for track, _bytes in tracks._kept.values()] == pytest.approx([0.2, 0.3, 0.4])
    monkeypatch.setattr(tracks, "KEPT_BYTES", 0)
    assert tracks.au_track(clips[0], None).intensity["AU12"].max() == 2.0


@pytest.mark.django_db(transaction=True)
def test_two_workers_share_what_is_pending(clip: Clip, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gating, "CHUNK", 1)
    clues = [make.create_clue(each, SMILE) for each in (clip, make.create_clip(corpus))]
    rest: list[tuple[int, bool]] = []

    def another() -> None:
        rest.append(gating.judge_pending())
        connection.close()

    with transaction.atomic():
        Clue.objects.select_for_update().get(pk=clues[0].pk)  # another worker is at it
        thread = threading.Thread(target=another)
        thread.start()
        thread.join(20)
    assert rest == [(1, False)]
    assert judged(clues[1]) == [("smile", "not_measurable")]
    assert gating.judge_pending() == (1, False)


def test_a_clue_that_is_unchanged_is_not_judged_twice(smiling: Clip, django_assert_num_queries: Any) -> None:
    clue = make.create_clue(smiling, SMILE)
    gating.judge_stored([clue])
    with django_assert_num_queries(0):
        assert gating.judge_stored([clue]) == 0


def test_a_bug_in_the_gate_costs_no_clue(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: Any, **_more: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(gate, "judge", broken)
    clue = make.create_clue(clip, SMILE)
    gating.judge_stored([clue])
    clue.refresh_from_db()
    assert (clue.gate, clue.gate_version) == (None, gate.VERSION)


def test_a_track_that_arrives_later_takes_the_verdict_back(clip: Clip, media_root: Path) -> None:
    clue = make.create_clue(clip, SMILE)
    gating.judge_stored([clue])
    add_face(clip, media_root, AU12=2.0)
    assert list(gating.pending()) == [clue]
    assert gating.judge_pending() == (1, False)
    assert judged(clue) == [("smile", "supported")]
    AuTrack.objects.filter(clip=clip).delete()
    gating.judge_pending()
    assert judged(clue) == [("smile", "not_measurable")]


def test_a_changed_subtitle_and_new_measures_take_the_verdict_back(clip: Clip) -> None:
    clue = make.create_clue(clip, 'She says "stay with me".', modality="text", aspect="content")
    gating.judge_stored([clue])
    clip.subtitles.filter(language="en").update(text="Stay with me!")
    gating.judge_pending()
    assert judged(clue) == [("quote", "supported")]
    measured(clip)
    assert gating.pending().count() == 1
    gating.judge_pending()
    ProsodyMeasures.objects.filter(clip=clip).update(version=PROSODY_VERSION)  # nothing is new
    assert gating.pending().count() == 0


def test_evidence_of_another_clip_takes_nothing_back(clip: Clip, corpus: Corpus, media_root: Path) -> None:
    gating.judge_stored([make.create_clue(clip, SMILE)])
    add_face(make.create_clip(corpus), media_root, AU12=2.0)
    assert gating.pending().count() == 0


def test_superseded_and_withdrawn_clues_are_left_alone(clip: Clip, corpus: Corpus, media_root: Path) -> None:
    old = make.create_clue(clip, SMILE, superseded_at="2026-01-01T00:00Z")
    gone = make.create_clip(corpus)
    clue = make.create_clue(add_face(gone, media_root, AU12=2.0), SMILE)
    withdraw_clip(None, gone, "consent")
    gating.judge_pending()
    old.refresh_from_db()
    assert old.gate_version == ""
    assert judged(clue) == []


SMILER = {"id": 0, "aus": {"AU06": 2.0, "AU12": 3.0}, "at": (130, 150, 240)}
FROWNER = {"id": 1, "aus": {"AU04": 3.0}, "at": (900, 150, 250)}


def test_the_chosen_persons_face_is_the_one(corpus: Corpus, media_root: Path) -> None:
    clip = make.create_clip(corpus, probe={"width": 1280, "height": 720})
    manager = make.create_member(corpus, "manager")
    seen = [
        {"place": {"zh": "", "en": ""}, "span": [0.0, 2.0], "presence": 1.0, "area": area,
         "boxes": [[t / 4, x, 0.2, 0.2, 0.2] for t in range(9)]}
        for x, area in ((0.1, 0.09), (0.7, 0.04))
    ]  # fmt: skip
    people.store_people(clip, seen, "detector-1")
    csv = several_faces([SMILER, FROWNER], frames=50)
    media.store_au_track(clip, csv, "openface-2.2 FaceLandmarkVidMulti")
    clue = make.create_clue(clip, SMILE)
    gating.judge_pending()
    assert judged(clue) == [("smile", "supported")]
    for change, verdict in (
        (lambda: people.choose_person(manager, clip, 2), "contradicted"),
        (lambda: people.choose_person(manager, clip, None), "supported"),
        (lambda: people.set_rule(manager, corpus, "rightmost"), "contradicted"),
    ):
        change()
        assert gating.judge_pending() == (1, False)
        assert judged(clue) == [("smile", verdict)]


def gate_command(*words: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command("gate", *words, "--json", stdout=out, stderr=io.StringIO())
    return json.loads(out.getvalue().splitlines()[-1])


def test_the_command_judges_what_is_left_and_again_everything(smiling: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(3):
        make.create_clue(smiling, SMILE, prelabeller=f"m{n}")
    monkeypatch.setattr(gating, "CHUNK", 2)
    found = gate_command("lab")
    assert found == {
        "corpus": "lab", "judged": 3, "version": gate.VERSION, "clues": 3, "left": 0,
        "verdicts": {"contradicted": 0, "supported": 3, "not_measurable": 0},
    }  # fmt: skip
    assert gate_command("lab")["judged"] == 0
    assert gate_command("lab", "--again")["judged"] == 3
    Clue.objects.filter(prelabeller__name="m1").update(gate_version="0", gate=[])
    assert gate_command("lab")["judged"] == 1


def test_an_unknown_corpus_is_a_wrong_call() -> None:
    with pytest.raises(Exception, match="There is no corpus 'none'"):
        gate_command("none")


def test_the_button_marks_sends_and_says_so(smiling: Clip, client: Client) -> None:
    clue = make.create_clue(smiling, SMILE)
    manager = make.create_member(smiling.corpus, "manager")
    client.force_login(manager)
    assert client.post("/corpora/lab/gate/judge/").status_code == 302
    assert "1 clue is being judged." in client.get("/corpora/lab/gate/").content.decode()
    waiting = client.get("/corpora/lab/gate/progress/")
    assert (waiting.status_code, "1 wait for a worker" in waiting.content.decode()) == (200, True)
    gating.judge_pending(smiling.corpus)
    assert judged(clue) == [("smile", "supported")]
    done = client.get("/corpora/lab/gate/progress/")
    assert (done.status_code, done["HX-Refresh"]) == (286, "true")
    with pytest.raises(Conflict):
        gating.request_judging(manager, smiling.corpus)
    assert gating.request_judging(manager, smiling.corpus, again=True) == 1
    with pytest.raises(Forbidden):
        gating.request_judging(make.create_member(smiling.corpus, "reviewer"), smiling.corpus)


@pytest.mark.parametrize("again", [True, False])
def test_a_large_corpus_is_marked_in_pieces(corpus: Corpus, again: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gating, "MARKED", 2)
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(gating.app, "send_task", lambda _name, args, kwargs, **_more: sent.append(kwargs))
    version = gate.VERSION if again else "0"
    clues = [make.create_clue(make.create_clip(corpus), SMILE, gate=[], gate_version=version) for _ in range(5)]
    gone = make.create_clue(make.create_clip(corpus), SMILE, gate=[], gate_version=version)
    withdraw_clip(None, gone.clip, "consent")
    manager = make.create_member(corpus, "manager")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(transaction, "on_commit", lambda work, **_more: work())
        assert gating.request_judging(manager, corpus, again=again) == 5
    assert gating.pending(corpus).count() == 2
    assert sent == [{"again": again, "after": clues[1].pk}]
    tasks.judge_clues(corpus.pk, **sent[0])
    for clue in clues:
        assert judged(clue) == [("smile", "not_measurable")]
    assert len(sent) == 1


def test_where_the_time_is_over_marking_goes_on_in_another_message(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gating, "MARKED", 1)
    clues = [make.create_clue(make.create_clip(corpus), SMILE, gate=[], gate_version="0") for _ in range(3)]
    assert gating.mark_more(corpus, again=False, after=clues[0].pk, seconds=0) == clues[0].pk
    assert gating.mark_more(corpus, again=False, after=None) is None
    assert gating.mark_more(corpus, again=False, after=clues[0].pk) is None
    assert set(gating.pending(corpus)) == set(clues[1:])


def test_progress_tells_older_failed_and_measured_ones_apart(corpus: Corpus, client: Client) -> None:
    def several(n: int, **fields: Any) -> None:
        for _ in range(n):
            make.create_clue(make.create_clip(corpus), SMILE, **fields)

    several(1, gate=[], gate_version=gate.VERSION)
    several(2, gate=None, gate_version=gate.VERSION)
    several(3, gate=[], gate_version=gate.VERSION, codes={"kind": "prosody"})
    several(4, gate=[], gate_version="0")
    several(5, gate=[], gate_version="0", codes={"kind": "prosody"})
    several(6)
    assert gating.progress(corpus) == {
        "clues": 21, "judged": 6, "measured": 3, "failed": 2, "left": 15, "waiting": 6, "older": 9, "percent": 28.6,
        "version": gate.VERSION,
    }  # fmt: skip
    for role, told in (("reviewer", True), ("manager", False)):
        client.force_login(make.create_member(corpus, role))
        for address in ("", "progress/"):
            html = client.get(f"/corpora/lab/gate/{address}").content.decode()
            assert "9 were judged by an older version" in html
            assert "2 could not be judged" in html
            assert ("A manager of the corpus can have them judged again." in html) == told
        assert ("Judge the rest" in client.get("/corpora/lab/gate/").content.decode()) != told


def test_the_clips_page_shows_contradictions_first_and_marks_their_words(smiling: Clip, client: Client) -> None:
    clue = make.create_clue(smiling, f"<b>{SMILE}</b> {FROWN}")
    gating.judge_stored([clue])
    client.force_login(make.create_member(smiling.corpus, "manager"))
    html = client.get(f"/clips/{smiling.pk}/").content.decode()
    assert html.index("finding--contradicted") < html.index("finding--supported")
    assert "&lt;b&gt;She <mark" in html
    assert ">smiles</mark>" in html
    assert "AU12 2.5" in html
    assert "data-play-from" in html
    chinese = client.get(f"/clips/{smiling.pk}/", headers={"accept-language": "zh-hans"}).content.decode()
    assert "<b>与测量不符</b> 皱眉" in chinese
