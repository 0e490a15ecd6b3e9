"""REST of corpora and clips: shapes, rights per role, uploads, the manifest in the body."""

import io
import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from annotator.accounts.services import issue_token
from annotator.clips import hooks
from annotator.clips.models import Clip, Corpus, Flag
from tests.support.factories import create_clip, create_corpus, create_member, create_user

from .material import OPENFACE

pytestmark = pytest.mark.django_db
API = "/api/v1"


@pytest.fixture
def manager(corpus: Corpus, client: Client):
    person = create_member(corpus, "manager")
    client.force_login(person)
    return person


def upload(client: Client, corpus: Corpus, content: bytes, filename: str = "a.mp4", **fields):
    data = {"media": SimpleUploadedFile(filename, content), **fields}
    return client.post(f"{API}/corpora/{corpus.slug}/clips/", data)


ROLES = ["viewer", "annotator", "reviewer", "manager"]
RIGHTS = [
    ("get", "/corpora/{slug}/", {"viewer", "annotator", "reviewer", "manager"}, 200),
    ("get", "/corpora/{slug}/progress/", {"viewer", "annotator", "reviewer", "manager"}, 200),
    ("get", "/corpora/{slug}/clips/", {"viewer", "reviewer", "manager"}, 200),
    ("get", "/clips/{clip}/", {"viewer", "reviewer", "manager"}, 200),
    ("post", "/clips/{clip}/flags/", {"annotator", "reviewer", "manager"}, 201),
    ("post", "/corpora/{slug}/clips/bulk/", {"manager"}, 200),
    ("post", "/corpora/{slug}/clips/", {"manager"}, 422),
]


@pytest.mark.parametrize(("method", "path", "may", "good"), RIGHTS)
def test_who_may_call_what(corpus: Corpus, client: Client, method, path, may, good) -> None:
    url = API + path.format(slug=corpus.slug, clip=create_clip(corpus).pk)
    data = {"data": {"reason": "no-face"}} if "flags" in path else {}
    assert getattr(client, method)(url, **data).status_code == 401
    for role in ROLES:
        client.force_login(create_member(corpus, role))
        assert getattr(client, method)(url, **data).status_code == (good if role in may else 403), role
    client.force_login(create_user())
    assert getattr(client, method)(url, **data).status_code == 404


def test_corpora_are_mine_and_an_admin_creates_them(corpus: Corpus, client: Client) -> None:
    create_corpus("hidden")
    client.force_login(create_member(corpus, ("viewer", "annotator")))
    page = client.get(f"{API}/corpora/").json()
    assert [(c["slug"], c["roles"], c["clips"]) for c in page["results"]] == [("faces", ["annotator", "viewer"], 0)]
    new = {"slug": "neu", "overlap": 2, "review": "none", "licence": "open"}
    assert client.post(f"{API}/corpora/", new, "application/json").status_code == 403
    client.force_login(create_user(is_superuser=True))
    answer = client.post(f"{API}/corpora/", new, "application/json")
    assert (answer.status_code, answer.json()["overlap"]) == (201, 2)
    assert client.post(f"{API}/corpora/", new, "application/json").status_code == 409
    wrong = client.post(f"{API}/corpora/", {**new, "slug": "a b", "overlap": 99}, "application/json")
    assert (wrong.status_code, wrong["Content-Type"]) == (422, "application/problem+json")
    assert "overlap" in wrong.json()["errors"]
    assert client.post(f"{API}/corpora/", {**new, "slug": "a b"}, "application/json").json()["errors"]["slug"]


def test_an_upload_answers_201_then_200_then_names_the_duplicate(corpus, client, manager, media) -> None:
    content = (media / "a.mp4").read_bytes()
    first = upload(client, corpus, content, name="开心", subtitle_zh=" 你好 ", label="happy", source="film")
    assert first.status_code == 201, first.content
    clip = first.json()
    assert (clip["name"], clip["subtitle"], clip["label"]) == ("开心", {"zh": " 你好 ", "en": None}, "happy")
    assert clip["media"]["video"].startswith("/media/")
    assert client.get(clip["media"]["poster"]).status_code == 200
    again = upload(client, corpus, content, name="开心")
    assert (again.status_code, again.json()["duplicate_of"]) == (200, None)
    twin = upload(client, corpus, content, name="other")
    assert (twin.status_code, twin.json()["duplicate_of"], twin.json()["id"]) == (200, "开心", clip["id"])
    assert Clip.objects.count() == 1


def test_an_upload_that_cannot_be_a_clip_names_the_field(corpus, client, manager, media) -> None:
    good = (media / "a.mp4").read_bytes()
    for content, fields, field in (
        (b"no video at all", {}, "media"),
        (b"", {}, "media"),
        ((media / "sound.mp4").read_bytes(), {}, "media"),
        (good, {"name": "../up"}, "name"),
        (good, {"name": "x\x01y"}, "name"),
        (good, {"licence": "free"}, "licence"),
    ):
        answer = upload(client, corpus, content, **fields)
        assert (answer.status_code, list(answer.json()["errors"])) == (422, [field]), answer.json()
    assert not client.post(f"{API}/corpora/faces/clips/", {"name": "x"}).json()["errors"].keys() ^ {"media"}
    assert not Clip.objects.exists()
    assert upload(client, corpus, good, name="n").status_code == 201
    other = upload(client, corpus, (media / "b.avi").read_bytes(), "b.avi", name="n")
    assert (other.status_code, list(other.json()["errors"])) == (422, ["name"])


def test_an_upload_may_bring_its_track_and_is_warned_about_a_bad_one(corpus, client, manager, media) -> None:
    bad = SimpleUploadedFile("au.csv", OPENFACE.replace("2.00", "?").encode())
    answer = upload(client, corpus, (media / "silent.mp4").read_bytes(), "s.mp4", au=bad)
    assert answer.status_code == 201
    assert ["audio" in w or "line 3" in w for w in answer.json()["warnings"]] == [True, True]
    good = SimpleUploadedFile("au.csv", OPENFACE.encode())
    answer = upload(client, corpus, (media / "silent.mp4").read_bytes(), "s.mp4", au=good)
    assert (answer.status_code, answer.json()["au_track"]["peak"]["frame"]) == (200, 2)


def test_an_upload_that_is_too_large_is_refused(corpus, client, manager, settings) -> None:
    settings.UPLOAD_MAX_BYTES = 10
    assert upload(client, corpus, b"x" * 11).status_code == 422


@pytest.mark.parametrize("kind", ["application/x-ndjson", "application/json", "application/x-www-form-urlencoded"])
def test_the_manifest_in_the_body_answers_as_ingest(corpus, client, manager, kind) -> None:
    lines = [json.dumps({"name": f"clip_{n:06}", "subtitle_zh": "你好"}) for n in range(50)]
    body = "\n".join([*lines, "{broken"])
    report = client.post(f"{API}/corpora/{corpus.slug}/clips/bulk/", body.encode(), kind).json()
    assert (report["created"], [entry["line"] for entry in report["failed"]]) == (50, [51])
    assert client.post(f"{API}/corpora/{corpus.slug}/clips/bulk/", body.encode(), kind).json()["unchanged"] == 50


def test_a_body_in_chunks_is_read_or_refused_never_taken_for_an_empty_one(corpus, client, manager) -> None:
    lines = b"".join(b'{"name": "clip_%d"}\n' % n for n in range(5))
    chunked = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": io.BytesIO(lines)}
    assert client.post(f"{API}/corpora/{corpus.slug}/clips/bulk/", **chunked).json()["created"] == 5
    refused = client.post(f"{API}/corpora/{corpus.slug}/claims/", **chunked)
    assert (refused.status_code, refused.headers["Content-Type"]) == (411, "application/problem+json")
    assert "Content-Length" in refused.json()["detail"]


def test_lists_page_and_narrow_with_few_queries(corpus, client, manager, django_assert_max_num_queries) -> None:
    for n in range(30):
        create_clip(corpus, f"clip_{n:03}")
    with django_assert_max_num_queries(8):
        page = client.get(f"{API}/corpora/{corpus.slug}/clips/?page_size=20").json()
    assert len(page["results"]) == 20
    assert len(client.get(page["next"]).json()["results"]) == 10
    found = client.get(f"{API}/corpora/{corpus.slug}/clips/?search=_01").json()["results"]
    assert len(found) == 10
    assert client.get(f"{API}/corpora/{corpus.slug}/clips/?filter=bogus").status_code == 422
    with django_assert_max_num_queries(6):
        client.get(f"{API}/corpora/")


def test_progress_joins_what_higher_rooms_count(corpus, client, manager, monkeypatch) -> None:
    create_clip(corpus)
    monkeypatch.setattr(hooks, "progress", [lambda corpora, user: {corpora[0].pk: {"records": {"fine": 3}}}])
    answer = client.get(f"{API}/corpora/{corpus.slug}/progress/").json()
    assert (answer["clips"]["total"], answer["records"]) == (1, {"fine": 3})


def test_a_flag_is_kept_with_its_author(corpus, client) -> None:
    clip, annotator = create_clip(corpus), create_member(corpus, "annotator")
    client.force_login(annotator)
    answer = client.post(
        f"{API}/clips/{clip.pk}/flags/", {"reason": "wrong-subtitle", "note": "字幕不对"}, "application/json"
    )
    assert answer.status_code == 201
    flag = Flag.objects.get()
    assert (flag.user, flag.reason, flag.note) == (annotator, "wrong-subtitle", "字幕不对")
    wrong = client.post(f"{API}/clips/{clip.pk}/flags/", {"reason": "boring"}, "application/json")
    assert (wrong.status_code, list(wrong.json()["errors"])) == (422, ["reason"])


def test_a_withdrawn_clip_is_gone(clip, client) -> None:
    from annotator.clips.services import withdraw_clip

    manager = create_member(clip.corpus, "manager")
    client.force_login(manager)
    withdraw_clip(manager, clip, "consent")
    assert client.get(f"{API}/clips/{clip.pk}/").status_code == 410
    assert client.get(f"{API}/corpora/{clip.corpus.slug}/clips/").json()["results"] == []


def test_a_narrow_token_is_told_that_the_token_is_the_reason(corpus, client) -> None:
    manager = create_member(corpus, "manager")
    _token, text = issue_token(None, manager, scopes=["corpus.view"])
    answer = client.get(f"{API}/corpora/{corpus.slug}/clips/", headers={"Authorization": f"Bearer {text}"})
    assert (answer.status_code, answer.json()["detail"]) == (403, "This token may not do that.")
