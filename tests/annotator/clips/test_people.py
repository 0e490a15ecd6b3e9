"""Whom a clip is about: the rule's choice, a person's word over it, and what follows from either."""

import pytest

from annotator.checking import services as checking
from annotator.clips import media, people, services
from annotator.clips.models import AuTrack, SeenPerson, TargetPerson
from annotator.core.errors import Forbidden, Invalid, NotFound
from annotator.core.models import AuditEntry
from models_ml.face import AuTrackError
from tests.models_ml.face.made import several_faces
from tests.support import factories as make

pytestmark = pytest.mark.django_db


def somebody(x, *, presence=1.0, area=0.05, span=(0.0, 2.0), side=0.2):
    boxes = [[t / 4, x, 0.2, side, side] for t in range(9)]
    place = {"zh": f"在 {x}", "en": f"at {x}"}
    return {"place": place, "span": list(span), "presence": presence, "area": area, "boxes": boxes}


LEFT, MIDDLE, RIGHT = somebody(0.1, area=0.04), somebody(0.41, presence=0.4, area=0.2), somebody(0.7, area=0.06)


@pytest.fixture
def clip():
    return make.create_clip(make.create_corpus("faces"), probe={"width": 1280, "height": 720})


@pytest.fixture
def manager(clip):
    return make.create_member(clip.corpus, "manager")


def seen(clip, *found):
    return people.store_people(clip, found, "detector-1")


@pytest.mark.parametrize(
    ("rule", "number"),
    [("largest", 2), ("longest", 1), ("most_central", 2), ("leftmost", 1), ("rightmost", 3), ("none", None)],
)
def test_each_rule_means_its_person(clip, rule, number):
    type(clip.corpus).objects.filter(pk=clip.corpus_id).update(person_rule=rule)
    clip.corpus.refresh_from_db()
    seen(clip, LEFT, MIDDLE, RIGHT)
    assert people.target(clip) == number
    found = people.for_clip(clip)
    assert (found or {}).get("track") == number
    stored = list(TargetPerson.objects.values_list("number", "rule", "chosen_by"))
    assert stored == ([(number, rule, None)] if number else [])


def test_the_evidence_of_a_person_is_what_steps_want(clip):
    seen(clip, LEFT, RIGHT)
    found = people.for_clip(clip)
    assert found == {"track": 2, "place": RIGHT["place"], "span": [0.0, 2.0], "boxes": RIGHT["boxes"]}


def test_where_one_person_is_seen_there_is_no_question(clip, manager):
    seen(clip, LEFT)
    assert (people.for_clip(clip), people.target(clip)) == (None, None)
    assert not TargetPerson.objects.exists()


def test_what_a_person_says_stands_over_the_rule_and_can_be_taken_back(clip, manager):
    seen(clip, LEFT, RIGHT)
    assert people.choose_person(manager, clip, 1) == 1
    row = TargetPerson.objects.get()
    assert (row.number, row.rule, row.chosen_by, row.chosen_at is not None) == (1, "", manager, True)
    people.set_rule(manager, clip.corpus, "rightmost")
    assert people.for_clip(clip)["track"] == 1
    assert people.choose_person(manager, clip, None) == 2
    assert people.for_clip(clip)["track"] == 2
    entries = AuditEntry.objects.filter(action="person.choose").order_by("id")
    assert [entry.detail for entry in entries] == [{"number": 1, "before": 2}, {"number": None, "before": 1}]


def test_another_rule_decides_anew_when_it_is_next_asked(clip, manager):
    seen(clip, LEFT, RIGHT)
    people.set_rule(manager, clip.corpus, "leftmost")
    assert people.target(clip) == 1
    assert people.for_clip(clip)["track"] == 1
    assert list(TargetPerson.objects.values_list("number", "rule")) == [(1, "leftmost")]
    people.set_rule(manager, clip.corpus, "none")
    assert people.for_clip(clip) is None


def test_many_clips_are_answered_in_three_queries(clip, django_assert_num_queries):
    clips = [clip, *(make.create_clip(clip.corpus) for _ in range(4))]
    for each in clips[:4]:
        seen(each, LEFT, RIGHT)
    with django_assert_num_queries(2):
        found = people.for_clips(clips)
    assert set(found) == {each.pk for each in clips[:4]}


def test_a_person_who_is_not_there_cannot_be_chosen(clip, manager):
    seen(clip, LEFT, RIGHT)
    with pytest.raises(Invalid, match="no person 7 in this clip. There are: 1, 2"):
        people.choose_person(manager, clip, 7)


def test_who_may_choose(clip):
    seen(clip, LEFT, RIGHT)
    roles = {role: make.create_member(clip.corpus, role) for role in ("viewer", "annotator", "reviewer", "manager")}
    for role in ("viewer", "annotator"):
        with pytest.raises(Forbidden):
            people.choose_person(roles[role], clip, 1)
    with pytest.raises(NotFound):
        people.choose_person(make.create_user(), clip, 1)
    for role in ("reviewer", "manager"):
        people.choose_person(roles[role], clip, 1)
    claim = checking.claim_clip(roles["annotator"], clip)
    assert people.check_access(roles["annotator"], clip) == claim.pk
    assert people.choose_person(roles["annotator"], clip, 2) == 2
    with pytest.raises(Forbidden):
        people.choose_person(roles["annotator"], make.create_clip(clip.corpus), None)
    type(claim).objects.filter(pk=claim.pk).update(state="expired")
    with pytest.raises(Forbidden):
        people.choose_person(roles["annotator"], clip, 1)


def test_only_a_manager_sets_the_rule(clip, manager):
    with pytest.raises(Forbidden):
        people.set_rule(make.create_member(clip.corpus, "reviewer"), clip.corpus, "none")
    with pytest.raises(Invalid, match="loudest"):
        people.set_rule(manager, clip.corpus, "loudest")


def test_finding_the_same_people_again_changes_nothing(clip):
    first = [row.pk for row in seen(clip, LEFT, RIGHT)]
    assert [row.pk for row in seen(clip, LEFT, RIGHT)] == first


def test_a_face_keeps_its_number_and_the_choice_with_it_until_it_is_not_seen_any_more(clip, manager):
    """Clues say by the number of whom they speak: it must not become somebody else's."""
    seen(clip, LEFT, RIGHT)
    people.choose_person(manager, clip, 1)
    wider = {**LEFT, "boxes": [[t, x - 0.02, y, w + 0.03, h] for t, x, y, w, h in LEFT["boxes"]]}
    numbers = {row.place["en"]: row.number for row in seen(clip, RIGHT, MIDDLE, wider)}
    assert numbers == {"at 0.1": 1, "at 0.7": 2, "at 0.41": 3}
    assert people.for_clip(clip)["place"] == LEFT["place"]
    assert TargetPerson.objects.get().chosen_by == manager
    seen(clip, RIGHT, MIDDLE)
    assert not TargetPerson.objects.filter(rule="").exists()
    assert AuditEntry.objects.filter(action="person.lost", target=clip.name).exists()


def test_who_comes_to_the_same_place_later_is_not_taken_for_the_one_before(clip):
    first = {**somebody(0.1, span=(0.0, 1.0)), "boxes": [[t / 4, 0.1, 0.2, 0.2, 0.2] for t in range(5)]}
    second = {**somebody(0.1, span=(1.25, 2.0)), "boxes": [[t / 4, 0.1, 0.2, 0.2, 0.2] for t in range(5, 9)]}
    seen(clip, first, second)
    assert {row.span_start: row.number for row in seen(clip, second, {**first, "presence": 0.4})} == {0.0: 1, 1.25: 2}
    assert [row.number for row in seen(clip, second)] == [2]


def test_a_search_that_finds_nobody_leaves_nobody(clip, manager):
    seen(clip, LEFT, RIGHT)
    people.choose_person(manager, clip, 2)
    assert seen(clip) == []
    assert (people.for_clip(clip), TargetPerson.objects.count(), SeenPerson.objects.count()) == (None, 0, 0)
    assert AuditEntry.objects.filter(action="person.lost", target=clip.name).exists()


def test_clips_that_wait_for_a_person_to_choose_are_a_filter(clip, manager):
    from annotator.clips import queries

    seen(clip, LEFT, RIGHT)
    assert not queries.clips(clip.corpus, which="people").exists()
    people.set_rule(manager, clip.corpus, "none")
    assert queries.clips(clip.corpus, which="people").get() == clip
    people.choose_person(manager, clip, 1)
    assert not queries.clips(clip.corpus, which="people").exists()


SMILER = {"id": 0, "aus": {"AU06": 2.0, "AU12": 3.0}, "at": (130, 150, 240)}
FROWNER = {"id": 1, "aus": {"AU01": 2.0, "AU04": 3.0, "AU15": 2.0}, "at": (900, 150, 250)}


def test_the_track_and_its_peak_are_the_chosen_persons(clip, manager):
    media.store_au_track(clip, several_faces([SMILER, FROWNER], frames=50), "openface-2.2 FaceLandmarkVidMulti")
    clip.refresh_from_db()
    seen(clip, LEFT, RIGHT)
    for number, label in ((1, "happy"), (2, "sad")):
        people.choose_person(manager, clip, number)
        track = people.au_track(clip, people.for_clip(clip))
        assert track.face_id == number - 1
        assert AuTrack.objects.get().peak["pseudo_labels"][0] == label


def test_a_track_of_somebody_else_has_no_peak_and_no_words(clip, manager):
    media.store_au_track(clip, several_faces([SMILER], frames=50), "openface-2.2 FeatureExtraction")
    clip.refresh_from_db()
    seen(clip, LEFT, RIGHT)
    people.choose_person(manager, clip, 2)
    assert AuTrack.objects.get().peak == {}
    with pytest.raises(AuTrackError, match="none of its faces is the chosen person's"):
        people.au_track(clip, people.for_clip(clip))
    people.choose_person(manager, clip, 1)
    assert AuTrack.objects.get().peak["pseudo_labels"] == ["happy"]


def test_a_produced_track_is_kept_once_and_never_over_another(clip):
    first = media.store_au_track(clip, several_faces([SMILER]), "openface-2.2")
    again = media.store_au_track(clip, several_faces([FROWNER]), "somebody else")
    assert (again.pk, again.producer, AuTrack.objects.get().peak["pseudo_labels"]) == (
        first.pk,
        "openface-2.2",
        ["happy"],
    )
    assert media.au_path(type(clip).objects.get(pk=clip.pk)).read_text() == several_faces([SMILER])


def test_a_text_that_is_no_track_is_not_kept(clip):
    with pytest.raises(AuTrackError):
        media.store_au_track(clip, "hello\nworld\n", "x")
    assert not AuTrack.objects.exists()


def test_clues_made_for_another_person_are_told(clip):
    assert people.is_of_somebody_else({"person": 1}, "visual", 2)
    assert people.is_of_somebody_else({"person": 1}, "visual", None)
    assert people.is_of_somebody_else({}, "visual", 2)
    assert not people.is_of_somebody_else({"person": 2}, "text", 2)
    assert not people.is_of_somebody_else({}, "audio", 2)
    assert not people.is_of_somebody_else({}, "visual", None)


def test_a_withdrawn_clip_forgets_its_people(clip, manager, django_capture_on_commit_callbacks):
    seen(clip, LEFT, RIGHT)
    with django_capture_on_commit_callbacks(execute=True):
        services.withdraw_clip(manager, clip, "consent was taken back")
    assert not SeenPerson.objects.exists()
    assert not TargetPerson.objects.exists()


def test_the_database_wants_a_rule_or_a_person_not_both(clip, manager):
    from django.db import IntegrityError, transaction

    for values in ({"rule": "largest", "chosen_by": manager}, {"rule": ""}):
        with pytest.raises(IntegrityError), transaction.atomic():
            TargetPerson.objects.create(clip=clip, number=1, **values)
