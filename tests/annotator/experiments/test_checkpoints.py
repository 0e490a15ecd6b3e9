"""Checkpoints are rows with their digest, cards that run nothing, a lineage, and a way to become a pre-labeller."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.test import Client

from annotator.clips.services import withdraw_clip
from annotator.core.errors import Conflict, Invalid
from annotator.core.models import AuditEntry
from annotator.experiments import discovery, queries, services
from annotator.experiments.cards import render
from annotator.experiments.models import Checkpoint, TrainingRun
from annotator.prelabels import plans
from annotator.prelabels.checkpoints import FOLDER, CheckpointModel
from annotator.prelabels.models import PreLabeller
from annotator.snapshots.models import Snapshot
from annotator.snapshots.services import freeze_snapshot
from models_ml.llm import NotConfigured
from tests.annotator.experiments.written import write_checkpoint, write_evaluation, write_run
from tests.support.factories import create_clip, create_corpus, create_member, create_record, create_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(snapshot: Snapshot, settings) -> Path:
    return write_run(Path(settings.RUNS_ROOT) / "stage two", snapshot.digest)


def found() -> list[tuple[str, str, bool]]:
    """Name, digest and whether it is still there."""
    rows = Checkpoint.objects.order_by("id").values_list("name", "sha256", "removed_at")
    return [(name, sha256, removed is None) for name, sha256, removed in rows]


def look() -> int:
    discovery.discover()
    return discovery.find_checkpoints()


def test_a_checkpoint_is_a_row_that_outlives_its_folder(run: Path) -> None:
    first = write_checkpoint(run, 1, b"one")
    assert look() == 1
    assert look() == 0
    second = write_checkpoint(run, 2, b"two")
    shutil.rmtree(run / "checkpoints" / "step-00000001")  # train.keep
    (run / "checkpoints" / ".writing-00000003").mkdir()
    (run / "checkpoints" / "step-00000004").mkdir()  # not finished
    look()
    assert found() == [("step-00000001", first, False), ("step-00000002", second, True)]
    row = Checkpoint.objects.get(step=2)
    assert row.sha256 == hashlib.sha256(b"two").hexdigest()
    assert row.lineage[0]["clips"] == 1


def test_other_weights_of_the_same_step_are_another_checkpoint(run: Path) -> None:
    first = write_checkpoint(run, 1, b"one")
    look()
    (run / "checkpoints" / "step-00000001" / "trainable.safetensors").write_bytes(b"other")
    look()
    other = hashlib.sha256(b"other").hexdigest()
    assert found() == [("step-00000001", first, False), ("step-00000001", other, True)]


def test_a_hash_is_counted_once_a_file(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(run, 1)
    look()
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("hashed again"))
    assert look() == 0


def test_a_card_is_markdown_that_can_neither_run_nor_fetch_anything() -> None:
    html = render(
        "---\nlicense: x\n---\n# Title\n<script>alert(1)</script> ![p](https://evil.example/p.png)\n\n"
        "[a](javascript:alert(1)) [b](data:text/html,x) [c](https://good.example)\n\n"
        "<img src=x onerror=alert(1)>\n\n| a | b |\n|:--|--:|\n| <b>1</b> | 2 |\n"
    )
    assert "<h3>Title</h3>" in html
    for tag in ("<script", "<img", "<b>", "style=", 'href="javascript', 'href="data', "license: x"):
        assert tag not in html
    assert '<a href="https://good.example" rel="noopener nofollow">c</a>' in html
    assert '<table class="table">' in html


def test_the_page_of_a_checkpoint_shows_card_lineage_and_scores(run: Path, snapshot: Snapshot) -> None:
    write_checkpoint(run, 3)
    write_evaluation(run, "1", split="test", avg=0.625)
    look()
    client = Client()
    client.force_login(create_member(snapshot.corpus, "manager"))
    row = Checkpoint.objects.get()
    page = client.get(f"/experiments/checkpoints/{row.pk}/").content.decode()
    assert row.sha256 in page
    assert "<script>alert" not in page.replace("&lt;", "<!")
    assert "<td>step</td>" in page  # of the card's table
    assert f"/snapshots/{snapshot.pk}/" in page
    record = snapshot.entries.get().revision.record_id
    assert f"/records/{record}/" in page
    assert "0.625" in page
    assert "stage-two-step3" in page  # the name that it proposes


def test_the_lineage_leads_to_snapshot_and_records_and_says_what_was_withdrawn(run: Path, snapshot: Snapshot) -> None:
    write_checkpoint(run, 3)
    look()
    client = Client()
    client.force_login(create_member(snapshot.corpus, "viewer"))
    row = Checkpoint.objects.get()
    told = client.get(f"/api/v1/checkpoints/{row.pk}/lineage/").json()
    assert (told["sha256"], told["withdrawn"], told["kept"]) == (row.sha256, [], True)
    (stage,) = told["stages"]
    assert stage["snapshot"] == {"id": snapshot.pk, "name": "study/v1", "digest": snapshot.digest}
    assert client.get(stage["records"]).status_code == 200
    withdraw_clip(None, snapshot.entries.get().revision.record.clip, "consent withdrawn")
    assert client.get(f"/api/v1/checkpoints/{row.pk}/lineage/").json()["withdrawn"] == ["样本"]
    assert client.get(stage["records"]).status_code == 410
    for address in (f"/experiments/checkpoints/{row.pk}/", f"/experiments/{row.training_run_id}/"):
        page = client.get(address).content.decode()
        assert "withdrawn since: 样本" in page, address
        assert "Make it a pre-labeller" not in page


def test_a_withdrawn_clip_of_a_snapshot_from_elsewhere_is_known_by_its_hash(run: Path, snapshot: Snapshot) -> None:
    write_checkpoint(run, 3)
    clip = create_clip(snapshot.corpus, "elsewhere", media_sha256="c" * 64)
    folder = run / "checkpoints" / "step-00000003"
    stage = {"digest": "f" * 64, "name": "far", "corpus": "far", "split": "all", "stage": 1, "grade": "coarse",
             "group_by": []}  # fmt: skip
    (folder / "lineage.json").write_text(json.dumps([{**stage, "clips": [{"clip": "x", "sha256": "c" * 64}]}]))
    body = {**json.loads((run / "run.json").read_text()), "lineage": [{**stage, "clips": 1}]}
    (run / "run.json").write_text(json.dumps(body))
    look()
    row = Checkpoint.objects.get()
    assert queries.withdrawn_of(row) == []
    withdraw_clip(None, clip, "consent withdrawn")
    assert queries.withdrawn_of(row) == ["elsewhere"]
    told = queries.lineage(row, create_member(snapshot.corpus, "viewer"))
    assert (told["withdrawn"], told["withdrawn_elsewhere"]) == ([], 1)


def test_a_snapshot_that_one_may_not_see_is_a_digest(run: Path, snapshot: Snapshot, settings) -> None:
    other = create_corpus("secret")
    create_record(create_clip(other, "geheim"))
    hidden = freeze_snapshot(None, other, "v1")
    body = json.loads((run / "run.json").read_text())
    body["lineage"] = [{**body["lineage"][0], "digest": hidden.digest, "split": "all"}, *body["lineage"]]
    (run / "run.json").write_text(json.dumps(body))
    write_checkpoint(run, 3)
    look()
    told = queries.lineage(Checkpoint.objects.get(), create_member(snapshot.corpus, "viewer"))
    assert [stage["snapshot"] is None for stage in told["stages"]] == [True, False]


def test_promoting_makes_one_prelabeller_that_outlives_the_run(run: Path, settings) -> None:
    sha256 = write_checkpoint(run, 3, language="zh")
    look()
    row = Checkpoint.objects.get()
    first = services.promote(None, row)
    assert services.promote(None, Checkpoint.objects.get()) == first
    assert (first.name, first.kind, first.modality, first.trust, first.language) == (
        "stage-two-step3", "checkpoint", "clip", "inside", "zh",
    )  # fmt: skip
    shutil.rmtree(run)
    look()
    model = plans.endpoint_for(f"clip_description@{first.pk}")
    assert isinstance(model, CheckpointModel)
    assert (model.sha256, model.checkpoint, model.language, model.step) == (sha256, row.pk, "zh", 3)
    assert {path.name for path in model.path.iterdir()} == {
        "trainable.safetensors", "state.json", "lineage.json", "README.md", "tokenizer",
    }  # fmt: skip
    assert first.name in plans.registered_models().values_list("name", flat=True)
    plan = plans.plan_for(None, [first.name])
    assert [(step["step"], step["queue"]) for step in plan.steps] == [("clip_description", "gpu")]
    assert plans.refusal(model, plan.steps[0]["key"], restricted=True) == ""
    assert AuditEntry.objects.filter(action="checkpoint.promote").count() == 1


def test_what_cannot_be_promoted_says_why(run: Path, snapshot: Snapshot, settings) -> None:
    write_checkpoint(run, 1, b"one")
    write_checkpoint(run, 2, b"two", target="ov_labels")
    write_checkpoint(run, 3, b"three")
    look()
    one, labels, gone = Checkpoint.objects.order_by("step")
    for name in ("", "clip-description", "merge", "a b", "../x", "x" * 121):
        if name:
            with pytest.raises(Invalid):
                services.promote(None, one, name)
    with pytest.raises(Invalid, match="labels"):
        services.promote(None, labels)
    shutil.rmtree(run / "checkpoints" / "step-00000003")
    with pytest.raises(Conflict, match="no longer there"):
        services.promote(None, gone)
    PreLabeller.objects.create(name="taken", kind="import")
    with pytest.raises(Conflict, match="taken"):
        services.promote(None, one, "taken")
    (run / "checkpoints" / "step-00000001" / "trainable.safetensors").write_bytes(b"changed meanwhile")
    with pytest.raises(Conflict, match="no longer there"):
        services.promote(None, one)
    assert not PreLabeller.objects.filter(kind="checkpoint").exists()
    assert list((Path(settings.RUNS_ROOT) / FOLDER).iterdir()) == []


def test_only_a_manager_promotes(run: Path, snapshot: Snapshot) -> None:
    write_checkpoint(run, 3)
    look()
    pk = Checkpoint.objects.get().pk
    pages, rest = f"/experiments/checkpoints/{pk}/promote/", f"/api/v1/checkpoints/{pk}/promote/"
    for user, status in ((create_user(), 404), (create_member(snapshot.corpus, "viewer"), 403)):
        client = Client()
        client.force_login(user)
        assert client.post(pages).status_code == status
        assert client.post(rest).status_code == status
    client = Client()
    client.force_login(create_member(snapshot.corpus, "manager"))
    assert client.post(pages, {"name": "no such name!"}).status_code == 422
    assert client.post(pages, {"name": "ours"}).status_code == 302
    assert client.post(rest).json() == {"checkpoint": pk, "prelabeller": "ours"}
    page = client.get(f"/experiments/checkpoints/{pk}/").content.decode()
    assert "<strong>ours</strong>" in page
    assert f"/corpora/{snapshot.corpus.slug}/runs/" in page


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model": "../../etc"}, "not by a path"),
        ({"model": "/etc"}, "not by a path"),
        ({"model": "nothing-there"}, "not on this host"),
        ({"model": "a", "parameters": {"sha256": "x", "checkpoint": 1}}, "sha256"),
        ({"model": "a", "parameters": {"sha256": "a" * 64, "checkpoint": 1, "batch": 0}}, "batch"),
        ({"model": "a", "parameters": {"path": "/etc"}}, "path"),
        ({"model": "a", "parameters": {}}, "sha256"),
    ],
)
def test_a_checkpoint_is_registered_by_its_page_and_never_by_a_path(roots: Path, fields: dict, said: str) -> None:
    parameters = {"parameters": {"sha256": "a" * 64, "checkpoint": 1}} | fields
    row = PreLabeller(name="wrong", kind="checkpoint", modality="clip", trust="inside", **parameters)
    with pytest.raises(ValidationError, match=said):
        row.full_clean()
    row.save()
    with pytest.raises(NotConfigured, match=said):
        plans.endpoint_for(f"clip_description@{row.pk}")


def test_a_run_begins_from_a_checkpoint_that_one_may_see(run: Path, snapshot: Snapshot) -> None:
    write_checkpoint(run, 3)
    look()
    checkpoint = Checkpoint.objects.get()
    client = Client()
    client.force_login(create_member(snapshot.corpus, "manager"))
    page = client.get("/experiments/new/").content.decode()
    assert f'<option value="{checkpoint.pk}">stage two · step 3 · stage 2</option>' in page
    form = {"snapshot": snapshot.pk, "config": "tiny", "name": "second", "init": checkpoint.pk, "launch": "1"}
    assert client.post("/experiments/new/", form).status_code == 302
    assert TrainingRun.objects.get(name="second").init == checkpoint
    body = {"snapshot": str(snapshot.pk), "config": "tiny", "name": "third", "init": checkpoint.pk}
    assert client.post("/api/v1/training-runs/", body, content_type="application/json").json()["init"] == checkpoint.pk
    far = create_corpus("far")
    create_record(create_clip(far))
    theirs = freeze_snapshot(None, far, "v1")
    client.force_login(create_member(far, "manager"))
    body = {"snapshot": str(theirs.pk), "config": "tiny", "name": "fourth", "init": checkpoint.pk}
    assert client.post("/api/v1/training-runs/", body, content_type="application/json").status_code == 404
    form = {**form, "snapshot": theirs.pk, "name": "fourth"}
    assert client.post("/experiments/new/", form).status_code == 422
