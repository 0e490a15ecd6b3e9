"""What a pre-labelling job costs besides its work: jobs without media and AU track, which end at once.

`create_run` makes all jobs of the corpus in one statement; then the same jobs are done in this process, and by a real
worker of two processes behind Redis with the scheduler beside it.
"""

import time
from typing import Any

from .figures import ratio
from .world import World

ENDED = ("done", "failed", "skipped")


def measure(world: World, slug: str, in_process_s: float = 5.0, worker_s: float = 20.0) -> dict[str, Any]:
    """Jobs created, done in process and done by a worker, per second. `slug` is a loaded corpus."""
    from annotator.clips.models import Corpus
    from annotator.prelabels import services
    from annotator.prelabels.models import Job

    corpus = Corpus.objects.get(slug=slug)
    began = time.perf_counter()
    run = services.create_run(None, corpus, "measured")
    created_s = time.perf_counter() - began
    jobs = run.jobs.count()

    ids = list(run.jobs.filter(position=0).order_by("-id").values_list("id", flat=True)[:5000])
    began, done = time.perf_counter(), 0
    while done < len(ids) and time.perf_counter() - began < in_process_s:
        services.run_job(ids[done])
        done += 1
    in_process = done / (time.perf_counter() - began)

    world.start_worker(2)
    try:
        before = _wait_for_first(run)
        began = time.perf_counter()
        time.sleep(worker_s)
        after = run.jobs.filter(state__in=ENDED).count()
        by_worker = (after - before) / (time.perf_counter() - began)
        services.cancel_run(None, run)
    finally:
        world.stop("beat", "worker")
    twice = Job.objects.filter(run=run, attempts__gt=1).count()
    return {
        "jobs_created": jobs,
        "create_s": round(created_s, 2),
        "created_per_s": round(jobs / created_s),
        "in_process_jobs_per_s": round(in_process),
        "worker_processes": 2,
        "worker_jobs_per_s": round(by_worker),
        "worker_over_in_process": ratio(by_worker, in_process),
        "jobs_done_twice": twice,
    }


def _wait_for_first(run: Any, seconds: float = 60.0) -> int:
    """How many jobs had ended when the worker began to end some. Raises TimeoutError."""
    start = run.jobs.filter(state__in=ENDED).count()
    deadline = time.monotonic() + seconds
    while (now := run.jobs.filter(state__in=ENDED).count()) == start:
        if time.monotonic() > deadline:
            raise TimeoutError("the worker ends no job")
        time.sleep(0.2)
    return int(now)
