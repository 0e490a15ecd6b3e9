"""Hundreds of jobs while a random part is killed every 3 s, and while a worker with 32 calls in flight is killed again
and again: nothing is lost, nothing happens twice, and no more calls are repeated than were in flight."""

import json
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg

from tests.support import scripted_server, workbench

JOBS = 300
CONCURRENCY = 2
THREADS = 8  # calls in flight of a worker process
EVERY = 3.0  # s between two kills
PARTS = ("worker", "redis", "postgres", "web")
KILLING = 75.0  # s after which a slow machine is left alone to finish
PATIENCE = 170.0  # s for the run; the whole test must end within four minutes


def manifest(path: Path) -> Path:
    rows = [
        {"name": f"片段_{i:03}", "subtitle_zh": f"第{i}句：你怎么现在才来？", "subtitle_en": f"Line {i}: why only now?"}
        for i in range(JOBS)
    ]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def test_whatever_is_killed_every_job_has_its_effect_exactly_once(tmp_path: Path) -> None:
    seed = int(os.environ.get("KILL_SEED") or random.SystemRandom().randrange(10**6))
    dice, killed = random.Random(seed), []
    print(f"KILL_SEED={seed}")
    with scripted_server.running(tmp_path / "calls.jsonl", delay=0.8) as server:
        environment = {
            "LLM_BASE_URL": server.base_url,
            "LLM_MODEL": "scripted",
            "LLM_MAX_RETRIES": "0",
            "PRELABEL_LEASE_SECONDS": "4",
            "PRELABEL_THREADS": str(THREADS),
        }
        with workbench.started(tmp_path / "var", workers=CONCURRENCY, **environment) as bench:
            bench.make_corpus("kill", "--licence", "open")
            report = bench.manage("ingest", "kill", "--manifest", str(manifest(tmp_path / "clips.jsonl")))
            assert report["created"] == JOBS
            status, run = bench.call("POST", "/corpora/kill/runs/", {"prelabellers": ["merge"]})
            assert status == 201
            began, answered = time.monotonic(), 0
            next_kill = began + EVERY
            ended = None
            while ended is None and time.monotonic() - began < PATIENCE:
                time.sleep(0.3)
                status, seen = bench.call("GET", f"/runs/{run['id']}/")
                answered += status == 200
                if status == 200 and seen["finished_at"]:
                    ended = seen
                elif time.monotonic() >= next_kill and time.monotonic() - began < KILLING:
                    part = dice.choice(PARTS)
                    if bench.kill(part):
                        killed.append(part)
                    next_kill += EVERY
            took = time.monotonic() - began
            told = f"KILL_SEED={seed}; {len(killed)} kills in {took:.0f} s: {' '.join(killed)}"
            print(told)
            assert workbench.eventually(bench.ready, 60), told
            assert ended is not None, f"{told}; the run has not ended: {seen}"
            assert ended["jobs"] == {
                "queued": 0, "running": 0, "done": JOBS, "failed": 0, "skipped": 0, "cancelled": 0,
            }, told  # fmt: skip
            invariants = bench.manage("check_invariants", ok=(0, 1))
            assert invariants["broken"] == [], told
            with psycopg.connect(bench.state.database_url()) as database:
                row = database.execute(
                    "SELECT count(*), count(DISTINCT clip_id), count(DISTINCT job_id) FROM prelabels_descriptiondraft"
                ).fetchone()
                assert row == (JOBS, JOBS, JOBS), told
                counted, losses = database.execute("SELECT sum(calls), sum(losses) FROM prelabels_job").fetchone()
                records = database.execute("SELECT count(*) FROM checking_record WHERE grade = 'coarse'").fetchone()
                assert records == (JOBS,), told
        calls = [call for call in server.calls() if call["kind"] == "merge"]
    print(f"{len(calls)} calls reached the server, {counted} are counted, {losses} attempts were lost")
    assert len({call["key"] for call in calls}) == JOBS, told
    assert JOBS <= len(calls) <= JOBS + len(killed) * THREADS, told
    assert len(calls) <= counted <= JOBS + losses, f"a call that may have been paid is counted; {told}"
    assert answered > 0, told


FLIGHT = 32  # calls in flight of the worker that is killed
KILLS = 4


def test_a_worker_killed_with_32_calls_in_flight_repeats_no_others(tmp_path: Path) -> None:
    with scripted_server.running(tmp_path / "calls.jsonl", delay=1.5) as server:
        environment = {
            "LLM_BASE_URL": server.base_url,
            "LLM_MODEL": "scripted",
            "LLM_MAX_RETRIES": "0",
            "PRELABEL_LEASE_SECONDS": "3",
            "PRELABEL_THREADS": str(FLIGHT),
        }
        with workbench.started(tmp_path / "var", workers=1, **environment) as bench:
            bench.make_corpus("flight", "--licence", "open")
            bench.manage("ingest", "flight", "--manifest", str(manifest(tmp_path / "clips.jsonl")))
            status, run = bench.call("POST", "/corpora/flight/runs/", {"prelabellers": ["disambiguate"]})
            assert status == 201

            def seen() -> dict[str, Any]:
                return bench.call("GET", f"/runs/{run['id']}/")[1] or {"jobs": {"done": 0}, "finished_at": None}

            for kill in range(KILLS):
                before = seen()["jobs"]["done"]
                assert workbench.eventually(lambda before=before: seen()["jobs"]["done"] > before, 90), seen()
                time.sleep(0.4)  # most calls of the next round are under way
                assert bench.kill("worker"), f"kill {kill}: no worker"
            ended = workbench.eventually(lambda: (found := seen())["finished_at"] and found, 170)
            assert ended, seen()
            assert ended["jobs"]["done"] == JOBS, ended
            assert bench.manage("check_invariants", ok=(0, 1))["broken"] == []
            with psycopg.connect(bench.state.database_url()) as database:
                clues = database.execute("SELECT count(*), count(DISTINCT clip_id) FROM prelabels_clue").fetchone()
                assert clues == (JOBS, JOBS)
                counted, losses, most = database.execute(
                    "SELECT sum(calls), sum(losses), max(losses) FROM prelabels_job"
                ).fetchone()
        keys = Counter(call["key"] for call in server.calls())
    repeated = sum(keys.values()) - JOBS
    print(f"{KILLS} kills: {repeated} calls were repeated, {losses} attempts were lost, {counted} calls are counted")
    assert len(keys) == JOBS
    assert repeated <= KILLS * FLIGHT
    assert max(keys.values()) <= 1 + KILLS
    assert most <= KILLS
    assert sum(keys.values()) <= counted <= JOBS + losses
    assert losses <= KILLS * 2 * FLIGHT, "what was taken ahead is counted as lost, too, and that is little"
