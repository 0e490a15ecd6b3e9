"""Files of an upload are ingested once each, whatever is clicked, repeated or killed."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.utils import timezone

from annotator.clips import queries, services, tasks, uploads
from annotator.clips.models import Clip, Corpus, UploadedFile
from annotator.core.errors import Conflict, Forbidden, Invalid
from tests.support.factories import create_corpus, create_member

from .material import OPENFACE

pytestmark = pytest.mark.django_db


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Ids of the files that a worker was told about (the broker stands still here; tests/services has a real one)."""
    told: list[int] = []
    monkeypatch.setattr(tasks.ingest_upload, "apply_async", lambda args, **_options: told.append(args[0]))
    return told


@pytest.fixture
def manager(corpus: Corpus):
    return create_member(corpus, "manager")


def send(path: Path, name: str = "") -> SimpleUploadedFile:
    return SimpleUploadedFile(name or path.name, path.read_bytes())


def test_an_upload_becomes_clips_with_their_tables(
    corpus, manager, media, sent, django_capture_on_commit_callbacks
) -> None:
    words = SimpleUploadedFile("w.csv", "name,chinese\na,你好\nx,\x00\n".encode())
    tracks = [SimpleUploadedFile("a.csv", OPENFACE.encode()), SimpleUploadedFile("..csv", b"x")]
    upload = uploads.create_upload(manager, corpus, subtitles=words, au=tracks)
    assert [entry.get("line", entry.get("name")) for entry in upload.report["failed"]] == [3, "..csv"]
    with django_capture_on_commit_callbacks(execute=True):
        rows = [uploads.add_file(manager, upload, send(media / name)) for name in ("a.mp4", "silent.mp4")]
        rows.append(uploads.add_file(manager, upload, send(media / "a.mp4", "twin.mp4")))
    assert sent == [row.pk for row in rows]
    assert [uploads.ingest_file(row.pk) for row in rows] == ["created", "created", "duplicate"]
    clip = Clip.objects.get(name="a")
    assert clip.subtitles.get().text == "你好"
    assert clip.au_track.peak["frame"] == 2
    silent, twin = UploadedFile.objects.get(name="silent.mp4"), UploadedFile.objects.get(name="twin.mp4")
    assert any("audio" in warning["reason"] for warning in silent.warnings)
    assert (twin.clip, twin.reason) == (clip, "a")
    assert [uploads.ingest_file(row.pk) for row in rows] == [None, None, None]  # delivered once more: nothing to do
    assert not any(default_storage.exists(row.staged) for row in rows)


def test_a_failed_file_says_why_and_can_be_tried_again(corpus, manager, media, sent) -> None:
    upload = uploads.create_upload(manager, corpus)
    row = uploads.add_file(manager, upload, SimpleUploadedFile("text.mp4", b"words" * 99))
    assert uploads.ingest_file(row.pk) == "failed"
    row.refresh_from_db()
    assert row.reason.startswith("text.mp4: the file is not a media file")
    default_storage.delete(row.staged)
    with default_storage.open(row.staged, "wb") as file:
        file.write((media / "a.mp4").read_bytes())
    assert uploads.retry_file(manager, row).state == "queued"
    assert uploads.ingest_file(row.pk) == "created"
    with pytest.raises(Conflict):
        uploads.retry_file(manager, row)


def test_files_that_cannot_be_clips_fail_at_once(corpus, manager, sent, settings) -> None:
    settings.UPLOAD_MAX_BYTES = 1000
    upload = uploads.create_upload(manager, corpus)
    files = [("a.txt", b"x"), ("empty.mp4", b""), ("big.mp4", b"x" * 1001), ("\x07.mp4", b"x")]
    for name, content in files:
        row = uploads.add_file(manager, upload, SimpleUploadedFile(name, content))
        assert (row.state, bool(row.reason), row.staged) == ("failed", True, ""), name
        with pytest.raises(Conflict):
            uploads.retry_file(manager, row)
    with pytest.raises(Conflict):
        uploads.add_file(manager, upload, SimpleUploadedFile("a.txt", b"x"))
    with pytest.raises(Invalid):
        uploads.create_upload(manager, corpus, subtitles=SimpleUploadedFile("w.csv", b"no header\n"))
    with pytest.raises(Forbidden):
        uploads.create_upload(create_member(corpus, "reviewer"), corpus)


def test_the_sweeper_sends_what_nobody_works_on(
    corpus, manager, media, sent, django_capture_on_commit_callbacks
) -> None:
    upload = uploads.create_upload(manager, corpus)
    fresh, lost, dead, done = [
        uploads.add_file(manager, upload, SimpleUploadedFile(f"{n}.mp4", (media / "a.mp4").read_bytes() + b"x" * n))
        for n in range(4)
    ]
    long_ago = timezone.now() - timedelta(minutes=5)
    UploadedFile.objects.filter(pk=lost.pk).update(dispatched_at=long_ago)
    UploadedFile.objects.filter(pk=dead.pk).update(state="running", started_at=long_ago, dispatched_at=long_ago)
    UploadedFile.objects.filter(pk=done.pk).update(state="created", dispatched_at=long_ago)
    sent.clear()
    with django_capture_on_commit_callbacks(execute=True):
        assert uploads.sweep()["sent"] == 2
    assert sorted(sent) == [lost.pk, dead.pk]
    assert uploads.sweep()["sent"] == 0
    assert uploads.ingest_file(dead.pk) == "created"
    assert fresh.state == "queued"


def test_a_file_that_ends_its_worker_each_time_is_given_up(corpus, manager, media, sent) -> None:
    row = uploads.add_file(manager, uploads.create_upload(manager, corpus), send(media / "a.mp4"))
    UploadedFile.objects.filter(pk=row.pk).update(attempts=3, state="running")
    assert uploads.ingest_file(row.pk) == "failed"
    row.refresh_from_db()
    assert "stopped 3 times" in row.reason


def test_a_broker_that_does_not_answer_loses_nothing(
    corpus, manager, media, monkeypatch, django_capture_on_commit_callbacks
) -> None:
    def down(*_args, **_options):
        raise ConnectionRefusedError("no broker")

    monkeypatch.setattr(tasks.ingest_upload, "apply_async", down)
    with django_capture_on_commit_callbacks(execute=True):
        row = uploads.add_file(manager, uploads.create_upload(manager, corpus), send(media / "a.mp4"))
    row.refresh_from_db()
    assert (row.state, row.dispatched_at) == ("queued", None)


@pytest.mark.django_db(transaction=True)
def test_two_workers_with_the_same_message_make_one_clip(media, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(tasks.ingest_upload, "apply_async", lambda args, **_options: None)
    corpus = create_corpus()
    manager = create_member(corpus, "manager")
    row = uploads.add_file(manager, uploads.create_upload(manager, corpus), send(media / "a.mp4"))
    results: list[str | None] = []

    def work() -> None:
        try:
            results.append(uploads.ingest_file(row.pk))
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results, key=str) == [None, None, None, "created"]
    assert Clip.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_file_that_a_worker_holds_is_left_to_it(media, monkeypatch) -> None:
    monkeypatch.setattr(tasks.ingest_upload, "apply_async", lambda args, **_options: None)
    corpus = create_corpus()
    manager = create_member(corpus, "manager")
    row = uploads.add_file(manager, uploads.create_upload(manager, corpus), send(media / "a.mp4"))
    long_ago = timezone.now() - timedelta(minutes=5)
    UploadedFile.objects.filter(pk=row.pk).update(state="running", started_at=long_ago, dispatched_at=long_ago)
    swept: list[int] = []

    def other() -> None:
        try:
            swept.append(uploads.sweep()["sent"])
        finally:
            connection.close()

    with transaction.atomic():
        UploadedFile.objects.select_for_update().get(pk=row.pk)  # as a living worker does
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert swept == [0]
    other()  # the worker died, its lock went with it
    assert swept == [0, 1]


def test_a_name_with_a_wide_blank_is_taken_and_one_in_two_forms_matches_its_row(corpus, manager, media, sent) -> None:
    words = SimpleUploadedFile("w.csv", "name,chinese\né,你好\n".encode())
    upload = uploads.create_upload(manager, corpus, subtitles=words)
    wide = uploads.add_file(manager, upload, send(media / "a.mp4", "开心\u300001.mp4"))
    decomposed = uploads.add_file(manager, upload, send(media / "b.avi", "e\u0301.avi"))
    assert [uploads.ingest_file(row.pk) for row in (wide, decomposed)] == ["created", "created"]
    assert set(Clip.objects.values_list("name", flat=True)) == {"开心\u300001", "é"}
    assert queries.upload_state(upload)["unmatched"] == []


def test_a_name_twice_in_one_form_is_named_and_the_rest_goes_on(corpus, manager, media, sent, client) -> None:
    client.force_login(manager)
    files = [send(media / "a.mp4"), send(media / "silent.mp4", "a.mp4"), send(media / "b.avi")]
    answer = client.post(f"/corpora/{corpus.slug}/upload/", {"media": files})
    assert answer.status_code == 302
    assert list(UploadedFile.objects.values_list("name", flat=True)) == ["a.mp4", "b.avi"]
    page = client.get(answer["Location"]).content.decode()
    assert "This upload has a file “a.mp4” already." in page


def test_a_withdrawal_that_was_killed_is_finished(clip) -> None:
    services.withdraw_clip(None, clip, "consent")  # the test's transaction never commits: as after a kill
    paths = [clip.media_path, *clip.derivatives.values_list("path", flat=True)]
    assert tasks.sweep()["purged"] == 0  # whoever withdrew it may still be at it
    Clip.objects.filter(pk=clip.pk).update(withdrawn_at=timezone.now() - timedelta(minutes=2))
    assert tasks.sweep()["purged"] == 1
    assert not [path for path in paths if default_storage.exists(path)]
    assert tasks.sweep()["purged"] == 0
