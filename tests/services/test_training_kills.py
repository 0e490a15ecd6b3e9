"""kill -9 of the trainer, of the training process and of the web server, one after the other, under one run: it is
taken up again each time, does every step once, and is never trained twice at a time."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from annotator.embedded.paths import REPOSITORY
from models_ml.synthetic import make_corpus
from tests.support import workbench
from tests.support.workbench import Workbench, eventually

STEPS = 150
RECORDS = """
from annotator.clips.models import Clip
from annotator.snapshots.services import freeze_snapshot
from tests.support.factories import create_record
for clip in Clip.objects.select_related("corpus").order_by("name"):
    create_record(clip, description={"zh": "他笑了。", "en": "The person smiles."})
print(freeze_snapshot(None, clip.corpus, "v1", group_by=[]).pk)
"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    make_corpus(tmp_path / "clips", n=3, seed=6)
    environment = {"TRAINING_LEASE_SECONDS": "4", "HF_HUB_OFFLINE": "1"}
    with workbench.started(tmp_path / "var", workers=1, **environment) as found:
        found.make_corpus("study", "--licence", "open")
        found.manage("ingest", "study", str(tmp_path / "clips"))
        yield found


@contextlib.contextmanager
def trainer(bench: Workbench, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as said:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "trainer"], cwd=REPOSITORY, env=bench.environment, stdout=said, stderr=said
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def fits(bench: Workbench) -> list[int]:
    """The processes that train now."""
    return [pid for pid, (_parent, line) in bench.processes().items() if "-m training fit" in line]


def row(bench: Workbench, pk: int) -> dict[str, Any]:
    with psycopg.connect(bench.state.database_url()) as database:
        names = ("state", "attempts", "losses", "reason", "folder")
        query = f"SELECT {', '.join(names)} FROM experiments_trainingrun WHERE id = %s"
        return dict(zip(names, database.execute(query, [pk]).fetchone(), strict=True))


def steps(folder: str) -> list[int]:
    path = Path(folder) / "metrics.jsonl"
    found = []
    for line in path.read_text().splitlines() if path.is_file() else []:
        with contextlib.suppress(ValueError):
            found.append(json.loads(line)["step"])
    return found


def test_whatever_is_killed_the_run_goes_on_where_it_was(bench: Workbench, tmp_path: Path) -> None:
    snapshot = bench.shell(RECORDS)
    overrides = {"train.epochs": 1, "train.iters_per_epoch": STEPS, "train.batch_size": 2, "train.save_every": 10}
    body = {"snapshot": snapshot, "config": "tiny", "name": "killed", "overrides": overrides}
    status, run = bench.call("POST", "/training-runs/", body)
    assert status == 201
    pk, log = run["id"], tmp_path / "trainer.log"

    def beyond(step: int) -> bool:
        assert len(fits(bench)) <= 1, "one run is trained by one process"
        found = row(bench, pk)
        assert found["state"] in ("queued", "running"), found
        return len(done := steps(found["folder"])) > 0 and done[-1] > step

    with trainer(bench, log) as first:
        assert eventually(lambda: beyond(12), 180), log.read_text()
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        assert eventually(lambda: not fits(bench), 60), "the training process saved and ended"
    reached = steps(row(bench, pk)["folder"])[-1]
    assert row(bench, pk)["state"] == "running"  # nobody has said otherwise yet

    with trainer(bench, log), trainer(bench, log):  # two of them, of which one gets it
        assert eventually(lambda: row(bench, pk)["attempts"] == 2, 60), row(bench, pk)
        assert eventually(lambda: beyond(reached + 10), 180), log.read_text()
        (child,) = fits(bench)
        os.kill(child, signal.SIGKILL)
        assert eventually(lambda: row(bench, pk)["attempts"] == 3, 60), row(bench, pk)
        assert row(bench, pk)["losses"] == 2
        bench.kill("web")
        assert eventually(lambda: row(bench, pk)["state"] == "done", 240), (row(bench, pk), log.read_text())
    assert steps(row(bench, pk)["folder"]) == list(range(1, STEPS + 1))
    assert eventually(bench.ready, 60)
    status, told = bench.call("GET", f"/training-runs/{pk}/")
    assert (status, told["state"], told["result"]["steps"]) == (200, "done", STEPS)
    assert (told["attempts"], told["losses"]) == (3, 2)
    assert told["checkpoints"][0]["step"] == STEPS
    status, lineage = bench.call("GET", f"/checkpoints/{told['checkpoints'][0]['id']}/lineage/")
    assert (status, lineage["stages"][0]["snapshot"]["id"]) == (200, int(snapshot))
    assert bench.manage("check_invariants", ok=(0, 1))["broken"] == []
