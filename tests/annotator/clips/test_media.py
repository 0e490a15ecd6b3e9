"""A media address opens for the one it was signed for, while the lease lives, and never after withdrawal."""

from datetime import timedelta

import pytest
from django.core import signing
from django.core.files.storage import default_storage
from django.test import Client
from django.utils import timezone

from annotator.accounts.services import issue_token
from annotator.clips import media, services
from annotator.clips.ingest import ingest_folder
from annotator.clips.models import Clip, Corpus
from annotator.core.errors import Forbidden, Gone
from annotator.core.files import ranged_response
from tests.support.factories import create_member, create_user

pytestmark = pytest.mark.django_db


def soon():
    return timezone.now() + timedelta(minutes=5)


def body(response) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else response.content


def test_a_viewer_plays_by_range(clip: Clip, client: Client) -> None:
    viewer = create_member(clip.corpus, "viewer")
    client.force_login(viewer)
    urls = media.signed_urls(clip, viewer, expires=soon())
    whole = client.get(urls["video"])
    data = body(whole)
    assert (whole.status_code, whole["Content-Type"], whole["Accept-Ranges"]) == (200, "video/mp4", "bytes")
    assert len(data) == int(whole["Content-Length"]) == clip.derivatives.get(kind="proxy").bytes
    assert "private" in whole["Cache-Control"]
    assert whole["X-Content-Type-Options"] == "nosniff"
    part = client.get(urls["video"], headers={"Range": "bytes=10-19"})
    assert (part.status_code, part["Content-Range"], body(part)) == (206, f"bytes 10-19/{len(data)}", data[10:20])
    tail = client.get(urls["video"], headers={"Range": "bytes=-5"})
    assert body(tail) == data[-5:]
    assert client.get(urls["video"], headers={"Range": f"bytes={len(data)}-"}).status_code == 416
    for known in (whole["ETag"], "W/" + whole["ETag"], f'"another", W/{whole["ETag"]}', "*"):
        assert client.get(urls["video"], headers={"If-None-Match": known}).status_code == 304
    assert client.get(urls["video"], headers={"If-None-Match": '"another", W/"third"'}).status_code == 200
    assert client.head(urls["poster"])["Content-Type"] == "image/jpeg"
    assert client.get(urls["video"].replace("/video", "/muted")).status_code == 200


def test_nobody_else_opens_it(clip: Clip, client: Client) -> None:
    viewer, other = create_member(clip.corpus, "viewer"), create_member(clip.corpus, "manager")
    url = media.signed_urls(clip, viewer, expires=soon())["video"]
    assert client.get(url).status_code == 401
    client.force_login(other)
    assert client.get(url).status_code == 403
    client.force_login(viewer)
    assert client.get(url[:-8] + "x/video").status_code == 404
    assert client.get(url.replace("/video", "/secret")).status_code == 404
    late = media.signed_urls(clip, viewer, expires=timezone.now() - timedelta(seconds=1))["video"]
    assert client.get(late).json()["code"] == "expired"
    forged = signing.dumps({"c": clip.pk, "u": viewer.pk, "k": None, "x": 9e9}, salt="another")
    assert client.get(f"/media/{forged}/video").status_code == 404
    clip.corpus.memberships.all().delete()
    lost = client.get(url)
    assert (lost.status_code, "claim" in lost.json()["detail"]) == (403, False)  # there never was a claim


def test_every_refusal_is_a_problem_document(clip: Clip, client: Client) -> None:
    viewer = create_member(clip.corpus, "viewer")
    url = media.signed_urls(clip, viewer, expires=soon())["video"]
    nobody = client.get(url)
    client.force_login(viewer)
    default_storage.delete(clip.derivatives.get(kind="proxy").path)
    lost = client.get(url)
    assert [(r.status_code, r["Content-Type"]) for r in (nobody, lost)] == [
        (401, "application/problem+json"),
        (404, "application/problem+json"),
    ]


@pytest.mark.parametrize(
    ("size", "wanted", "status", "content_range", "length"),
    [
        (10, "bytes=0-0", 206, "bytes 0-0/10", 1),
        (10, "bytes=-99", 206, "bytes 0-9/10", 10),
        (10, "bytes=3-99", 206, "bytes 3-9/10", 7),
        (10, "bytes=-0", 416, "bytes */10", 0),
        (10, "bytes=10-", 416, "bytes */10", 0),
        (10, "bytes=5-2", 416, "bytes */10", 0),
        (10, "bytes=0-1,3-4", 200, None, 10),
        (10, "lines=0-1", 200, None, 10),
        (0, "bytes=-5", 416, "bytes */0", 0),
        (0, "bytes=0-", 416, "bytes */0", 0),
        (0, "", 200, None, 0),
    ],
)
def test_ranges_at_the_edges(rf, tmp_path, size, wanted, status, content_range, length) -> None:
    (tmp_path / "f").write_bytes(b"x" * size)
    request = rf.get("/", headers={"Range": wanted} if wanted else {})
    answer = ranged_response(request, tmp_path / "f", content_type="text/plain", etag="e")
    assert (answer.status_code, answer.get("Content-Range"), len(body(answer))) == (status, content_range, length)
    head = rf.head("/", headers={"Range": wanted} if wanted else {})
    answer = ranged_response(head, tmp_path / "f", content_type="text/plain", etag="e")
    assert (answer.status_code, answer["Content-Length"], body(answer)) == (200, str(size), b"")


def test_a_token_opens_its_owners_address(clip: Clip, client: Client) -> None:
    viewer = create_member(clip.corpus, "viewer")
    url = media.signed_urls(clip, viewer, expires=soon())["audio"]
    _token, text = issue_token(None, viewer)
    assert client.get(url, headers={"Authorization": f"Bearer {text}"}).status_code == 200
    _token, narrow = issue_token(None, viewer, scopes=["run.view"])
    assert client.get(url, headers={"Authorization": f"Bearer {narrow}"}).status_code == 403
    assert client.get(url, headers={"Authorization": "Bearer x.y"}).status_code == 401


def test_an_annotators_address_lives_as_long_as_the_claim(clip: Clip, client: Client, monkeypatch) -> None:
    annotator = create_member(clip.corpus, "annotator")
    client.force_login(annotator)
    live = {(7, annotator.pk)}
    monkeypatch.setattr(media, "lease_checks", [lambda claim, user: (claim, user) in live])
    url = media.signed_urls(clip, annotator, claim_id=7, expires=soon())["video"]
    assert client.get(url).status_code == 200
    live.clear()
    assert client.get(url).status_code == 403
    assert client.get(media.signed_urls(clip, annotator, expires=soon())["video"]).status_code == 403


def test_a_withdrawn_clip_answers_410_and_its_bytes_are_gone(
    clip: Clip, client: Client, folder, django_capture_on_commit_callbacks
) -> None:
    manager = create_member(clip.corpus, "manager")
    client.force_login(manager)
    url = media.signed_urls(clip, manager, expires=soon())["video"]
    names = [clip.media_path, *clip.derivatives.values_list("path", flat=True)]
    with django_capture_on_commit_callbacks(execute=True):
        services.withdraw_clip(manager, clip, "consent withdrawn")
    assert client.get(url).status_code == 410
    assert not [name for name in names if default_storage.exists(name)]
    clip.refresh_from_db()
    assert clip.media_sha256
    with pytest.raises(Gone):
        media.original_path(clip)
    report = ingest_folder(clip.corpus, folder)
    assert "withdrawn" in report.failed[0]["reason"]
    (folder / "a.mp4").rename(folder / "renamed.mp4")
    assert "withdrawn as “a”" in ingest_folder(clip.corpus, folder).failed[0]["reason"]


def test_media_that_another_corpus_holds_stays(clip: Clip, folder, django_capture_on_commit_callbacks) -> None:
    other = Corpus.objects.create(slug="other", name="other")
    ingest_folder(other, folder)
    with django_capture_on_commit_callbacks(execute=True):
        services.withdraw_clip(None, clip, "moved")
    assert media.wav_path(Clip.objects.get(corpus=other)).is_file()


def test_only_a_manager_withdraws_and_says_why(clip: Clip) -> None:
    with pytest.raises(Forbidden):
        services.withdraw_clip(create_member(clip.corpus, "reviewer"), clip, "why")
    with pytest.raises(services.Invalid):
        services.withdraw_clip(create_user(is_superuser=True), clip, " ")


def test_a_clip_without_sound_has_no_audio_address(corpus: Corpus, folder, media) -> None:
    from annotator.clips.media import signed_urls, wav_path

    (folder / "s.mp4").write_bytes((media / "silent.mp4").read_bytes())
    ingest_folder(corpus, folder)
    quiet = Clip.objects.get()
    urls = signed_urls(quiet, create_user(), expires=soon())
    assert urls["video"]
    assert urls["audio"] is None
    assert wav_path(quiet) is None
