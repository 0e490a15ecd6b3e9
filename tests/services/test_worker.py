"""Pre-labelling by a real worker over real Redis and PostgreSQL, against a scripted and a real model server."""

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from models_ml.synthetic import make_corpus
from tests.support import scripted_server, tiny_llm, workbench
from tests.support.workbench import Workbench, eventually


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[scripted_server.Running]:
    with scripted_server.running(tmp_path_factory.mktemp("scripted") / "calls.jsonl", delay=0.05) as found:
        yield found


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """(URL, model) of `transformers serve` around a tiny model that was fitted on the spot."""
    folder = tmp_path_factory.mktemp("tiny")
    model = tiny_llm.make_chat_model(folder / "model")
    with tiny_llm.serving(model, folder / "cache") as url:
        yield url, str(model)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, server: scripted_server.Running) -> Iterator[Workbench]:
    """A running workbench with two synthetic clips in the corpus `study`."""
    root = tmp_path_factory.mktemp("bench")
    make_corpus(root / "clips", n=2, seed=5)
    environment = {f"{prefix}_BASE_URL": server.base_url for prefix in ("LLM", "PRELABEL")}
    environment |= {f"{prefix}_MODEL": "scripted" for prefix in ("LLM", "PRELABEL")}
    with workbench.started(root / "var", PRELABEL_LEASE_SECONDS="3", **environment) as found:
        found.make_corpus("study", "--synthetic")
        clips = root / "clips"
        options = ("--subtitles", str(clips / "subtitles.csv"), "--au", str(clips / "au"))
        assert found.manage("ingest", "study", str(clips), *options)["created"] == 2
        yield found
    shutil.rmtree(root / "clips")


def rows(bench: Workbench, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(bench.state.database_url()) as database:
        return database.execute(query, values).fetchall()


def start(bench: Workbench, corpus: str = "study", **body: Any) -> int:
    status, run = bench.call("POST", f"/corpora/{corpus}/runs/", body)
    assert status == 201
    return int(run["id"])


def wait(bench: Workbench, run: int, seconds: float = 60) -> dict[str, Any]:
    def ended() -> Any:
        status, found = bench.call("GET", f"/runs/{run}/")
        return found if status == 200 and found["finished_at"] else None

    found = eventually(ended, seconds)
    assert found, bench.call("GET", f"/runs/{run}/jobs/")
    return found


def text_only(bench: Workbench, slug: str, clips: int, tmp_path: Path) -> None:
    """A corpus of clips with subtitles and nothing else."""
    lines = [json.dumps({"name": f"c{i:03}", "subtitle_zh": f"第{i}句"}, ensure_ascii=False) for i in range(clips)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    bench.make_corpus(slug)
    assert bench.manage("ingest", slug, "--manifest", str(tmp_path / "rows.jsonl"))["created"] == clips


def test_the_worker_takes_clips_through_the_whole_emer_pipeline(
    bench: Workbench, server: scripted_server.Running
) -> None:
    found = bench.manage("prelabel", "study", "--pipeline", "emer", "--wait")
    assert found["state"] == "done"
    assert found["failed"] == []
    assert found["jobs"]["done"] + found["jobs"]["skipped"] == 12
    merged = rows(bench, "SELECT description_en, description_zh, provenance FROM prelabels_descriptiondraft")
    assert len(merged) == 2
    for english, chinese, provenance in merged:
        assert "The person smiles with raised cheeks" in english, "what the model saw went into the description"
        assert chinese
        assert provenance["prompt"]["file"].startswith("merge")
        assert provenance["model"] == "scripted"
    kinds = [call["kind"] for call in server.calls()]
    assert (kinds.count("visual"), kinds.count("merge")) == (2, 2)
    sources = rows(bench, "SELECT DISTINCT modality FROM prelabels_clue WHERE superseded_at IS NULL ORDER BY 1")
    assert sources == [("audio",), ("text",), ("visual",)]
    records = rows(bench, "SELECT count(*) FROM checking_record WHERE grade = 'coarse'")
    assert records == [(2,)], "a finished run that ends in a description writes a coarse record"


def test_measured_runs_ask_no_model(bench: Workbench, server: scripted_server.Running) -> None:
    before = len(server.calls())
    assert wait(bench, start(bench, pipeline="measured"))["state"] == "done"
    assert len(server.calls()) == before


def test_a_real_model_server_writes_the_description(bench: Workbench, tiny: tuple[str, str]) -> None:
    url, model = tiny
    with psycopg.connect(bench.state.database_url()) as database:
        database.execute(
            "INSERT INTO prelabels_prelabeller (name, kind, modality, language, model, base_url, api_key_env, trust,"
            " gpus, parameters, created_at)"
            " VALUES ('tiny', 'server', 'text', 'en', %s, %s, '', 'inside', 0, '{}', now())",
            (model, url),
        )
    run = wait(bench, start(bench, prelabellers=["tiny"]), 120)
    (job, *_others) = bench.call("GET", f"/runs/{run['id']}/jobs/")[1]["results"]
    assert run["state"] == "done", job["reason"]
    assert job["calls"] == 1
    assert job["provenance"]["model"].startswith(model), "the server adds a revision to the name"
    said = rows(bench, "SELECT text FROM prelabels_clue c JOIN prelabels_prelabeller p ON p.id = prelabeller_id"
                       " WHERE p.name = 'tiny' AND superseded_at IS NULL")  # fmt: skip
    assert len(said) == 2
    assert said[0][0] == tiny_llm.SENTENCE


def test_cancelling_stops_a_run_that_goes_on(bench: Workbench, tmp_path: Path) -> None:
    text_only(bench, "cancelled", 1000, tmp_path)
    run = start(bench, "cancelled", prelabellers=["merge"])
    assert eventually(lambda: bench.call("GET", f"/runs/{run}/")[1]["jobs"]["done"] >= 2, 30)
    assert bench.call("POST", f"/runs/{run}/cancel/")[0] == 200
    ended = wait(bench, run)
    assert ended["state"] == "cancelled"
    assert ended["jobs"]["done"] + ended["jobs"]["cancelled"] == 1000
    assert ended["jobs"]["cancelled"] > 0
    time.sleep(1.0)
    assert bench.call("GET", f"/runs/{run}/")[1]["jobs"] == ended["jobs"]


def test_a_killed_workers_jobs_come_back_within_seconds(bench: Workbench, tmp_path: Path) -> None:
    text_only(bench, "killed", 300, tmp_path)
    run = start(bench, "killed", prelabellers=["merge"])
    assert eventually(lambda: bench.call("GET", f"/runs/{run}/")[1]["jobs"]["done"] >= 2, 30)
    assert bench.kill("worker")
    assert wait(bench, run, 60)["jobs"]["done"] == 300
    counted = rows(bench, "SELECT count(DISTINCT d.clip_id), count(*) FROM prelabels_descriptiondraft d"
                          " JOIN prelabels_job j ON j.id = d.job_id WHERE j.run_id = %s", run)  # fmt: skip
    assert counted == [(300, 300)]


def test_messages_that_redis_lost_are_sent_again(bench: Workbench, tmp_path: Path) -> None:
    text_only(bench, "lost", 20, tmp_path)
    run = start(bench, "lost", prelabellers=["merge"])
    with redis.Redis.from_url(bench.state.redis_url().replace("%2F", "/")) as broker:
        broker.delete("llm")
    assert wait(bench, run, 60)["jobs"]["done"] == 20


def test_the_worker_ends_in_order_and_the_next_one_goes_on(bench: Workbench, tmp_path: Path) -> None:
    text_only(bench, "restarted", 300, tmp_path)
    run = start(bench, "restarted", prelabellers=["merge"])
    assert eventually(lambda: bench.call("GET", f"/runs/{run}/")[1]["jobs"]["done"] >= 2, 30)
    (main,) = [
        pid for pid, (parent, line) in bench.processes().items()
        if "--hostname models-" in line and "--hostname models-" not in bench.processes().get(parent, (0, ""))[1]
    ]  # fmt: skip
    os.kill(main, signal.SIGTERM)
    ended = wait(bench, run, 60)
    assert ended["jobs"]["done"] == 300
    losses = rows(bench, "SELECT sum(losses) FROM prelabels_job WHERE run_id = %s", run)
    assert losses == [(0,)], "a worker that is asked to stop finishes what it is at"
    assert bench.manage("check_invariants")["ok"]
