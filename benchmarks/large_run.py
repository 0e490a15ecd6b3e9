"""A run over EMER-Coarse's 115,595 clips x 8 steps: how fast its jobs are there, what its page costs, and cancelling.

The corpus is made by one statement (names only, no media): what is measured is the bookkeeping, not the work. Jobs are
made by a process of its own, so that its peak memory can be told.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

from .world import ROOT, World

CLIPS = 115_595
REQUESTS = 20
STEPS = ("au_expression", "measured_prosody", "visual_clue", "visual_objective", "audio_clue", "coarse_template",
         "disambiguate", "fine_generation")  # fmt: skip
_EXTEND = """
import json, resource, sys, time
import django
django.setup()
from annotator.prelabels import creation
began = time.perf_counter()
while not creation.extend(int(sys.argv[1]), 5.0):
    pass
took = time.perf_counter() - began
print(json.dumps([took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def measure(world: World, slug: str = "coarse", clips: int = CLIPS) -> dict[str, Any]:
    """Seconds to the first claimable job and to all of them, peak MB of the process that makes them, milliseconds of
    the progress page (median of 20 requests) with all jobs there, seconds until a cancellation answers and is done."""
    from django.core.management import call_command
    from django.test import Client
    from django.urls import reverse

    from annotator.accounts.models import User
    from annotator.prelabels import creation, services, tallies
    from annotator.prelabels.models import Job

    corpus = _corpus(slug, clips)
    began = time.perf_counter()
    run = services.create_run(None, corpus, prelabellers=STEPS)
    answered = time.perf_counter() - began
    claimable = Job.objects.filter(run=run, ready=True, state="queued").exists()
    made = _extend(run.pk)
    run.refresh_from_db()
    jobs = run.jobs.count()
    tallies.compact()

    call_command("collectstatic", interactive=False, verbosity=0)  # the pages name their files by hash
    boss = User.objects.filter(is_superuser=True).first() or User.objects.create_superuser("benchmark")
    client = Client(SERVER_NAME="127.0.0.1")
    client.force_login(boss)
    page = [_timed(client, reverse("prelabels:run", args=[run.pk])) for _ in range(REQUESTS + 3)][3:]
    part = [_timed(client, reverse("prelabels:progress", args=[run.pk])) for _ in range(REQUESTS)]

    began = time.perf_counter()
    services.cancel_run(None, run)
    cancel_answered = time.perf_counter() - began
    while not creation.wind_up(run.pk):
        pass
    cancelled = time.perf_counter() - began
    run.refresh_from_db()
    return {
        "clips": clips,
        "steps": len(STEPS),
        "jobs": jobs,
        "answer_s": round(answered, 2),
        "first_job_claimable": claimable,
        "all_jobs_s": round(answered + made[0], 1),
        "jobs_per_s": round(jobs / (answered + made[0])),
        "extend_peak_mb": round(made[1]),
        "page_ms": round(statistics.median(page) * 1000, 1),
        "progress_ms": round(statistics.median(part) * 1000, 1),
        "cancel_answer_s": round(cancel_answered, 2),
        "cancel_done_s": round(cancelled, 1),
        "ended": run.finished_at is not None,
    }


def _corpus(slug: str, clips: int) -> Any:
    from django.db import connection

    from annotator.clips.models import Clip, Corpus

    corpus = Corpus.objects.create(slug=slug, name="EMER-Coarse in size", licence="open", synthetic=True)
    made = Clip(corpus=corpus)
    columns = [field for field in Clip._meta.concrete_fields if not field.primary_key and field.name != "name"]
    values = [field.get_db_prep_save(field.pre_save(made, True), connection) for field in columns]
    names = ", ".join(["name", *(f'"{field.column}"' for field in columns)])
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {Clip._meta.db_table} ({names})"  # noqa: S608 - columns of the model
            f" SELECT 'clip_' || lpad(n::text, 8, '0'), {', '.join(['%s'] * len(columns))}"
            " FROM generate_series(1, %s) n",
            [*values, clips],
        )
        cursor.execute("ANALYZE")
    return corpus


def _extend(run_id: int) -> tuple[float, float]:
    """(seconds, peak MB) of a process that makes the run's jobs."""
    done = subprocess.run(
        [sys.executable, "-c", _EXTEND, str(run_id)],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "annotator.settings"},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, peak = json.loads(done.stdout.splitlines()[-1])
    return seconds, peak


def _timed(client: Any, address: str) -> float:
    began = time.perf_counter()
    answer = client.get(address)
    if answer.status_code >= 300:
        raise RuntimeError(f"{address} answers {answer.status_code}")
    return time.perf_counter() - began
