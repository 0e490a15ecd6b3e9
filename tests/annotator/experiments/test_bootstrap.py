"""A first start makes admin and demo once; killed half-way it goes on, repeated it changes nothing."""

import json
import stat
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import Client

from annotator.accounts.models import User
from annotator.clips.models import Clip, Corpus, Membership
from annotator.core.models import AuditEntry
from annotator.prelabels.models import Job, Run

pytestmark = pytest.mark.django_db


@pytest.fixture
def var(settings, tmp_path: Path) -> Path:
    settings.VAR = tmp_path
    settings.MEDIA_ROOT = tmp_path / "media"
    return tmp_path


def bootstrap() -> dict:
    out = StringIO()
    call_command("bootstrap", "--clips", "2", "--json", stdout=out)
    return json.loads(out.getvalue().splitlines()[-1])


def test_the_first_start_makes_what_is_needed_and_the_second_nothing(var: Path, client: Client) -> None:
    first = bootstrap()
    assert (first["admin"], first["demo"], first["failed"]) == (True, "demo", [])
    for name in ("admin-password", "demo-passwords"):
        assert stat.S_IMODE((var / name).stat().st_mode) == 0o600
    password = (var / "admin-password").read_text().strip()
    assert client.login(username="admin", password=password)
    people = dict(line.split() for line in (var / "demo-passwords").read_text().splitlines())
    assert set(people) == {"anna", "ben", "rui"}
    assert all(client.login(username=name, password=secret) for name, secret in people.items())
    assert password not in json.dumps(first)
    demo = Corpus.objects.get()
    assert (demo.slug, demo.synthetic, demo.licence) == ("demo", True, "open")
    assert set(Membership.objects.values_list("user__username", "role")) == {
        ("anna", "annotator"), ("ben", "annotator"), ("rui", "reviewer")
    }  # fmt: skip
    for clip in Clip.objects.all():
        assert clip.synthetic
        assert clip.speaker
        assert clip.au_track.peak["aus"] is not None
        assert clip.subtitles.count() == 2
    assert Run.objects.get().pk == first["run"]
    assert Job.objects.exists()

    counts = AuditEntry.objects.count(), Run.objects.count(), Clip.objects.count()
    assert bootstrap() == {"admin": False, "demo": None, "run": None}
    assert (AuditEntry.objects.count(), Run.objects.count(), Clip.objects.count()) == counts


def test_a_start_that_was_killed_goes_on_with_the_same_passwords(var: Path, client: Client) -> None:
    (var / "admin-password").write_text("kept-from-the-killed-start\n")
    (var / "demo-passwords").write_text("anna aaaaaaaaaaaa1\nben bbbbbbbbbbbb2\nrui rrrrrrrrrrrr3\n")
    User.objects.create_user("anna", password="somebody-else-chose-this")
    bootstrap()
    assert client.login(username="admin", password="kept-from-the-killed-start")
    assert client.login(username="anna", password="somebody-else-chose-this")
    assert client.login(username="ben", password="bbbbbbbbbbbb2")


def test_what_was_deleted_does_not_come_back(var: Path) -> None:
    bootstrap()
    Membership.objects.all().delete()
    bootstrap()
    assert not Membership.objects.exists()
