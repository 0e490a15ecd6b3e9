"""Pages of clips: list, one clip, upload; rights, few queries, htmx partials, hostile names."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from annotator.clips import hooks, tasks, uploads
from annotator.clips.models import Clip, Corpus, Flag, UploadedFile
from tests.support.factories import create_clip, create_corpus, create_member, create_user

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def manager(corpus: Corpus, client: Client):
    person = create_member(corpus, "manager")
    client.force_login(person)
    return person


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    told: list[int] = []
    monkeypatch.setattr(tasks.ingest_upload, "apply_async", lambda args, **_options: told.append(args[0]))
    return told


def test_the_list_pages_by_name_in_few_queries(corpus, client, manager, django_assert_max_num_queries) -> None:
    for n in range(60):
        create_clip(corpus, f"clip_{n:03}")
    url = reverse("clips:clips", args=[corpus.slug])
    with django_assert_max_num_queries(10):
        first = client.get(url).content.decode()
    assert first.count("clip-card") == 24
    assert "after=clip_023" in first
    assert 'rel="prev"' not in first
    last = client.get(url, {"after": "clip_047"}).content.decode()
    assert last.count("clip-card") == 12
    assert 'rel="next"' not in last
    back = client.get(url, {"before": "clip_048"}).content.decode()
    assert "clip_024" in back
    assert "clip_047" in back
    found = client.get(url, {"q": "_05"}, headers=HTMX).content.decode()
    assert (found.count("clip-card"), "<html" in found) == (10, False)
    assert "No clip is like that" in client.get(url, {"q": "zzz"}).content.decode()
    for which in ("no-media", "no-audio", "no-subtitle", "au", "flagged", "withdrawn", "bogus"):
        assert client.get(url, {"filter": which}).status_code == 200


def test_synthetic_clips_are_marked_and_names_are_escaped(client) -> None:
    corpus = create_corpus("demo2", synthetic=True)
    client.force_login(create_member(corpus, "viewer"))
    clip = create_clip(corpus, "<img src=x onerror=alert(1)>", synthetic=True)
    for url in (reverse("clips:clips", args=[corpus.slug]), reverse("clips:clip", args=[clip.pk])):
        html = client.get(url).content.decode()
        assert "badge--synthetic" in html
        assert "<img src=x" not in html
        assert "&lt;img src=x" in html


def test_a_clips_page_shows_player_subtitle_and_what_others_add(clip: Clip, client, monkeypatch) -> None:
    client.force_login(create_member(clip.corpus, "viewer"))
    clip.subtitles.create(language="zh", text="你怎么才来？")
    monkeypatch.setattr(hooks, "panels", [lambda _request, shown: f"panel of {shown.name}", lambda *_: ""])
    html = client.get(reverse("clips:clip", args=[clip.pk])).content.decode()
    assert "<video controls" in html
    assert "你怎么才来？" in html
    assert "panel of a" in html
    assert "Withdraw" not in html
    assert "<script>" not in html
    assert " style=" not in html


@pytest.mark.parametrize("role", ["annotator", None])
def test_clips_are_not_browsed_without_the_right(corpus: Corpus, client: Client, role) -> None:
    clip = create_clip(corpus)
    client.force_login(create_member(corpus, role) if role else create_user())
    expected = 403 if role else 404
    for name, arg in (("clips", corpus.slug), ("clip", clip.pk), ("upload", corpus.slug)):
        assert client.get(reverse(f"clips:{name}", args=[arg])).status_code == expected, name


def test_pages_ask_a_stranger_to_sign_in(corpus: Corpus, client: Client) -> None:
    for name, arg in (("clips", corpus.slug), ("clip", 1), ("upload", corpus.slug), ("upload-state", 1)):
        answer = client.get(reverse(f"clips:{name}", args=[arg]))
        assert (answer.status_code, "sign-in" in answer["Location"]) == (302, True)


def test_flags_and_withdrawal_from_the_page(clip: Clip, client) -> None:
    client.force_login(create_member(clip.corpus, "manager"))
    client.post(reverse("clips:flag", args=[clip.pk]), {"reason": "no-face", "note": "看不到脸"})
    flag = Flag.objects.get()
    page = client.get(reverse("clips:clip", args=[clip.pk])).content.decode()
    assert "看不到脸" in page
    client.post(reverse("clips:flag", args=[clip.pk]), {"resolve": flag.pk})
    flag.refresh_from_db()
    assert flag.resolved_at
    assert client.post(reverse("clips:flag", args=[clip.pk]), {"resolve": "9999"}).status_code == 404
    assert client.post(reverse("clips:withdraw", args=[clip.pk]), {"reason": ""}).status_code == 422
    client.post(reverse("clips:withdraw", args=[clip.pk]), {"reason": "consent"})
    assert client.get(reverse("clips:clip", args=[clip.pk])).status_code == 410


def test_upload_by_script_polls_until_286(corpus, client, manager, media, sent) -> None:
    assert "upload-media" in client.get(reverse("clips:upload", args=[corpus.slug])).content.decode()
    words = SimpleUploadedFile("w.csv", "name,chinese\na,你好\nghost\nspare,无\n".encode())
    begun = client.post(
        reverse("clips:upload", args=[corpus.slug]), {"subtitles": words}, headers={"Accept": "application/json"}
    ).json()
    files = [("a.mp4", (media / "a.mp4").read_bytes()), ("坏.mp4", b"text")]
    for name, content in files:
        answer = client.post(begun["files"], {"media": SimpleUploadedFile(name, content)})
        assert (answer.status_code, answer.json()["state"]) == (201, "queued")
    assert client.post(begun["files"]).status_code == 422
    polled = client.get(begun["url"], headers=HTMX)
    assert (polled.status_code, "every 2s" in polled.content.decode()) == (200, True)
    for row in UploadedFile.objects.all():
        uploads.ingest_file(row.pk)
    polled = client.get(begun["url"], headers=HTMX)
    html = polled.content.decode()
    assert (polled.status_code, "every 2s" in html, "<html" in html) == (286, False, False)
    assert "new clip" in html
    assert "not a media file" in html
    assert "line 3" in html
    assert "without a file here: spare" in html
    assert client.get(begun["url"]).content.decode().count("Try again") == 1
    failed = UploadedFile.objects.get(state="failed")
    assert client.post(reverse("clips:upload-retry", args=[failed.pk])).status_code == 302
    failed.refresh_from_db()
    assert failed.state == "queued"
    client.force_login(create_member(corpus, "viewer"))
    assert client.get(begun["url"]).status_code == 403
    assert client.post(reverse("clips:upload-retry", args=[failed.pk])).status_code == 403


def test_upload_without_script_is_one_form(corpus, client, manager, media, sent) -> None:
    files = [SimpleUploadedFile(n, (media / n).read_bytes()) for n in ("a.mp4", "b.avi")]
    answer = client.post(reverse("clips:upload", args=[corpus.slug]), {"media": files})
    assert answer.status_code == 302
    assert UploadedFile.objects.count() == 2
    assert client.get(answer["Location"]).status_code == 200


def test_the_admin_lists_and_withdraws(clip: Clip, client) -> None:
    client.force_login(create_user(is_superuser=True, is_staff=True))
    for model in ("corpus", "clip", "flag", "upload"):
        assert client.get(reverse(f"admin:clips_{model}_changelist")).status_code == 200
    assert client.get(reverse("admin:clips_clip_change", args=[clip.pk])).status_code == 200
    data = {"action": "withdraw", "_selected_action": [clip.pk]}
    client.post(reverse("admin:clips_clip_changelist"), data)
    clip.refresh_from_db()
    assert clip.withdrawn_at
