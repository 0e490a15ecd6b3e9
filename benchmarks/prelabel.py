"""What pre-labelling costs besides its work, by a real worker of two processes behind Redis, the scheduler beside it.

Bookkeeping: jobs without media and AU track, which end at once, so that taking them and writing their ends is all there
is. Calls: the same questions to the same scripted server, once by a plain client with as many threads (`direct.py`) and
once as jobs of a run, at two latencies and concurrencies; in several rounds, for a shared machine is not always equally
fast.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from .figures import ratio
from .world import ROOT, World

ENDED = ("done", "failed", "skipped")
SIGNALS = ["measured_prosody", "au_expression"]
# (seconds a call takes, calls at a time, calls, rounds)
LOADS = ((0.05, 16, 6000, 3), (1.0, 64, 2000, 1))


def measure(world: World, slug: str, in_process_s: float = 5.0, worker_s: float = 15.0) -> dict[str, Any]:
    """Jobs made, and ended without work in this process and by the worker, per second; calls against direct ones.
    `slug` is a loaded corpus."""
    return {
        **bookkeeping(world, slug, in_process_s, worker_s),
        "call_over_openai_cpu": cost_of_a_call(world),
        "gate_clues_per_s": gate_rate(),
        "calls": [in_rounds(world, *load) for load in LOADS],
    }


def gate_rate() -> int:
    """Clues that the evidence gate judges in a second of processor time, none of them read before."""
    from models_ml.gate.judge import _read
    from models_ml.gate.score import judged, read

    clues = list(read(ROOT / "tests" / "models_ml" / "gate" / "development.jsonl"))
    for clue in clues:  # compiles the patterns that they need
        judged(clue)
    _read.cache_clear()
    began = time.process_time()
    for clue in clues:
        judged(clue)
    return round(len(clues) / (time.process_time() - began))


def cost_of_a_call(world: World, number: int = 200, rounds: int = 5) -> float:
    """Processor time of our call against one of the plain `openai` client, one after another in one thread: the median
    of the rounds. A worker of many threads is bounded by it."""
    import openai

    from models_ml.llm import Endpoint, complete
    from tests.support import scripted_server

    messages = [{"role": "user", "content": "How does the person feel? " * 40}]
    with scripted_server.running(world.folder / "cost.jsonl") as server:
        endpoint = Endpoint(server.base_url, "m")
        plain = openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0)

        def seconds(ask: Callable[[], object]) -> float:
            began = time.process_time()
            for _ in range(number):
                ask()
            return time.process_time() - began

        def ours() -> object:
            return complete(endpoint, messages, max_tokens=300)

        def theirs() -> object:
            return plain.chat.completions.create(
                model="m", messages=cast(Any, messages), temperature=0.0, max_tokens=300, seed=0
            )

        ratios = [seconds(ours) / seconds(theirs) for _ in range(rounds + 1)][1:]
    return round(statistics.median(ratios), 2)


def bookkeeping(world: World, slug: str, in_process_s: float, worker_s: float) -> dict[str, Any]:
    from annotator.clips.models import Corpus
    from annotator.prelabels import services, shifts
    from annotator.prelabels.models import Job

    corpus = Corpus.objects.get(slug=slug)
    began = time.perf_counter()
    run = services.create_run(None, corpus, prelabellers=SIGNALS)
    while not services.tend_run(run.pk):
        pass
    created_s = time.perf_counter() - began
    jobs = run.jobs.count()

    ids = list(run.jobs.order_by("-id").values_list("id", flat=True)[:2000])
    began, single = time.perf_counter(), 0
    while single < len(ids) and time.perf_counter() - began < in_process_s:
        services.run_job(ids[single])
        single += 1
    one_by_one = single / (time.perf_counter() - began)
    began = time.perf_counter()
    in_process = shifts.shift("cpu", seconds=in_process_s, run_id=run.pk) / (time.perf_counter() - began)

    world.start_worker(2)
    try:
        before, since = _wait_for_first(run)
        while (now := _ended(run)) < jobs and time.perf_counter() - since < worker_s:
            time.sleep(0.05)
        by_worker = (now - before) / (time.perf_counter() - since)
        if now < jobs:
            services.cancel_run(None, run)
            services.tend_run(run.pk)
    finally:
        world.stop("beat", "worker")
    return {
        "jobs_created": jobs,
        "create_s": round(created_s, 2),
        "created_per_s": round(jobs / created_s),
        "one_by_one_jobs_per_s": round(one_by_one),
        "in_process_jobs_per_s": round(in_process),
        "worker_processes": 2,
        "worker_jobs_per_s": round(by_worker),
        "jobs_done_twice": Job.objects.filter(run=run, attempts__gt=1).count(),
    }


def _ended(run: Any) -> int:
    from annotator.prelabels import tallies

    counts = tallies.totals(run)["counts"]
    return sum(counts[state] for state in ENDED)


def _wait_for_first(run: Any, seconds: float = 60.0) -> tuple[int, float]:
    """How many jobs had ended when the worker began to end some, and when that was. Raises TimeoutError."""
    start = _ended(run)
    deadline = time.perf_counter() + seconds
    while (now := _ended(run)) == start:
        if time.perf_counter() > deadline:
            raise TimeoutError("the worker ends no job")
        time.sleep(0.02)
    return now, time.perf_counter()


def in_rounds(world: World, delay: float, at_once: int, number: int, rounds: int) -> dict[str, Any]:
    """`calls` in so many rounds: the one whose ratio is the median, with the ratios of all."""
    found = [calls(world, delay, at_once, number, f"{at_once}-{turn}") for turn in range(rounds)]
    found.sort(key=lambda each: each["worker_over_direct"])
    return {**found[rounds // 2], "rounds": [each["worker_over_direct"] for each in found]}


def calls(world: World, delay: float, at_once: int, number: int, name: str) -> dict[str, Any]:
    """`number` questions of the step `disambiguate` over clips with subtitles alone, directly and by the worker."""
    from django.db import connection

    from annotator.prelabels import services
    from tests.support import scripted_server

    corpus = texts(f"texts-{name}", number)
    log = world.folder / f"calls-{name}.jsonl"
    requests = world.folder / f"requests-{name}.jsonl"
    _write_requests(corpus, requests)
    with scripted_server.running(log, delay=delay) as server:
        direct = _direct(server.base_url, requests, at_once)
        given = {"LLM_BASE_URL": server.base_url, "LLM_MODEL": "scripted:varied", "LLM_CONCURRENCY": str(at_once)}
        os.environ |= given
        world.start_worker(2)
        try:
            warm = services.create_run(None, texts(f"warm-{name}", 20 * at_once), prelabellers=["disambiguate"])
            _wait(warm)
            asked = len(server.calls())
            run = services.create_run(None, corpus, prelabellers=["disambiguate"])
            while not services.tend_run(run.pk):
                pass
            with connection.cursor() as cursor:  # what autovacuum does within a minute of such a load
                cursor.execute("ANALYZE")
            _wait(run)
        finally:
            world.stop("beat", "worker")
            for name in given:
                os.environ.pop(name)
        ours = server.calls()[asked:]
    last = run.jobs.order_by("-finished_at").values_list("finished_at", flat=True)[0]
    seconds = last.timestamp() - min(call["time"] for call in ours)
    questions = {json.loads(line)["messages"][-1]["content"] for line in requests.read_text("utf-8").splitlines()}
    if len(ours) != number or len(questions) != number or run.jobs.filter(state="done").count() != number:
        raise AssertionError(f"{len(ours)} calls for {number} jobs over {len(questions)} questions")
    rate, straight = number / seconds, direct["n"] / direct["seconds"]
    return {
        "call_s": delay,
        "at_once": at_once,
        "calls": number,
        "direct_per_s": round(straight, 1),
        "direct_cpu_ms_per_call": round(1000 * direct["cpu_seconds"] / number, 2),
        "worker_per_s": round(rate, 1),
        "ideal_per_s": round(at_once / delay, 1),
        "worker_over_direct": ratio(rate, straight),
    }


def texts(slug: str, number: int) -> Any:
    """A corpus of clips with nothing but a subtitle, each another one."""
    from annotator.clips.models import Clip, Corpus, Subtitle

    corpus = Corpus.objects.create(slug=slug, name=slug, licence="open", language="en")
    clips = Clip.objects.bulk_create([Clip(corpus=corpus, name=f"{slug}-{i:05}") for i in range(number)])
    Subtitle.objects.bulk_create(
        [Subtitle(clip=clip, language="en", text=f"Line {clip.name}: why do you come only now?") for clip in clips]
    )
    return corpus


def _write_requests(corpus: Any, file: Path) -> None:
    """What the step asks of each clip, as it would be sent."""
    from annotator.clips.models import Subtitle
    from models_ml.llm import Endpoint
    from models_ml.steps import Evidence, text

    asked: list[dict[str, Any]] = []

    class Written(Exception):
        pass

    def write_down(server: Endpoint, messages: list[dict[str, Any]], *, max_tokens: int, **_: Any) -> None:
        fixed = {"temperature": 0.0, "max_tokens": max_tokens, "seed": 0}
        asked.append({"model": server.model, "messages": messages, **fixed})
        raise Written

    endpoint, complete = Endpoint("http://127.0.0.1:1/v1", "scripted:varied"), text.complete
    text.complete = write_down  # type: ignore[assignment]
    try:
        for line in Subtitle.objects.filter(clip__corpus=corpus).order_by("clip_id").values_list("text", flat=True):
            try:
                text.disambiguate(Evidence(name="clip", subtitle={"zh": None, "en": line}), endpoint)
            except Written:
                continue
    finally:
        text.complete = complete
    file.write_text("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in asked), "utf-8")


def _direct(url: str, requests: Path, threads: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.direct", url, str(requests), str(threads)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _wait(run: Any, seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while run.finished_at is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"run {run.pk} has not ended: {run.state} {run.reason}")
        time.sleep(0.5)
        run.refresh_from_db()


__all__ = ["bookkeeping", "calls", "in_rounds", "measure", "texts"]
