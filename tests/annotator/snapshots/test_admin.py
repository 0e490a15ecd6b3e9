"""The admin exports records as CSV, JSONL and EMER-V2, and freezes; it never edits a snapshot."""

import csv
import io
import json
from pathlib import Path

import pytest
from django.test import Client

from annotator.core.models import AuditEntry
from annotator.snapshots.models import Snapshot
from tests.support.factories import create_clip, create_corpus, create_record, create_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(settings, tmp_path: Path) -> Client:
    settings.SNAPSHOT_ROOT = tmp_path / "snapshots"
    client = Client()
    client.force_login(create_user("root", is_staff=True, is_superuser=True))
    return client


def act(client: Client, action: str, records: list) -> object:
    chosen = {"action": action, "_selected_action": [record.pk for record in records]}
    return client.post("/admin/checking/record/", chosen)


def content(response) -> str:
    return b"".join(response.streaming_content).decode()


def test_the_chosen_records_leave_in_each_format(admin: Client) -> None:
    corpus = create_corpus("study")
    records = [
        create_record(create_clip(corpus, f"样本_{i}"), description={"zh": "他“笑”了；", "en": ""}) for i in (2, 1)
    ]
    create_record(create_clip(corpus, "not chosen"))
    rows = list(csv.DictReader(io.StringIO(content(act(admin, "export_csv", records)))))
    assert [row["name"] for row in rows] == ["样本_1", "样本_2"]
    lines = content(act(admin, "export_jsonl", records)).splitlines()
    assert [json.loads(line)["description"]["zh"] for line in lines] == ["他“笑”了；"] * 2
    emer = content(act(admin, "export_emer_v2", records))
    assert emer == "name,chinese,english\n样本_1,他“笑”了；,\n样本_2,他“笑”了；,\n"
    assert AuditEntry.objects.filter(action="record.export").count() == 3


def test_the_freeze_action_makes_a_snapshot_of_one_corpus_and_grade(admin: Client) -> None:
    corpus = create_corpus("study")
    fine = create_record(create_clip(corpus, "a"))
    coarse = create_record(create_clip(corpus, "b"), grade="coarse")
    assert act(admin, "freeze", [fine, coarse]).status_code == 302
    assert not Snapshot.objects.exists()
    answer = act(admin, "freeze", [fine])
    assert answer["Location"] == f"/snapshots/{Snapshot.objects.get().pk}/"


def test_a_snapshot_is_read_only_in_the_admin(admin: Client) -> None:
    fine = create_record(create_clip(create_corpus("study"), "a"))
    act(admin, "freeze", [fine])
    pk = Snapshot.objects.get().pk
    assert admin.get(f"/admin/snapshots/snapshot/{pk}/change/").status_code == 200
    assert admin.post(f"/admin/snapshots/snapshot/{pk}/change/", {"name": "x"}).status_code == 403
    assert admin.post(f"/admin/snapshots/snapshot/{pk}/delete/", {"post": "yes"}).status_code == 403
    assert admin.get("/admin/snapshots/snapshot/add/").status_code == 403
