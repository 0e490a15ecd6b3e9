"""Freezing: the folder of docs/snapshots.md, the same bytes everywhere, nothing half-done, nothing changed later."""

import hashlib
import json
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

from annotator.clips.models import Corpus
from annotator.core import invariants
from annotator.core.errors import Conflict, Invalid
from annotator.snapshots import services
from annotator.snapshots.models import Snapshot, SnapshotEntry, SnapshotFile
from tests.support.factories import create_clip, create_corpus, create_member, create_record

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _snapshot_root(settings, tmp_path: Path) -> None:
    settings.SNAPSHOT_ROOT = tmp_path / "snapshots"


@pytest.fixture
def corpus() -> Corpus:
    corpus = create_corpus("study")
    for i in range(10):
        clip = create_clip(corpus, f"样本_{9 - i:02}", source=f"film-{i // 2}", label=("happy", "sad")[i % 2])
        create_record(clip)
    return corpus


def freeze(corpus: Corpus, name: str = "v1", **options: object) -> tuple[Snapshot, Path]:
    snapshot = services.freeze_snapshot(create_member(corpus, "manager"), corpus, name, **options)
    return snapshot, services.folder_of(snapshot)


def test_the_folder_verifies_with_sha256sum_alone(corpus: Corpus) -> None:
    snapshot, folder = freeze(corpus, sizes={"train": 0.8, "test": 0.2})
    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert hashlib.sha256((folder / "SHA256SUMS").read_bytes()).hexdigest() == snapshot.digest
    listed = [line.split("  ")[1] for line in (folder / "SHA256SUMS").read_text().splitlines()]
    assert listed == ["records.jsonl", "splits/test.txt", "splits/train.txt"]


def test_the_manifest_names_every_other_file_with_its_hash(corpus: Corpus) -> None:
    snapshot, folder = freeze(corpus)
    manifest = json.loads((folder / "manifest.json").read_text())
    on_disk = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} - {"manifest.json"}
    assert {f["path"] for f in manifest["files"]} == on_disk
    for file in manifest["files"]:
        data = (folder / file["path"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file["bytes"], file["sha256"])
    assert hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest() == snapshot.manifest_sha256
    assert on_disk >= {
        *("records.jsonl", "SHA256SUMS", "splits/all.txt", "provenance.jsonl"),
        *("annotations.jsonl", "media.jsonl", "README.md"),
    }


def test_records_are_sorted_by_name_in_code_point_order(corpus: Corpus) -> None:
    create_record(create_clip(corpus, "Zebra"))
    create_record(create_clip(corpus, "apple"))
    create_record(create_clip(corpus, "😀"))  # beyond the BMP: last by code points, not last in UTF-16
    create_record(create_clip(corpus, "ｚ"))
    _snapshot, folder = freeze(corpus)
    names = [json.loads(line)["clip"] for line in (folder / "records.jsonl").read_text().splitlines()]
    assert names == sorted(names)
    assert names[:2] == ["Zebra", "apple"]
    assert names[-2:] == ["ｚ", "😀"]
    assert (folder / "splits/all.txt").read_text(encoding="utf-8").split("\n")[:-1] == names


def test_the_same_content_gives_the_same_digest_under_another_name_and_time(corpus: Corpus) -> None:
    a, _ = freeze(corpus, "one", sizes={"train": 8, "test": 2})
    b, _ = freeze(corpus, "two", sizes={"train": 8, "test": 2})
    assert a.digest == b.digest
    c, _ = freeze(corpus, "three", sizes={"train": 8, "test": 2}, seed=1)
    assert (c.digest == a.digest) == (
        services.folder_of(c).joinpath("splits/test.txt").read_bytes()
        == services.folder_of(a).joinpath("splits/test.txt").read_bytes()
    )


def test_clips_of_one_source_are_never_cut(corpus: Corpus) -> None:
    _snapshot, folder = freeze(corpus, sizes={"train": 0.8, "test": 0.2})
    bodies = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    source = {b["clip"]: b["source"] for b in bodies}
    train = {source[n] for n in (folder / "splits/train.txt").read_text().splitlines()}
    test = {source[n] for n in (folder / "splits/test.txt").read_text().splitlines()}
    assert not train & test


def test_a_used_name_is_refused_and_nothing_is_left_behind(corpus: Corpus) -> None:
    freeze(corpus)
    before = sorted(p.name for p in services.snapshot_root().rglob("*"))
    with pytest.raises(Conflict):
        freeze(corpus)
    assert sorted(p.name for p in services.snapshot_root().rglob("*")) == before


@pytest.mark.django_db(transaction=True)
def test_of_two_freezes_of_one_name_at_once_one_is_refused() -> None:
    corpus = create_corpus("study")
    for i in range(3):
        create_record(create_clip(corpus, f"c{i}"))
    barrier = threading.Barrier(3)

    def run(_number: int) -> str:
        barrier.wait()
        try:
            return services.freeze_snapshot(None, corpus, "v1").name
        except Conflict:
            return "conflict"
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(run, range(3))) == ["conflict", "conflict", "v1"]
    assert len(list(services.snapshot_root().glob("*/*"))) == 1
    assert services.remove_orphans() == []


@pytest.mark.parametrize("name", ["../up", "", "a/b", "名字", ".hidden", "x" * 81])
def test_a_hostile_name_is_refused(corpus: Corpus, name: str) -> None:
    with pytest.raises(Invalid):
        freeze(corpus, name)


def test_a_grade_without_records_is_refused_by_name(corpus: Corpus) -> None:
    with pytest.raises(Invalid, match="coarse"):
        freeze(corpus, grade="coarse")


@pytest.mark.parametrize("table", ["snapshots_snapshot", "snapshots_snapshotentry", "snapshots_snapshotfile"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_the_database_refuses_every_change(corpus: Corpus, table: str, statement: str) -> None:
    freeze(corpus)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET LOCAL workbench.allow_truncate = off")
        cursor.execute(statement.format(table))
    assert Snapshot.objects.count() == 1
    assert SnapshotEntry.objects.count() == 10
    assert SnapshotFile.objects.count() == 8


def killed_freeze(corpus: Corpus, monkeypatch: pytest.MonkeyPatch, where: object, function: str) -> None:
    """A freeze that ends at `function` as by `kill -9`: no handler of ours runs, the database rolls back."""

    def kill(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(where, function, kill)
        patch.setattr(services.shutil, "rmtree", lambda *args, **options: None)
        freeze(corpus, "v2")


@pytest.mark.parametrize(
    ("where", "function"),
    [
        (services, "_write_files"),
        (services.layout, "sums"),
        (services, "_seal"),
        (services.os, "rename"),
        (services.Snapshot.objects, "create"),
        (services.SnapshotFile.objects, "bulk_create"),
        (services.audit, "record"),
    ],
)
def test_a_start_removes_what_a_killed_freeze_left_and_nothing_else(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, where: object, function: str
) -> None:
    _snapshot, folder = freeze(corpus)
    root = services.snapshot_root()
    stranger = root / "study" / "v9-000000000000"  # of another database: not ours to remove
    stranger.mkdir()
    killed_freeze(corpus, monkeypatch, where, function)
    assert list(root.glob(".staging-*"))
    call_command("bootstrap", "--no-demo")
    assert sorted(path.name for path in root.glob("*")) == ["study"]
    assert sorted((root / "study").iterdir()) == sorted([folder, stranger])
    again, _folder = freeze(corpus, "v2")
    assert invariants.broken() == []
    assert again.name == "v2"


def test_a_freeze_whose_commit_arrived_keeps_its_folder(corpus: Corpus) -> None:
    _snapshot, folder = freeze(corpus)
    holder = services.snapshot_root() / ".staging-dead"
    holder.mkdir()
    (holder / "target").write_text(str(folder.relative_to(services.snapshot_root())))
    assert services.remove_orphans() == [".staging-dead"]
    assert (folder / "records.jsonl").is_file()


def test_a_restricted_corpus_tells_nobody_where_its_media_lie() -> None:
    corpus = create_corpus("closed", licence="restricted")
    clip = create_clip(corpus, "a", media="stored", media_path="ab/secret.mp4", media_sha256="a" * 64)
    create_record(clip)
    _snapshot, folder = freeze(corpus)
    line = json.loads((folder / "media.jsonl").read_text())
    assert line == {"clip": "a", "sha256": "a" * 64, "path": None, "url": None}


def test_the_command_prints_one_json_object_and_refuses_a_mixed_split(corpus: Corpus, capsys) -> None:
    call_command("freeze", "study", "v1", "--split", "train=8,test=2", "--json")
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["splits"] == {"train": 8, "test": 2}
    assert (Path(result["path"]) / "records.jsonl").is_file()
    assert set(result) == {"id", "name", "digest", "counts", "splits", "path"}
    with pytest.raises(Exception, match="mixed") as raised:
        call_command("freeze", "study", "v2", "--split", "train=0.8,test=2")
    assert raised.value.returncode == 2  # type: ignore[attr-defined]


def test_the_invariants_notice_a_changed_file(corpus: Corpus) -> None:
    snapshot, folder = freeze(corpus, sizes={"train": 8, "test": 2})
    assert [found for found in invariants.broken() if found["promise"] in ("frozen", "no leak")] == []
    path = folder / "records.jsonl"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"fine", b"fake", 1))
    found = [each for each in invariants.broken() if each["promise"] == "frozen"]
    assert [each["object"] for each in found] == [f"snapshot {snapshot.pk}"]
    assert "records.jsonl" in found[0]["detail"]
