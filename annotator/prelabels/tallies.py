"""The numbers of a run, from the tallies that a trigger keeps beside its jobs: no job is counted to show progress."""

from typing import Any

from django.db import connection, transaction
from django.db.models import F, Sum

from .models import Run, RunTally

STATES = ("queued", "running", "done", "failed", "skipped", "cancelled")
OPEN = ("queued", "running")
SUMS = ("calls", "losses", "cached", "prompt_tokens", "completion_tokens", "seconds", "gpu_seconds", "cost")
COMPACT_ABOVE = 200  # rows of one run; below it, summing is cheaper than rewriting
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('prelabels.compact'))"


def totals(run: Run) -> dict[str, Any]:
    """All numbers of a run in one query: `{"jobs", "counts": {state: n}, "steps": {key: {state: n, …sums}},
    "codes": [{"step", "state", "error_code", "n"}], …sums}`, with SUMS as sums; every state is there.

    `seconds` are of work, `cost` is money.
    """
    rows: Any = (
        RunTally.objects.filter(run_id=run.pk)
        .order_by()
        .values("step", "state", "error_code")
        .annotate(jobs=Sum("n"), **{f"sum_{name}": Sum(name) for name in SUMS})
    )
    found: dict[str, Any] = {"jobs": 0, "counts": dict.fromkeys(STATES, 0), "steps": {}, "codes": []}
    found |= dict.fromkeys(SUMS, 0)
    for row in rows:
        step = found["steps"].setdefault(row["step"], dict.fromkeys((*STATES, *SUMS), 0))
        step[row["state"]] += row["jobs"]
        found["counts"][row["state"]] += row["jobs"]
        found["jobs"] += row["jobs"]
        for name in SUMS:
            step[name] += row[f"sum_{name}"]
            found[name] += row[f"sum_{name}"]
        if row["jobs"] and row["state"] in ("failed", "skipped"):
            found["codes"].append({key: row[key] for key in ("step", "state", "error_code")} | {"n": row["jobs"]})
    found["codes"].sort(key=lambda code: (code["state"], -code["n"], code["step"], code["error_code"]))
    return found


def counts_of(runs: list[Run]) -> dict[int, dict[str, int]]:
    """Jobs by state of several runs, in one query; every run and state is there."""
    counts = {run.pk: dict.fromkeys(STATES, 0) for run in runs}
    rows = RunTally.objects.filter(run__in=runs).order_by().values_list("run_id", "state").annotate(jobs=Sum("n"))
    for run_id, state, jobs in rows:
        counts[run_id][state] = jobs
    return counts


def spent(run_id: int) -> dict[str, float]:
    """What a run has cost so far, by the names of a budget: `{"tokens", "money", "gpu_seconds"}`."""
    row = RunTally.objects.filter(run_id=run_id).aggregate(
        tokens=Sum(F("prompt_tokens") + F("completion_tokens")), money=Sum("cost"), gpu_seconds=Sum("gpu_seconds")
    )
    return {name: value or 0 for name, value in row.items()}


def compact() -> int:
    """Sum up the rows of runs that have many; the number of rows that went. Called by the sweeper.

    Safe beside writers and readers: rows are taken and their sums put back by one statement, and what somebody adds
    meanwhile is not among those taken. One process at a time does it; a second one returns 0.
    """
    names = ", ".join(("n", *SUMS))
    sums = ", ".join(f"sum({name})" for name in ("n", *SUMS))
    table = RunTally._meta.db_table
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_LOCK)
        if not cursor.fetchone()[0]:
            return 0
        cursor.execute(f"SELECT run_id FROM {table} GROUP BY run_id HAVING count(*) > {COMPACT_ABOVE}")  # noqa: S608 - constants
        if not (runs := [row[0] for row in cursor.fetchall()]):
            return 0
        cursor.execute(
            f"WITH gone AS (DELETE FROM {table} WHERE run_id = ANY(%s) RETURNING *),"  # noqa: S608 - constants
            f" kept AS (INSERT INTO {table} (run_id, step, state, error_code, {names})"
            f" SELECT run_id, step, state, error_code, {sums} FROM gone GROUP BY run_id, step, state, error_code"
            f" HAVING {' OR '.join(f'sum({name}) <> 0' for name in ('n', *SUMS))} RETURNING 1)"
            " SELECT (SELECT count(*) FROM gone) - (SELECT count(*) FROM kept)",
            [runs],
        )
        return int(cursor.fetchone()[0])
