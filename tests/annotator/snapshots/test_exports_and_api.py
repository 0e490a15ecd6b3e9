"""Exports lose nothing silently; REST serves immutable files with Range and ETag, to those who may read them."""

import csv
import io
import json
import zipfile
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from annotator.snapshots import exports, services
from annotator.snapshots.models import Snapshot
from tests.support.factories import create_clip, create_corpus, create_member, create_record, create_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def snapshot(settings, tmp_path: Path) -> Snapshot:
    settings.SNAPSHOT_ROOT = tmp_path / "snapshots"
    corpus = create_corpus("study")
    for i in range(4):
        create_record(create_clip(corpus, f"样本_{i}"))
    return services.freeze_snapshot(None, corpus, "v1")


def signed_in(snapshot: Snapshot, role: str) -> Client:
    client = Client()
    client.force_login(create_member(snapshot.corpus, role))
    return client


def body(response) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else response.content


def test_a_file_answers_with_its_hash_as_etag_and_honours_range(snapshot: Snapshot) -> None:
    client = signed_in(snapshot, "viewer")
    url = f"/api/v1/snapshots/{snapshot.pk}/files/records.jsonl"
    whole = client.get(url)
    data = body(whole)
    file = snapshot.files.get(path="records.jsonl")
    assert (whole.status_code, whole["ETag"], len(data)) == (200, f'"{file.sha256}"', file.bytes)
    part = client.get(url, headers={"Range": "bytes=10-19"})
    assert (part.status_code, body(part)) == (206, data[10:20])
    assert part["Content-Range"] == f"bytes 10-19/{len(data)}"
    tail = client.get(url, headers={"Range": "bytes=-5"})
    assert body(tail) == data[-5:]
    assert client.get(url, headers={"Range": f"bytes={len(data)}-"}).status_code == 416
    assert client.get(url, headers={"If-None-Match": f'"{file.sha256}"'}).status_code == 304


@pytest.mark.parametrize("path", ["../../../../etc/passwd", "manifest.json/..", "nothing.txt", "%2e%2e/x"])
def test_no_other_path_is_served(snapshot: Snapshot, path: str) -> None:
    response = signed_in(snapshot, "manager").get(f"/api/v1/snapshots/{snapshot.pk}/files/{path}")
    assert response.status_code == 404


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_a_snapshot_cannot_be_changed_by_rest(snapshot: Snapshot, method: str) -> None:
    client = signed_in(snapshot, "manager")
    assert getattr(client, method)(f"/api/v1/snapshots/{snapshot.pk}/").status_code == 405


@pytest.mark.parametrize(
    ("role", "read", "export", "freeze"),
    [(None, 404, 404, 404), ("annotator", 404, 404, 403), ("viewer", 200, 403, 403), ("manager", 200, 200, 201)],
)
def test_each_role_may_what_the_table_says(snapshot: Snapshot, role: str, read: int, export: int, freeze: int) -> None:
    client = Client()
    client.force_login(create_member(snapshot.corpus, role) if role else create_user())
    base = f"/api/v1/snapshots/{snapshot.pk}/"
    assert client.get(base).status_code == read
    assert client.get(base + "files/records.jsonl").status_code == read
    assert client.get(base + "exports/jsonl/").status_code == export
    answer = client.post("/api/v1/corpora/study/snapshots/", {"name": "v2"}, content_type="application/json")
    assert answer.status_code == freeze


def test_a_stranger_without_a_session_gets_401(snapshot: Snapshot) -> None:
    assert Client().get(f"/api/v1/snapshots/{snapshot.pk}/").status_code == 401


def test_rest_freezes_with_splits(snapshot: Snapshot) -> None:
    client = signed_in(snapshot, "manager")
    made = client.post(
        "/api/v1/corpora/study/snapshots/",
        {"name": "v2", "split": {"train": 0.5, "test": 0.5}, "seed": 3},
        content_type="application/json",
    )
    assert made.status_code == 201
    assert made.json()["splits"] == {"train": 2, "test": 2}
    same = client.get(f"/api/v1/snapshots/{snapshot.pk}/diff/{made.json()['id']}/").json()
    assert (same["added"], same["removed"], same["changed"], same["unchanged"]) == ([], [], [], 4)


def test_rest_takes_splits_and_groups_as_the_command_writes_them(snapshot: Snapshot) -> None:
    client, url = signed_in(snapshot, "manager"), "/api/v1/corpora/study/snapshots/"
    asked = {"name": "v2", "split": "train=0.5,test=0.5", "group_by": "none", "seed": 3}
    made = client.post(url, asked, content_type="application/json")
    as_objects = {"name": "v3", "split": {"train": 0.5, "test": 0.5}, "group_by": [], "seed": 3}
    same = client.post(url, as_objects, content_type="application/json")
    assert (made.status_code, made.json()["digest"]) == (201, same.json()["digest"])
    for wrong in ({"split": "train=0.5,test=2"}, {"split": "junk"}, {"group_by": "mood"}):
        assert client.post(url, {"name": "v4", **wrong}, content_type="application/json").status_code == 422


def test_a_wrong_request_is_a_problem_document(snapshot: Snapshot) -> None:
    client = signed_in(snapshot, "manager")
    taken = client.post("/api/v1/corpora/study/snapshots/", {"name": "v1"}, content_type="application/json")
    assert (taken.status_code, taken["Content-Type"]) == (409, "application/problem+json")
    wrong = client.post(
        "/api/v1/corpora/study/snapshots/", {"name": "v3", "grade": "x"}, content_type="application/json"
    )
    assert (wrong.status_code, list(wrong.json()["errors"])) == (422, ["grade"])


def test_emer_v2_is_the_published_form_byte_for_byte(snapshot: Snapshot, tmp_path: Path, capsys) -> None:
    out = tmp_path / "final-EMER-reason.csv"
    call_command("export", "study/v1", "--format", "emer-v2", "--out", str(out), "--json")
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["records"], result["bytes"]) == (4, out.stat().st_size)
    assert "label" in result["lost"]
    data = out.read_bytes()
    assert data.startswith(b"name,chinese,english\n")
    assert b"\r" not in data
    rows = list(csv.DictReader(io.StringIO(data.decode())))
    assert [row["name"] for row in rows] == [f"样本_{i}" for i in range(4)]


def test_csv_keeps_every_byte_of_a_text_in_one_row(snapshot: Snapshot, tmp_path: Path) -> None:
    text = 'one\rtwo\r\nthree\nfour, "five" \u2028 😀 =1'
    clip = create_clip(snapshot.corpus, "龍")
    create_record(clip, description={"zh": None, "en": text}, ov_labels={"zh": [], "en": ["Happy", "happy"]})
    frozen = services.freeze_snapshot(None, snapshot.corpus, "v2")
    exports.export(frozen, "emer-v2", tmp_path / "out.csv")
    data = (tmp_path / "out.csv").read_bytes()
    rows = list(csv.reader(io.StringIO(data.decode(), newline="")))
    assert (len(rows), rows[-1]) == (6, ["龍", "", text])
    assert data.endswith(('龍,,"' + text.replace('"', '""') + '"\n').encode())
    exports.export(frozen, "openset", tmp_path / "openset.csv")
    assert (tmp_path / "openset.csv").read_bytes().endswith("龍,['happy']\n".encode())


def test_a_folder_export_that_failed_can_be_repeated(
    snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device", "media")

    out = tmp_path / "copy"
    with monkeypatch.context() as patch:
        patch.setattr(exports, "_fill", full)
        with pytest.raises(CommandError, match="No space left") as raised:
            call_command("export", "study/v1", "--format", "folder", "--out", str(out))
    assert (raised.value.returncode, list(tmp_path.glob("*copy*"))) == (2, [])
    call_command("export", "study/v1", "--format", "folder", "--out", str(out))
    assert (out / "records.jsonl").is_file()


def test_a_place_that_cannot_be_written_is_one_line(snapshot: Snapshot, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CommandError, match="file"):
        call_command("export", "study/v1", "--format", "csv", "--out", str(tmp_path / "file" / "x.csv"))


def test_an_export_never_overwrites(snapshot: Snapshot, tmp_path: Path) -> None:
    out = tmp_path / "x.jsonl"
    out.write_text("mine")
    with pytest.raises(Exception, match="overwrite"):
        call_command("export", "study/v1", "--format", "jsonl", "--out", str(out))
    assert out.read_text() == "mine"


def test_a_folder_export_is_the_frozen_folder_itself(snapshot: Snapshot, tmp_path: Path) -> None:
    call_command("export", snapshot.digest[:12], "--format", "folder", "--out", str(tmp_path / "copy"))
    for file in snapshot.files.all():
        assert (tmp_path / "copy" / file.path).stat().st_size == file.bytes


def test_rest_gives_the_folder_as_a_zip(snapshot: Snapshot) -> None:
    response = signed_in(snapshot, "manager").get(f"/api/v1/snapshots/{snapshot.pk}/exports/folder/")
    archive = zipfile.ZipFile(io.BytesIO(body(response)))
    assert archive.testzip() is None
    assert archive.read("study-v1/records.jsonl") == (services.folder_of(snapshot) / "records.jsonl").read_bytes()


def test_a_lost_file_is_named_by_every_way_out_of_the_folder(snapshot: Snapshot, tmp_path: Path) -> None:
    (services.folder_of(snapshot) / "splits/all.txt").unlink()
    client, base = signed_in(snapshot, "manager"), f"/api/v1/snapshots/{snapshot.pk}/"
    for url in (f"{base}files/splits/all.txt", f"{base}exports/folder/"):
        answer = client.get(url)
        assert (answer.status_code, answer.json()["code"]) == (404, "file-lost")
    with pytest.raises(CommandError, match="splits/all.txt"):
        call_command("export", "study/v1", "--format", "folder", "--out", str(tmp_path / "copy"))
    assert not (tmp_path / "copy").exists()


def test_media_of_a_restricted_corpus_never_leave(settings, tmp_path: Path) -> None:
    settings.SNAPSHOT_ROOT = tmp_path / "snapshots"
    corpus = create_corpus("closed", licence="restricted")
    create_record(create_clip(corpus, "a"))
    services.freeze_snapshot(None, corpus, "v1")
    with pytest.raises(Exception, match="Restricted"):
        call_command("export", "closed/v1", "--format", "folder", "--media", "copy", "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_withdrawn_clip_answers_410_and_its_hashes_stay(snapshot: Snapshot, tmp_path: Path, capsys) -> None:
    clip = snapshot.corpus.clips.get(name="样本_1")
    clip.withdrawn_at = timezone.now()
    clip.save()
    client = signed_in(snapshot, "manager")
    base = f"/api/v1/snapshots/{snapshot.pk}/"
    gone = client.get(base + "files/records.jsonl")
    assert (gone.status_code, gone.json()["withdrawn"]) == (410, ["样本_1"])
    assert client.get(base + "files/SHA256SUMS").status_code == 200
    assert client.get(base).json()["withdrawn"] == ["样本_1"]
    exported = body(client.get(base + "exports/jsonl/")).decode().splitlines()
    assert [json.loads(line)["clip"] for line in exported] == ["样本_0", "样本_2", "样本_3"]
    assert client.get(base + "exports/folder/").status_code == 410
    call_command("export", "study/v1", "--format", "jsonl", "--out", str(tmp_path / "left.jsonl"), "--json")
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (report["records"], report["withdrawn"]) == (3, ["样本_1"])


def test_the_pages_answer_within_few_queries(snapshot: Snapshot, django_assert_max_num_queries) -> None:
    client = signed_in(snapshot, "manager")
    for i in range(5):
        services.freeze_snapshot(None, snapshot.corpus, f"more-{i}")
    with django_assert_max_num_queries(16):
        page = client.get("/corpora/study/snapshots/")
    assert "more-4" in page.content.decode()
    with django_assert_max_num_queries(18):
        detail = client.get(f"/snapshots/{snapshot.pk}/?with={Snapshot.objects.latest('id').pk}")
    assert snapshot.digest in detail.content.decode()


def test_the_page_freezes_and_shows_an_error_at_the_form(snapshot: Snapshot) -> None:
    client = signed_in(snapshot, "manager")
    form = {"name": "page", "grade": "fine", "split": "train=0.5,test=0.5", "group_by": "none", "seed": 0}
    made = client.post("/corpora/study/snapshots/", form)
    assert made.status_code == 302
    again = client.post("/corpora/study/snapshots/", form)
    assert again.status_code == 422
    assert "frozen is frozen" in again.content.decode()
