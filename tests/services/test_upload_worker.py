"""A real worker on a real broker: an uploaded file becomes a clip, also when its worker is killed half-way."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.utils import timezone

from annotator.clips import uploads
from annotator.clips.models import Clip, UploadedFile
from tests.annotator.clips.material import make_media
from tests.support.factories import create_corpus, create_member

pytestmark = pytest.mark.django_db(transaction=True)
REPOSITORY = Path(__file__).resolve().parents[2]


class Worker:
    """A Celery worker of the queue `uploads` on the test database; a session of its own, so that all of it can be
    killed at once."""

    def __init__(self, media: Path) -> None:
        parts = urlsplit(os.environ["DATABASE_URL"])
        url = urlunsplit(parts._replace(path=f"/{connection.settings_dict['NAME']}"))
        code = (
            "from django.conf import settings; import sys;"
            f"settings.MEDIA_ROOT = {str(media)!r};"
            "from annotator.celery import app;"
            "app.worker_main(['worker', '-Q', 'uploads', '-c', '1', '--loglevel', 'WARNING', '-n', sys.argv[1]])"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, f"test-{time.monotonic_ns()}@%h"],
            cwd=REPOSITORY,
            env={**os.environ, "DATABASE_URL": url, "C_FORCE_ROOT": "1"},
            start_new_session=True,
        )

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def storage(settings, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = tmp_path / "media"
    return settings.MEDIA_ROOT


@pytest.fixture
def start(storage: Path) -> Iterator:
    workers: list[Worker] = []

    def starter() -> Worker:
        workers.append(Worker(storage))
        return workers[-1]

    yield starter
    for worker in workers:
        if worker.process.poll() is None:
            worker.kill()


def wait_for(row: UploadedFile, states: tuple[str, ...], seconds: float = 60.0) -> str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        row.refresh_from_db()
        if row.state in states:
            return row.state
        time.sleep(0.02)
    return row.state


def test_a_file_is_ingested_although_its_worker_was_killed(start, tmp_path: Path) -> None:
    corpus = create_corpus()
    manager = create_member(corpus, "manager")
    content = make_media(tmp_path / "long.mp4", seconds=120).read_bytes()  # long enough to be caught in the act
    worker = start()
    row = uploads.add_file(manager, uploads.create_upload(manager, corpus), SimpleUploadedFile("long.mp4", content))
    assert wait_for(row, ("running", "created")) == "running"
    worker.kill()
    assert not Clip.objects.exists()
    UploadedFile.objects.filter(pk=row.pk).update(started_at=timezone.now() - timedelta(seconds=60))
    UploadedFile.objects.filter(pk=row.pk).update(dispatched_at=timezone.now() - timedelta(seconds=90))
    start()
    deadline = time.monotonic() + 30  # the server notices the dead worker's connection
    while uploads.sweep()["sent"] == 0 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert wait_for(row, ("created", "failed")) == "created", row.reason
    assert row.attempts == 2
    clip = Clip.objects.get()
    assert clip.derivatives.count() == 7
    assert not list((tmp_path / "media").rglob("*.part"))
