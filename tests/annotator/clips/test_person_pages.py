"""The panel, the page for annotators, the REST call and the rule's form."""

import re

import pytest
from django.test import Client

from annotator.checking import services as checking
from annotator.clips import people
from tests.annotator.clips.test_people import LEFT, RIGHT, seen
from tests.support import factories as make

pytestmark = pytest.mark.django_db


@pytest.fixture
def clip():
    clip = make.create_clip(make.create_corpus("faces"), probe={"width": 1280, "height": 720})
    seen(clip, LEFT, RIGHT)
    for kind in ("proxy", "poster"):
        clip.derivatives.create(kind=kind, path=f"derived/{kind}", sha256="a" * 64, bytes=1)
    return clip


def browser(clip, role):
    user = make.create_member(clip.corpus, role)
    client = Client()
    client.force_login(user)
    return client, user


def test_the_clips_page_shows_numbered_boxes_and_radio_buttons(clip):
    client, _user = browser(clip, "manager")
    page = client.get(f"/clips/{clip.pk}/").content.decode()
    assert page.count("<rect ") == 2
    assert re.findall(r'name="number" value="(\d*)"[^>]*?( checked)?>', page) == [("1", ""), ("2", " checked")]
    assert "on the" not in page  # the places are those of the tracks
    assert RIGHT["place"]["en"] in page
    panel = page[page.index('id="person"') : page.index("</section>", page.index('id="person"'))]
    assert " style=" not in panel
    assert "disabled" not in panel


def test_a_viewer_sees_who_is_meant_and_cannot_change_it(clip):
    client, _user = browser(clip, "viewer")
    page = client.get(f"/clips/{clip.pk}/person/").content.decode()
    assert '<fieldset class="person-choices" disabled>' in page
    assert client.post(f"/clips/{clip.pk}/person/", {"number": "1"}).status_code == 403


def test_choosing_on_the_page_and_by_htmx(clip):
    client, user = browser(clip, "reviewer")
    assert client.post(f"/clips/{clip.pk}/person/", {"number": "1"}).status_code == 302
    assert people.target(clip) == 1
    part = client.post(f"/clips/{clip.pk}/person/", {"number": "2"}, headers={"HX-Request": "true"})
    assert (part.status_code, part.content.decode().lstrip().startswith("<section")) == (200, True)
    assert f"Chosen by {user.username}" in part.content.decode()
    assert people.target(clip) == 2
    client.post(f"/clips/{clip.pk}/person/", {"number": ""})
    assert people.for_clip(clip)["track"] == 2  # the rule's again


@pytest.mark.parametrize("number", ["7", "-1", "one", "99999999999999999999"])
def test_a_wrong_number_answers_422_with_the_panel(clip, number):
    client, _user = browser(clip, "manager")
    answer = client.post(f"/clips/{clip.pk}/person/", {"number": number}, headers={"HX-Request": "true"})
    assert answer.status_code == 422
    assert 'role="alert"' in answer.content.decode()


def test_an_annotator_chooses_on_a_clip_that_they_hold(clip):
    client, user = browser(clip, "annotator")
    assert client.get(f"/clips/{clip.pk}/person/").status_code == 403
    checking.claim_clip(user, clip)
    page = client.get(f"/clips/{clip.pk}/person/")
    assert page.status_code == 200
    assert "/media/" in page.content.decode()
    assert client.post(f"/clips/{clip.pk}/person/", {"number": "1"}).status_code == 302
    page = client.get(f"/clips/{clip.pk}/person/").content.decode()
    assert "Chosen by a person." in page
    assert user.username not in page[page.index('id="person"') :]


def test_rest_tells_and_takes_the_person(clip):
    client, _user = browser(clip, "manager")
    told = client.get(f"/api/v1/clips/{clip.pk}/person/").json()
    assert (told["rule"], told["target"], told["by"]) == ("largest", 2, "largest")
    assert [person["number"] for person in told["people"]] == [1, 2]
    assert told["people"][0]["boxes"] == LEFT["boxes"]

    def put(body):
        return client.put(f"/api/v1/clips/{clip.pk}/person/", body, content_type="application/json")

    chosen = put({"number": 1})
    assert (chosen.status_code, chosen.json()["target"], chosen.json()["by"]) == (200, 1, "person")
    assert put({"number": None}).json()["by"] == "largest"
    wrong = put({"number": 9})
    assert (wrong.status_code, wrong.json()["errors"]) == (422, {"number": ["1, 2"]})
    assert put({}).status_code == 422


def test_the_manager_sets_the_rule_on_the_overview(clip):
    client, _user = browser(clip, "manager")
    assert 'value="largest" selected' in client.get("/corpora/faces/").content.decode()
    assert client.post("/corpora/faces/person-rule/", {"rule": "none"}).status_code == 302
    page = client.get(f"/clips/{clip.pk}/").content.decode()
    assert "Nobody was chosen" in page
    reviewer, _user = browser(clip, "reviewer")
    assert "person-rule" not in reviewer.get("/corpora/faces/").content.decode()
    assert reviewer.post("/corpora/faces/person-rule/", {"rule": "none"}).status_code == 403
    assert client.post("/corpora/faces/person-rule/", {"rule": "loudest"}).status_code == 422


def test_where_nobody_was_looked_for_there_is_no_panel():
    clip = make.create_clip(make.create_corpus("empty"))
    client, _user = browser(clip, "manager")
    assert 'id="person"' not in client.get(f"/clips/{clip.pk}/").content.decode()
    assert "Nobody was looked for" in client.get(f"/clips/{clip.pk}/person/").content.decode()
